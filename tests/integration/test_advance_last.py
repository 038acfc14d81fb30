"""Nothing moves a checkpoint before central has acknowledged the batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pusher.config import load
from pusher.errors import CentralUnreachable
from pusher.ledger import Checkpoint, Ledger
from pusher.transport.central import Central
from pusher.wire.batch import Batch
from pusher.wire.messages import Receipt
from tests.conftest import NewDatabase
from tests.inprocess import Site, Workshop
from tests.wired import Wired

_READING = "CREATE TABLE reading (at MOMENT NOT NULL PRIMARY KEY, value INT NOT NULL)"
_NOTE = "CREATE TABLE note (id ID, at MOMENT NOT NULL, value INT NOT NULL)"
_ROWS = 35
_BATCH_ROWS = 10


class Failing(Wired):
    """Central whose answer to one batch gets lost, before or after it was stored."""

    def __init__(self, central: Central, number: int, *, stored: bool) -> None:
        super().__init__(central)
        self._left = number
        self._stored = stored

    def push(self, batch: Batch) -> Receipt:
        self._left -= 1
        if self._left == 0:
            if self._stored:
                super().push(batch)
            raise CentralUnreachable("the line was cut")
        return super().push(batch)


def moment(number: int) -> str:
    return f"2026-01-01 00:{number:02}:00.000000"


@pytest.fixture
def workshop(new_database: NewDatabase, tmp_path: Path) -> Iterator[Workshop]:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(_READING, _NOTE)
        yield workshop


@pytest.fixture
def site(workshop: Workshop) -> Site:
    site = workshop.site("north", _READING, _NOTE, pushlimit=_BATCH_ROWS)
    site.insert("reading", ("at", "value"), [(moment(number), number) for number in range(_ROWS)])
    site.insert("note", ("at", "value"), [(moment(number), number) for number in range(_ROWS)])
    return site


def acknowledged(site: Site, table: str) -> tuple[Checkpoint | None, int]:
    """The site's checkpoint, and how many rows it believes to have arrived."""
    with Ledger(load(site.config).general.state) as ledger:
        blocks = ledger.blocks("central", table)
        return ledger.checkpoints("central").get(table), sum(block.count for block in blocks.values())


@pytest.fixture(autouse=True)
def batches_wait_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one before them, which does not come."""
    monkeypatch.setattr("pusher.central.store.PAUSES", (0.01, 0.1))


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_batch_without_a_receipt_moves_nothing(workshop: Workshop, site: Site, number: int, stored: bool) -> None:
    outcome = site.push(Failing(workshop.store, number, stored=stored))
    assert outcome.error == "the line was cut" and outcome.exit_code == 3
    arrived = {"note": min(number - 1, 4), "reading": max(number - 5, 0)}
    for table, batches in arrived.items():
        rows = min(batches * _BATCH_ROWS, _ROWS)
        checkpoint, known = acknowledged(site, table)
        assert known == rows
        assert (checkpoint.cursor if checkpoint else None) == (
            None if not rows else (moment(rows - 1), rows) if table == "note" else (moment(rows - 1),)
        )
    assert load(site.config).locations[0].lastupdate == (moment(rows - 1)[:19] if number > 5 else None)
    site.push_all(workshop.store)
    for table in arrived:
        query = f"SELECT at, value FROM {table} ORDER BY at"
        assert workshop.central.rows(query) == site.rows(query)
