"""Two batches of a stream are on the line at once: whichever comes first, they are stored in their order."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from msgspec import structs

from models import Node, Reading, bookkeeping
from pusher.central.rows import Target
from pusher.errors import SequenceConflict
from pusher.wire.batch import Batch
from pusher.wire.messages import Receipt
from tests.contract.conftest import Stage
from tests.contract.site import Site
from tests.contract.ways import WAYS, rest, store

VALUES = sa.select(Reading.time, Reading.value).order_by(Reading.time)
SEQUENCES = sa.select(bookkeeping.batch.c.sequence).order_by(bookkeeping.batch.c.applied, bookkeeping.batch.c.sequence)

# In this process, so that it can be told to wait less.
_STORES = [way for way in WAYS if way[0] is store]

Push = Callable[[Batch], Future[Receipt]]


@pytest.fixture
def push(site: Site) -> Push:
    """Pushes a batch in the background."""
    senders = ThreadPoolExecutor(max_workers=4)
    return lambda batch: senders.submit(site.central.push, batch)


def kept(answer: Future[Receipt]) -> Receipt:
    """The receipt as central keeps it: how long it took to get is said beside it."""
    return structs.replace(answer.result(), waited_seconds=0.0)


def values(stage: Stage) -> list[float]:
    return [value for _, value in stage.rows(VALUES)]


def test_the_second_batch_waits_for_the_first(stage: Stage, site: Site, push: Push) -> None:
    later = push(site.readings(2, 2))
    time.sleep(0.3)
    assert not later.done()
    assert site.central.push(site.readings(1, 1)).sequence == 1
    assert kept(later) == Receipt(sequence=2, rows=1, stored=1, refused=[])
    assert len(values(stage)) == 2


@pytest.mark.parametrize("way", [way for way in WAYS if way[0] is rest], indirect=True)
def test_a_receipt_says_how_long_the_batch_had_to_wait(site: Site, push: Push) -> None:
    """A site that took this for a slow line would send ever smaller batches to a busy central."""
    later = push(site.readings(2, 2))
    time.sleep(0.5)
    assert site.central.push(site.readings(1, 1)).waited_seconds < 0.2
    assert 0.2 < later.result().waited_seconds < 5


def test_pairs_in_the_wrong_order_are_stored_in_the_right_one(stage: Stage, site: Site, push: Push) -> None:
    site.central.push(site.readings(1, 0))
    for sequence in range(2, 12, 2):
        later = push(site.readings(sequence + 1, *range(sequence, sequence + 3), value=sequence + 1.0))
        time.sleep(0.02)
        earlier = push(site.readings(sequence, *range(sequence, sequence + 3), value=float(sequence)))
        assert (earlier.result().stored, later.result().stored) == (3, 3)
    assert [sequence for (sequence,) in stage.rows(SEQUENCES)] == list(range(1, 12))
    assert values(stage) == [0.5, *(float(minute // 2 * 2 + 1) for minute in range(2, 12)), 11.0]
    assert site.hello().checkpoints["Reading"].sequence == 11


def test_a_batch_that_waits_and_comes_again_counts_once(stage: Stage, site: Site, push: Push) -> None:
    site.central.push(site.readings(1, 1))
    twice = [push(site.readings(3, 3)) for _ in range(2)]
    time.sleep(0.1)
    site.central.push(site.readings(2, 2))
    assert kept(twice[0]) == kept(twice[1])
    assert len(values(stage)) == 3
    marks = bookkeeping.checkpoint
    assert stage.rows(sa.select(marks.c.rows_total).where(marks.c.table_name == "Reading")) == [(3,)]


@pytest.mark.parametrize("way", _STORES, indirect=True)
def test_a_batch_whose_predecessor_does_not_come_leaves_nothing(
    stage: Stage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.central.push(site.readings(1, 1))
    monkeypatch.setattr("pusher.central.store.PAUSES", (0.01, 0.01))
    with pytest.raises(SequenceConflict) as caught:
        site.central.push(site.readings(3, 3))
    assert caught.value.expected == 2
    assert len(values(stage)) == 1


@pytest.mark.parametrize("way", [(store, "mariadb")], indirect=True)
def test_the_rows_are_written_before_their_turn_but_not_committed(stage: Stage, site: Site, push: Push) -> None:
    """Shown by the one database that lets others see what is not committed yet."""
    site.central.push(site.readings(1, 1))
    later = push(site.readings(3, 3))
    uncommitted = stage.engine.execution_options(isolation_level="READ UNCOMMITTED")
    with uncommitted.connect() as connection:
        until = time.monotonic() + 5
        while connection.scalar(sa.select(sa.func.count()).select_from(Reading)) != 2:
            assert time.monotonic() < until
    assert len(values(stage)) == 1
    site.central.push(site.readings(2, 2))
    assert later.result().stored == 1


def test_without_one_of_the_parents_each_row_is_looked_at(stage: Stage, site: Site) -> None:
    """Of so many rows the parents are looked up once, and MariaDB is told not to look them up again."""
    rows = [(f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00", 1, 0, 0.5) for minute in range(300)]
    names, key = ("time", "nodeId", "type", "value"), ("time", "nodeId", "type")
    assert site.central.push(site.batch("Reading", 1, names, rows, key=key)).stored == 300
    rows[7] = (rows[7][0], 99, 0, 0.5)
    receipt = site.central.push(site.batch("Reading", 2, names, rows, key=key))
    assert [refusal.index for refusal in receipt.refused] == [7]
    few = site.central.push(site.batch("Reading", 3, names, [(rows[0][0], 98, 0, 0.5)], key=key))
    assert [refusal.index for refusal in few.refused] == [0]  # on the connection of the others, most likely


@pytest.mark.parametrize("way", [(store, "mariadb")], indirect=True)
def test_a_parent_stays_as_long_as_its_children_are_written(stage: Stage, site: Site) -> None:
    table = site.table("Reading")
    names, key = ("time", "nodeId", "type", "value"), ("time", "nodeId", "type")
    rows = [(f"2026-01-01 {minute // 60:02}:{minute % 60:02}:00", 2, 0, 0.5) for minute in range(300)]
    with ThreadPoolExecutor(max_workers=1) as other:
        with stage.engine.begin() as connection:
            target = Target(connection=connection, dialect="mariadb", table=table, referenced=False)
            assert target.upsert(names, key, rows) == {}
            assert connection.exec_driver_sql("SELECT @@foreign_key_checks").scalar() == 1
            deleting = other.submit(stage.execute, sa.delete(Node).where(Node.id == 2))
            time.sleep(0.3)
            assert not deleting.done()
        assert isinstance(deleting.exception(), sa.exc.IntegrityError)
