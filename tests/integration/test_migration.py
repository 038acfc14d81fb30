"""A migrated database is what the models say, on every dialect, and a foreign one is left as it was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Engine

from models import Base, bookkeeping
from pusher.central import migrate, prepared
from pusher.errors import SchemaMismatch, Unreachable
from pusher.schema.engine import open_engine

HEADS = {"bookkeeping": "bookkeeping_0003", "domain": "domain_0001"}
NewEngine = Callable[[], Engine]


@pytest.fixture
def new_engine(dialect: str, new_database: Callable[[str], str]) -> Iterator[NewEngine]:
    """Opens an empty database of each dialect in turn."""
    with ExitStack() as stack:

        def new() -> Engine:
            engine = open_engine(new_database(dialect))
            stack.callback(engine.dispose)
            return engine

        yield new


@pytest.fixture
def engine(new_engine: NewEngine) -> Engine:
    return new_engine()


def tables(engine: Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names())


def reflection(engine: Engine) -> dict[str, Any]:
    """Everything that the database tells of its tables, but for the record of migrations."""
    inspector = sa.inspect(engine)
    return {
        table: {
            "columns": [
                column | {"type": column["type"].compile(engine.dialect)} for column in inspector.get_columns(table)
            ],
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": sorted(inspector.get_foreign_keys(table), key=str),
            "unique": sorted(inspector.get_unique_constraints(table), key=str),
            "indexes": sorted(inspector.get_indexes(table), key=str),
            "options": inspector.get_table_options(table),
        }
        for table in inspector.get_table_names()
        if table != prepared.VERSION_TABLE
    }


def execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_a_migrated_database_equals_a_fresh_one(new_engine: NewEngine) -> None:
    fresh, migrated = new_engine(), new_engine()
    Base.metadata.create_all(fresh)
    bookkeeping.metadata.create_all(fresh)
    migrate.upgrade(migrated)
    assert reflection(migrated) == reflection(fresh)


@pytest.mark.parametrize("metadata", [Base.metadata, bookkeeping.metadata], ids=["domain", "bookkeeping"])
def test_the_models_have_nothing_to_add_to_a_migrated_database(engine: Engine, metadata: sa.MetaData) -> None:
    migrate.upgrade(engine)
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_name": lambda name, kind, _parents: kind != "table" or name in metadata.tables,
    }
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    assert migrate.check(engine) == []


def test_upgrade_is_recorded_and_harmless_when_repeated(
    engine: Engine, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    assert migrate.current(engine) == dict.fromkeys(HEADS)
    migrate.upgrade(engine)
    before = reflection(engine)
    migrate.upgrade(engine)
    assert migrate.current(engine) == HEADS
    assert reflection(engine) == before
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_only_bookkeeping_leaves_a_foreign_database_alone(engine: Engine) -> None:
    execute(engine, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    execute(engine, "INSERT INTO alembic_version VALUES ('theirs')")
    name = engine.dialect.identifier_preparer.quote("House")
    execute(engine, f"CREATE TABLE {name} (address VARCHAR(40) PRIMARY KEY, paid DECIMAL(8, 2) DEFAULT 0)")
    before = reflection(engine)
    migrate.upgrade(engine, only_bookkeeping=True)
    assert {name: each for name, each in reflection(engine).items() if not name.startswith("pusher_")} == before
    assert tables(engine) - before.keys() == {*bookkeeping.metadata.tables, prepared.VERSION_TABLE}
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == ["theirs"]
    assert migrate.check(engine, only_bookkeeping=True) == []
    assert migrate.current(engine) == {"bookkeeping": "bookkeeping_0003", "domain": None}
    assert "domain is at no revision, expected domain_0001" in migrate.check(engine)


def test_bookkeeping_first_and_the_rest_later(engine: Engine) -> None:
    migrate.upgrade(engine, only_bookkeeping=True)
    migrate.upgrade(engine)
    assert migrate.check(engine) == []


def test_tables_of_our_names_that_differ_are_not_taken_over(engine: Engine) -> None:
    name = engine.dialect.identifier_preparer.quote("House")
    execute(engine, f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, address VARCHAR(255) NOT NULL)")
    with pytest.raises(SchemaMismatch, match=r"column House\.deploymentId is missing.*only the bookkeeping"):
        migrate.upgrade(engine)
    assert "Node" not in tables(engine)
    assert migrate.current(engine)["domain"] is None


def test_a_half_done_upgrade_is_completed(engine: Engine) -> None:
    half = [Base.metadata.tables[name] for name in ("Deployment", "Server", "House")]
    Base.metadata.create_all(engine, tables=half)
    bookkeeping.metadata.create_all(engine, tables=[bookkeeping.site, bookkeeping.identity])
    migrate.upgrade(engine)
    assert migrate.current(engine) == HEADS
    assert migrate.check(engine) == []


def test_check_reports_what_is_gone(engine: Engine) -> None:
    migrate.upgrade(engine)
    execute(engine, "ALTER TABLE pusher_site DROP COLUMN hostname")
    execute(engine, "DROP TABLE pusher_lock")
    index = "ix_pusher_identity_table_name_central_key"
    execute(engine, f"DROP INDEX {index}" + (" ON pusher_identity" if "mysql" in engine.dialect.name else ""))
    assert sorted(migrate.check(engine)) == [
        "column pusher_site.hostname is missing",
        f"index {index} on pusher_identity (table_name, central_key) is missing",
        "table pusher_lock is missing",
    ]


def test_check_reports_what_is_other(engine: Engine) -> None:
    migrate.upgrade(engine, only_bookkeeping=True)
    execute(engine, "DROP TABLE pusher_checkpoint")
    execute(engine, "DROP TABLE pusher_lock")
    execute(
        engine,
        "CREATE TABLE pusher_checkpoint (site VARCHAR(100) NOT NULL PRIMARY KEY, table_name VARCHAR(12) NOT NULL, "
        "epoch VARCHAR(32), sequence BIGINT NOT NULL, cursor_ TEXT, rows_total BIGINT NOT NULL DEFAULT 3, "
        "updated INTEGER NOT NULL)",
    )
    execute(engine, "CREATE TABLE pusher_lock (name VARCHAR(255) NOT NULL)")
    found = migrate.check(engine, only_bookkeeping=True)
    for expected in (
        "column pusher_checkpoint.cursor is missing",
        "column pusher_checkpoint.cursor_ is not one of pusher's",
        "column pusher_checkpoint.epoch allows NULL",
        "the primary key of pusher_checkpoint is (site), expected (site, table_name)",
        "the primary key of pusher_lock is (), expected (name)",
    ):
        assert expected in found
    assert any(said.startswith("column pusher_checkpoint.table_name is of type VARCHAR(") for said in found)
    assert any(said.startswith("column pusher_checkpoint.updated is of type INTEGER") for said in found)
    assert any(said.startswith("column pusher_checkpoint.rows_total has default ") for said in found)


def test_a_database_of_a_newer_pusher_is_refused(engine: Engine) -> None:
    migrate.upgrade(engine)
    execute(
        engine, f"UPDATE {prepared.VERSION_TABLE} SET version_num = 'domain_9999' WHERE version_num LIKE 'domain%%'"
    )
    for action in (migrate.upgrade, migrate.current, migrate.check):
        with pytest.raises(SchemaMismatch, match="domain_9999, which a newer pusher made"):
            action(engine)


def test_upgrades_at_the_same_time_wait_for_each_other(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate.upgrade(engine), range(4)))
    assert migrate.current(engine) == HEADS
    assert migrate.check(engine) == []


@pytest.mark.parametrize("url", ["mysql+pymysql://root@127.0.0.1:1/x", "postgresql+psycopg://x@127.0.0.1:1/x"])
def test_a_server_that_is_not_there_is_unreachable(url: str) -> None:
    engine = open_engine(url)
    with pytest.raises(Unreachable, match="the database cannot be reached"):
        migrate.upgrade(engine)


def test_numbered_and_chosen_ids_can_be_told_apart(engine: Engine) -> None:
    migrate.upgrade(engine)
    inspector = sa.inspect(engine)
    ids = {table: next(c for c in inspector.get_columns(table) if c["name"] == "id") for table in ("House", "Node")}
    if engine.dialect.name == "sqlite":
        assert {table: str(column["type"]) for table, column in ids.items()} == {"House": "INTEGER", "Node": "BIGINT"}
    else:
        assert {table: column["autoincrement"] for table, column in ids.items()} == {"House": True, "Node": False}


def test_natural_keys_compare_exactly(engine: Engine) -> None:
    migrate.upgrade(engine)
    house = Base.metadata.tables["House"]
    addresses = ["1 High St", "1 HIGH ST", "1 Hïgh St", "🏠", "🏡"]
    with engine.begin() as connection:
        connection.execute(sa.insert(house), [{"address": address} for address in addresses])
        for address in addresses:
            found = connection.execute(sa.select(house.c.address).where(house.c.address == address)).scalars().all()
            assert found == [address]


def test_services_know_the_newest_revision_without_the_migrations(engine: Engine) -> None:
    assert HEADS["bookkeeping"] == prepared.BOOKKEEPING
    assert not prepared.is_prepared(engine)
    with pytest.raises(SchemaMismatch, match="is not prepared"):
        prepared.refuse_unprepared(engine)
    migrate.upgrade(engine, only_bookkeeping=True)
    assert prepared.is_prepared(engine)
    execute(engine, f"UPDATE {prepared.VERSION_TABLE} SET version_num = 'bookkeeping_0001'")
    with pytest.raises(SchemaMismatch, match="of an older pusher"):
        prepared.refuse_unprepared(engine)
    execute(engine, f"UPDATE {prepared.VERSION_TABLE} SET version_num = 'bookkeeping_9999'")
    with pytest.raises(SchemaMismatch, match="newer pusher"):
        prepared.refuse_unprepared(engine)
