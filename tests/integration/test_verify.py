"""`verify` names exactly the rows that differ, whatever the engines, and mends them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pusher.central.verify import SiteRows
from pusher.wire.messages import Look, Looked
from tests.conftest import NewDatabase
from tests.inprocess import Workshop
from tests.scene import MINUTES, TABLES, Scene, moment


@pytest.fixture(params=[("mariadb", "mariadb"), ("sqlite", "postgresql"), ("postgresql", "sqlite")], ids="-".join)
def workshop(request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path) -> Iterator[Workshop]:
    with Workshop(new_database, tmp_path, *request.param) as workshop:
        yield workshop


@pytest.fixture
def scene(workshop: Workshop) -> Scene:
    return Scene(workshop)


def test_equal_sides(scene: Scene) -> None:
    verdicts = scene.verify()
    assert {name: (each.verdict, each.here, each.there) for name, each in verdicts.items()} == {
        "node": ("equal", 2, 2),
        "reading": ("equal", MINUTES, MINUTES),
        "visit": ("equal", 199, 199),
        "count": ("equal", 1499, 1499),
    }


def test_each_difference_is_named(scene: Scene) -> None:
    scene.central.run(
        f"""DELETE FROM "reading" WHERE "time" = '{moment(100)}'""",
        f"""UPDATE "reading" SET value = value * 1.0000000000000002 WHERE "time" = '{moment(700)}'""",
        """UPDATE "node" SET note = 'y' WHERE name = 'north'""",
        """DELETE FROM "visit" WHERE who = 'v7'""",
        """UPDATE "count" SET who = 'other' WHERE who = 'c1400'""",
    )
    scene.site.run(f"""DELETE FROM "reading" WHERE "time" = '{moment(300)}'""")
    found = scene.differing()
    missing, different, only_central = found["reading"]
    assert [[moment(100)[:16].replace(" ", "T") in key for key in missing], len(different)] == [[True], 1]
    assert moment(700)[:16].replace(" ", "T") in different[0]
    assert len(only_central) == 1 and moment(300)[:16].replace(" ", "T") in only_central[0]
    assert found["node"] == ([], ["[1]"], [])
    assert found["visit"] == (["[7]"], [], [])
    assert found["count"] == ([], ["[1400]"], [])
    assert set(found) == {"reading", "node", "visit", "count"}


def test_the_rows_of_another_site_are_no_difference(workshop: Workshop, scene: Scene) -> None:
    south = workshop.site("south", *TABLES)
    scene.fill(south, first_node=11)
    south.push_all(scene.store)
    assert scene.differing() == {}
    assert [each.verdict for each in south.verify(scene.store)] == ["equal"] * 4
    scene.central.run("""DELETE FROM "reading" WHERE node IN (SELECT id FROM "node" WHERE name = 'south')""")
    assert scene.differing() == {}
    verdicts = {each.table: each for each in south.verify(scene.store)}
    assert len(verdicts["reading"].missing) == MINUTES / 2


def test_what_is_lost_is_sent_again(scene: Scene) -> None:
    scene.central.run(
        f"""DELETE FROM "reading" WHERE "time" BETWEEN '{moment(100)}' AND '{moment(220)}'""",
        f"""UPDATE "reading" SET value = 1 WHERE "time" = '{moment(700)}'""",
        """UPDATE "node" SET note = 'y' WHERE name = 'north'""",
        """DELETE FROM "visit" WHERE who = 'v7'""",
        """DELETE FROM "count" WHERE who <> 'c1400'""",
        """UPDATE "count" SET who = 'other' WHERE who = 'c1400'""",
    )
    verdicts = scene.verify()
    assert (len(verdicts["reading"].missing), len(verdicts["count"].missing)) == (121, 1498)
    scene.site.repair(scene.store, list(verdicts.values()))
    assert scene.differing() == {}
    assert scene.site.held() == {}


def test_rows_that_wait_are_not_missing(scene: Scene) -> None:
    scene.site.insert("reading", ("time", "node", "value"), [(moment(MINUTES + 5), 1, 5.0)])
    assert scene.differing() == {}


def test_a_period_is_compared_alone(scene: Scene) -> None:
    lost = (100, 305, 700)
    for minute in lost:
        scene.central.run(f"""DELETE FROM "reading" WHERE "time" = '{moment(minute)}'""")
    for since, until, missing in (
        (None, None, 3),
        (305, 306, 1),
        (306, 700, 0),
        (101, None, 2),
        (None, 305, 1),
    ):
        texts = [None if each is None else moment(each)[:19].replace(" ", "T") for each in (since, until)]
        verdict = scene.verify(*texts)["reading"]
        assert (len(verdict.missing), verdict.different, verdict.only_central) == (missing, [], [])
        assert verdict.here == min(until or MINUTES, MINUTES) - (since or 0)


def test_a_thousand_differences_in_few_gaps(scene: Scene) -> None:
    scene.central.run(f"""DELETE FROM "reading" WHERE "time" >= '{moment(300)}' AND "time" < '{moment(800)}'""")
    verdict = scene.verify()["reading"]
    assert len(verdict.missing) == 500 and verdict.there == MINUTES - 500
    scene.site.run(f"""DELETE FROM "reading" WHERE "time" < '{moment(200)}'""")
    verdict = scene.verify()["reading"]
    assert (len(verdict.missing), len(verdict.only_central)) == (500, 200)


def test_dense_parts_are_cut_until_few_rows_are_left(scene: Scene) -> None:
    rows = [(f"2026-02-01 00:00:00.{number:06}", 1, 0.5) for number in range(2000)]
    scene.site.insert("reading", ("time", "node", "value"), rows)
    scene.site.push_all(scene.store)
    scene.central.run("""UPDATE "reading" SET value = 0.25 WHERE "time" = '2026-02-01 00:00:00.001234'""")
    missing, different, only_central = scene.differing()["reading"]
    assert (missing, only_central) == ([], [])
    assert [key.split(",")[0] for key in different] == ['["2026-02-01T00:00:00.001234"']


def test_answers_that_are_too_long_are_asked_for_in_parts(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    north = """SELECT id FROM "node" WHERE name = 'north'"""
    scene.central.run(
        """DELETE FROM "count" WHERE id % 3 = 1""",
        f"""DELETE FROM "reading" WHERE "time" >= '{moment(100)}' AND node IN ({north})""",
    )
    whole = scene.differing()
    cut: list[bool] = []

    def look(self: SiteRows, request: Look) -> Looked:
        answer = given(self, request)
        cut.append(answer.more)
        return answer

    given = SiteRows.look
    monkeypatch.setattr(SiteRows, "look", look)
    monkeypatch.setattr("pusher.central.verify.MAX_LOOKED", 100)
    assert {name: [sorted(keys) for keys in found] for name, found in scene.differing().items()} == {
        name: [sorted(keys) for keys in found] for name, found in whole.items()
    }
    assert set(cut) == {True, False}
    assert len(whole["count"][0]) in (499, 500) and len(whole["reading"][0]) == 400
