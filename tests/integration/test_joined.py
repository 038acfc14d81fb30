"""Many rows of MariaDB changed by one statement: each becomes what a statement of its own makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from pusher.central.joined import can_join
from pusher.central.rows import Target
from pusher.schema.engine import opened, writing
from pusher.schema.reading import read
from pusher.schema.reflect import reflect
from pusher.wire.tables import RowSet
from tests import extremes, meanings
from tests.conftest import NewDatabase
from tests.servers import DatabaseServer

_CHILD = """CREATE TABLE `a ``child` (id BIGINT PRIMARY KEY, `a key` INT NOT NULL, `100 %` VARCHAR(5), day DATE,
    mark INT UNIQUE, positive INT CHECK (positive > 0))"""
_NAMES = ("id", "a key", "100 %", "day", "positive")


@pytest.fixture
def engine(new_database: NewDatabase) -> Iterator[Engine]:
    """Four rows, numbered from 1."""
    with opened(new_database("mariadb")) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql(_CHILD.replace("%", "%%"))
            connection.exec_driver_sql("INSERT INTO `a ``child` (id, `a key`) VALUES (1, 1), (2, 2), (3, 3), (4, 4)")
        yield engine


def target(connection: sa.Connection, engine: Engine, table: str = "a `child") -> Target:
    return Target(connection=connection, dialect="mariadb", table=reflect(engine).table(table))


def rows(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT id, `100 %`, day, positive, mark FROM `a ``child` ORDER BY id"))
        return [tuple(row) for row in found]


@pytest.mark.parametrize("table", extremes.TABLES)
def test_every_value_of_every_type_becomes_what_it_is(table: str, mariadb: DatabaseServer) -> None:
    here, there = mariadb.new_database(), mariadb.new_database()
    for url in (here, there):
        extremes.execute(url, *extremes.create_tables("mariadb"))
    extremes.fill(here, "mariadb")
    with opened(here) as source, opened(there) as engine:
        reflected = reflect(source).table(table)
        names = tuple(column.name for column in reflected.columns if not column.generated)
        with source.connect() as connection:
            values = read(connection, "mariadb", reflected, names, lambda select: select)
        bare = RowSet(names=("id", "at"), columns=[values.column("id"), values.column("at")])
        with writing(engine).begin() as connection:
            to = target(connection, engine, table)
            assert to.insert(bare.names, to.parameters(bare)[0]) == {}
            bound, refused = to.parameters(values)
            assert refused == {}
            assert can_join(connection.dialect, to.table, names, ("id",), bound) == (table != "binary")
            assert to.update(names, ("id",), bound) == {}
    assert meanings.read(there, "mariadb", table) == meanings.read(here, "mariadb", table)


def test_a_row_that_is_refused_is_refused_alone(engine: Engine) -> None:
    given = [
        (1, 1, "100 %", "2026-02-28", 5),
        (2, 2, "longer", None, 1),
        (3, 3, "%s\\", "2026-02-30", 1),
        (4, 4, None, None, 0),
        (5, 5, "none", None, 1),
    ]
    with writing(engine).begin() as connection:
        child = target(connection, engine)
        assert can_join(connection.dialect, child.table, _NAMES, ("id",), given)
        refused = child.update(_NAMES, ("id",), given)
    assert refused.keys() == {1, 2, 3}
    assert ["100 %" in refused[1], "day" in refused[2], "positive" in refused[3]] == [True] * 3
    assert "temporary" not in "".join(refused.values())
    assert [row[1] for row in rows(engine)] == ["100 %", None, None, None]


def test_rows_go_that_nothing_refers_to(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE other (id INT PRIMARY KEY, child BIGINT REFERENCES `a ``child` (id))")
        connection.exec_driver_sql("INSERT INTO other VALUES (1, 2)")
    with writing(engine).begin() as connection:
        refused = target(connection, engine).delete(("id",), [(1,), (2,), (4,), (9,)])
    assert refused.keys() == {1}
    assert [row[0] for row in rows(engine)] == [2, 3]


@pytest.mark.parametrize(
    ("names", "key", "given"),
    [
        (("id", "mark"), ("id",), [(1, 7), (2, 8)]),
        (("id", "day"), ("day",), [(1, "2026-01-01"), (2, "2026-01-02")]),
        (("id", "day"), ("id",), [(1, "2026-01-01"), (1, "2026-01-02")]),
        (("id", "day"), ("id",), [(1, "2026-01-01")]),
    ],
    ids=["what has to be unique", "moments have no index then", "one row twice", "a single row"],
)
def test_what_would_not_be_the_same_is_written_row_by_row(
    names: tuple[str, ...], key: tuple[str, ...], given: list[tuple[object, ...]], engine: Engine
) -> None:
    with writing(engine).begin() as connection:
        assert not can_join(connection.dialect, target(connection, engine).table, names, key, given)
