"""`pusher held`: what central did not take is shown, tried again, or given up, by an operator at a shell."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess
from typing import Any

import pytest
import sqlalchemy as sa

from pusher.central.tokens import new_token
from pusher.config import load
from pusher.held import HeldList, HeldRow, Selection
from pusher.ledger import Ledger
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.prepared import prepare
from tests.servers import free_port
from tests.stage import push, pusher, serving, start_pusher, wait_until, write_config

_ROWS = int(os.environ.get("HELD_ROWS", "20000"))
_BAD = 12_345  # the number of the row that central will not take
_SENSOR = "CREATE TABLE sensor (id INTEGER PRIMARY KEY {numbered}, name VARCHAR(50) NOT NULL UNIQUE)"
_SAMPLE = """CREATE TABLE sample (
    time DATETIME NOT NULL, sensor_id INTEGER NOT NULL, value {value}, note VARCHAR({length}),
    PRIMARY KEY (time, sensor_id), FOREIGN KEY (sensor_id) REFERENCES sensor (id)
)"""
_SCHEMA_SECONDS = 0.6  # for as long central may take its tables to be as they were
_START = dt.datetime(2026, 1, 1)


def moment(number: int) -> str:
    return str(_START + dt.timedelta(seconds=number))


def make_site(path: Path, rows: int) -> None:
    """As a program writes it that knows nothing of SQLAlchemy: times without a fraction."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(_SENSOR.format(numbered=""))
        db.execute(_SAMPLE.format(value="DOUBLE", length=100))
        db.executemany("INSERT INTO sensor VALUES (?, ?)", [(i, f"sensor {i}") for i in range(1, 12)])
        samples = ((moment(n), n % 10 + 1, n / 8, f"sample {n}") for n in range(rows))
        db.executemany("INSERT INTO sample VALUES (?, ?, ?, ?)", samples)


@dataclass
class Stage:
    site: Path
    central: sa.Engine
    config: Path = Path()

    def at_site(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.site)) as db, db:
            db.execute(statement, values)

    def at_central(self, statement: str) -> None:
        with self.central.begin() as connection:
            connection.exec_driver_sql(statement)

    def arrived(self, condition: str = "1 = 1") -> int:
        with self.central.connect() as connection:
            return int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM sample WHERE {condition}").scalar() or 0)

    def run(self, *arguments: str | Path, **options: Any) -> CompletedProcess[str]:
        return pusher("--config", self.config, *arguments, **options)

    def held(self) -> list[HeldRow]:
        with Ledger(load(self.config).general.state) as ledger:
            return HeldList(ledger).rows(Selection())

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        found = json.loads(self.run("held", "list", *arguments, "--json").stdout)
        assert isinstance(found, list)
        return found

    @contextmanager
    def serving(self, folder: Path) -> Iterator[Stage]:
        prepare(self.central)
        with serving(self.central.url.render_as_string(hide_password=False)) as resturl:
            token = new_token(self.central, "north", "push")
            self.config = write_config(folder, "north", f"sqlite:///{self.site}", resturl, token)
            yield self


