"""`deletes = propagate`: what a site has deleted is deleted at central by a repair, and buried there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from models import bookkeeping
from tests.conftest import NewDatabase
from tests.inprocess import Workshop
from tests.scene import MINUTES, TABLES, Scene, moment

_ALL = "".join(f"\n[table {name}]\ndeletes = propagate\n" for name in ("node", "reading", "visit", "count"))


@pytest.fixture(params=[("mariadb", "mariadb"), ("sqlite", "postgresql")], ids="-".join)
def workshop(request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path) -> Iterator[Workshop]:
    with Workshop(new_database, tmp_path, *request.param) as workshop:
        yield workshop


@pytest.fixture
def scene(workshop: Workshop) -> Scene:
    return Scene(workshop, tables=_ALL)


def tombstones(scene: Scene) -> list[tuple[str, dict[str, object]]]:
    stones = bookkeeping.tombstone
    query = sa.select(stones.c.site, stones.c.table_name, stones.c.row).order_by(stones.c.id)
    with scene.central.engine.connect() as connection:
        rows = connection.execute(query).all()
    assert {row.site for row in rows} <= {"north"}
    return [(row.table_name, json.loads(row.row)) for row in rows]


def delete(scene: Scene, *, force: bool = False) -> tuple[int, list[str]]:
    deleted = scene.site.delete(scene.store, list(scene.verify().values()), force=force)
    return deleted.rows, deleted.notes


def test_rows_of_every_kind_are_deleted_and_buried(scene: Scene) -> None:
    scene.site.run(
        f"""DELETE FROM "reading" WHERE "time" BETWEEN '{moment(100)}' AND '{moment(109)}'""",
        """DELETE FROM "visit" WHERE who = 'v7'""",
        """DELETE FROM "count" WHERE who IN ('c1', 'c1400')""",
    )
    assert delete(scene) == (13, [])
    assert scene.differing() == scene.differing(deep=False) == {}
    assert scene.site.push_all(scene.store).sent == 0
    found = tombstones(scene)
    assert [table for table, _ in found].count("reading") == 10
    assert sorted(str(row["who"]) for table, row in found if table != "reading") == ["c1", "c1400", "v7"]
    assert {"time", "node", "value"} == set(next(row for table, row in found if table == "reading"))


def test_without_the_key_they_are_only_reported(workshop: Workshop) -> None:
    scene = Scene(workshop)
    scene.site.run("""DELETE FROM "visit" WHERE who = 'v7'""")
    assert delete(scene) == (0, [])
    assert scene.differing() == {"visit": ([], [], ["[7]"])} and tombstones(scene) == []


def test_much_at_once_is_refused_unless_forced(scene: Scene) -> None:
    scene.site.run(f"""DELETE FROM "reading" WHERE "time" < '{moment(100)}'""")
    (rows, (note,)) = delete(scene)
    assert rows == 0
    assert note == (
        "reading: 100 of 900 rows at central would be deleted, more than max_delete_fraction = 10 %; "
        "--force deletes them all the same"
    )
    assert len(scene.differing()["reading"][2]) == 100
    assert delete(scene, force=True) == (100, [])
    assert scene.differing() == {} and len(tombstones(scene)) == 100


def test_how_much_is_much_the_operator_says(workshop: Workshop) -> None:
    scene = Scene(workshop, tables="[table reading]\ndeletes = propagate\nmax_delete_fraction = 50 %\n")
    scene.site.run(f"""DELETE FROM "reading" WHERE "time" < '{moment(100)}'""")
    assert delete(scene) == (100, [])
    assert scene.verify()["reading"].there == MINUTES - 100


def test_a_parent_goes_with_its_children_or_not_at_all(workshop: Workshop) -> None:
    scene = Scene(
        workshop, tables=_ALL.replace("[table reading]\ndeletes = propagate", "[table reading]\nlookback = 0")
    )
    scene.site.run("""DELETE FROM "reading" WHERE node = 2""", """DELETE FROM "node" WHERE id = 2""")
    rows, notes = delete(scene, force=True)
    assert rows == 0 and len(notes) == 1 and notes[0].startswith("node: a row is not deleted at central: ")
    assert scene.central.rows("""SELECT count(*) FROM "node\"""") == [(2,)] and tombstones(scene) == []


def test_children_go_first(scene: Scene) -> None:
    scene.site.run("""DELETE FROM "reading" WHERE node = 2""", """DELETE FROM "node" WHERE id = 2""")
    assert delete(scene, force=True) == (MINUTES // 2 + 1, [])
    assert [table for table, _ in tombstones(scene)][-1] == "node"
    assert scene.differing() == {}


def test_what_another_site_has_too_stays(workshop: Workshop, scene: Scene) -> None:
    south = workshop.site("south", *TABLES)
    south.run("""INSERT INTO "node" VALUES (7, 'spare', NULL)""")
    scene.site.run("""INSERT INTO "node" VALUES (9, 'spare', NULL)""")
    south.push_all(scene.store)
    scene.site.push_all(scene.store)
    scene.site.run("""DELETE FROM "node" WHERE id = 9""")
    assert delete(scene, force=True) == (0, ["node: 1 rows stay at central, since another site has them"])
    assert scene.differing() == {}
    south.run("""UPDATE "node" SET note = 'mine' WHERE id = 7""")
    south.push_all(scene.store)
    assert scene.central.rows("""SELECT note FROM "node" WHERE name = 'spare'""") == [("mine",)]


def test_a_row_that_comes_back_is_sent_anew(scene: Scene) -> None:
    scene.site.run(
        """DELETE FROM "visit" WHERE id = 7""",
        """DELETE FROM "reading" WHERE node = 2""",
        """DELETE FROM "node" WHERE id = 2""",
    )
    delete(scene, force=True)
    assert scene.differing() == {}  # as every repair ends
    scene.site.run("""INSERT INTO "node" VALUES (2, 'north 2', NULL)""")
    scene.site.insert("visit", ("id", "time", "who"), [(7, moment(7), "v7")])
    scene.site.insert("reading", ("time", "node", "value"), [(moment(1), 2, 1 / 7)])
    scene.site.push_all(scene.store)
    assert scene.differing() == {}
