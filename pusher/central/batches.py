"""Takes one batch in one transaction: its number, its rows, what is noted of their blocks, and its receipt.

Two batches of one stream may be written side by side. But each is committed behind the one before it, so whatever ends
central in between, it holds the batches up to one of them, and nothing of those behind.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from models import bookkeeping
from pusher.central.blocks import BlockNotes
from pusher.central.owners import Ownership, is_undisputed
from pusher.central.resolve import Resolution
from pusher.central.rows import Target, can_upsert
from pusher.central.sites import last_sequence, lock, utc_now
from pusher.errors import SequenceConflict
from pusher.wire.batch import Batch
from pusher.wire.messages import Receipt, Refusal
from pusher.wire.tables import RowSet, Table

_LOOK_SECONDS = 0.005
_LEAST_PATIENCE_SECONDS = 0.5


class OutOfTurn(Exception):
    """The batch before this one is not there: nothing is written, and it may be tried again."""


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A batch whose form has been checked. `hashes`: of its rows, one each."""

    batch: Batch
    table: Table
    rows: RowSet
    hashes: Sequence[bytes]


def apply(target: Target, arrived: Arrived) -> Receipt:
    """Stores a batch whose turn it is; a repeat gets the stored receipt. Raises SequenceConflict."""
    repeat = _claim(target.connection, arrived)
    return repeat or _finish(target, arrived, _write(target, arrived.batch, arrived.rows))


def apply_ahead(target: Target, arrived: Arrived) -> Receipt:
    """Stores a batch while the one before it may still be being stored by somebody else, and waits for that one's end.

    Raises OutOfTurn if that does not come, or if the batch has to be written in its turn.
    """
    began = time.monotonic()
    batch, connection = arrived.batch, target.connection
    if not is_undisputed(target, batch.site, batch.key, arrived.rows):
        raise OutOfTurn
    refused = _write(target, batch, arrived.rows)
    # The other one writes as much, but may be waiting for a row that this one has written.
    until = time.monotonic() + max(_LEAST_PATIENCE_SECONDS, 2 * (time.monotonic() - began))
    while known_sequence(connection, arrived) != batch.sequence - 1:
        if time.monotonic() > until:
            raise OutOfTurn
        time.sleep(_LOOK_SECONDS)
    if _claim(connection, arrived):
        raise OutOfTurn  # it came twice, and the other one was quicker
    return _finish(target, arrived, refused)


def goes_ahead(dialect: str, arrived: Arrived) -> bool:
    """Whether a batch can be written before its turn: by keys of its own, in a database with more than one writer."""
    batch = arrived.batch
    return dialect != "sqlite" and _is_upserted(dialect, arrived.table, batch, arrived.rows)


def known_sequence(connection: sa.Connection, arrived: Arrived) -> int:
    """The last batch of its stream that is committed, 0 if there is none."""
    batch, marks = arrived.batch, bookkeeping.checkpoint
    mine = (marks.c.site == batch.site, marks.c.table_name == arrived.table.name)
    row = connection.execute(sa.select(marks.c.epoch, marks.c.sequence).where(*mine)).one_or_none()
    if row and row.epoch == batch.epoch:
        return int(row.sequence)
    return last_sequence(connection, batch.site, batch.epoch, arrived.table.name)


def _finish(target: Target, arrived: Arrived, refused: Sequence[Refusal]) -> Receipt:
    """What is noted of a batch whose rows are written."""
    batch, rows, table = arrived.batch, arrived.rows, arrived.table
    receipt = Receipt(
        sequence=batch.sequence,
        rows=len(rows),
        stored=len(rows) - len(refused),
        refused=sorted(refused, key=lambda each: each.index),
    )
    if batch.cursor is not None:
        values, hashes = rows.column(batch.cursor), arrived.hashes
        if refused:
            gone = {each.index for each in refused}
            kept = [i for i in range(len(rows)) if i not in gone]
            values, hashes = [values[i] for i in kept], [hashes[i] for i in kept]
        notes = BlockNotes(target.connection, batch.site, table.name, table.column(batch.cursor))
        notes.add(values, hashes, batch.before)
    _record(target.connection, batch, table.name, receipt)
    return receipt


