"""Pages over /rest/: each row once and in order, whatever it is sorted by, and no page sent twice in vain."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql

from models import Base, House, Node, Reading, SensorType
from pusher.rest.selection import Selection
from pusher.schema.engine import opened, writing
from pusher.schema.reading import raw_table
from pusher.schema.reflect import reflect
from pusher.wire.tables import Schema
from tests.conftest import DIALECTS
from tests.http_central import Central, bearer, central_over, detail
from tests.servers import DatabaseServer

_FSP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_META = sa.MetaData()
_COLUMNS = (
    ("number", sa.Integer),
    ("name", sa.String(20)),
    ("at", _FSP),
    ("amount", sa.Numeric(30, 12)),
    ("value", sa.Double),
    ("single", sa.Float(24)),
    ("raw", sa.LargeBinary),
    ("choice", sa.Enum("z", "a", "m", name="choice")),
    ("on", sa.Boolean),
)
ROWS = sa.Table(
    "Rows",
    _META,
    sa.Column("k", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("l", sa.String(10), primary_key=True),
    *(sa.Column(name, type_) for name, type_ in _COLUMNS),
)
ALIKE = sa.Table("Alike", _META, sa.Column("a", sa.Integer), sa.Column("b", sa.String(10)))
_few = st.integers(-2, 2)
_values = {
    "number": _few,
    "name": st.sampled_from(["", "a", "A", "b ", "é", "z", "%", "ß"]),
    "at": _few.map(lambda n: datetime(2026, 1, 1) + timedelta(microseconds=n)),
    "amount": _few.map(lambda n: f"{n}234567890123456.{'0' * 11}{abs(n)}"),
    "value": st.sampled_from([-0.0, 0.0, 0.1, 1e-300, -1e300, 0.30000000000000004]),
    "single": st.sampled_from([0.1, 0.2, 16777216.0, -0.1]),
    "raw": st.sampled_from([b"", b"\0", b"\xff", b"a"]),
    "choice": st.sampled_from(["z", "a", "m"]),
    "on": st.booleans(),
}
_row = st.fixed_dictionaries({name: st.none() | values for name, values in _values.items()})
_rows = st.dictionaries(st.tuples(_few, st.sampled_from(["a", "b", "c"])), _row, max_size=12)
_sort = st.lists(st.tuples(st.sampled_from(["k", "l", *_values]), st.booleans()), max_size=3, unique_by=lambda t: t[0])


@pytest.fixture(scope="module", params=DIALECTS)
def db(
    request: pytest.FixtureRequest,
    servers: Callable[[str], DatabaseServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('central') / 'central.db'}"
    return servers(request.param).new_database()


@pytest.fixture(scope="module")
def central(db: str) -> Iterator[Central]:
    with central_over(db) as found:
        _META.create_all(found.engine)
        yield found


def refill(engine: sa.Engine, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    with writing(engine).begin() as connection:
        connection.execute(sa.delete(table))
        if rows:
            connection.execute(sa.insert(table), rows)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_rows, sort=_sort, limit=st.integers(1, 5))
def test_pages_give_each_row_once_and_in_order(
    central: Central,
    rows: dict[tuple[int, str], dict[str, Any]],
    sort: list[tuple[str, bool]],
    limit: int,
) -> None:
    schema = _schema(central.engine)
    terms = ",".join(("-" if falling else "") + name for name, falling in sort)
    selection = Selection.of(schema.dialect, schema.table("Rows"), [("sort", terms)])
    with writing(central.engine).connect() as connection:  # which is rolled back
        connection.execute(sa.delete(ROWS))
        if rows:
            connection.execute(sa.insert(ROWS), [{"k": k, "l": l_, **row} for (k, l_), row in rows.items()])
        (whole, *_) = [*selection.pages(connection), [[] for _ in selection.names]]
        found: list[tuple[Any, ...]] = []
        following: str | None = None
        for _ in range(len(rows) + 2):
            page = selection.page(connection, following, limit)
            assert len(page.columns[0]) <= limit
            found += zip(*page.columns, strict=True)
            following = page.following
            if following is None:
                break
    assert following is None
    assert list(map(repr, found)) == list(map(repr, zip(*whole, strict=True)))
    assert sorted(row[:2] for row in found) == sorted(rows)


_SCHEMAS: dict[sa.Engine, Schema] = {}


def _schema(engine: sa.Engine) -> Schema:
    if engine not in _SCHEMAS:
        _SCHEMAS[engine] = reflect(engine)
    return _SCHEMAS[engine]


def test_the_whole_is_sorted_as_told(central: Central) -> None:
    """The property above trusts the database's own order; here it is looked at."""
    rows = [{"k": n, "l": "a", "number": n % 3 or None, "name": f"{n % 2}"} for n in range(1, 7)]
    refill(central.engine, ROWS, rows)
    token = central.token(scope="read")
    found = [(row["number"], row["k"]) for row in central.get("rows/?sort=-number,k&limit=10", token).json()]
    numbers = [(2, 2), (2, 5), (1, 1), (1, 4)]
    nulls = [(None, 3), (None, 6)]
    assert found == (nulls + numbers if central.engine.dialect.name == "postgresql" else numbers + nulls)


