"""The description of the service: valid, whole, true to the tables; and the page on which people try it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from openapi_spec_validator import validate

from pusher.rest.openapi import document
from pusher.wire.tables import Column, Kind, Schema, Table
from tests.conftest import NewDatabase
from tests.http_central import Central, bearer, central_over

ODD = sa.Table(
    "Odd {table}/ü",
    sa.MetaData(),
    sa.Column("a", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("b c", sa.String(20), primary_key=True),
    sa.Column("amount", sa.Numeric(8, 3)),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.TIMESTAMP(timezone=True)),
    sa.Column("sort", sa.Double),
)


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    with central_over(f"sqlite:///{tmp_path_factory.mktemp('central') / 'central.db'}") as found:
        yield found


def described(central: Central, **headers: str) -> requests.Response:
    url = central.resturl.replace("/rest/", "/openapi.json")
    return requests.get(url, headers=bearer(central.token(scope="read")) | headers, timeout=30)


def test_it_is_valid_and_names_every_table(dialect: str, new_database: NewDatabase) -> None:
    with central_over(new_database(dialect)) as central:
        ODD.create(central.engine)
        found = described(central).json()
    validate(found)
    assert found["openapi"].startswith("3.1.")
    assert {"/rest/House/", "/rest/House/{id}", "/rest/Reading/", "/rest/Odd%20%7Btable%7D%2F%C3%BC/"} <= set(
        found["paths"]
    )
    assert {"/live", "/ready", "/metrics", "/rest/bulk/", "/rest/lastsync/", "/rest/version/"} <= set(found["paths"])
    assert not [path for path in found["paths"] if "pusher_" in path]


def test_what_it_says_of_columns(dialect: str, new_database: NewDatabase) -> None:
    with central_over(new_database(dialect)) as central:
        ODD.create(central.engine)
        found = described(central).json()
    properties = found["components"]["schemas"]["Odd__table___"]["properties"]
    assert properties["a"] == {"type": "integer", "format": "int64"}
    assert properties["b c"]["maxLength"] == 20
    assert "null" in properties["amount"]["type"] and "string" in properties["amount"]["type"]
    assert properties["raw"] == {"type": "string", "contentEncoding": "base64"}
    assert properties["at"]["format"] == "date-time-local" and properties["at"]["type"] == ["string", "null"]
    names = {each.get("name") for each in found["paths"]["/rest/House/"]["get"]["parameters"]}
    assert {"address", "address__gte", "address__in", "address__null"} <= names


def test_names_that_meet_as_components() -> None:
    column = Column(name="a", kind=Kind.INTEGER)
    tables = tuple(Table(name=name, columns=(column,)) for name in ("a b", "a_b", "a/b", "Problem"))
    found = document(Schema(dialect="sqlite", tables=tables))
    validate(found)
    schemas = found["components"]["schemas"]
    assert {schemas[name]["properties"]["__table__"]["const"] for name in ("a_b", "a_b_", "a_b__", "Problem_")} == {
        table.name for table in tables
    }


def test_it_is_made_anew_when_the_tables_change(tmp_path: Path) -> None:
    with central_over(f"sqlite:///{tmp_path / 'central.db'}") as central:
        first = described(central)
        etag = first.headers["ETag"]
        assert described(central, **{"If-None-Match": etag}).status_code == 304
        ODD.create(central.engine)
        until = 0
        while (second := described(central, **{"If-None-Match": etag})).status_code == 304 and until < 100:
            until += 1
        assert second.status_code == 200 and second.headers["ETag"] != etag
        assert "Odd" in second.text and "Odd" not in first.text


def test_who_may_not_read_does_not_learn_of_the_tables(central: Central) -> None:
    assert requests.get(central.resturl.replace("/rest/", "/openapi.json"), timeout=30).status_code == 401


def test_every_operation_that_it_names_is_there(central: Central) -> None:
    """None of them is a 404 or a 405 of the router."""
    base, headers = central.resturl.removesuffix("/rest/"), bearer(central.token())
    paths: dict[str, dict[str, Any]] = described(central).json()["paths"]
    for path, operations in paths.items():
        for method in operations.keys() - {"parameters"}:
            options = requests.options(base + path.replace("{id}", "1"), headers=headers, timeout=30)
            assert method.upper() in options.headers["Allow"], (path, method)


def test_the_page(central: Central) -> None:
    base = central.resturl.removesuffix("/rest/")
    page = requests.get(base + "/api", timeout=30)
    assert page.headers["Content-Type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "default-src 'none'" in policy
    assert "<script>" not in page.text and "http://" not in page.text and "https://" not in page.text
    for name, kind in (("swagger-ui-bundle.js", "javascript"), ("swagger-ui.css", "css"), ("page.js", "javascript")):
        assert f"/api/{name}" in page.text
        answer = requests.get(f"{base}/api/{name}", timeout=30)
        assert answer.status_code == 200 and kind in answer.headers["Content-Type"]
    for name in ("LICENSE", "nothing", "..%2f..%2fapp.py", "%00"):
        assert requests.get(f"{base}/api/{name}", timeout=30).status_code == 404
