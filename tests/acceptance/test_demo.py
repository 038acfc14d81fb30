"""`pusher demo`: it shows that all arrived, would show if not, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pusher.cli.demo import play
from pusher.demo import Demo
from pusher.job import NoProgress
from tests.stage import pusher


def processes_of(folder: Path) -> list[str]:
    """Processes that were started with `folder` in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in environ.read_bytes():
                found.append(environ.parent.name)
        except OSError:
            pass  # it has ended meanwhile
    return found


def change(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(statement)


def test_the_demo_shows_equal_databases_and_cleans_up(tmp_path: Path) -> None:
    done = pusher("demo", "--readings", "2000", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(re.findall(r"^ (\w+) +((?:[\d,]+ +){3}yes) *$", done.stdout, re.MULTILINE))
    assert rows["Reading"].split() == ["2,000", "2,000", "2,000", "yes"]
    assert len(rows) == 11
    assert "Everything arrived, exactly once." in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_a_central_that_loses_values_is_found_out(capsys: pytest.CaptureFixture[str]) -> None:
    def say(text: str) -> None:
        """As soon as central is there, makes it store something else than what arrives."""
        if text.startswith("central: process"):
            change(
                stage.folder / "central.db",
                "create trigger tamper after insert on Reading when new.rowid % 500 = 0 begin "
                "update Reading set value = value + 1e-9 where rowid = new.rowid; end",
            )

    with Demo(say) as stage:
        assert play(stage, 2000) is False
    shown = capsys.readouterr().out
    assert re.search(r"Reading +2,000 +2,000 +2,000 +NO", shown)
    assert "Site and central differ." in shown


def test_the_comparison_sees_every_difference() -> None:
    statements = {
        "Reading": "update Reading set value = value + 1e-9 where rowid = 7",
        "NodeState": "delete from NodeState where rowid = 1",
        "RoomType": "insert into RoomType (name) values ('Cellar')",
        "Room": "update Room set name = name || '!' where name = 'Study'",
    }
    with Demo(lambda _: None) as stage:
        stage.fill(1000)
        stage.start_central()
        stage.push(NoProgress())
        seen: set[str] = set()
        for table, statement in statements.items():
            assert {name for name, *_, same in stage.compare() if not same} == seen
            change(stage.folder / "central.db", statement)
            seen.add(table)
        assert {name for name, *_, same in stage.compare() if not same} == seen
