"""As long as a schema's stamp stays, it need not be reflected again; so every change must give it another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pusher.ledger import Ledger
from pusher.push.own_schema import own_schema
from pusher.push.source import Source
from pusher.schema.engine import opened
from pusher.schema.reflect import reflect, reflect_changed
from pusher.schema.stamp import stamp
from tests.conftest import NewDatabase
from tests.inprocess import Database

_TABLES = (
    'CREATE TABLE "house" (id INT NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL)',
    'CREATE TABLE "room" (id INT NOT NULL PRIMARY KEY, house INT, size DECIMAL(8, 2), note VARCHAR(20))',
)
_EVERYWHERE = (
    'CREATE TABLE "node" (id INT NOT NULL, PRIMARY KEY (id))',
    'ALTER TABLE "room" ADD COLUMN colour VARCHAR(5)',
    'CREATE UNIQUE INDEX room_note ON "room" (note)',
    'DROP TABLE "node"',
    'ALTER TABLE "room" RENAME COLUMN colour TO "Colour"',
    'ALTER TABLE "house" RENAME TO "home"',
)
_ALTERED = (
    'ALTER TABLE "room" ADD CONSTRAINT there FOREIGN KEY (house) REFERENCES "home" (id)',
    'ALTER TABLE "room" ADD CONSTRAINT one UNIQUE (note, house)',
    'ALTER TABLE "room" DROP CONSTRAINT one',
)
_ALTERS = {
    "mariadb": (
        *_ALTERED,
        'ALTER TABLE "room" MODIFY size DECIMAL(8, 3)',
        'ALTER TABLE "room" MODIFY size DOUBLE NOT NULL',
        'ALTER TABLE "room" MODIFY size DOUBLE NOT NULL DEFAULT 1',
        "ALTER TABLE \"room\" MODIFY note ENUM('a', 'b')",
        "ALTER TABLE \"room\" MODIFY note ENUM('a', 'b', 'c')",
        'ALTER TABLE "room" MODIFY note VARCHAR(20) COLLATE utf8mb4_bin',
        'ALTER TABLE "room" MODIFY id INT NOT NULL AUTO_INCREMENT',
        'ALTER TABLE "room" ADD double_size DOUBLE AS (size * 2) STORED',
        'ALTER TABLE "room" MODIFY double_size DOUBLE AS (size * 3) STORED',
        'ALTER TABLE "home" DROP PRIMARY KEY, ADD PRIMARY KEY (name)',
        'ALTER TABLE "room" DROP INDEX room_note, ADD UNIQUE INDEX room_note (note(3))',
    ),
    "postgresql": (
        *_ALTERED,
        'ALTER TABLE "room" ALTER size TYPE DECIMAL(8, 3)',
        'ALTER TABLE "room" ALTER size TYPE DOUBLE PRECISION',
        'ALTER TABLE "room" ALTER size SET NOT NULL',
        'ALTER TABLE "room" ALTER size SET DEFAULT 1',
        "CREATE SEQUENCE numbers",
        """ALTER TABLE "room" ALTER id SET DEFAULT nextval('numbers')""",
        'ALTER TABLE "home" ALTER id ADD generated always as identity',
        'ALTER TABLE "room" ADD double_size DOUBLE PRECISION GENERATED ALWAYS AS (size * 2) STORED',
        "CREATE TYPE kind AS ENUM ('a', 'b')",
        'ALTER TABLE "room" ADD kind kind',
        "ALTER TYPE kind RENAME TO sort",
        "CREATE DOMAIN short AS VARCHAR(5)",
        'ALTER TABLE "room" ADD short short',
        "DROP INDEX room_note",
        'CREATE UNIQUE INDEX room_note ON "room" (note) WHERE size > 1',
        'CREATE TABLE "part" PARTITION OF "whole" FOR VALUES FROM (1) TO (9)',
    ),
    "sqlite": ("DROP INDEX room_note", 'ALTER TABLE "room" DROP COLUMN size'),
}  # fmt: skip
_OF_NO_TABLE = ("CREATE SEQUENCE", "CREATE TYPE", "CREATE DOMAIN")


@pytest.fixture
def database(dialect: str, new_database: NewDatabase) -> Iterator[Database]:
    with opened(new_database(dialect)) as engine:
        database = Database(engine)
        database.run(*_TABLES)
        if dialect == "postgresql":
            database.run('CREATE TABLE "whole" (id INT NOT NULL) PARTITION BY RANGE (id)')
        yield database


def test_every_change_of_a_table_changes_the_stamp(database: Database) -> None:
    for statement in _EVERYWHERE + _ALTERS[database.dialect]:
        with database.engine.connect() as connection:
            before = stamp(connection)
        database.run(statement)
        with database.engine.connect() as connection:
            after = stamp(connection)
        assert after != before or statement.startswith(_OF_NO_TABLE), statement


def test_rows_do_not(database: Database) -> None:
    known = reflect_changed(database.engine, None)
    assert known.schema == reflect(database.engine)
    database.run("""INSERT INTO "house" VALUES (1, 'a'), (2, 'b')""", """UPDATE "house" SET name = 'c'""")
    assert reflect_changed(database.engine, known) is known
    database.run('ALTER TABLE "room" ADD COLUMN colour VARCHAR(5)')
    found = reflect_changed(database.engine, known)
    assert found.schema == reflect(database.engine) != known.schema


def test_a_site_reflects_its_tables_once(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(database.engine)
    with Ledger(tmp_path) as ledger:
        first = own_schema(source, ledger)
        statements: list[str] = []
        sa.event.listen(database.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
        assert own_schema(source, ledger) == first
        assert len(statements) <= 2  # SQLite has a BEGIN before it
        database.run('CREATE TABLE "node" (id INT NOT NULL PRIMARY KEY)')
        assert own_schema(source, ledger).table("node").primary_key == ("id",)
        del statements[:]
        monkeypatch.setattr("pusher.__version__", "another")
        own_schema(source, ledger)
        assert len(statements) > 2
