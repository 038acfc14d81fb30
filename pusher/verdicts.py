"""What the last comparisons of a location with central found, table by table, in the site's ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from pusher.ledger import Ledger

_WHOLE = ""  # in place of a table's name: all tables of a location


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`verified`: when, ISO 8601 in UTC. `deep`: whether all rows were read."""

    verified: str
    deep: bool
    verdict: str


class Verdicts:
    def __init__(self, ledger: Ledger, location: str) -> None:
        self._ledger = ledger
        self._location = location

    def note(self, found: Mapping[str, tuple[bool, str]], *, whole: bool) -> None:
        """Of each table whether all its rows were read, and what was found; `whole`: of all tables there are."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        tables = dict(found) | ({_WHOLE: (False, "")} if whole else {})
        with self._ledger.change() as db:
            rows = [(self._location, table, now, deep, verdict) for table, (deep, verdict) in tables.items()]
            db.executemany("insert or replace into verdict values (?, ?, ?, ?, ?)", rows)

    def of_tables(self) -> dict[str, Verdict]:
        query = "select table_name, verified, deep, verdict from verdict where location = ? and table_name <> ?"
        return {
            table: Verdict(verified=verified, deep=bool(deep), verdict=verdict)
            for table, verified, deep, verdict in self._ledger.read(query, self._location, _WHOLE)
        }

    def last_of_all(self) -> str | None:
        """When all tables were last compared with central, ISO 8601 in UTC."""
        query = "select verified from verdict where location = ? and table_name = ?"
        rows = self._ledger.read(query, self._location, _WHOLE)
        return rows[0][0] if rows else None