def pages(central: Central, path: str, limit: int, **headers: str) -> Iterator[requests.Response]:
    url: str | None = f"{central.resturl}{path}limit={limit}"
    auth = bearer(central.token(scope="read"))
    while url:
        answer = requests.get(url, headers=auth | headers, timeout=30)
        assert answer.status_code == 200, answer.text
        yield answer
        url = answer.links.get("next", {}).get("url")


@pytest.fixture(scope="module")
def houses(central: Central) -> Central:
    house = Base.metadata.tables[House.__tablename__]
    central.insert(house, *({"id": number, "address": f"{number:02} High St"} for number in range(1, 26)))
    return central


@pytest.mark.parametrize("query", ["", "sort=-address&", "sort(-address)&", "fields=id&sort=-address&", "id__gt=5&"])
def test_links_lead_from_page_to_page(houses: Central, query: str) -> None:
    found = list(pages(houses, f"house/?{query}", 10))
    ids = [row["id"] for answer in found for row in answer.json()]
    assert [len(answer.json()) for answer in found][:2] == [10, 10]
    expected = list(range(6 if "__gt" in query else 1, 26))
    assert ids == (expected[::-1] if "-address" in query else expected)
    assert "Link" not in found[-1].headers


def test_the_last_page_may_be_full(houses: Central) -> None:
    assert [len(answer.json()) for answer in pages(houses, "house/?", 5)] == [5] * 5
    assert [answer.text.count("\r\n") for answer in pages(houses, "house.csv?", 20)] == [21, 6]


def test_a_row_that_comes_between_moves_no_other(houses: Central) -> None:
    house = Base.metadata.tables[House.__tablename__]
    walk = pages(houses, "house/?sort=-id&", 10)
    first = [row["id"] for row in next(walk).json()]
    houses.insert(house, {"id": 99, "address": "between"})
    rest = [row["id"] for answer in walk for row in answer.json()]
    with writing(houses.engine).begin() as connection:
        connection.execute(sa.delete(house).where(house.c.id == 99))
    assert first + rest == list(range(25, 0, -1))


def test_next_is_safe_in_a_url_and_bound_to_its_order(houses: Central) -> None:
    token = houses.token(scope="read")
    link = houses.get("house/?limit=2&sort=address", token).links["next"]["url"]
    (following,) = parse_qs(urlsplit(link).query)["next"]
    assert re.fullmatch(r"[\w-]+", following, re.ASCII)
    for path, words in (
        (f"house/?limit=2&sort=-address&next={following}", "another sort"),
        (f"house/?limit=2&next={following}", "another sort"),
        (f"node/?limit=2&sort=id&next={following}", "another table"),
        (f"house/?sort=address&next={following}", "needs limit"),
        (f"house/?limit=2&sort=address&next={following[:-4]}", "not what a Link"),
        ("house/?limit=2&sort=address&next=" + quote("né*"), "not what a Link"),
        ("house/?limit=2&next=WzFd", "not what a Link"),
    ):
        answer = houses.get(path, token)
        assert answer.status_code == 400, path
        assert words in detail(answer)


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "x", "", "1e3", "٣"])
def test_a_limit_is_a_number_from_1_to_10000(houses: Central, limit: str) -> None:
    answer = houses.get(f"house/?limit={quote(limit)}", houses.token(scope="read"))
    assert answer.status_code == 400
    assert "10000" in detail(answer)


