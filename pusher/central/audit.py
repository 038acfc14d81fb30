"""What was asked of central over REST, by whom, and what came of it; never what was in the rows."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from models import bookkeeping
from pusher.central.sites import utc_now

_LONGEST_NAME = 128
_LONGEST_KEY = 255


@dataclass(kw_only=True)
class Entry:
    """One write over REST. `table_name`: as the client gives it, until it is known. `row_key`: "" for several rows."""

    token_id: int
    site: str
    method: str
    table_name: str = ""
    row_key: str = ""
    rows: int = 0
    tables: dict[str, int] | None = None  # of many objects at once: how many of each table


def record(connection: sa.Connection, entry: Entry, status: int) -> None:
    """Notes an HTTP status as what came of it: one line for each table."""
    table = bookkeeping.audit
    line = {
        "happened": utc_now(),
        "token_id": entry.token_id,
        "site": entry.site,
        "method": entry.method[:10],
        "row_key": _printable(entry.row_key, _LONGEST_KEY),
        "status": status,
    }
    counts = entry.tables or {entry.table_name: entry.rows}
    lines = [
        line | {"table_name": _printable(name, _LONGEST_NAME), "rows": count} for name, count in sorted(counts.items())
    ]
    connection.execute(sa.insert(table), lines)


def _printable(text: str, longest: int) -> str:
    """A name out of an address may be anything, also what no database holds as text."""
    return (text if text.isprintable() else ascii(text)[1:-1])[:longest]
