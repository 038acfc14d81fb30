"""What an error of each database is taken for: the row's fault, the table's, another transaction's or the moment's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from pusher.central.refusals import Fault, fault_of, reason_of
from pusher.central.rows import Target
from pusher.schema.engine import opened, writing
from pusher.schema.reflect import dialect_name, reflect
from tests.conftest import NewDatabase

_PARENT = "CREATE TABLE parent (id INTEGER PRIMARY KEY)"
_CHILD = {
    "mariadb": """CREATE TABLE child (id BIGINT PRIMARY KEY, must INT NOT NULL, code VARCHAR(3), number SMALLINT,
        day DATE, positive INT CHECK (positive > 0), other INT UNIQUE, parent INT, exact DECIMAL(5,2), document JSON,
        FOREIGN KEY (parent) REFERENCES parent (id))""",
    "postgresql": """CREATE TABLE child (id BIGINT PRIMARY KEY, must INT NOT NULL, code VARCHAR(3), number SMALLINT,
        day DATE, positive INT CHECK (positive > 0), other INT UNIQUE, parent INT REFERENCES parent (id)
        DEFERRABLE INITIALLY DEFERRED, exact NUMERIC(5,2), document JSONB)""",
    "sqlite": """CREATE TABLE child (id BIGINT PRIMARY KEY, must INT NOT NULL, code VARCHAR(3) CHECK (length(code) < 4),
        number INT CHECK (number < 32768), day DATE CHECK (day IS date(day, '+0 days')),
        positive INT CHECK (positive > 0), other INT UNIQUE, parent INT REFERENCES parent (id),
        exact DECIMAL(5,2) CHECK (exact < 1000), document JSON CHECK (document IS NULL OR json_valid(document)))""",
}
# A row's column, and the value in it that the database itself must refuse: pusher has not looked at it.
_BAD: list[tuple[str, Any, str]] = [
    ("must", None, "must"),
    ("code", "abcd", "code"),
    ("number", 32768, "number"),
    ("day", "2013-02-30", "day"),
    ("positive", 0, "positive"),
    ("other", 1, "other"),
    ("parent", 7, "parent"),
    ("exact", "1000", "exact"),
    ("document", "{", "document"),
]
_NAMES = ("id", "must", "code", "number", "day", "positive", "other", "parent", "exact", "document")
_GOOD: dict[str, Any] = {"must": 1, "code": "ab", "number": 1, "day": "2013-02-28", "positive": 1, "document": "[]"}
# PostgreSQL names no column where a value that it understood does not fit, nor SQLite any foreign key.
_NAMELESS = {("postgresql", "code"), ("postgresql", "number"), ("postgresql", "exact"), ("sqlite", "parent")}


def row(number: int, /, **values: Any) -> tuple[Any, ...]:
    given = {**_GOOD, "id": number, **values}
    return tuple(given.get(name) for name in _NAMES)


@pytest.fixture
def engine(dialect: str, new_database: NewDatabase) -> Iterator[Engine]:
    """An empty parent, and a child with every kind of constraint and one row, number 1, whose `other` is 1."""
    with opened(new_database(dialect)) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql(_PARENT)
            connection.exec_driver_sql(_CHILD[dialect])
            connection.exec_driver_sql("INSERT INTO child (id, must, other) VALUES (1, 1, 1)")
        yield engine


def target(connection: sa.Connection, engine: Engine) -> Target:
    if dialect_name(engine) == "postgresql":
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")  # as the store does
    return Target(connection=connection, dialect=dialect_name(engine), table=reflect(engine).table("child"))


def test_each_bad_row_is_refused_alone(engine: Engine) -> None:
    """One write with a good row before, between and behind the bad ones."""
    rows, bad = [row(10)], {}
    for number, (name, value, told) in enumerate(_BAD, 11):
        bad[len(rows)] = (name, told)
        rows += [row(100 + number, **{name: value}), row(200 + number)]
    with writing(engine).begin() as connection:
        refused = target(connection, engine).insert(_NAMES, rows)
    assert refused.keys() == bad.keys()
    for index, (name, told) in bad.items():
        assert told in refused[index] or (dialect_name(engine), name) in _NAMELESS, refused[index]
    with engine.connect() as connection:
        stored = set(connection.scalars(sa.text("SELECT id FROM child")))
    assert stored == {1} | {rows[index][0] for index in range(len(rows)) if index not in bad}


def test_a_bad_row_is_refused_by_an_upsert_and_an_update_too(engine: Engine) -> None:
    with writing(engine).begin() as connection:
        child = target(connection, engine)
        assert child.upsert(_NAMES, ("id",), [row(1, code="new"), row(2, day="2013-02-30"), row(3)]).keys() == {1}
        refused = child.update(_NAMES, ("id",), [row(3, code="z"), row(1, day="2013-02-30")])
    assert refused.keys() == {1}
    assert "day" in refused[1]
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id, code FROM child ORDER BY id").all()
    assert [tuple(each) for each in rows] == [(1, "new"), (3, "z")]


def test_a_value_that_the_driver_cannot_write_down_is_the_rows(engine: Engine) -> None:
    unspeakable = {"mariadb": "a\udcff", "postgresql": "a\0b", "sqlite": 2**63}[dialect_name(engine)]
    with writing(engine).begin() as connection:
        refused = target(connection, engine).insert(_NAMES, [row(2), row(3, code=unspeakable), row(4)])
    assert refused.keys() == {1}
    assert refused[1]


def test_a_changed_table_is_no_rows_fault(engine: Engine) -> None:
    table = reflect(engine).table("child")
    for change in ("ALTER TABLE child RENAME COLUMN other TO another", "DROP TABLE child"):
        with engine.begin() as connection:
            connection.exec_driver_sql(change)
        with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
            Target(connection=connection, dialect=dialect_name(engine), table=table).insert(_NAMES, [row(2)])
        assert fault_of(caught.value) is Fault.TABLE, caught.value


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_what_a_value_does_to_an_expression_is_the_rows_fault(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX pages ON child (json_array_length(code))")
    with writing(engine).begin() as connection:
        refused = target(connection, engine).insert(_NAMES, [row(2, code="[]"), row(3, code="["), row(4, code="[1]")])
    assert refused == {1: "malformed JSON"}


def test_a_lock_that_is_not_to_be_had_is_contention(engine: Engine) -> None:
    """But SQLite has waited a minute by then, so that is a matter of later."""
    patience = {
        "mariadb": "SET innodb_lock_wait_timeout = 0",
        "postgresql": "SET lock_timeout = '10ms'",
        "sqlite": "PRAGMA busy_timeout = 0",
    }[dialect_name(engine)]
    with writing(engine).begin() as holder, engine.connect() as waiting:
        holder.exec_driver_sql("UPDATE child SET must = 2 WHERE id = 1")
        waiting.exec_driver_sql(patience)
        with pytest.raises(sa.exc.DBAPIError) as caught:
            target(waiting, engine).update(_NAMES, ("id",), [row(1)])
        expected = Fault.MOMENT if dialect_name(engine) == "sqlite" else Fault.CONTENTION
        assert fault_of(caught.value) is expected, caught.value


@pytest.mark.parametrize("dialect", ["mariadb", "postgresql"], indirect=True)
def test_a_deadlock_is_contention(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO child (id, must) VALUES (2, 2)")
    caught: list[BaseException] = []
    both = threading.Barrier(2, timeout=10)

    def change(first: int, second: int) -> None:
        try:
            with engine.begin() as connection:
                if dialect_name(engine) == "postgresql":
                    connection.exec_driver_sql("SET deadlock_timeout = '50ms'")
                connection.exec_driver_sql(f"UPDATE child SET must = 3 WHERE id = {first}")
                both.wait()
                connection.exec_driver_sql(f"UPDATE child SET must = 3 WHERE id = {second}")
        except sa.exc.DBAPIError as error:
            caught.append(error)

    threads = [threading.Thread(target=change, args=order) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (error,) = caught
    assert fault_of(error) is Fault.CONTENTION, error


@pytest.mark.parametrize("dialect", ["mariadb", "postgresql"], indirect=True)
def test_a_connection_that_ends_is_a_matter_of_the_moment(engine: Engine) -> None:
    number, kill = {
        "mariadb": ("SELECT connection_id()", "KILL {}"),
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
    }[dialect_name(engine)]
    with engine.connect() as victim:
        child = target(victim, engine)
        id_ = victim.exec_driver_sql(number).scalar()
        with engine.connect() as other:
            other.exec_driver_sql(kill.format(id_))
        with pytest.raises(sa.exc.DBAPIError) as caught:
            child.insert(_NAMES, [row(2)])
        assert fault_of(caught.value) is Fault.MOMENT, caught.value
        assert reason_of(caught.value)


def test_a_database_that_may_only_be_read_is_a_matter_of_the_moment(engine: Engine) -> None:
    command = {
        "mariadb": "SET SESSION TRANSACTION READ ONLY",
        "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "sqlite": "PRAGMA query_only = ON",
    }[dialect_name(engine)]
    with engine.connect() as connection:
        table = reflect(engine).table("child")
        connection.exec_driver_sql(command)
        connection.commit()
        with pytest.raises(sa.exc.DBAPIError) as caught:
            Target(connection=connection, dialect=dialect_name(engine), table=table).insert(_NAMES, [row(2)])
        assert fault_of(caught.value) is Fault.MOMENT, caught.value
        connection.invalidate()


@pytest.mark.parametrize("dialect", ["mariadb"], indirect=True)
def test_a_row_longer_than_mariadb_takes_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE child MODIFY code LONGTEXT")
    with writing(engine).begin() as connection:
        refused = target(connection, engine).insert(_NAMES, [row(2), row(3, code="x" * (17 << 20)), row(4)])
    assert refused.keys() == {1}
    assert "max_allowed_packet" in refused[1]


def test_an_error_of_our_own_quarantines_nothing() -> None:
    assert fault_of(KeyError("a mistake in pusher")) is Fault.MOMENT
    assert fault_of(MemoryError()) is Fault.MOMENT
    assert fault_of(OverflowError("too large to bind")) is Fault.ROW
