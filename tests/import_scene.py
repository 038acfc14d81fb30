"""A registry that clerks import houses into, on the pages of a central service, by hand."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from models import bookkeeping
from pusher.config import load
from pusher.rest.imports_runs import Imports
from pusher.rest.limits import Limits
from pusher.schema.engine import opened, writing
from tests.configs import put
from tests.http_central import Central, bearer
from tests.limited import limited

_TABLES = (
    "CREATE TABLE Deployment (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE)",
    "CREATE TABLE House (id INTEGER PRIMARY KEY, address VARCHAR(20) NOT NULL UNIQUE, rooms INTEGER,"
    " deploymentId INTEGER REFERENCES Deployment (id))",
    "INSERT INTO Deployment (name) VALUES ('Pilot'), ('Main')",
)
_CONFIG = """\
[general]
site = office
localurl = {url}
[locations]
registry = 1
[registry]
kind = import
storage = {storage}
processor = House
"""
# Of the four rows two are bad, each in a way of its own.
HOUSES = "Street,Deployment,rooms\n1 High St,Pilot,3\n2 High St,Nowhere,4\n3 High St,Main,many\n4 High St,Main,\n"
AS_JSON = {"Accept": "application/json"}
ADDRESSES = (
    ("GET", "/import"),
    ("GET", "/import.json"),
    ("GET", "/import/registry/houses.csv"),
    ("GET", "/import/registry/houses.csv.json"),
    ("GET", "/import/registry/houses.csv/result"),
    ("GET", "/import/registry/pending/houses.csv"),
    ("GET", "/import/registry/finished/houses.csv"),
    ("GET", "/import/registry/unfinished/houses.csv"),
    ("GET", "/import/registry/template"),
    ("POST", "/import/registry/upload"),
    ("POST", "/import/registry/houses.csv"),
)
MAPPED = {"Street": "address", "Deployment": "Deployment.name"}


class Registry:
    """The target, its storage and the configuration that tells of both."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'registry.db'}"
        self.storage = folder / "datacenter"
        self.config = put(folder / "imports.conf", _CONFIG.format(url=self.url, storage=self.storage))
        with opened(self.url, create=True) as engine, engine.begin() as connection:
            for statement in _TABLES:
                connection.exec_driver_sql(statement)

    def houses(self) -> list[tuple[Any, ...]]:
        query = (
            "SELECT address, rooms, name FROM House LEFT JOIN Deployment ON Deployment.id = deploymentId"
            " ORDER BY address"
        )
        with opened(self.url) as engine, engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query))]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Whoever wants to write to the target waits."""
        with opened(self.url) as engine, writing(engine).begin():
            yield

    def files(self) -> dict[str, str]:
        """What a person sees in the storage."""
        found = (path for path in self.storage.rglob("*") if path.is_file())
        names = {path: path.relative_to(self.storage).as_posix() for path in found}
        return {name: path.read_text() for path, name in names.items() if not re.search(r"(^|/)\.", name)}


class Clerk:
    """A person with a browser, who has logged in."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.browser = requests.Session()
        self.page = self.get("/login")
        self.page = self.post("/login", {"token": token, "next": "/import"})
        assert self.page.status_code == 200 and self.page.url == f"{url}/import", self.page.text

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.browser.get(self.url + path, timeout=30, **options)

    def post(self, path: str, fields: dict[str, str], **options: Any) -> requests.Response:
        """With the secret that the page before had in its forms."""
        return self.browser.post(self.url + path, data=self.secret() | fields, timeout=30, **options)

    def upload(self, name: str, content: str | bytes, **fields: str) -> requests.Response:
        self.page = self.browser.post(
            f"{self.url}/import/registry/upload",
            data=self.secret() | fields,
            files={"file": (name, content)},
            timeout=30,
        )
        return self.page

    def secret(self) -> dict[str, str]:
        form = re.search(r'name="form" value="([^"]+)"', self.page.text)
        assert form, self.page.text
        return {"form": form[1]}


class Scene:
    """`temporary`: where uploads are while they last."""

    def __init__(self, central: Central, registry: Registry, imports: Imports, temporary: Path) -> None:
        self.central, self.registry, self.temporary = central, registry, temporary
        self.url = central.resturl.removesuffix("/rest/")
        self.desk = imports.desks["registry"]

    def clerk(self, scope: str = "import") -> Clerk:
        return Clerk(self.url, self.central.token("office", scope))

    def script(self, method: str, path: str, scope: str = "import", **options: Any) -> requests.Response:
        headers = bearer(self.central.token("office", scope)) | AS_JSON | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def audit(self) -> list[tuple[Any, ...]]:
        table = bookkeeping.audit
        columns = (table.c.site, table.c.method, table.c.table_name, table.c.row_key, table.c.rows, table.c.status)
        with self.central.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(table.c.id))]


@contextmanager
def import_pages(folder: Path, limits: Limits) -> Iterator[Scene]:
    """A central with the pages, in this process; whatever is asked of it, no file stays in the temporary folder."""
    registry, temporary = Registry(folder), folder / "tmp"
    temporary.mkdir()
    imports = Imports(load(registry.config))
    with pytest.MonkeyPatch.context() as patch, limited(folder, limits, locations=imports) as central:
        patch.setattr(tempfile, "tempdir", str(temporary))
        yield Scene(central, registry, imports, temporary)
    assert list(temporary.iterdir()) == []


def mapping(**fields: str) -> dict[str, str]:
    """As the form of houses.csv says it."""
    columns = HOUSES.partition("\n")[0].split(",")
    places = {f"column-{place}": MAPPED.get(column, column) for place, column in enumerate(columns)}
    return {"headers": json.dumps(columns)} | places | fields
