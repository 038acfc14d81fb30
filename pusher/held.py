"""The quarantine: rows that central did not take, each with its reason, in the site's ledger. None is ever dropped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pusher.ledger import Ledger

_HOLD = """
insert into held (location, table_name, local_key, kind, reason, since, tried) values (?, ?, ?, ?, ?, ?, ?)
on conflict (location, table_name, local_key)
do update set kind = excluded.kind, reason = excluded.reason, tried = excluded.tried, retry = 0
"""
_READ = "select id, location, table_name, local_key, kind, reason, since, tried, retry from held"


class Kind(StrEnum):
    """Why a row is held: central's database refuses it, another site owns its key, or its parent is not at central."""

    REFUSED = "refused"
    CONFLICT = "conflict"
    PARENT = "parent"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A row to be held: its local key as a JSON array, and why."""

    local_key: str
    reason: str
    kind: Kind = Kind.REFUSED


@dataclass(frozen=True, kw_only=True)
class HeldRow:
    """`since`, `tried`: when it was first and last refused, ISO 8601 in UTC. `retry`: the next run tries it again."""

    id: int
    location: str
    table: str
    local_key: str
    kind: Kind
    reason: str
    since: str
    tried: str
    retry: bool


class Quarantine:
    """What is held of one location."""

    def __init__(self, ledger: Ledger, location: str) -> None:
        self._ledger = ledger
        self._location = location

    def hold(self, table: str, faults: Iterable[Fault], now: str) -> None:
        """A row that is held already keeps its number and gets the new reason."""
        with self._ledger.change() as db:
            rows = [(self._location, table, f.local_key, f.kind, f.reason, now, now) for f in faults]
            db.executemany(_HOLD, rows)

    def counts(self) -> dict[str, int]:
        query = "select table_name, count(*) from held where location = ? group by table_name"
        return dict(self._ledger.read(query, self._location))

    def rows(self, table: str | None = None, *, limit: int = -1) -> list[HeldRow]:
        query = f"{_READ} where location = ? and (? is null or table_name = ?) order by id limit ?"
        return [_held(row) for row in self._ledger.read(query, self._location, table, table, limit)]

    def due(self, table: str, before: str, limit: int) -> list[HeldRow]:
        """The rows that somebody wants tried again, that wait for a parent, or were not tried since `before`."""
        due = "(retry or kind = 'parent' or tried < ?)"
        query = f"{_READ} where location = ? and table_name = ? and {due} order by retry desc, tried, id limit ?"
        return [_held(row) for row in self._ledger.read(query, self._location, table, before, limit)]

    def ask_retry(self, ids: Iterable[int] | None = None) -> None:
        """The next run tries these rows again; all of the location if None."""
        with self._ledger.change() as db:
            if ids is None:
                db.execute("update held set retry = 1 where location = ?", (self._location,))
            else:
                wanted = [(self._location, each) for each in ids]
                db.executemany("update held set retry = 1 where location = ? and id = ?", wanted)

    def release(self, table: str, local_keys: Iterable[str]) -> None:
        """No longer holds rows that central has taken since, or that somebody gave up."""
        query = "delete from held where location = ? and table_name = ? and local_key = ?"
        with self._ledger.change() as db:
            db.executemany(query, ((self._location, table, key) for key in local_keys))


def _held(row: tuple[int, str, str, str, str, str, str, str, int]) -> HeldRow:
    id_, location, table, local_key, kind, reason, since, tried, retry = row
    return HeldRow(
        id=id_,
        location=location,
        table=table,
        local_key=local_key,
        kind=Kind(kind),
        reason=reason,
        since=since,
        tried=tried,
        retry=bool(retry),
    )
