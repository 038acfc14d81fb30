"""The versions of rows that go both ways: how often each was changed at central, and whose change was the last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from models import bookkeeping
from pusher.central.identity import chunks, key_text
from pusher.central.rows import Key, Target
from pusher.central.sites import utc_now
from pusher.schema.reading import Raw, raw_table, read
from pusher.wire.batch import pack, pack_cursor
from pusher.wire.fingerprint import fingerprint, row_hashes
from pusher.wire.messages import EntityQuery, EntityRows
from pusher.wire.tables import RowSet


@dataclass(frozen=True, kw_only=True)
class Version:
    """`site`: whose change it was; None if central cannot tell, as of one made in SQL or over REST."""

    number: int
    row_hash: str
    site: str | None = None


class Versions:
    """Of one table, within one transaction and under the table's lock. `key`: tells central's rows apart.

    A row is hashed with all that any site may send of it, so that its version is the same whoever asks.
    """

    def __init__(self, target: Target, key: tuple[str, ...]) -> None:
        self._target = target
        self._key = key
        unsent = {each.name for each in target.columns(target.table.primary_key) if each.numbered}
        sendable = tuple(each for each in target.table.columns if not each.generated and each.name not in unsent)
        self._columns = sendable or target.columns(key)
        self._hashed = tuple(column.name for column in self._columns)
        self.names = tuple(dict.fromkeys(key + self._hashed))

    def lock(self, by: tuple[str, ...], keys: Sequence[Key]) -> None:
        """Nobody else changes these rows (bound values) until this transaction ends."""
        source = raw_table(self._target.table)
        for at in range(0, len(keys), 500):
            wanted = sa.tuple_(*(source.c[name] for name in by), types=[Raw()] * len(by)).in_(keys[at : at + 500])
            if len(by) == 1:
                wanted = source.c[by[0]].in_([key[0] for key in keys[at : at + 500]])
            query = sa.select(sa.literal(1)).select_from(source).where(wanted)
            self._target.connection.execute(query.with_for_update()).all()

    def look(self, keys: Sequence[Key]) -> dict[str, Version]:
        """The rows with these keys as they now are; what somebody changed without a word gets the next number."""
        hashes = self._hashes(self._read(keys))
        return self._notice(hashes, self._stored(hashes))

    def look_at(self, rows: RowSet) -> list[Version]:
        """The same of all rows of the table, with their columns `names` read already."""
        now = self._notice(self._hashes(rows), self._stored())
        return [now[key_text(key)] for key in rows.tuples(self._key)]

    def wrote(self, site: str, keys: Sequence[Key]) -> dict[str, Version]:
        """Each of these rows, which `site` has just written, gets the next number."""
        hashes = self._hashes(self._read(keys))
        stored = self._stored(hashes)
        now = {text: _next(stored.get(text), row_hash, site) for text, row_hash in hashes.items()}
        self._store(stored, now)
        return now

    # ---

    def _notice(self, hashes: dict[str, str], stored: dict[str, Version]) -> dict[str, Version]:
        changed = {
            text: _next(stored.get(text), row_hash, None)
            for text, row_hash in hashes.items()
            if text not in stored or stored[text].row_hash != row_hash
        }
        self._store(stored, changed)
        return stored | changed

    def _read(self, keys: Sequence[Key]) -> RowSet:
        bound, _ = self._target.parameters(RowSet.of(self._key, list(keys)))
        return self._target.find(self.names, self._key, bound)

    def _hashes(self, rows: RowSet) -> dict[str, str]:
        texts = map(key_text, rows.tuples(self._key))
        hashed = RowSet(names=self._hashed, columns=[rows.column(name) for name in self._hashed])
        return {text: digest.hex() for text, digest in zip(texts, row_hashes(self._columns, hashed), strict=True)}

    def _stored(self, texts: Iterable[str] | None = None) -> dict[str, Version]:
        """What is noted of these rows, or of all."""
        table = bookkeeping.version
        query = sa.select(table.c.central_key, table.c.version, table.c.row_hash, table.c.site).where(
            table.c.table_name == self._target.table.name
        )
        parts = [query] if texts is None else [query.where(table.c.central_key.in_(part)) for part in chunks(texts)]
        found = {}
        for part in parts:
            for text, number, row_hash, site in self._target.connection.execute(part):
                found[text] = Version(number=number, row_hash=row_hash, site=site)
        return found

    def _store(self, before: dict[str, Version], now: dict[str, Version]) -> None:
        table = bookkeeping.version
        place, moment = {"table_name": self._target.table.name}, utc_now()
        fresh, changed = [], []
        for text, each in now.items():
            values = {"version": each.number, "row_hash": each.row_hash, "site": each.site, "changed": moment}
            if text in before:
                changed.append(values | {"of": text})
            else:
                fresh.append(place | values | {"central_key": text})
        if fresh:
            self._target.connection.execute(sa.insert(table), fresh)
        if changed:
            mine = (table.c.table_name == self._target.table.name, table.c.central_key == sa.bindparam("of"))
            values = {name: sa.bindparam(name) for name in ("version", "row_hash", "site", "changed")}
            self._target.connection.execute(sa.update(table).where(*mine).values(values), changed)


def _next(before: Version | None, row_hash: str, site: str | None) -> Version:
    return Version(number=before.number + 1 if before else 1, row_hash=row_hash, site=site)


def entity_rows(target: Target, query: EntityQuery) -> EntityRows:
    """All rows for a site to compare its own with. The digest covers the versions, which only grow, by their sum."""
    keys = target.table.primary_key or query.key
    versions = Versions(target, keys) if keys else None
    names = tuple(dict.fromkeys(query.names + keys + (versions.names if versions else ())))
    rows = read(target.connection, target.dialect, target.table, names, lambda select: select)
    numbers = [each.number for each in versions.look_at(rows)] if versions else None
    asked = tuple(dict.fromkeys(keys + query.names))
    total = fingerprint(target.columns(asked), _part(rows, asked)).total
    digest = f"{total}:{sum(numbers)}" if numbers is not None else total
    if digest == query.digest:
        return EntityRows(digest=digest, keys=[], rows=None)
    packed = pack(tuple(target.table.column(name).kind for name in query.names), _part(rows, query.names))
    return EntityRows(
        digest=digest,
        keys=[pack_cursor(key) for key in rows.tuples(keys)] if keys else [],
        rows=packed,
        versions=numbers,
    )


def _part(rows: RowSet, names: tuple[str, ...]) -> RowSet:
    return RowSet(names=names, columns=[rows.column(name) for name in names])
