"""What a site's comparison of both sides found: noted for whoever looks, and for the next comparison."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from models import bookkeeping
from pusher.central.blocks import BlockNotes
from pusher.central.sites import lock, utc_now
from pusher.wire.messages import Verified
from pusher.wire.tables import Table

_EQUAL = "equal"


def note_verdicts(connection: sa.Connection, verified: Verified, tables: Mapping[str, Table]) -> None:
    """`tables`: central's, by the names in the message."""
    verdicts, now = bookkeeping.verdict, utc_now()
    for name, found in verified.tables.items():
        table = tables[name]
        lock(connection, f"{verified.site}/{table.name}")
        values: dict[str, object] = {
            "verified": now,
            "deep": found.deep,
            "verdict": found.verdict,
            "rows_here": found.rows_here,
            "rows_there": found.rows_there,
            "missing": found.missing,
            "different": found.different,
            "only_central": found.only_central,
        }
        if found.verdict == _EQUAL:
            values |= {"passed": now} | ({"passed_deep": now} if found.deep else {})
        mine = (verdicts.c.site == verified.site, verdicts.c.table_name == table.name)
        if not connection.execute(sa.update(verdicts).where(*mine).values(values)).rowcount:
            connection.execute(sa.insert(verdicts).values(values | {"site": verified.site, "table_name": table.name}))
        if found.cursor:
            notes = BlockNotes(connection, verified.site, table.name, table.column(found.cursor))
            for proven in found.proven:
                notes.settle(proven)
