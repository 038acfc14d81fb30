"""Rows that come behind the checkpoint, or change there, arrive at the next cycle; what did not change is not sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from pusher.job import Outcome
from pusher.transport.central import Central
from pusher.wire.batch import Batch
from pusher.wire.messages import Receipt
from tests.conftest import DIALECTS, NewDatabase
from tests.inprocess import Site, Workshop
from tests.wired import Wired

_NODE = 'CREATE TABLE "node" (id ID, name VARCHAR(20) NOT NULL UNIQUE)'
_READING = """CREATE TABLE "reading" ("time" MOMENT NOT NULL, node INT NOT NULL, value REAL64,
    PRIMARY KEY ("time", node), FOREIGN KEY (node) REFERENCES "node" (id))"""
_VISIT = 'CREATE TABLE "visit" (id ID, who VARCHAR(20))'
_TABLES = (_NODE, _READING, _VISIT)
_DAY = dt.datetime(2026, 5, 1, 12)


def spelt(moment: dt.datetime) -> str:
    """As pusher spells it at central, so that SQLite, to which it is a text, compares well."""
    return moment.isoformat(" ", "microseconds")


class Counting(Wired):
    """Central, and the batches that came to it."""

    def __init__(self, central: Central) -> None:
        super().__init__(central)
        self.batches: list[Batch] = []

    def push(self, batch: Batch) -> Receipt:
        self.batches.append(batch)
        return super().push(batch)


class Scene:
    def __init__(self, workshop: Workshop, tables: str = "") -> None:
        self.central = workshop.central
        self.central.run(*_TABLES)
        self.site: Site = workshop.site("site", *_TABLES, tables=tables, pushlimit=50)
        self.site.run("INSERT INTO \"node\" VALUES (1, 'one'), (2, 'two')")
        self.store = Counting(workshop.store)

    def read(self, *moments: dt.datetime, node: int = 1, value: float = 0.5) -> None:
        rows = [(spelt(moment), node, value) for moment in moments]
        self.site.insert("reading", ("time", "node", "value"), rows)

    def push(self) -> Outcome:
        self.store.batches.clear()
        return self.site.push_all(self.store)

    def assert_equal(self) -> None:
        for query in ('SELECT "time", node, value FROM "reading" ORDER BY 1, 2', 'SELECT who FROM "visit" ORDER BY 1'):
            assert self.site.rows(query) == self.central.rows(query)

    def arrives(self) -> int:
        """All is at central after one cycle, and nothing is sent in the next. How many rows went."""
        sent = self.push().sent
        self.assert_equal()
        assert self.push().sent == 0
        assert self.store.batches == []
        return sent


@pytest.fixture(params=DIALECTS)
def workshop(request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path) -> Iterator[Workshop]:
    with Workshop(new_database, tmp_path, request.param) as workshop:
        yield workshop


@pytest.fixture
def scene(workshop: Workshop) -> Scene:
    """A site that pushed an hour and a half of readings, one a minute."""
    scene = Scene(workshop)
    scene.read(*(_DAY + dt.timedelta(minutes=minute) for minute in range(90)))
    assert scene.arrives() == 92
    return scene


LAST = _DAY + dt.timedelta(minutes=89)


def test_a_late_row_within_the_window(scene: Scene) -> None:
    scene.read(LAST - dt.timedelta(seconds=90))
    assert scene.arrives() <= 11  # with its neighbours in ten minutes


def test_a_late_row_from_before_the_window(scene: Scene) -> None:
    scene.read(_DAY + dt.timedelta(seconds=90))
    assert scene.arrives() == 11


def test_a_late_row_from_before_everything(scene: Scene) -> None:
    scene.read(_DAY - dt.timedelta(days=3650), _DAY - dt.timedelta(days=1))
    assert scene.arrives() <= 12


def test_where_counting_is_slow_it_is_not_done_in_each_cycle(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pusher.push.late._SLOW_COUNT_SECONDS", 0.0)
    monkeypatch.setattr("pusher.push.late._COUNT_REST", 1e6)
    scene.read(_DAY + dt.timedelta(seconds=90))
    assert scene.push().sent == 0
    monkeypatch.setattr("pusher.push.late._COUNT_REST", 0.0)
    assert scene.arrives() == 11


def test_late_rows_of_a_node_that_central_does_not_know_yet(scene: Scene) -> None:
    scene.site.run("INSERT INTO \"node\" VALUES (3, 'three')")
    scene.read(_DAY, LAST, node=3)
    assert scene.arrives() <= 23


def test_a_tied_row_that_sorts_before_the_checkpoint(scene: Scene) -> None:
    scene.read(LAST + dt.timedelta(minutes=1), node=2)
    assert scene.arrives() == 1
    scene.read(LAST + dt.timedelta(minutes=1), node=1)
    assert scene.arrives() <= 2


def test_a_row_updated_within_the_window(scene: Scene) -> None:
    scene.site.run(f'UPDATE "reading" SET value = 7 WHERE "time" = \'{spelt(LAST - dt.timedelta(minutes=30))}\'')
    assert scene.arrives() == 10


def test_a_late_row_and_newer_ones(scene: Scene) -> None:
    scene.read(LAST - dt.timedelta(seconds=90), LAST + dt.timedelta(minutes=1))
    assert scene.arrives() <= 12


def test_many_late_rows_in_more_than_one_batch(scene: Scene) -> None:
    scene.read(*(_DAY + dt.timedelta(seconds=second) for second in range(1, 5400, 7) if second % 60))
    assert scene.arrives() >= 760
    assert scene.push().sent == 0


def test_a_row_that_a_wrong_clock_dated_in_the_future_holds_nothing_up(scene: Scene) -> None:
    now = dt.datetime.now().replace(microsecond=0)
    scene.read(now + dt.timedelta(days=1), now.replace(year=now.year + 10, day=1))
    assert scene.arrives() == 2
    scene.read(LAST + dt.timedelta(minutes=1))
    assert scene.arrives() == 1
    scene.read(now + dt.timedelta(days=2))
    assert 1 <= scene.arrives() <= 2


def test_a_clock_that_was_wrong_while_pushing_holds_nothing_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ahead(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Ahead:
            return cls(2090, 1, 1, tzinfo=tz)

    with monkeypatch.context() as patch:
        patch.setattr("pusher.push.horizon.dt.datetime", Ahead)
        scene.read(dt.datetime(2089, 12, 31))
        assert scene.push().sent == 1
    scene.read(LAST + dt.timedelta(minutes=1), LAST - dt.timedelta(days=2))
    assert scene.arrives() <= 12
    now = dt.datetime.now().replace(microsecond=0) - dt.timedelta(minutes=30)
    scene.read(now)
    assert scene.arrives() == 1
    scene.site.run(f'UPDATE "reading" SET value = 7 WHERE "time" = \'{spelt(now)}\'')
    assert scene.arrives() == 1  # it was changed within the window before now
    scene.read(LAST + dt.timedelta(minutes=2))
    assert scene.arrives() <= 12


def test_a_row_is_left_alone_until_it_has_settled(workshop: Workshop) -> None:
    scene = Scene(workshop, tables="[table reading]\nsettle = 1 hour")
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    scene.read(_DAY, now - dt.timedelta(minutes=61), now - dt.timedelta(minutes=59), now)
    assert scene.push().sent == 4  # two nodes, and two readings that have settled
    scene.site.config.write_text(scene.site.config.read_text().replace("settle = 1 hour", "settle = 0"))
    assert scene.arrives() >= 2


def test_without_a_window_an_update_is_not_looked_for(workshop: Workshop) -> None:
    scene = Scene(workshop, tables="[table reading]\nlookback = 0")
    scene.read(_DAY, LAST)
    assert scene.arrives() == 4
    scene.site.run('UPDATE "reading" SET value = 7')
    assert scene.push().sent == 0
    scene.read(_DAY + dt.timedelta(seconds=1))
    assert scene.push().sent == 2


def test_a_number_given_earlier_but_committed_later(scene: Scene) -> None:
    scene.site.insert("visit", ("id", "who"), [(number, f"v{number}") for number in range(2, 3000, 2)])
    assert scene.arrives() == 1499
    scene.site.insert("visit", ("id", "who"), [(2991, "late")])
    assert scene.arrives() <= 1001
    scene.site.insert("visit", ("id", "who"), [(1, "very late")])
    assert scene.arrives() <= 501


def test_what_the_operator_skipped_stays_skipped(scene: Scene) -> None:
    scene.read(LAST + dt.timedelta(minutes=1), LAST + dt.timedelta(days=1))
    scene.site.set_lastupdate((LAST + dt.timedelta(hours=12)).isoformat(" "))
    assert scene.push().sent == 1
    assert len(scene.central.rows('SELECT * FROM "reading"')) == 91
    scene.read(LAST + dt.timedelta(minutes=2))
    assert scene.push().sent == 0
    scene.site.set_lastupdate(LAST.isoformat(" "))
    scene.push()
    scene.assert_equal()


def test_rows_that_the_site_deletes_stay_at_central_and_cost_nothing(scene: Scene) -> None:
    scene.site.run(f'DELETE FROM "reading" WHERE "time" < \'{LAST - dt.timedelta(minutes=75)}\'')
    scene.push()
    assert scene.push().sent == 0
    assert len(scene.central.rows('SELECT * FROM "reading"')) == 90
