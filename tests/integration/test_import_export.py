"""A table that is exported as CSV and imported into an empty one holds the same rows."""

from __future__ import annotations

import datetime as dt
import io
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from pusher.datacenter.csvform import examine, lines
from pusher.datacenter.exporting import export_table
from pusher.datacenter.mapping import propose
from pusher.datacenter.processing import Done, Mode
from pusher.datacenter.table import table_processor
from pusher.errors import PusherError, UsageError
from pusher.schema.engine import open_engine
from pusher.schema.reading import read
from pusher.schema.reflect import reflect
from pusher.wire.fingerprint import row_hashes
from pusher.wire.tables import Schema
from tests import extremes, meanings
from tests.conftest import NewDatabase
from tests.import_tables import (
    Office,
    Offices,
    deployments,
    folders,
    houses,
    locations,
    loose,
    nodes,
    notes,
    people,
    rooms,
)
from tests.property.columns import COLUMNS, Column
from tests.servers import DatabaseServer

_CHUNK_ROWS = 500
_MOST_STRAYS = 100


@cache
def schema_of(engine: Engine) -> Schema:
    """Once for each: no test changes a table that was reflected."""
    return reflect(engine)


def exported(engine: Engine, table: str, null: str = "XXX") -> str:
    out = io.StringIO(newline="")
    with engine.connect() as connection:
        export_table(connection, schema_of(engine), table, out, null=null)
    return out.getvalue()


def imported(engine: Engine, table: str, text: str, folder: Path, null: str = "XXX") -> None:
    """As a run does it. Every row must land."""
    path = folder / f"{table}.csv"
    path.write_bytes(text.encode())
    form = examine(path)
    processor = table_processor(schema_of(engine), table, null=null)
    mapping = propose(form.columns, processor.fields(Mode.CREATE), ())
    assert mapping.faults == () and mapping.left_out == ()
    rows = lines(path, form)
    with engine.begin() as connection:
        while chunk := list(islice(rows, _CHUNK_ROWS)):
            picked = [mapping.pick(line.cells) for line in chunk]
            results = processor.apply(connection, Mode.CREATE, mapping.names, picked)
            assert [result for result in results if not isinstance(result, Done)] == []


def hashes(engine: Engine, table: str) -> list[bytes]:
    """Of all rows, by what is in them."""
    schema = schema_of(engine)
    columns = schema.table(table).columns
    names = tuple(column.name for column in columns)
    with engine.connect() as connection:
        rows = read(connection, schema.dialect, schema.table(table), names, lambda query: query)
    return sorted(row_hashes(columns, rows))


# --- every kind of column


def without_strays(engine: Engine, table: str, null: str = "XXX") -> list[str]:
    """Some rows hold what no CSV file can. They go, and with them what an export said of each."""
    told: list[str] = []
    while len(told) < _MOST_STRAYS:
        try:
            exported(engine, table, null)
            return told
        except PusherError as error:
            told.append(str(error))
        row = re.match(rf"{table}, the row with id = (\d+): .*; correct that row$", told[-1])
        assert row and "\n" not in told[-1], told[-1]
        with engine.begin() as connection:
            connection.execute(sa.text(f"DELETE FROM {table} WHERE id = {row[1]}"))
    raise AssertionError(told)


