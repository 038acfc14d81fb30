"""Sends the streams: two batches on the line while the next is read, checkpoints behind the receipts."""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pusher.errors import SequenceConflict
from pusher.held import Fault, Kind, Quarantine
from pusher.job import Outcome, Progress
from pusher.ledger import Ledger
from pusher.push.identity import IdentityMap
from pusher.push.mapping import local_key
from pusher.push.pace import Pace
from pusher.push.position import Position
from pusher.push.prepare import Prepared, prepared
from pusher.push.source import Source, moment_of
from pusher.schema.keyset import Place
from pusher.schema.paging import Page
from pusher.schema.plan import TablePlan
from pusher.transport.central import Central
from pusher.wire import PROTOCOL
from pusher.wire.batch import Batch, pack, unpack_cursor
from pusher.wire.blocks import Start, Tally, block_of
from pusher.wire.fingerprint import Fingerprint
from pusher.wire.messages import Receipt, Refusal
from pusher.wire.tables import RowSet

_ON_THE_LINE = 2  # batches: while central stores one, it takes the next one apart


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A batch on the line, with the site's own rows behind it."""

    table: TablePlan
    batch: Batch
    rows: RowSet
    blocks: dict[Start, Fingerprint]
    receipt: Future[Receipt]
    first: bool  # no other was on the line before it


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
        self._location = outcome.location
        self._site = site
        self._epoch = epoch
        self._batch_rows = batch_rows
        self._paces: dict[str, Pace] = {}
        self._source = source
        self._central = central
        self._ledger = ledger
        self._identities = identities
        self._progress = progress
        self._acknowledged = acknowledged
        self._quarantine = Quarantine(ledger, outcome.location)
        self._held_before = set(self._quarantine.counts())

    def send(self, position: Position) -> None:
        """Sends all rows from `position` to its horizon, moving it on with every receipt.

        Raises what `Central` and `Source` raise; what was acknowledged until then stays so.
        """
        base = None
        if position.cursor and position.in_blocks:
            start = block_of(unpack_cursor(position.cursor)[0])
            # What stands in the midst of a block would count some of its rows twice: there the note stays as it was.
            base = {start: None if position.moved else self._ledger.block(self._location, position.table.name, start)}
        pace = self._pace(position.table)
        pages = self._source.pages(position.table, position.cursor, position.horizon.upto, pace.rows)
        self._send(position, pages, Tally(base), moves=True)
        position.drained = True

    def send_again(self, position: Position, low: Place, high: Place) -> None:
        """Sends the rows from `low` to `high`, which lie behind the checkpoint or far ahead of it: it does not move."""
        table = position.table
        self._progress.expect(table.name, self._source.count(table, low, high))
        entry = self._outcome.table(table.name, table.role)
        before = entry.sent
        pages = self._source.pages(table, low, high, self._pace(table).rows)
        try:
            self._send(position, pages, Tally(), moves=False)
        finally:
            entry.late += entry.sent - before

    def send_rows(self, position: Position, rows: RowSet) -> None:
        """Sends some rows of a stream once more; what is noted of its blocks stays."""
        prepared = self._prepare(position.table, rows)
        if not len(prepared.local):
            self._hold(position.table, prepared.faults)
            return
        place = position.cursor or ()
        self._send(position, [Page(rows=rows, first=place, last=place, values=[])], Tally(), moves=False)

    def _send(self, position: Position, pages: Iterable[Page], tally: Tally, *, moves: bool) -> None:
        sequence = position.sequence
        line: deque[Sent] = deque()
        with ThreadPoolExecutor(max_workers=_ON_THE_LINE, thread_name_prefix="send") as senders:
            for page in pages:
                sequence += 1
                batch, rows, blocks = self._batch(position, page, sequence, tally, moves=moves)
                if len(line) == _ON_THE_LINE:
                    self._settle(position, line.popleft())
                receipt = senders.submit(self._push, batch, self._pace(position.table), len(page.rows))
                line.append(
                    Sent(
                        table=position.table,
                        batch=batch,
                        rows=rows,
                        blocks=blocks,
                        receipt=receipt,
                        first=not line,
                    )
                )
            while line:
                self._settle(position, line.popleft())

    def _pace(self, table: TablePlan) -> Pace:
        return self._paces.setdefault(table.name, Pace(self._batch_rows))

    def _push(self, batch: Batch, pace: Pace, rows: int) -> Receipt:
        began = time.monotonic()
        receipt = self._central.push(batch)
        pace.took(time.monotonic() - began - receipt.waited_seconds, rows)
        return receipt

    def hashes(self, table: TablePlan, rows: RowSet) -> list[bytes]:
        """Of each row as it would be sent now; empty for one that cannot be."""
        return self._prepare(table, rows).hashes

    def _prepare(self, table: TablePlan, rows: RowSet) -> Prepared:
        return prepared(table, rows, self._identities.translate(table, rows))

    def _batch(
        self, position: Position, page: Page, sequence: int, tally: Tally, *, moves: bool
    ) -> tuple[Batch, RowSet, dict[Start, Fingerprint]]:
        """The next batch, the site's own rows behind it, and the blocks as they are with it."""
        table = position.table
        prepared = self._prepare(table, page.rows)
        if prepared.faults:
            self._hold(table, prepared.faults)
        before = tally.before(page.values[0]) if moves and position.in_blocks else None
        batch = Batch(
            protocol=PROTOCOL,
            site=self._site,
            epoch=self._epoch,
            table=table.central_name,
            sequence=sequence,
            key=table.to_central(table.key),
            origin=None if table.key else prepared.local.tuples(table.identity),
            first=page.first,
            last=page.last if moves else position.cursor or (),
            fingerprint=prepared.fingerprint,
            cursor=position.central_cursor,
            before=before,
            rows=pack(tuple(table.local.column(name).kind for name in table.sent), prepared.sent),
        )
        blocks = tally.add(page.values, prepared.hashes) if position.in_blocks else {}
        return batch, prepared.local, blocks

    def _settle(self, position: Position, sent: Sent) -> None:
        """Waits for the receipt; only then moves the checkpoint."""
        receipt = self._receipt(sent)
        table = sent.table
        if receipt.refused:
            self._hold(table, [_fault(table, sent.rows, each) for each in receipt.refused])
        if table.name in self._held_before:
            self._release(table, sent.rows, {each.index for each in receipt.refused})
        cursor = sent.batch.last or None
        self._ledger.advance(self._location, table.name, cursor, sent.batch.sequence, sent.blocks)
        position.cursor, position.sequence = cursor, sent.batch.sequence
        entry = self._outcome.table(table.name, table.role)
        entry.sent += receipt.rows
        entry.stored += receipt.stored
        entry.upto = moment_of(table, cursor) if cursor else None
        self._progress.advance(table.name, len(sent.rows))
        self._acknowledged()

    def _receipt(self, sent: Sent) -> Receipt:
        try:
            return sent.receipt.result()
        except SequenceConflict:
            if sent.first:
                raise
            return self._central.push(sent.batch)  # central waited in vain for the one before, which it has by now

    def _release(self, table: TablePlan, rows: RowSet, refused: set[int]) -> None:
        """Central has these rows now, whatever it said before."""
        taken = [local_key(table, rows, i) for i in range(len(rows)) if i not in refused]
        self._quarantine.release(table.name, taken)

    def _hold(self, table: TablePlan, faults: list[Fault]) -> None:
        self._quarantine.hold(table.name, faults, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))


def _fault(table: TablePlan, rows: RowSet, refusal: Refusal) -> Fault:
    kind = Kind.CONFLICT if refusal.owner else Kind.REFUSED
    return Fault(local_key=local_key(table, rows, refusal.index), reason=refusal.reason, kind=kind)
