"""A registry that clerks import houses into, on the pages of a central service, by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

from pusher.schema.engine import opened, writing
from tests.configs import put

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
{extra}
"""
# Of the four rows two are bad, each in a way of its own.
HOUSES = "Street,Deployment,rooms\n1 High St,Pilot,3\n2 High St,Nowhere,4\n3 High St,Main,many\n4 High St,Main,\n"
MAPPED = {"Street": "address", "Deployment": "Deployment.name"}


class Registry:
    """The target, its storage and the configuration that tells of both."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        self.url = f"sqlite:///{folder / 'registry.db'}"
        self.storage = folder / "datacenter"
        self.config = put(folder / "imports.conf", _CONFIG.format(url=self.url, storage=self.storage, extra=extra))
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
