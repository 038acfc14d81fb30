"""Sends the streams: one batch on the line while the next is read, checkpoints behind the receipts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pusher.job import Outcome, Progress
from pusher.ledger import Ledger
from pusher.push.identity import IdentityMap, local_key, missing_parent, wire_rows
from pusher.push.source import Page, Source, moment_of
from pusher.schema.plan import TablePlan
from pusher.transport.central import Central
from pusher.wire import PROTOCOL
from pusher.wire.batch import Batch, Cursor, pack
from pusher.wire.fingerprint import fingerprint
from pusher.wire.messages import Receipt
from pusher.wire.tables import RowSet


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A batch on the line, with the site's own rows behind it."""

    table: TablePlan
    batch: Batch
    rows: RowSet
    receipt: Future[Receipt]


@dataclass(kw_only=True)
class Position:
    """Where a stream stands. `drained`: nothing waited behind the cursor when it was last read."""

    table: TablePlan
    cursor: Cursor | None
    sequence: int
    drained: bool = False


class Streams:
    """Sends streams one after the other over one connection to central."""

    def __init__(
        self,
        *,
        outcome: Outcome,
        site: str,
        epoch: str,
        batch_rows: int,
        source: Source,
        central: Central,
        ledger: Ledger,
        identities: IdentityMap,
        progress: Progress,
        acknowledged: Callable[[], None],
    ) -> None:
        self._outcome = outcome
        self._site = site
        self._epoch = epoch
        self._batch_rows = batch_rows
        self._source = source
        self._central = central
        self._ledger = ledger
        self._identities = identities
        self._progress = progress
        self._acknowledged = acknowledged
        self._held_before = set(ledger.held(outcome.location))

    def send(self, position: Position) -> None:
        """Sends all rows behind `position`, moving it on with every receipt.

        Raises what `Central` and `Source` raise; what was acknowledged until then stays so.
        """
        table, read_from, sequence = position.table, position.cursor, position.sequence
        on_the_line: Sent | None = None
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="send") as line:
            while page := self._source.page(table, read_from, self._batch_rows):
                batch, rows = self._prepare(table, page, sequence + 1)
                if on_the_line:
                    self._settle(position, on_the_line)
                on_the_line = Sent(table=table, batch=batch, rows=rows, receipt=line.submit(self._central.push, batch))
                read_from, sequence = page.last, sequence + 1
                if len(page.rows) < self._batch_rows:
                    break
            if on_the_line:
                self._settle(position, on_the_line)
        position.drained = True

    def _prepare(self, table: TablePlan, page: Page, sequence: int) -> tuple[Batch, RowSet]:
        """The batch of a page; rows whose parent central cannot have are held back from it."""
        mapped = self._identities.translate(table, page.rows)
        local, rows = page.rows, mapped.rows
        if mapped.missing:
            self._hold(
                table,
                [(local_key(table, local, i), missing_parent(local, i, links)) for i, links in mapped.missing.items()],
            )
            kept = [i for i in range(len(local)) if i not in mapped.missing]
            local, rows = local.take(kept), rows.take(kept)
        sent = wire_rows(table, rows)
        batch = Batch(
            protocol=PROTOCOL,
            site=self._site,
            epoch=self._epoch,
            table=table.central_name,
            sequence=sequence,
            key=table.to_central(table.key),
            origin=None if table.key else local.tuples(table.identity),
            first=page.first,
            last=page.last,
            fingerprint=fingerprint(table.central_columns(table.sent), sent),
            rows=pack(tuple(table.local.column(name).kind for name in table.sent), sent),
        )
        return batch, local

    def _settle(self, position: Position, sent: Sent) -> None:
        """Waits for the receipt; only then moves the checkpoint."""
        receipt = sent.receipt.result()
        table = sent.table
        if receipt.refused:
            self._hold(table, [(local_key(table, sent.rows, each.index), each.reason) for each in receipt.refused])
        if table.name in self._held_before:
            self._release(table, sent.rows, {each.index for each in receipt.refused})
        self._ledger.advance(self._outcome.location, table.name, sent.batch.last)
        position.cursor, position.sequence = sent.batch.last, sent.batch.sequence
        entry = self._outcome.table(table.name, table.role)
        entry.sent += receipt.rows
        entry.stored += receipt.stored
        entry.upto = moment_of(table, sent.batch.last)
        self._progress.advance(table.name, len(sent.rows))
        self._acknowledged()

    def _release(self, table: TablePlan, rows: RowSet, refused: set[int]) -> None:
        """Central has these rows now, whatever it said before."""
        taken = [local_key(table, rows, i) for i in range(len(rows)) if i not in refused]
        self._ledger.release(self._outcome.location, table.name, taken)

    def _hold(self, table: TablePlan, rows: Iterable[tuple[str, str]]) -> None:
        held = list(rows)
        self._ledger.hold(
            self._outcome.location, table.name, held, dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        )
        self._outcome.table(table.name, table.role).held += len(held)
