"""With change capture whatever four sessions do to a site's tables ends the same at central."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from models import bookkeeping
from pusher.capturing import open_captures
from pusher.errors import SchemaMismatch
from pusher.schema.engine import writing
from pusher.wire.messages import Remove, Removed
from tests.conftest import NewDatabase
from tests.inprocess import Site, Workshop, meanings
from tests.wired import Wired

_NODE = 'CREATE TABLE "node" (id INT NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE, note VARCHAR(20))'
_READING = """CREATE TABLE "reading" ("time" MOMENT NOT NULL, node INT NOT NULL, value REAL64,
    PRIMARY KEY ("time", node), FOREIGN KEY (node) REFERENCES "node" (id))"""
_VISIT = 'CREATE TABLE "visit" (id ID, "time" MOMENT NOT NULL, who VARCHAR(20) UNIQUE)'
_THERE = 'CREATE TABLE "node" (id ID, name VARCHAR(20) NOT NULL UNIQUE, note VARCHAR(20))'
_KEYED = "\n[table node]\ncapture = triggers\nkey = name\n\n[table reading]\ncapture = triggers\nlookback = 0\n"
_SETTINGS = f"{_KEYED}\n[table visit]\ncapture = triggers\nlookback = 0\n"


def moment(minute: int) -> str:
    return f"2026-01-{1 + minute // 1440:02} {minute // 60 % 24:02}:{minute % 60:02}:00.000000"


class Scene:
    def __init__(self, workshop: Workshop) -> None:
        self.central, self.store = workshop.central, workshop.store
        self.central.run(_THERE, _READING, _VISIT)
        self.site = workshop.site("north", _NODE, _READING, _VISIT, tables=_SETTINGS)
        self.site.run("""INSERT INTO "node" VALUES (11, 'attic', 'x'), (12, 'cellar', NULL)""")
        self.site.insert("reading", ("time", "node", "value"), [(moment(n), 11 + n % 2, n / 7) for n in range(600)])
        self.site.insert("visit", ("id", "time", "who"), [(n, moment(n), f"v{n}") for n in range(1, 300)])
        with open_captures(self.site.config) as captures:
            captures.run(captures.to_install(()))
        self.site.push_all(self.store)

    def check_equal(self) -> None:
        """In every column but the numbers that central gives."""
        assert [each.table for each in self.site.verify(self.store) if each.verdict != "equal"] == []
        unnumbered = [("node", "id"), ("visit", "id")]
        here, there = meanings(self.site, unnumbered), meanings(self.central, unnumbered)
        assert {name: there[name] for name in here} == here

    def tombstones(self) -> int:
        with self.central.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(bookkeeping.tombstone)) or 0


@pytest.fixture(params=[("mariadb", "mariadb"), ("sqlite", "postgresql"), ("postgresql", "sqlite")], ids="-".join)
def scene(request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    with Workshop(new_database, tmp_path, *request.param) as workshop:
        yield Scene(workshop)


def test_rows_changed_and_deleted_long_ago_arrive_at_the_next_cycle(scene: Scene) -> None:
    scene.site.run(
        f"""UPDATE "reading" SET value = 0.25 WHERE "time" = '{moment(7)}'""",
        f"""UPDATE "reading" SET "time" = '2026-01-01 00:00:30.500000' WHERE "time" = '{moment(8)}'""",
        f"""DELETE FROM "reading" WHERE "time" = '{moment(9)}'""",
        """UPDATE "visit" SET who = 'x' WHERE id = 7""",
        """DELETE FROM "visit" WHERE id = 8""",
        """UPDATE "visit" SET id = 5000 WHERE id = 9""",
        """UPDATE "node" SET note = 'y' WHERE id = 11""",
    )
    outcome = scene.site.push_all(scene.store)
    assert {each.table: each.removed for each in outcome.tables} == {"node": 0, "reading": 2, "visit": 2}
    scene.check_equal()
    assert scene.tombstones() == 4
    assert scene.site.push_all(scene.store).sent == 0


def test_what_is_rolled_back_never_was(scene: Scene) -> None:
    with scene.site.engine.connect() as connection:
        connection.execute(sa.text(scene.site.spelt("""DELETE FROM "visit" WHERE id < 20""")))
        connection.rollback()
    outcome = scene.site.push_all(scene.store)
    assert outcome.sent == sum(each.removed for each in outcome.tables) == 0
    scene.check_equal()


def test_what_went_in_its_turn_is_not_sent_twice(scene: Scene) -> None:
    scene.site.insert("reading", ("time", "node", "value"), [(moment(n), 11, 1.0) for n in range(700, 750)])
    assert scene.site.push_all(scene.store).table("reading", "stream").sent == 50
    scene.check_equal()


def test_a_key_that_passes_to_another_row(scene: Scene) -> None:
    scene.site.run(
        """DELETE FROM "visit" WHERE id = 7""",
        f"""INSERT INTO "visit" VALUES (7, '{moment(900)}', 'v7')""",
        """DELETE FROM "visit" WHERE id = 20""",
        """UPDATE "visit" SET who = 'v20' WHERE id = 21""",
    )
    scene.site.push_all(scene.store)
    scene.check_equal()


def test_a_node_that_is_numbered_afresh_stays_what_it_is(scene: Scene) -> None:
    scene.site.run(
        """INSERT INTO "node" VALUES (13, 'roof', 'x')""",
        """UPDATE "reading" SET node = 13 WHERE node = 12""",
        """UPDATE "node" SET id = 22 WHERE id = 12""",
    )
    before = scene.central.rows("""SELECT id FROM "node" WHERE name = 'cellar'""")
    scene.site.push_all(scene.store)
    scene.check_equal()
    assert scene.central.rows("""SELECT id FROM "node" WHERE name = 'cellar'""") == before


def test_parents_go_behind_their_children(scene: Scene) -> None:
    scene.site.run(
        """DELETE FROM "reading" WHERE node = 12""",
        """DELETE FROM "node" WHERE id = 12""",
    )
    scene.site.push_all(scene.store)
    scene.check_equal()
    assert scene.tombstones() == 301


def test_a_table_whose_rows_cannot_be_deleted_stops_no_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = Wired.remove

    def refuse(self: Wired, request: Remove) -> Removed:
        if request.table == "visit":
            raise SchemaMismatch("central's table visit has changed")  # between the hello and now
        return remove(self, request)

    scene.site.run("""DELETE FROM "visit" WHERE id = 7""", f"""DELETE FROM "reading" WHERE "time" = '{moment(9)}'""")
    with monkeypatch.context() as patched:
        patched.setattr(Wired, "remove", refuse)
        outcome = scene.site.push(scene.store)
    assert (outcome.error, outcome.table("reading", "stream").removed) == (None, 1)
    assert outcome.table("visit", "stream").notes == ["central's table visit has changed"]
    assert scene.site.push_all(scene.store).table("visit", "stream").removed == 1
    scene.check_equal()


def test_a_table_that_is_meant_to_be_empty_holds_nothing_up(scene: Scene) -> None:
    scene.site.run('DELETE FROM "visit"', 'DELETE FROM "reading"', 'DELETE FROM "node"')
    assert "holds nothing any more" in (scene.site.push(scene.store).error or "")
    outcome = scene.site.push(scene.store, force=True)
    assert (outcome.error, sum(each.removed for each in outcome.tables)) == (None, 901)
    scene.site.push_all(scene.store)
    scene.check_equal()
    scene.site.run("""INSERT INTO "node" VALUES (11, 'attic', 'y')""")
    scene.site.insert("visit", ("id", "time", "who"), [(7, moment(1), "again")])
    scene.site.push_all(scene.store)
    scene.check_equal()


def test_what_cannot_be_deleted_yet_waits(scene: Scene) -> None:
    scene.central.run(
        'CREATE TABLE "keeper" (id ID, node INT NOT NULL, FOREIGN KEY (node) REFERENCES "node" (id))',
        """INSERT INTO "keeper" (node) SELECT id FROM "node" WHERE name = 'cellar'""",
    )
    scene.site.run("""DELETE FROM "reading" WHERE node = 12""", """DELETE FROM "node" WHERE id = 12""")
    for _ in range(2):
        (note,) = scene.site.push(scene.store).table("node", "entity").notes
        assert note.startswith("a row that is gone here cannot be deleted at central yet: ")
    scene.central.run('DELETE FROM "keeper"')
    assert scene.site.push_all(scene.store).table("node", "entity").removed == 1
    scene.check_equal()


class Session:
    """One of several that change the site at the same time; it sees only to it that its own statements make sense."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._rng = random.Random(seed)
        self._seed = seed
        self._next = 0

    def work(self, changes: int) -> int:
        """Returns how many statements were committed."""
        done = committed = 0
        while done < changes:
            count = self._rng.randint(1, 20)
            done += count
            committed += self._transaction(count)
        return committed

    def _transaction(self, count: int) -> int:
        """Some are rolled back; so are those that the database refuses, because another session was faster."""
        try:
            with writing(self._site.engine).connect() as connection, connection.begin() as transaction:
                for _ in range(count):
                    connection.exec_driver_sql(self._site.spelt(self._statement()).replace("%", "%%"))
                if self._rng.random() < 0.2:
                    transaction.rollback()
                    return 0
        except (sa.exc.IntegrityError, sa.exc.OperationalError):
            return 0
        return count

    def _statement(self) -> str:
        rng = self._rng
        node = f"""(SELECT min(id) FROM "node" WHERE id >= {rng.randint(1, 12)})"""
        self._next += 1
        fresh = self._seed * 100_000 + self._next
        when, other = moment(rng.randrange(2000)), moment(rng.randrange(2000))[:-6] + f"{fresh % 1000000:06}"
        return rng.choice(
            (
                f"""INSERT INTO "reading" ("time", node, value) SELECT '{other}', {node}, {rng.random()}""",
                f"""UPDATE "reading" SET value = {rng.random()} WHERE "time" = '{when}'""",
                f"""UPDATE "reading" SET "time" = '{other}' WHERE "time" = '{when}' AND node < 13""",
                f"""DELETE FROM "reading" WHERE "time" = '{when}'""",
                f"""INSERT INTO "visit" (id, "time", who) VALUES ({fresh}, '{when}', 'w{fresh}')""",
                f"""UPDATE "visit" SET who = 'u{fresh}' WHERE id = {rng.randint(1, 300)}""",
                f"""UPDATE "visit" SET id = {fresh} WHERE id = {rng.randint(1, 300)}""",
                f"""UPDATE "visit" SET "time" = '{when}' WHERE id = {rng.randint(1, 300)}""",
                f"""DELETE FROM "visit" WHERE id = {rng.randint(1, 300)}""",
                f"""INSERT INTO "node" VALUES ({fresh}, 'n{fresh}', 'new')""",
                f"""UPDATE "node" SET note = 'm{fresh}' WHERE id >= {rng.randint(1, fresh)} AND id < 13""",
                f"""UPDATE "node" SET name = 'o{fresh}' WHERE id = {fresh - rng.randint(1, 40)}""",
                f"""UPDATE "node" SET id = {fresh} WHERE id = {fresh - rng.randint(1, 40)}""",
                f"""DELETE FROM "node" WHERE id = {fresh - rng.randint(1, 40)}""",
            )
        )


def test_four_sessions_at_random(scene: Scene) -> None:
    changes = 1200 if scene.site.dialect == "mariadb" else 400  # of each session
    with ThreadPoolExecutor(max_workers=4) as pool:
        sessions = [pool.submit(Session(scene.site, seed).work, changes) for seed in range(1, 5)]
        while not all(session.done() for session in sessions):
            outcome = scene.site.push(scene.store)
            assert outcome.error is None, outcome.error
        assert sum(session.result() for session in sessions) > changes / 2
    for _ in range(2):
        scene.site.push_all(scene.store)
    scene.check_equal()
    assert scene.tombstones() > changes / 25
    tables = scene.site.push_all(scene.store).tables
    assert [each for each in tables if each.sent or each.removed] == []