def _write(target: Target, batch: Batch, rows: RowSet) -> list[Refusal]:
    if not _is_upserted(target.dialect, target.table, batch, rows):
        return _resolve(target, batch, rows)
    bound, refused = target.parameters(rows)
    storable: Sequence[int] = range(len(rows))
    refusals = [Refusal(index=i, reason=reason) for i, reason in refused.items()]
    if refused:
        storable = [i for i in storable if i not in refused]
        rows, bound = rows.take(storable), [bound[i] for i in storable]
    owned = Ownership(target=target, site=batch.site, key=batch.key, rows=rows, bound=bound)
    mine: Sequence[int] = range(len(rows))
    if owned.foreign or owned.same:
        mine = [place for place in mine if place not in owned.foreign and place not in owned.same]
        bound = [bound[i] for i in mine]
    faults = target.upsert(rows.names, batch.key, bound)
    owned.note(place for at, place in enumerate(mine) if at not in faults)
    refusals += [Refusal(index=storable[mine[at]], reason=reason) for at, reason in faults.items()]
    return refusals + [_conflict(storable[place], owner) for place, owner in owned.foreign.items()]


def _is_upserted(dialect: str, table: Table, batch: Batch, rows: RowSet) -> bool:
    return batch.origin is None and can_upsert(dialect, table, rows.names, batch.key)


def _claim(connection: sa.Connection, arrived: Arrived) -> Receipt | None:
    """Locks the checkpoint and checks the sequence; the stored receipt if the batch was here before."""
    batch, ledger, table = arrived.batch, bookkeeping.batch, arrived.table.name
    lock(connection, f"{batch.site}/{table}")
    known = known_sequence(connection, arrived)
    expected = known + 1
    if batch.sequence == expected:
        return None
    if 0 < batch.sequence < expected:
        stored = connection.execute(
            sa.select(ledger.c.fingerprint, ledger.c.receipt).where(
                ledger.c.site == batch.site,
                ledger.c.epoch == batch.epoch,
                ledger.c.table_name == table,
                ledger.c.sequence == batch.sequence,
            )
        ).one_or_none()
        if stored and stored.fingerprint == _fingerprint_text(batch):
            return msgspec.json.decode(stored.receipt, type=Receipt)
    raise SequenceConflict(
        f"batch {batch.sequence} of {table} came where central expected {expected}; "
        f"does another agent push as site {batch.site}?",
        expected,
    )


def _record(connection: sa.Connection, batch: Batch, table: str, receipt: Receipt) -> None:
    ledger, marks = bookkeeping.batch, bookkeeping.checkpoint
    now = utc_now()
    cursor = msgspec.json.encode(batch.last).decode()
    connection.execute(
        sa.insert(ledger).values(
            site=batch.site,
            epoch=batch.epoch,
            table_name=table,
            sequence=batch.sequence,
            fingerprint=_fingerprint_text(batch),
            rows=receipt.rows,
            first_cursor=msgspec.json.encode(batch.first).decode(),
            last_cursor=cursor,
            receipt=msgspec.json.encode(receipt).decode(),
            applied=now,
        )
    )
    mine = (marks.c.site == batch.site, marks.c.table_name == table)
    values = {"epoch": batch.epoch, "sequence": batch.sequence, "cursor": cursor, "updated": now}
    total = marks.c.rows_total + receipt.stored
    if not connection.execute(sa.update(marks).where(*mine).values(**values, rows_total=total)).rowcount:
        first = values | {"site": batch.site, "table_name": table, "rows_total": receipt.stored}
        connection.execute(sa.insert(marks).values(first))


def _resolve(target: Target, batch: Batch, rows: RowSet) -> list[Refusal]:
    """Stores the rows of a stream one by one, as those of an entity."""
    lock(target.connection, target.table.name)
    local_keys = batch.origin if batch.origin is not None else rows.tuples(batch.key)
    key = () if batch.origin is not None else batch.key
    resolution = Resolution(target=target, site=batch.site, rows=rows, local_keys=local_keys, key=key).run()
    same = "another row of this site has its key"
    conflicts = [
        Refusal(index=each.index, reason=same, owner=batch.site)
        if each.owner == batch.site
        else _conflict(each.index, each.owner)
        for each in resolution.conflicts
    ]
    return conflicts + [Refusal(index=i, reason=reason) for i, reason in resolution.refused.items()]


def _conflict(index: int, owner: str | None) -> Refusal:
    return Refusal(index=index, reason=f"its key is that of a row of site {owner}, which is another", owner=owner)


def _fingerprint_text(batch: Batch) -> str:
    return f"{batch.fingerprint.count}:{batch.fingerprint.total}"
