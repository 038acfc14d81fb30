"""Takes one batch in one transaction: its number, its rows, what is noted of their blocks, and its receipt."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from models import bookkeeping
from pusher.central.blocks import BlockNotes
from pusher.central.owners import Ownership
from pusher.central.resolve import Resolution
from pusher.central.rows import Target, can_upsert
from pusher.central.sites import last_sequence, lock, utc_now
from pusher.errors import SequenceConflict
from pusher.wire.batch import Batch
from pusher.wire.messages import Receipt, Refusal
from pusher.wire.tables import RowSet


def apply(target: Target, batch: Batch, rows: RowSet, hashes: Sequence[bytes]) -> Receipt:
    """Stores `rows`, the batch's, with `hashes`; a repeat gets the stored receipt. Raises SequenceConflict."""
    connection, table = target.connection, target.table.name
    repeat = _claim(connection, batch, table)
    if repeat is not None:
        return repeat
    refused = _write(target, batch, rows)
    receipt = Receipt(
        sequence=batch.sequence,
        rows=len(rows),
        stored=len(rows) - len(refused),
        refused=sorted(refused, key=lambda each: each.index),
    )
    if batch.cursor is not None:
        gone = {each.index for each in refused}
        kept = [i for i in range(len(rows)) if i not in gone]
        values = rows.column(batch.cursor)
        notes = BlockNotes(connection, batch.site, table, target.table.column(batch.cursor))
        notes.add([values[i] for i in kept], [hashes[i] for i in kept], batch.before)
    _record(connection, batch, table, receipt)
    return receipt


def _write(target: Target, batch: Batch, rows: RowSet) -> list[Refusal]:
    if batch.origin is not None or not can_upsert(target.dialect, target.table, rows.names, batch.key):
        return _resolve(target, batch, rows)
    bound, refused = target.parameters(rows)
    storable = [i for i in range(len(rows)) if i not in refused]
    refusals = [Refusal(index=i, reason=reason) for i, reason in refused.items()]
    if refused:
        rows, bound = rows.take(storable), [bound[i] for i in storable]
    owned = Ownership(target=target, site=batch.site, key=batch.key, rows=rows, bound=bound)
    mine = [place for place in range(len(rows)) if place not in owned.foreign and place not in owned.same]
    faults = target.upsert(rows.names, batch.key, bound if len(mine) == len(bound) else [bound[i] for i in mine])
    owned.note(place for at, place in enumerate(mine) if at not in faults)
    refusals += [Refusal(index=storable[mine[at]], reason=reason) for at, reason in faults.items()]
    return refusals + [_conflict(storable[place], owner) for place, owner in owned.foreign.items()]


def _claim(connection: sa.Connection, batch: Batch, table: str) -> Receipt | None:
    """Locks the checkpoint and checks the sequence; the stored receipt if the batch was here before."""
    ledger, marks = bookkeeping.batch, bookkeeping.checkpoint
    mine = (marks.c.site == batch.site, marks.c.table_name == table)
    lock(connection, f"{batch.site}/{table}")
    row = connection.execute(sa.select(marks.c.epoch, marks.c.sequence).where(*mine)).one_or_none()
    known = row.sequence if row and row.epoch == batch.epoch else None
    if known is None:
        known = last_sequence(connection, batch.site, batch.epoch, table)
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
