"""The identity map: which central row stands for which row of which site, and whose word counts for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa

from models import bookkeeping
from pusher.central.rows import Key
from pusher.wire.batch import pack_cursor, unpack_cursor

_LONGEST_KEY = 255
_JSON_TYPES = {int, type(None)}  # of which a key most often consists
_CHUNK = 500


def key_text(key: Iterable[Any]) -> str:
    """A key as one exact text, for the bookkeeping tables."""
    values = tuple(key)
    if not set(map(type, values)) <= _JSON_TYPES:
        values = pack_cursor(values)
    text = msgspec.json.encode(values).decode()
    return text if len(text) <= _LONGEST_KEY else "#" + blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Known:
    """What central noted of one local row: its central key, what the site last said of it, whose word counts."""

    central_key: str
    row_hash: str
    owns: bool

    def key(self) -> Key | None:
        """None if it was too long to be kept."""
        return None if self.central_key.startswith("#") else unpack_cursor(msgspec.json.decode(self.central_key))


class IdentityMap:
    """The identity map of one site and one table, within one transaction."""

    def __init__(self, connection: sa.Connection, site: str, table: str) -> None:
        self._connection = connection
        self._site = site
        self._table = table

    def known(self, local_keys: Iterable[str]) -> dict[str, Known]:
        map_ = bookkeeping.identity
        found = {}
        for chunk in chunks(local_keys):
            query = sa.select(map_.c.local_key, map_.c.central_key, map_.c.row_hash, map_.c.owns).where(
                map_.c.site == self._site, map_.c.table_name == self._table, map_.c.local_key.in_(chunk)
            )
            for local_key, central_key, row_hash, owns in self._connection.execute(query):
                found[local_key] = Known(central_key=central_key, row_hash=row_hash, owns=owns)
        return found

    def owners(self, central_keys: Iterable[str]) -> dict[str, set[tuple[str, str]]]:
        """Whose word counts, as (site, local key), for each central row that has an owner."""
        map_ = bookkeeping.identity
        found: dict[str, set[tuple[str, str]]] = {}
        for chunk in chunks(central_keys):
            query = sa.select(map_.c.central_key, map_.c.site, map_.c.local_key).where(
                map_.c.table_name == self._table, map_.c.central_key.in_(chunk), map_.c.owns
            )
            for central_key, site, local_key in self._connection.execute(query):
                found.setdefault(central_key, set()).add((site, local_key))
        return found

    def local_keys(self, central_keys: Iterable[str]) -> dict[str, list[str]]:
        """The site's keys of central's rows, as far as it knows them."""
        map_ = bookkeeping.identity
        found: dict[str, list[str]] = {}
        for chunk in chunks(central_keys):
            query = sa.select(map_.c.central_key, map_.c.local_key).where(
                map_.c.table_name == self._table, map_.c.central_key.in_(chunk), map_.c.site == self._site
            )
            for central_key, local_key in self._connection.execute(query):
                found.setdefault(central_key, []).append(local_key)
        return found

    def given(self, central_keys: Iterable[str]) -> set[str]:
        """Those of the keys that some site knows a row by, even if that row is no longer there."""
        map_ = bookkeeping.identity
        found: set[str] = set()
        for chunk in chunks(central_keys):
            query = sa.select(map_.c.central_key).where(map_.c.table_name == self._table, map_.c.central_key.in_(chunk))
            found |= set(self._connection.scalars(query))
        return found

    def knowing(self, central_keys: Iterable[str]) -> dict[str, list[str]]:
        """The sites that know these rows of central, one as often as it has rows that are this one."""
        map_ = bookkeeping.identity
        found: dict[str, list[str]] = {}
        for chunk in chunks(central_keys):
            query = sa.select(map_.c.central_key, map_.c.site).where(
                map_.c.table_name == self._table, map_.c.central_key.in_(chunk)
            )
            for central_key, site in self._connection.execute(query):
                found.setdefault(central_key, []).append(site)
        return found

    def forget(self, local_keys: Iterable[str]) -> None:
        self._forget(bookkeeping.identity.c.local_key, local_keys)

    def forget_central(self, central_keys: Iterable[str]) -> None:
        """No row of the site is one of these any more."""
        self._forget(bookkeeping.identity.c.central_key, central_keys)

    def _forget(self, column: sa.Column[str], keys: Iterable[str]) -> None:
        map_ = bookkeeping.identity
        mine = (map_.c.site == self._site, map_.c.table_name == self._table)
        for chunk in chunks(keys):
            self._connection.execute(sa.delete(map_).where(*mine, column.in_(chunk)))

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


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """As many as go into one query."""
    items = list(texts)
    return (items[at : at + _CHUNK] for at in range(0, len(items), _CHUNK))
