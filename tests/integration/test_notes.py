"""Routine comparison: by what both sides noted as rows were sent and stored; of the rest the rows are read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from models import bookkeeping
from pusher.errors import CentralUnreachable
from pusher.push.verdict import TableVerdict
from tests.conftest import NewDatabase
from tests.inprocess import Workshop
from tests.scene import MINUTES, Scene, moment
from tests.wired import Wired

_SCHEMA_SECONDS = 0.6  # for as long central may take its tables to be as they were
_READING = ("time", "node", "value")


@pytest.fixture(params=[("mariadb", "mariadb"), ("sqlite", "postgresql")], ids="-".join)
def scene(request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    with Workshop(new_database, tmp_path, *request.param) as workshop:
        yield Scene(workshop)


def routine(scene: Scene) -> TableVerdict:
    return scene.verify(deep=False)["reading"]


def doubtful(scene: Scene) -> int:
    """Blocks of which central has no fingerprint."""
    with scene.central.engine.connect() as connection:
        return len(connection.execute(sa.select(bookkeeping.block).where(bookkeeping.block.c.total.is_(None))).all())


def test_equal_notes_need_no_rows(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    monkeypatch.setattr(Wired, "look", lambda _, request: looked.append(request))
    verdict = routine(scene)
    assert (verdict.verdict, verdict.deep, verdict.here, verdict.there, verdict.parts) == (
        "equal", False, MINUTES, MINUTES, 1,
    )  # fmt: skip
    assert doubtful(scene) == 0 and looked == []


def test_what_was_altered_at_central_only_the_rows_tell(scene: Scene) -> None:
    altered, lost = moment(700), moment(100)
    scene.central.run(
        f"""UPDATE "reading" SET value = value * 1.0000000000000002 WHERE "time" = '{altered}'""",
        f"""DELETE FROM "reading" WHERE "time" = '{lost}'""",
    )
    assert routine(scene).verdict == "equal"
    verdict = scene.verify()["reading"]
    assert [len(each) for each in (verdict.missing, verdict.different, verdict.only_central)] == [1, 1, 0]
    assert altered[:16].replace(" ", "T") in verdict.different[0] and lost[:16].replace(" ", "T") in verdict.missing[0]
    scene.site.repair(scene.store, [verdict])
    assert doubtful(scene) == 2  # since rows came there again
    assert scene.verify()["reading"].verdict == "equal"
    assert doubtful(scene) == 0 and routine(scene).parts == 1


def test_late_rows_and_deleted_ones_are_found_by_their_number(scene: Scene) -> None:
    scene.site.insert("reading", _READING, [(moment(5)[:17] + f"{second}.000000", 1, 5.0) for second in (20, 30)])
    verdict = routine(scene)
    assert (verdict.verdict, verdict.deep, verdict.here) == ("different", False, MINUTES + 2)
    assert [len(each) for each in (verdict.missing, verdict.different, verdict.only_central)] == [2, 0, 0]
    scene.site.run(f"""DELETE FROM "reading" WHERE "time" BETWEEN '{moment(300)}' AND '{moment(320)}'""")
    verdict = routine(scene)
    assert [len(each) for each in (verdict.missing, verdict.different, verdict.only_central)] == [2, 0, 21]


def test_notes_that_agree_and_are_both_wrong_are_put_right_by_what_was_read(scene: Scene) -> None:
    """Else every later count would go astray in blocks where nothing is amiss."""
    for side in (scene.site, scene.central):
        side.run(f"""UPDATE "reading" SET "time" = '{moment(100)[:17]}30.000000' WHERE "time" = '{moment(700)}'""")
    assert scene.verify()["reading"].verdict == "equal"
    scene.site.insert("reading", _READING, [(moment(5)[:17] + "30.000000", 1, 5.0)])
    assert scene.site.push_all(scene.store).table("reading", "stream").late == 11  # the rows of one block


def test_blocks_that_were_sent_again_are_read_once(scene: Scene) -> None:
    scene.site.insert("reading", _READING, [(moment(5)[:17] + "30.000000", 1, 5.0)])
    scene.site.push_all(scene.store)
    assert doubtful(scene) == 1
    verdict = routine(scene)
    assert (verdict.verdict, verdict.here, verdict.there) == ("equal", MINUTES + 1, MINUTES + 1)
    assert verdict.parts > 1 and doubtful(scene) == 0
    assert routine(scene).parts == 1


def test_rows_that_follow_in_a_block_are_added_to_it(scene: Scene) -> None:
    for second in (10, 20, 30):
        scene.site.insert("reading", _READING, [(f"{moment(MINUTES - 1)[:17]}{second}.000000", 1, 0.5)])
        scene.site.push_all(scene.store)
    assert doubtful(scene) == 0
    verdict = routine(scene)
    assert (verdict.verdict, verdict.here, verdict.there, verdict.parts) == ("equal", MINUTES + 3, MINUTES + 3, 1)


def test_a_receipt_that_was_lost_leaves_no_false_sum(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    push = Wired.push

    def lose(self: Wired, batch: object) -> object:
        push(self, batch)  # type: ignore[arg-type]
        raise CentralUnreachable("the answer is lost")

    scene.site.insert("reading", _READING, [(moment(MINUTES + minute), 1, 0.5) for minute in range(50)])
    with monkeypatch.context() as patched:
        patched.setattr(Wired, "push", lose)
        assert scene.site.push(scene.store).error
    scene.site.push_all(scene.store)
    verdict = routine(scene)
    assert (verdict.verdict, verdict.here, verdict.there) == ("equal", MINUTES + 50, MINUTES + 50)
    assert doubtful(scene) == 0 and routine(scene).parts == 1


def test_a_central_without_notes_gets_them(scene: Scene) -> None:
    with scene.central.engine.begin() as connection:
        connection.execute(sa.delete(bookkeeping.block))
    verdict = routine(scene)
    assert (verdict.verdict, verdict.deep, verdict.here, verdict.there) == ("equal", True, MINUTES, MINUTES)
    verdict = routine(scene)
    assert (verdict.verdict, verdict.deep, verdict.parts) == ("equal", False, 1)


def test_rows_in_quarantine_are_missing(scene: Scene) -> None:
    if scene.central.dialect == "sqlite":
        refusing = "WHEN NEW.value >= 1000 BEGIN SELECT RAISE(ABORT, 'too large'); END"
        scene.central.run(f"""CREATE TRIGGER t BEFORE INSERT ON "reading" {refusing}""")
    else:
        scene.central.run("""ALTER TABLE "reading" ADD CONSTRAINT c CHECK (value < 1000)""")
    scene.site.insert("reading", _READING, [(moment(MINUTES), 1, 5000.0), (moment(MINUTES), 2, 1.0)])
    scene.site.push(scene.store)
    verdict = routine(scene)
    assert (len(verdict.missing), verdict.held, verdict.here, verdict.there) == (1, 1, MINUTES + 2, MINUTES + 1)


def test_central_tells_when_it_was_last_verified(scene: Scene) -> None:
    def noted() -> dict[str, tuple[object, ...]]:
        with scene.central.engine.connect() as connection:
            rows = connection.execute(sa.select(bookkeeping.verdict)).all()
        assert {row.site for row in rows} <= {"north"}
        return {row.table_name: (row.verdict, bool(row.deep), row.passed, row.passed_deep, row.missing) for row in rows}

    assert noted() == {}
    scene.verify()
    before = noted()
    assert {name: each[:2] for name, each in before.items()} == dict.fromkeys(
        ("node", "reading", "visit", "count"), ("equal", True)
    )
    scene.central.run("""DELETE FROM "visit" WHERE who = 'v7'""")
    scene.verify(deep=False)
    after = noted()
    assert after["visit"] == ("equal", False, after["visit"][2], before["visit"][3], 0)
    scene.verify()
    assert noted()["visit"] == ("different", True, after["visit"][2], before["visit"][3], 1)


def test_a_column_that_central_gets_later_is_not_hidden_by_the_notes(scene: Scene) -> None:
    scene.site.run("""ALTER TABLE "reading" ADD COLUMN extra INT""", """UPDATE "reading" SET extra = 3""")
    scene.site.push_all(scene.store)
    assert routine(scene).verdict == "equal" and not routine(scene).deep
    scene.central.run("""ALTER TABLE "reading" ADD COLUMN extra INT""")
    time.sleep(_SCHEMA_SECONDS)
    scene.site.push_all(scene.store)
    verdict = routine(scene)
    assert verdict.deep and len(verdict.different) > MINUTES / 2
    scene.site.repair(scene.store, [verdict])
    assert scene.central.rows("""SELECT count(*) FROM "reading" WHERE extra = 3""") == [(MINUTES,)]
    verdict = routine(scene)
    assert (verdict.verdict, verdict.deep) == ("equal", True)
    verdict = routine(scene)
    assert (verdict.verdict, verdict.deep, verdict.parts) == ("equal", False, 1)