def test_rows_that_nothing_tells_apart_are_counted(central: Central) -> None:
    refill(central.engine, ALIKE, [{"a": n // 4, "b": None if n % 2 else "x"} for n in range(11)])
    found = [row["a"] for answer in pages(central, "alike/?sort=-a&", 3) for row in answer.json()]
    assert found == sorted((n // 4 for n in range(11)), reverse=True)


def test_a_page_that_is_known_is_not_sent_again(houses: Central) -> None:
    token = houses.token(scope="read")
    url, auth = houses.resturl + "house/?limit=3&count=true", bearer(token)
    first = requests.get(url, headers=auth, timeout=30)
    etag = first.headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
    assert requests.get(url, headers=auth | {"Accept-Encoding": "zstd"}, timeout=30).headers["ETag"] == etag
    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        again = requests.get(url, headers=auth | {"If-None-Match": known}, timeout=30)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == etag and again.headers["Vary"] == "Accept, Accept-Encoding"
    assert requests.get(url, headers=auth | {"If-None-Match": '"x"'}, timeout=30).status_code == 200
    assert requests.get(url, headers=auth | {"Accept": "text/csv"}, timeout=30).headers["ETag"] != etag
    with writing(houses.engine).begin() as connection:
        table = Base.metadata.tables[House.__tablename__]
        connection.execute(sa.update(table).where(table.c.id == 2).values(startDate=datetime(2026, 1, 1)))
    changed = requests.get(url, headers=auth | {"If-None-Match": etag}, timeout=30)
    assert changed.status_code == 200 and changed.headers["ETag"] != etag


def test_a_page_behind_many_rows_is_found_by_the_index(central: Central, db: str) -> None:
    with opened(db) as engine:
        central.insert(Base.metadata.tables[SensorType.__tablename__], {"id": 0})
        central.insert(Base.metadata.tables[Node.__tablename__], {"id": 1})
        rows = [
            {"time": datetime(2026, 1, 1) + timedelta(minutes=n), "nodeId": 1, "type": 0, "value": n}
            for n in range(20_000)
        ]
        central.insert(Base.metadata.tables[Reading.__tablename__], *rows)
        schema = reflect(engine)
        for sort in ("", "time", "-time"):
            selection = Selection.of(schema.dialect, schema.table("Reading"), [("sort", sort)])
            with engine.connect() as connection:
                middle = selection.page(connection, None, 10_000).following
                assert middle is not None
                place = selection.order.place(middle)
                assert isinstance(place, tuple)
                statement = sa.select(raw_table(selection.table))
                statement = statement.where(selection.order.beyond(place)).order_by(*selection.order.clauses).limit(10)
                assert _walks_an_index(connection, statement), sort


def _walks_an_index(connection: sa.Connection, statement: Any) -> bool:
    """Whether no more is read than there is to give, and nothing is sorted."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        plan = str(_explain(connection, "EXPLAIN QUERY PLAN ", statement))
        return "SEARCH" in plan and "TEMP B-TREE" not in plan
    if dialect == "postgresql":
        connection.exec_driver_sql('ANALYZE "Reading"')
        plan = str(_explain(connection, "EXPLAIN ", statement))
        return "Index Cond" in plan and "Sort" not in plan
    plan = str(_explain(connection, "EXPLAIN ", statement))
    return "range" in plan and "filesort" not in plan


def _explain(connection: sa.Connection, word: str, statement: Any) -> list[Any]:
    compiled = statement.compile(connection, compile_kwargs={"render_postcompile": True})
    if connection.dialect.positional:
        values: Any = tuple(compiled.params[name] for name in compiled.positiontup)
    else:
        values = compiled.params
    return [tuple(row) for row in connection.exec_driver_sql(word + str(compiled), values)]


ODD = sa.Table("Odd", _META, sa.Column("id", sa.Integer, primary_key=True), sa.Column("doc", sa.JSON))


def test_what_a_type_cannot_do_is_no_fault_of_central(central: Central) -> None:
    token = central.token(scope="read")
    refill(central.engine, ODD, [{"id": 1, "doc": {"a": 1}}, {"id": 2, "doc": None}])
    refill(central.engine, ROWS, [{"k": n, "l": "a", "choice": "a", "on": True} for n in range(3)])
    following = parse_qs(urlsplit(central.get("rows/?sort=name&limit=1", token).links["next"]["url"]).query)["next"][0]
    assert central.get(f"rows/?sort=name&limit=1&next={following}", token).json()[0]["k"] == 1
    postgresql = central.engine.dialect.name == "postgresql"
    for path in ("odd/?sort=doc", "odd/?sort=doc&limit=1", "odd/?doc=x", "odd/?doc__in=1"):
        assert central.get(path, token).status_code == (400 if postgresql else 200), path
    for path in ("odd/?doc=*a*", "odd/?fields=doc", "rows/?on=true", "rows/?lt_on=1", "rows/?on__in=true,false"):
        assert central.get(path, token).status_code == 200, path
    for path in ("rows/?choice=nope", "rows/?choice__gt=nope", "rows/?single=1e39", "rows/?raw=AP8=&sort=raw"):
        assert central.get(path, token).status_code in (200, 400), path