@pytest.mark.parametrize("table", extremes.TABLES)
def test_every_type_at_its_extremes_comes_back(
    table: str, dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    urls = [new_database(dialect) for _ in range(2)]
    for url in urls:
        extremes.execute(url, *extremes.create_tables(dialect))
    extremes.fill(urls[0], dialect)
    here, there = map(open_engine, urls)
    strays = without_strays(here, table)
    if dialect == "postgresql" or (dialect, table) == ("mariadb", "binary"):
        assert strays == []
    imported(there, table, exported(here, table), tmp_path)
    assert len(hashes(here, table)) > 6
    assert hashes(there, table) == hashes(here, table)
    assert _comparable(urls[1], dialect, table) == _comparable(urls[0], dialect, table)
    for engine in (here, there):
        engine.dispose()


def _comparable(url: str, dialect: str, table: str) -> dict[int, dict[str, object]]:
    """Without the column of SQLite that has no type: what is in it is text to pusher."""
    rows = meanings.read(url, dialect, table)
    return {number: {name: cell for name, cell in row.items() if name != "anything"} for number, row in rows.items()}


_drawn = st.lists(st.integers(0, len(COLUMNS) - 1), min_size=1, max_size=12)


@pytest.mark.parametrize("null", ["XXX", "\\N"])
def test_random_values_of_every_kind_come_back(
    null: str, dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    urls = [new_database(dialect) for _ in range(2)]
    columns = ", ".join(f'"{column.name}" {column.types[dialect][0]}' for column in COLUMNS)
    table = f'CREATE TABLE "thing" (id BIGINT NOT NULL PRIMARY KEY, {columns})'
    for url in urls:
        extremes.execute(url, extremes.requoted(dialect, table))
    here, there = map(open_engine, urls)
    unheld = set[str]()

    @given(st.data())
    @settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def check(data: st.DataObject) -> None:
        for url in urls:
            extremes.execute(url, extremes.requoted(dialect, 'DELETE FROM "thing"'))
        rows = [(COLUMNS[place], data.draw(COLUMNS[place].values[dialect])) for place in data.draw(_drawn)]
        _fill(urls[0], dialect, rows)
        unheld.update(without_strays(here, "thing", null))
        imported(there, "thing", exported(here, "thing", null), tmp_path, null)
        assert hashes(there, "thing") == hashes(here, "thing")

    check()
    # What no CSV file holds is a text with NUL in it, and in SQLite a truth that is neither.
    known = r".*: (no CSV file can hold '.*\\x00.*|truth: '2' is neither true nor false; write one of them; .*)"
    assert [told for told in unheld if not re.match(known, told)] == []
    for engine in (here, there):
        engine.dispose()


def _fill(url: str, dialect: str, rows: Sequence[tuple[Column, Any]]) -> None:
    """A row with nothing but NULL, and one for each value, as far as the database takes it."""
    mark = "?" if dialect == "sqlite" else "%s"
    with closing(extremes.connect(url)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(extremes.requoted(dialect, 'INSERT INTO "thing" (id) VALUES (0)'))
        for number, (column, value) in enumerate(rows, 1):
            insert = f'INSERT INTO "thing" (id, "{column.name}") VALUES ({number}, {mark})'
            with suppress(pymysql.Error, psycopg.Error, sqlite3.Error):
                cursor.execute(extremes.requoted(dialect, insert), (value,))


# --- tables that refer to each other


@pytest.fixture(scope="module")
def made(servers: Callable[[str], DatabaseServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offices]:
    offices = Offices(servers, tmp_path_factory.mktemp("offices"))
    yield offices
    offices.close()


@pytest.fixture
def offices(made: Offices, dialect: str) -> tuple[Office, Office]:
    """Two of one database: the one that is exported, and one that holds nothing."""
    here, there = made.pair(dialect)
    with there.engine.begin() as connection:
        connection.execute(sa.delete(deployments))
    return here, there


@pytest.fixture
def lite(made: Offices) -> Office:
    return made.pair("sqlite")[0]


def moved(offices: tuple[Office, Office], folder: Path, *tables: sa.Table) -> dict[str, str]:
    """What was written of each table."""
    here, there = offices
    texts = {table.name: exported(here.engine, table.name) for table in tables}
    for name, text in texts.items():
        imported(there.engine, name, text, folder)
    return texts


def test_parents_go_by_name_and_their_numbers_may_be_others_there(
    offices: tuple[Office, Office], tmp_path: Path
) -> None:
    here, there = offices
    there.add(deployments, {"id": 70, "name": "elsewhere"})
    numbers = {name: number for number, name in here.rows(deployments, "id", "name")}
    here.add(
        houses,
        {"address": "Home", "deploymentId": numbers["south"], "rooms": 3, "price": "2.50"},
        {"address": "=cmd|' /C calc'!A0", "deploymentId": numbers["north"], "code": "-1"},
        {"address": 'Line\nbreak, "quoted"', "opened": dt.datetime(2026, 1, 31, 23, 59, 0, 250000)},
        {"address": "'+1", "code": ""},
    )
    here.add(rooms, {"name": "Kitchen"}, {"name": "XXX"}, {"name": " "}, {"name": "\\"})
    places = [
        (house, room) for house, _ in here.rows(houses, "id", "address") for room, _ in here.rows(rooms, "id", "name")
    ]
    here.add(locations, *({"houseId": house, "roomId": room, "floor": house + room} for house, room in places))
    here.add(
        nodes, *({"id": 100 + n, "locationId": n, "note": f"{n}"} for (n,) in here.rows(locations, "id")), {"id": 9}
    )
    texts = moved(offices, tmp_path, deployments, houses, rooms, locations, nodes)
    assert texts["Node"].splitlines()[0] == "id,Location.House.address,Location.Room.name,note"
    assert "'=cmd" in texts["House"] and "XXX" in texts["House"]
    whole = [_whole(office) for office in offices]
    assert len(whole[0]) == 17
    assert whole[1] == whole[0]
    assert hashes_without_numbers(there, houses) == hashes_without_numbers(here, houses)


def _whole(office: Office) -> list[tuple[Any, ...]]:
    """Every node with all that it refers to."""
    joined = nodes.outerjoin(locations).outerjoin(houses).outerjoin(rooms).outerjoin(deployments)
    query = sa.select(nodes.c.id, nodes.c.note, locations.c.floor, houses.c.address, rooms.c.name, deployments.c.name)
    with office.engine.connect() as connection:
        return sorted((tuple(row) for row in connection.execute(query.select_from(joined))), key=repr)


def hashes_without_numbers(office: Office, table: sa.Table) -> list[tuple[Any, ...]]:
    return office.rows(table, *(column.name for column in table.c if not column.name.lower().endswith("id")))


def test_rows_that_refer_to_their_own_table_come_behind_those_that_they_name(
    offices: tuple[Office, Office], tmp_path: Path
) -> None:
    here, there = offices
    here.add(people, {"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}, {"id": 3, "name": "Cid", "bossId": 2})
    with here.engine.begin() as connection:
        connection.execute(sa.update(people).where(people.c.id == 2).values(bossId=3))
        connection.execute(sa.update(people).where(people.c.id == 3).values(bossId=1))
    (text,) = moved(offices, tmp_path, people).values()
    assert [line.partition(",")[0] for line in text.splitlines()] == ["name", "Ann", "Cid", "Bob"]
    names = dict(there.rows(people, "id", "name"))
    assert [(name, names.get(boss)) for name, boss in there.rows(people, "name", "bossId")] == [
        ("Ann", None),
        ("Bob", "Cid"),
        ("Cid", "Ann"),
    ]


def test_where_keys_turn_in_a_circle_the_numbers_come_along(offices: tuple[Office, Office], tmp_path: Path) -> None:
    here, there = offices
    for number, above in ((5, None), (7, 5), (6, 7)):
        here.add(folders, {"id": number, "parentId": above, "name": "same"})
    (text,) = moved(offices, tmp_path, folders).values()
    assert text.splitlines()[0].split(",")[0] == "id"
    assert hashes(there.engine, "Folder") == hashes(here.engine, "Folder")


def test_a_table_without_a_key_comes_back_with_all_its_rows(offices: tuple[Office, Office], tmp_path: Path) -> None:
    here, there = offices
    here.add(loose, *({"a": n % 3, "b": "same"} for n in range(7)), {"a": None, "b": None})
    here.add(notes, {"id": 4, "words": "four"}, {"id": 9, "words": None})
    moved(offices, tmp_path, loose, notes)
    for table in ("Loose", "Note"):
        assert hashes(there.engine, table) == hashes(here.engine, table)
    assert len(hashes(there.engine, "Loose")) == 8


def test_many_pages_come_back(made: Offices, tmp_path: Path) -> None:
    lite, there = made.pair("sqlite")
    lite.add(notes, *({"words": f"note {n}"} for n in range(2500)))
    imported(there.engine, "Note", exported(lite.engine, "Note"), tmp_path)
    assert hashes(there.engine, "Note") == hashes(lite.engine, "Note")
    assert len(hashes(there.engine, "Note")) == 2500


@pytest.mark.parametrize(
    ("statements", "table", "reason"),
    [
        (
            ["INSERT INTO Person (id, name, bossId) VALUES (1, 'Ann', 2), (2, 'Bob', 1)"],
            "Person",
            "Person, the row with id = 1: it refers to itself, or to rows that refer to it in turn; correct that row",
        ),
        (
            ["INSERT INTO House (id, address, deploymentId) VALUES (8, 'Home', 77)"],
            "House",
            "House, the row with id = 8: its Deployment is not there; correct that row",
        ),
        (
            ["INSERT INTO House (id, address, price) VALUES (8, 'Home', 'low')"],
            "House",
            "House, the row with id = 8: price: 'low' is no number; write one such as 0.5; correct that row",
        ),
        (
            [
                "CREATE TABLE Thing (id INTEGER PRIMARY KEY, code TEXT UNIQUE)",
                "CREATE TABLE Part (id INTEGER PRIMARY KEY, thing INTEGER REFERENCES Thing (id))",
                "INSERT INTO Thing (id) VALUES (3)",
                "INSERT INTO Part (thing) VALUES (3)",
            ],
            "Part",
            "Thing, the row with id = 3: it has no code, by which rows of Part are to name it; correct that row",
        ),
    ],
)
def test_what_would_not_come_back_is_refused(lite: Office, statements: list[str], table: str, reason: str) -> None:
    with closing(sqlite3.connect(str(lite.engine.url.database), isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    schema_of.cache_clear()
    with pytest.raises(PusherError) as caught:
        exported(lite.engine, table)
    assert str(caught.value) == reason


def test_a_table_that_is_not_there_is_guessed(lite: Office) -> None:
    with pytest.raises(UsageError, match=r'there is no table Hous; did you mean "House"\?'):
        exported(lite.engine, "Hous")
