"""The identity map: which central row stands for which row of which site, and whose word counts for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa

from models import bookkeeping
from pusher.central.rows import Key

_LONGEST_KEY = 255
_CHUNK = 500


def key_text(key: Iterable[Any]) -> str:
    """A key as one exact text, for the bookkeeping tables."""
    text = msgspec.json.encode(list(key), enc_hook=bytes.hex).decode()
    return text if len(text) <= _LONGEST_KEY else "#" + blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Known:
    """What central noted of one local row: its central key, what the site last said of it, whose word counts."""

    central_key: str
    row_hash: str
    owns: bool

    def key(self) -> Key:
        return tuple(msgspec.json.decode(self.central_key))


class IdentityMap:
    """The identity map of one site and one table, within one transaction."""

    def __init__(self, connection: sa.Connection, site: str, table: str) -> None:
        self._connection = connection
        self._site = site
        self._table = table

    def known(self, local_keys: Iterable[str]) -> dict[str, Known]:
        map_ = bookkeeping.identity
        found = {}
        for chunk in _chunks(list(local_keys)):
            query = sa.select(map_.c.local_key, map_.c.central_key, map_.c.row_hash, map_.c.owns).where(
                map_.c.site == self._site, map_.c.table_name == self._table, map_.c.local_key.in_(chunk)
            )
            for local_key, central_key, row_hash, owns in self._connection.execute(query):
                found[local_key] = Known(central_key=central_key, row_hash=row_hash, owns=owns)
        return found

    def owners(self, central_keys: Iterable[str]) -> dict[str, str]:
        """The site whose word counts, for each central row that has one."""
        map_ = bookkeeping.identity
        found: dict[str, str] = {}
        for chunk in _chunks(list(central_keys)):
            query = sa.select(map_.c.central_key, map_.c.site).where(
                map_.c.table_name == self._table, map_.c.central_key.in_(chunk), map_.c.owns
            )
            found |= {row.central_key: row.site for row in self._connection.execute(query)}
        return found

    def note(self, before: dict[str, Known], after: dict[str, Known]) -> None:
        map_ = bookkeeping.identity
        place = {"site": self._site, "table_name": self._table}
        fresh, changed = [], []
        for local_key, known in after.items():
            values = {"central_key": known.central_key, "row_hash": known.row_hash, "owns": known.owns}
            if local_key not in before:
                fresh.append(place | values | {"local_key": local_key})
            elif before[local_key] != known:
                changed.append(values | {"of": local_key})
        if fresh:
            self._connection.execute(sa.insert(map_), fresh)
        if changed:
            mine = (map_.c.site == self._site, map_.c.table_name == self._table, map_.c.local_key == sa.bindparam("of"))
            names = ("central_key", "row_hash", "owns")
            self._connection.execute(
                sa.update(map_).where(*mine).values({name: sa.bindparam(name) for name in names}), changed
            )


def _chunks(items: list[str]) -> Iterable[list[str]]:
    return (items[at : at + _CHUNK] for at in range(0, len(items), _CHUNK))