@pytest.fixture(scope="module")
def many_samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("held") / "site.db"
    make_site(path, _ROWS)
    return path


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is done to row _BAD or to central, and how an operator mends it there or (`at_site`) here."""

    spoil: str = ""
    break_central: str = ""
    kind: str = "refused"
    reason: str
    mend: str
    at_site: bool = False
    sensor: int = _BAD % 10 + 1


_TROUBLES = {
    "null": Trouble(
        spoil=f"UPDATE sample SET value = NULL WHERE time = '{moment(_BAD)}'",
        reason="value: NULL has no place here",
        mend="ALTER TABLE sample MODIFY value DOUBLE NULL",
    ),
    "long": Trouble(
        spoil=f"UPDATE sample SET note = '{60 * 'x'}' WHERE time = '{moment(_BAD)}'",
        reason="note: ",
        mend="ALTER TABLE sample MODIFY note VARCHAR(100)",
    ),
    "deleted parent": Trouble(
        spoil=f"UPDATE sample SET sensor_id = 11 WHERE time = '{moment(_BAD)}'",
        break_central="DELETE FROM sensor WHERE name = 'sensor 11'",
        reason="foreign key constraint fails",
        mend="INSERT INTO sensor VALUES ({gone}, 'sensor 11')",
        sensor=11,
    ),
    "no parent": Trouble(
        spoil=f"UPDATE sample SET sensor_id = 99 WHERE time = '{moment(_BAD)}'",
        kind="parent",
        reason="sensor_id = 99 refers to a sensor that is missing or held itself",
        mend="INSERT INTO sensor VALUES (99, 'sensor 99')",
        at_site=True,
        sensor=99,
    ),
}


@pytest.mark.parametrize("trouble", _TROUBLES.values(), ids=_TROUBLES)
def test_one_bad_row_among_many_is_held_and_arrives_once_central_is_mended(
    trouble: Trouble, many_samples: Path, new_database: NewDatabase, tmp_path: Path
) -> None:
    site = tmp_path / "site.db"
    shutil.copy(many_samples, site)
    with opened(new_database("mariadb")) as central:
        stage = Stage(site, central)
        stage.at_central(_SENSOR.format(numbered="AUTO_INCREMENT"))
        stage.at_central(_SAMPLE.format(value="DOUBLE NOT NULL", length=50))
        with stage.serving(tmp_path):
            gone = None
            if trouble.break_central:
                stage.at_site("ALTER TABLE sample RENAME TO later")
                assert push(stage.config).sent == 11  # the sensors
                stage.at_site("ALTER TABLE later RENAME TO sample")
                with central.connect() as connection:
                    gone = connection.exec_driver_sql("SELECT id FROM sensor WHERE name = 'sensor 11'").scalar()
                stage.at_central(trouble.break_central)
            stage.at_site(trouble.spoil)
            assert stage.run("run", "--once").returncode == 1
            assert stage.arrived() == _ROWS - 1
            (row,) = stage.listed()
            assert (row["table"], row["kind"]) == ("sample", trouble.kind)
            assert row["columns"] == ["time", "sensor_id"]
            assert row["key"] == [moment(_BAD).replace(" ", "T"), trouble.sensor]
            assert trouble.reason in row["reason"]

            (stage.at_site if trouble.at_site else stage.at_central)(trouble.mend.format(gone=gone))
            time.sleep(_SCHEMA_SECONDS if "ALTER" in trouble.mend else 0)
            done = stage.run("held", "retry")
            assert done.returncode == 0, done.stdout
            assert "1 of 1 held rows arrived" in done.stdout
            assert stage.arrived() == _ROWS and stage.arrived(f"time = '{moment(_BAD)}'") == 1
            assert stage.held() == []


@pytest.fixture
def stage(new_database: NewDatabase, tmp_path: Path) -> Iterator[Stage]:
    """2,500 samples, of which central refuses what is noted as `bad`: nothing yet."""
    site = tmp_path / "site.db"
    make_site(site, 2500)
    with opened(new_database("sqlite")) as central:
        found = Stage(site, central)
        found.at_central(_SENSOR.format(numbered=""))
        found.at_central(_SAMPLE.format(value="DOUBLE", length=100))
        found.at_central(
            "CREATE TRIGGER picky BEFORE INSERT ON sample WHEN new.note LIKE 'bad%' BEGIN "
            "SELECT RAISE(ABORT, 'central dislikes it'); END"
        )
        with found.serving(tmp_path):
            yield found


def spoil(stage: Stage, *numbers: int) -> None:
    for number in numbers:
        stage.at_site("UPDATE sample SET note = ? WHERE time = ?", f"bad {number}", moment(number))
    assert push(stage.config).exit_code == 1


def test_nothing_is_held(stage: Stage) -> None:
    done = stage.run("held", "list")
    assert (done.returncode, done.stdout) == (0, "nothing is held\n")
    assert stage.run("held", "retry").returncode == 0
    assert stage.run("held", "list", "nowhere").returncode == 2
    for command in (("show", "1"), ("retry", "1")):
        done = stage.run("held", *command)
        assert done.returncode == 2
        assert "no row is held under the number 1" in done.stderr


def test_a_held_row_is_listed_and_shown(stage: Stage) -> None:
    spoil(stage, 7, 8)
    listed = stage.run("held", "list")
    assert listed.returncode == 1
    for text in ("time = 2026-01-01T00:00:07, sensor_id = 8", "central dislikes it", "refused"):
        assert text in " ".join(listed.stdout.split())
    assert len(stage.listed("central", "--table", "sample", "--kind", "refused")) == 2
    assert stage.run("held", "list", "--kind", "odd").returncode == 2
    assert stage.listed("--table", "sensor") == []

    number = str(stage.held()[0].id)
    shown = stage.run("held", "show", number)
    for text in ("note bad 7", "value 0.875", "central dislikes it", f"pusher held retry {number}"):
        assert text in " ".join(shown.stdout.split())
    assert json.loads(stage.run("held", "show", number, "--json").stdout)["values"]["note"] == "bad 7"

    stage.at_site("DELETE FROM sample WHERE time = ?", moment(7))
    assert "no longer in the site's database" in stage.run("held", "show", number).stdout
    stage.site.rename(stage.site.with_suffix(".away"))
    assert "2026-01-01T00:00:07, 8" in " ".join(stage.run("held", "list").stdout.split())
    assert "correct localurl" in stage.run("held", "show", number).stdout


def test_a_row_that_is_no_longer_there_is_held_no_longer(stage: Stage) -> None:
    spoil(stage, 7, 8)
    stage.at_site("DELETE FROM sample WHERE time = ?", moment(7))
    done = stage.run("held", "retry", "--json")
    assert done.returncode == 1
    retried = json.loads(done.stdout)
    assert (retried["asked"], retried["arrived"], retried["gone"]) == (2, 0, 1)
    assert [row["key"][1] for row in retried["held"]] == [9]


def test_all_rows_are_tried_again_however_many(stage: Stage) -> None:
    """And a list of so many ends with their number."""
    stage.at_site("UPDATE sample SET note = 'bad ' || rowid")
    assert push(stage.config).held == 2500
    retried = json.loads(stage.run("held", "retry", "--json").stdout)
    assert (retried["asked"], len(retried["held"])) == (2500, 2500)
    assert "and 2,400 more, --json shows all" in stage.run("held", "list").stdout
    stage.at_central("DROP TRIGGER picky")
    done = stage.run("held", "retry", "--table", "sample", "--location", "central")
    assert done.returncode == 0 and "2,500 of 2,500 held rows arrived" in done.stdout
    assert stage.arrived() == 2500


def test_rows_stay_marked_while_central_is_away(stage: Stage) -> None:
    spoil(stage, 7)
    stage.at_central("DROP TRIGGER picky")
    text = stage.config.read_text()
    stage.config.write_text(re.sub(r"127.0.0.1:\d+", f"127.0.0.1:{free_port()}", text))
    done = stage.run("held", "retry")
    assert done.returncode == 3 and "stays marked" in done.stdout
    assert stage.held()[0].retry is True
    stage.config.write_text(text)
    assert push(stage.config).exit_code == 0
    assert stage.held() == [] and stage.arrived() == 2500


def test_a_running_daemon_is_called(stage: Stage) -> None:
    spoil(stage, 7, 8)
    log = stage.config.with_name("log")
    with log.open("w") as errors:
        daemon = start_pusher("--config", stage.config, "run", stdout=DEVNULL, stderr=errors)
    with daemon:
        try:
            wait_until(lambda: "cycle_ended" in log.read_text())
            assert stage.run("held", "release", str(stage.held()[0].id), "--yes").returncode == 0
            stage.at_central("DROP TRIGGER picky")
            done = stage.run("held", "retry")
            assert done.returncode == 0 and f"process {daemon.pid} and tries them now" in done.stdout
            wait_until(lambda: stage.arrived() == 2499)
            wait_until(lambda: stage.held() == [])
            assert daemon.poll() is None
        finally:
            daemon.terminate()


def test_rows_are_given_up_by_somebody_who_means_it(stage: Stage) -> None:
    spoil(stage, 7, 8, 9)
    first, second, third = (str(row.id) for row in stage.held())
    assert stage.run("held", "release", first).returncode == 2
    unknown = stage.run("held", "release", first, "4711", "--yes")
    assert unknown.returncode == 2 and "under the number 4711" in unknown.stderr
    assert len(stage.held()) == 3
    done = stage.run("held", "release", first, third, "--yes")
    assert done.returncode == 0 and done.stdout == "2 rows given up\n"
    assert f"held_row_given_up id={first} location=central table=sample" in done.stderr
    assert [str(row.id) for row in stage.held()] == [second]
    push(stage.config)
    assert [str(row.id) for row in stage.held()] == [second]
