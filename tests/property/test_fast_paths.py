"""The fast ways to read and write MariaDB give exactly what the plain ways give."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from pusher.central.literals import statements
from pusher.schema.aggregates import read_columns
from pusher.schema.engine import opened
from pusher.schema.reading import raw_table, read_raw
from pusher.schema.reflect import reflect
from pusher.wire.tables import Table
from tests.servers import DatabaseServer

_COLUMNS = ("id", "i", "u", "d", "n", "s", "t", "b", "at")
_TABLE = """create table `Fast` (
    id bigint not null primary key, i bigint, u bigint unsigned, d double, n decimal(30, 10),
    s varchar(200), t longtext, b varbinary(200), at datetime(6)
) character set utf8mb4"""

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_moment = st.datetimes().filter(lambda moment: moment.year >= 1000).map(lambda moment: moment.isoformat(" "))
_row = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.integers(0, 2**64 - 1),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.decimals(-(10**19), 10**19, places=10).map(str),
    st.none() | _text,
    st.none() | _text,
    st.none() | st.binary(max_size=60),
    st.none() | _moment,
)


@pytest.fixture(scope="module")
def engine(mariadb: DatabaseServer) -> Iterator[Engine]:
    with opened(mariadb.new_database()) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql(_TABLE)
        yield engine


def _written(connection: sa.Connection, rows: list[tuple[Any, ...]], *, fast: bool) -> list[tuple[Any, ...]]:
    insert = f"insert into `Fast` ({', '.join(_COLUMNS)}) values "
    connection.exec_driver_sql("delete from `Fast`")
    if fast:
        for statement in statements(insert, "", rows):
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    elif rows:
        connection.exec_driver_sql(insert + f"({', '.join(['%s'] * len(_COLUMNS))})", rows)
    return [tuple(row) for row in connection.exec_driver_sql("select * from `Fast` order by id")]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(_row, min_size=1, max_size=30), like_json=st.booleans())
def test_text_of_a_statement_stores_what_binding_stores(
    engine: Engine, rows: list[tuple[Any, ...]], like_json: bool
) -> None:
    """`like_json`: without what JSON has no word for, so that it is JSON that writes the statement."""
    if like_json:
        rows = [(*row[:2], row[2] or 0.0, *row[3:6], None, row[7]) for row in rows]
    numbered = [(place, *row) for place, row in enumerate(rows)]
    with engine.begin() as connection:
        bound = _written(connection, numbered, fast=False)
        assert len(bound) == len(rows)
        assert repr(_written(connection, numbered, fast=True)) == repr(bound)


@pytest.mark.parametrize(
    "text", ["],[", 'x"],["y', "\f", "\x01", "\\u0041", "%s %", "\\", "'", "é\n\t\r\b", "\x00", "\x1a"]
)
def test_texts_that_look_like_something_else(engine: Engine, text: str) -> None:
    rows = [(1, 1, 1, 0.5, "1.5", text, text, None, None), (2, None, None, -0.05, None, text, text, None, None)]
    with engine.begin() as connection:
        bound = _written(connection, rows, fast=False)
        assert bound[0][5] == text
        assert repr(_written(connection, rows, fast=True)) == repr(bound)


@pytest.fixture(scope="module")
def table(engine: Engine) -> Table:
    return reflect(engine).table("Fast")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(_row, max_size=30), limit=st.integers(1, 40))
def test_arrays_hold_what_rows_hold(engine: Engine, table: Table, rows: list[tuple[Any, ...]], limit: int) -> None:
    names = tuple(name for name in _COLUMNS if name != "b")  # bytes have no exact JSON form, so they go by rows

    def narrow(select: Any) -> Any:
        return select.order_by(raw_table(table).c["id"]).limit(limit)

    with engine.begin() as connection:
        _written(connection, [(place, *row) for place, row in enumerate(rows)], fast=False)
        by_rows = read_raw(connection, "mariadb", table, names, narrow)
        by_arrays = read_columns(connection, "mariadb", table, names, narrow)
        assert [list(map(repr, column)) for column in by_arrays] == (
            [list(map(repr, column)) for column in zip(*by_rows, strict=True)] or [[] for _ in names]
        )


def test_a_statement_too_long_for_one_is_split() -> None:
    rows = [(place, "x" * 100_000) for place in range(30)]
    texts = list(statements("insert into t values ", " on duplicate key update a = a", rows))
    assert len(texts) > 1
    assert all(len(text) < 1_300_000 and text.endswith("a = a") for text in texts)
    assert sum(text.count("x" * 100_000) for text in texts) == 30


_NARROW = """create table `Narrow` (
    id int not null primary key, d double, f float, dd double(12, 3), i int(3), z int(4) unsigned zerofill, y year,
    n decimal(65, 30), t time(6), day date, at timestamp(6) null, e enum('"', 'a\\\\b', 'é'), o set('x', 'y'),
    bit5 bit(5)
) character set utf8mb4"""


def test_values_that_are_longer_than_their_columns_show(mariadb: DatabaseServer) -> None:
    """MariaDB knows how wide a column is shown, and cuts some texts to it on their way."""
    chance = random.Random(5)

    def single() -> float:
        return float(struct.unpack("<f", struct.pack("<f", chance.uniform(-1, 1) * 10.0 ** chance.randint(-37, 37)))[0])

    rows = [
        (
            number,
            struct.unpack("<d", chance.randbytes(8))[0]
            if number % 2
            else chance.gauss(0, 10.0 ** chance.randint(-9, 9)),
            single(),
            round(chance.uniform(-1e8, 1e8), 3),
            chance.randint(-(2**31), 2**31 - 1),
            chance.randint(0, 2**32 - 1),
            chance.randint(1901, 2155),
            f"{chance.randint(-(10**34), 10**34)}.{chance.randint(0, 10**29):030}",
            f"-{chance.randint(100, 838)}:59:58.{chance.randint(0, 999999):06}",
            f"{chance.randint(1000, 9999)}-12-31",
            f"2026-05-01 12:00:00.{chance.randint(0, 999999):06}",
            chance.choice(('"', "a\\b", "é")),
            chance.choice(("", "x", "x,y")),
            chance.randint(0, 31),
        )
        for number in range(4000)
    ]
    rows = [row for row in rows if math.isfinite(row[1])]
    with opened(mariadb.new_database()) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql(_NARROW)
            connection.exec_driver_sql(f"insert into `Narrow` values ({', '.join(['%s'] * 14)})", rows)
            connection.exec_driver_sql("insert into `Narrow` (id) values (-1)")
        table = reflect(engine).table("Narrow")
        names = tuple(column.name for column in table.columns)

        def narrow(select: Any) -> Any:
            return select.order_by(raw_table(table).c["id"])

        with engine.connect() as connection:
            by_rows = list(zip(*read_raw(connection, "mariadb", table, names, narrow), strict=True))
            by_text = read_columns(connection, "mariadb", table, names, narrow)
    for name, one, other in zip(names, by_rows, by_text, strict=True):
        assert list(map(repr, one)) == list(map(repr, other)), name
