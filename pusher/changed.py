"""The rows that triggers saw change at the site, until central knows of it: of each row the newest word."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from pusher.ledger import Ledger
from pusher.wire.batch import unpack_cursor

_NOTE = "insert or replace into changed (location, table_name, local_key, natural_key, removed) values (?, ?, ?, ?, ?)"
_READ = """
select id, local_key, natural_key, removed from changed where location = ? and table_name = ? and id > ? order by id
limit ?
"""


@dataclass(frozen=True, kw_only=True)
class Noted:
    """A row by its keys, JSON arrays; `natural_key` is [] if it has none. `removed`: it is there no longer."""

    local_key: str
    natural_key: str
    removed: bool


@dataclass(frozen=True, kw_only=True)
class Change(Noted):
    """`id` grows with each word on any row, so a row that changes anew while it is sent gets another."""

    id: int

    @property
    def local(self) -> tuple[Any, ...]:
        """The values of the columns that are the row's identity at the site."""
        return unpack_cursor(msgspec.json.decode(self.local_key))

    @property
    def natural(self) -> tuple[Any, ...]:
        return unpack_cursor(msgspec.json.decode(self.natural_key))


def note_everywhere(ledger: Ledger, locations: Collection[str], table: str, noted: Iterable[Noted]) -> None:
    """Notes changes, in their order, for all these locations or for none."""
    newest: dict[tuple[str, str], Noted] = {}
    for each in noted:
        key = (each.local_key, each.natural_key)
        newest.pop(key, None)  # so that it stands where its newest word was said
        newest[key] = each
    with ledger.change() as db:
        for location in locations:
            rows = ((location, table, n.local_key, n.natural_key, n.removed) for n in newest.values())
            db.executemany(_NOTE, rows)


class ChangedRows:
    """What waits for one location."""

    def __init__(self, ledger: Ledger, location: str) -> None:
        self._ledger = ledger
        self._location = location

    def note(self, table: str, noted: Iterable[Noted]) -> None:
        note_everywhere(self._ledger, [self._location], table, noted)

    def waiting(self, table: str, after_id: int, limit: int) -> list[Change]:
        """The next changes behind number `after_id`, in their order."""
        return [
            Change(id=id_, local_key=local_key, natural_key=natural_key, removed=bool(removed))
            for id_, local_key, natural_key, removed in self._ledger.read(_READ, self._location, table, after_id, limit)
        ]

    def done(self, ids: Iterable[int]) -> None:
        """Central knows of these changes. What was said of the same rows since stays."""
        with self._ledger.change() as db:
            db.executemany("delete from changed where id = ? and location = ?", ((id_, self._location) for id_ in ids))

    def counts(self) -> dict[str, int]:
        query = "select table_name, count(*) from changed where location = ? group by table_name"
        return dict(self._ledger.read(query, self._location))
