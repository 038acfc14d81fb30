"""Rows of the site in the form in which they are sent, and in which central holds them."""

from __future__ import annotations

import msgspec

from pusher.held import Fault, Kind
from pusher.push.mapping import Mapped, local_key, missing_parent, wire_rows
from pusher.schema.plan import TablePlan
from pusher.wire.fingerprint import Fingerprint, row_hashes, summed
from pusher.wire.tables import RowSet


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Rows ready to be sent: the site's own, the same as they travel, and what is held back of them.

    `hashes`: of each row that there was, also of those held back, for which they are empty.
    """

    local: RowSet
    sent: RowSet
    hashes: list[bytes]
    fingerprint: Fingerprint
    faults: list[Fault]


def prepared(table: TablePlan, rows: RowSet, mapped: Mapped) -> Prepared:
    """Rows as they are sent, `mapped` being the same with central's ids; without a parent they are held back."""
    kept = [i for i in range(len(rows)) if i not in mapped.missing]
    local = rows.take(kept) if mapped.missing else rows
    sent = wire_rows(table, mapped.rows.take(kept) if mapped.missing else mapped.rows)
    sent_hashes = row_hashes(table.central_columns(table.sent), sent)
    hashes = sent_hashes
    if mapped.missing:
        hashes = [b""] * len(rows)
        for i, each in zip(kept, sent_hashes, strict=True):
            hashes[i] = each
    faults = [
        Fault(local_key=local_key(table, rows, i), reason=missing_parent(rows, i, links), kind=Kind.PARENT)
        for i, links in mapped.missing.items()
    ]
    return Prepared(local=local, sent=sent, hashes=hashes, fingerprint=summed(sent_hashes), faults=faults)
