"""`reconcile = daily`: the daemon compares both sides by itself, repairs, and tells the site and central."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from models import bookkeeping
from pusher.config import load
from pusher.ledger import Ledger
from tests.conftest import NewDatabase
from tests.daemons import Scene, scene_of
from tests.stage import pusher, wait_until


@pytest.fixture
def scene(new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    with scene_of(new_database, tmp_path) as found:
        yield found


def long_ago(scene: Scene) -> None:
    """As if it were two days since all tables were compared."""
    moment = (dt.datetime.now(dt.UTC) - dt.timedelta(days=2)).isoformat(timespec="seconds")
    with Ledger(load(scene.config).general.state) as ledger, ledger.change() as db:
        db.execute("update verdict set verified = ?", (moment,))


def reading(scene: Scene) -> dict[str, Any]:
    (view,) = json.loads(pusher("--config", scene.config, "status", "--json").stdout)
    tables: dict[str, dict[str, Any]] = {each["table"]: each for each in view["tables"]}
    return tables["Reading"]


def passed(scene: Scene) -> Any:
    table = bookkeeping.verdict
    with scene.central.connect() as connection:
        return connection.scalar(sa.select(table.c.passed_deep).where(table.c.table_name == "Reading"))


def test_the_daemon_finds_what_was_lost_and_sends_it_again(scene: Scene) -> None:
    assert pusher("--config", scene.config, "run", "--once").returncode == 0
    assert reading(scene)["verified"] is None
    assert pusher("--config", scene.config, "verify").returncode == 0
    assert reading(scene)["verdict"] == "equal"
    before = reading(scene)["verified"]
    with scene.central.begin() as connection:
        connection.exec_driver_sql('DELETE FROM "Reading"  WHERE rowid IN (SELECT rowid FROM "Reading" LIMIT 3)')
    scene.change("[central]\n", "[central]\nreconcile = deep\n")
    long_ago(scene)
    with scene.daemon():
        wait_until(lambda: scene.has(20) and passed(scene) is not None)
    assert reading(scene)["verdict"] == "equal" and reading(scene)["verified"] >= before
    (done,) = json.loads(pusher("--config", scene.config, "run", "--once", "--json").stdout)
    assert done["notes"] == []  # it is not night, or was just now


def test_what_cannot_be_repaired_is_said(scene: Scene) -> None:
    assert pusher("--config", scene.config, "run", "--once").returncode == 0
    assert pusher("--config", scene.config, "verify").returncode == 0
    with scene.site.begin() as connection:
        connection.exec_driver_sql('DELETE FROM "Reading"  WHERE rowid IN (SELECT rowid FROM "Reading" LIMIT 3)')
    scene.change("[central]\n", "[central]\nreconcile = daily\n")
    long_ago(scene)
    done = pusher("--config", scene.config, "run", "--once", "--json")
    (outcome,) = json.loads(done.stdout)
    assert done.returncode == 1
    assert outcome["notes"] == ["not equal at both sides: Reading; pusher verify central tells more"]
    assert outcome["notices"] == outcome["notes"]  # for a mail
    assert reading(scene)["verdict"] == "different"
