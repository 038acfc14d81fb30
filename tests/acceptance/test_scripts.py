"""The scripts of seed 003, as an operator runs them."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from models import Base, Reading, bookkeeping
from pusher.central import migrate
from pusher.schema.engine import open_engine
from tests import ready

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ready.run(SCRIPTS / f"{script}.py", arguments, timeout=120, strict=True)


def count(url: str) -> dict[str, int]:
    engine = open_engine(url)
    tables = [*Base.metadata.sorted_tables, *bookkeeping.metadata.sorted_tables]
    try:
        there = set(sa.inspect(engine).get_table_names())
        with engine.connect() as connection:
            return {
                table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
                for table in tables
                if table.name in there
            }
    finally:
        engine.dispose()


@pytest.fixture
def url(dialect: str, new_database: Callable[[str], str]) -> str:
    return new_database(dialect)


@pytest.fixture
def site(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/site.db"


def test_datagen_fills_a_database_and_continues(url: str) -> None:
    for readings in (1000, 2000):
        done = run("datagen", url, "--create", "--bulk", "1000", "--start", "2026-01-01", "--seed", "3")
        assert (done.returncode, done.stdout, done.stderr) == (0, "1000 readings added\n", "")
        assert count(url)["Reading"] == readings
    assert count(url)["NodeState"] == 2 * (1000 // 101)


def test_datagen_makes_its_own_sqlite_file(site: str) -> None:
    done = run("datagen", site, "--create", "--live", "--gap", "0.01", "--steps", "3", "--nodes", "1,2,3")
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, 3, "")
    assert count(site)["Reading"] == 9


def test_datagen_takes_every_option(site: str) -> None:
    command = (
        "--create --bulk 7 --end 2026-01-01T01:00:00+01:00 --gap 60 --state-switch 2 --seed 1 --nodes 5,6 "
        "--deployment Trial --address '1 High St' --rooms 'Attic, Cellar'"
    )
    assert run("datagen", site, *shlex.split(command)).returncode == 0
    engine = open_engine(site)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.max(Reading.time))) == datetime(2026, 1, 1)
        assert connection.exec_driver_sql('SELECT "address" FROM "House"').scalars().all() == ["1 High St"]
        assert connection.exec_driver_sql('SELECT "name" FROM "Deployment"').scalars().all() == ["Trial"]
        rooms = 'SELECT "name" FROM "Room" JOIN "Location" ON "Room"."id" = "roomId" ORDER BY 1'
        assert connection.exec_driver_sql(rooms).scalars().all() == ["Attic", "Cellar"]
    engine.dispose()
    assert count(site)["NodeState"] == 4


def test_datagen_runs_until_it_is_interrupted(site: str) -> None:
    command = [sys.executable, str(SCRIPTS / "datagen.py"), site, "--create", "--gap", "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith(" 2 readings added\n")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert count(site)["Reading"] >= 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bulk", "0"], "0 is not above 0"),
        (["--gap", "nan"], "nan is not above 0"),
        (["--bulk", "1", "--live"], "not allowed with"),
        (["--nodes", "1,1"], "a node is named twice"),
        (["--nodes", "one"], "one is not a list of numbers"),
        (["--rooms", "a,,b"], "a name is empty"),
        (["--start", "noon"], "noon is not a time"),
        (["what", "--create"], "not a database URL"),
    ],
)
def test_datagen_used_wrongly(site: str, arguments: list[str], said: str) -> None:
    done = run("datagen", *(arguments if arguments[0] == "what" else [site, *arguments]))
    assert done.returncode == 2
    assert said in done.stderr


def test_datagen_wants_tables(site: str, new_database: Callable[[str], str]) -> None:
    assert run("datagen", site, "--bulk", "1").returncode == 3
    done = run("datagen", new_database("sqlite"), "--bulk", "1")
    assert done.returncode == 2
    assert "--create makes the tables" in done.stderr


def fill(url: str) -> None:
    engine = open_engine(url)
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(bookkeeping.lock), {"name": "x"})
        connection.execute(
            sa.insert(bookkeeping.identity),
            {"site": "s", "table_name": "t", "local_key": "1", "central_key": "2", "row_hash": "", "owns": True},
        )
    engine.dispose()
    assert run("datagen", url, "--bulk", "100", "--state-switch", "10").returncode == 0


def test_cleardb_shows_first_and_deletes_when_told(url: str, new_database: Callable[[str], str]) -> None:
    other = new_database("sqlite")
    for each in (url, other):
        fill(each)
    before = count(url)
    shown = run("cleardb", url, other)
    assert shown.returncode == 0
    assert "         100  Reading\n" in shown.stdout
    assert "           1  pusher_identity\n" in shown.stdout
    assert shown.stdout.endswith("nothing deleted; --yes does it\n")
    assert count(url) == before

    done = run("cleardb", url, other, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "         100  Reading\n" in done.stdout
    for each in (url, other):
        assert {table for table, rows in count(each).items() if rows} == {"pusher_lock"}
        assert count(each).keys() == before.keys()
    assert migrate_check(url) == []


def migrate_check(url: str) -> list[str]:
    engine = open_engine(url)
    try:
        return migrate.check(engine)
    finally:
        engine.dispose()


def test_cleardb_keeps_everything_where_a_foreign_table_refers_to_ours(new_database: Callable[[str], str]) -> None:
    url = new_database("sqlite")
    fill(url)
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE TABLE tenant (house INTEGER REFERENCES "House" (id))')
        connection.exec_driver_sql("INSERT INTO tenant VALUES (1)")
    engine.dispose()
    before = count(url)
    done = run("cleardb", url, "--yes")
    assert done.returncode == 1
    assert "another table refers to a row" in done.stderr
    assert count(url) == before


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["what"], 2), (["sqlite:///nowhere.db"], 3)])
def test_cleardb_used_wrongly(arguments: list[str], code: int) -> None:
    assert run("cleardb", *arguments).returncode == code


def test_cleardb_hides_passwords() -> None:
    done = run("cleardb", "mysql+pymysql://root:swordfish@127.0.0.1:1/x")
    assert done.returncode == 3
    assert "root:***@" in done.stdout
    assert "swordfish" not in done.stdout + done.stderr
