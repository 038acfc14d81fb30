"""Answers what central has of a site's rows: fingerprints of many, keys and hashes of few."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from pusher.central.identity import IdentityMap, key_text
from pusher.central.owners import belong
from pusher.central.rows import Target, can_upsert
from pusher.errors import ProtocolError
from pusher.schema.keyset import Before, Place
from pusher.schema.paging import Reader
from pusher.wire.batch import pack_cursor
from pusher.wire.buckets import buckets_of_keys, buckets_of_texts
from pusher.wire.fingerprint import Fingerprint, row_hashes, summed_by_place
from pusher.wire.messages import HASH_DIGITS, Compare, Compared, Look, Looked, Segment
from pusher.wire.tables import RowSet

MAX_LOOKED = 50_000
_PAGE_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Found:
    """Rows of central, one for each row of a site that they stand for: the key's text, the hash, the cursor's value.

    `buckets` gives the bucket of each, out of so many.
    """

    keys: list[str]
    hashes: list[bytes]
    mine: list[bool]
    values: list[Any]
    buckets: Callable[[int], list[int]]


class SiteRows:
    """What central has in one table of a site's rows; call it within one transaction."""

    def __init__(self, target: Target, request: Compare | Look) -> None:
        self._target = target
        self._request = request
        table = target.table
        cursor = (request.cursor,) if request.cursor else ()
        order = tuple(dict.fromkeys(cursor + (table.primary_key or request.key)))
        self._names = tuple(dict.fromkeys(request.names + request.key + order))
        self._reader = Reader(
            connect=lambda: nullcontext(target.connection),
            dialect=target.dialect,
            table=table,
            names=self._names,
            order=order,
        )
        self._primary_key = table.primary_key or request.key
        upserted = bool(request.key) and can_upsert(target.dialect, table, request.names, request.key)
        self._mapped = request.mapped or not upserted

    def compare(self, request: Compare) -> Compared:
        if request.cursor is None:
            found = summed_by_place(self._buckets(len(request.buckets)), len(request.buckets))
            return Compared(differing=[_differing(found, request.buckets)])
        return Compared(differing=[_differing(self._parts(each), each.prints) for each in request.segments])

    def look(self, request: Look) -> Looked:
        keys: list[str] = []
        hashes: list[str] = []
        mine: list[bool] = []
        wanted = set(request.buckets)
        ranges = request.ranges if request.cursor else [(None, None)]
        for low, high in ranges:
            for found in self._pages(low, high):
                buckets = found.buckets(request.of) if request.cursor is None else []
                for i, key in enumerate(found.keys):
                    if buckets and buckets[i] not in wanted:
                        continue
                    keys.append(key)
                    hashes.append(found.hashes[i].hex()[:HASH_DIGITS])
                    mine.append(found.mine[i])
                if len(keys) > MAX_LOOKED:
                    return Looked(keys=keys, hashes=hashes, mine=mine, more=True)
        return Looked(keys=keys, hashes=hashes, mine=mine, more=False)

    def _parts(self, segment: Segment) -> list[Fingerprint]:
        """The fingerprint of each part."""

        def placed() -> Iterator[tuple[int, bytes]]:
            for found in self._pages(segment.low, segment.high):
                for i, value in enumerate(found.values):
                    if found.mine[i]:
                        yield _part(segment.edges, value), found.hashes[i]

        return summed_by_place(placed(), len(segment.edges) + 1)

    def _buckets(self, count: int) -> Iterator[tuple[int, bytes]]:
        for found in self._pages(None, None):
            for i, bucket in enumerate(found.buckets(count)):
                if found.mine[i]:
                    yield bucket, found.hashes[i]

    def _pages(self, low: Any, high: Any) -> Iterator[Found]:
        for page in self._reader.pages(self._place(low), self._place(high), lambda: _PAGE_ROWS):
            yield self._by_map(page.rows) if self._mapped else self._by_owner(page.rows)

    def _place(self, value: Any) -> Place:
        """A plain value of the cursor as this database spells it."""
        if value is None:
            return None
        assert self._request.cursor is not None
        rows = RowSet(names=(self._request.cursor,), columns=[[value]])
        bound, refused = self._target.parameters(rows)
        if refused:
            raise ProtocolError(f"{value!r} is no value of {self._request.cursor}")
        return Before(bound[0][0])

    def _by_owner(self, rows: RowSet) -> Found:
        """Rows known by their key, and whose they are."""
        keys = [msgspec.json.encode(pack_cursor(key)).decode() for key in rows.tuples(self._request.key)]
        mine = belong(self._target, self._request.site, self._request.key, rows)
        own = RowSet(names=self._request.key, columns=[rows.column(name) for name in self._request.key])
        buckets = partial(buckets_of_keys, self._target.columns(own.names), own)
        return Found(keys=keys, hashes=self._hashes(rows), mine=mine, values=self._values(rows), buckets=buckets)

    def _by_map(self, rows: RowSet) -> Found:
        """Rows that the site knows by an id of central's."""
        map_ = IdentityMap(self._target.connection, self._request.site, self._target.table.name)
        texts = [key_text(key) for key in rows.tuples(self._primary_key)]
        local = map_.local_keys(texts)
        places = [(i, key) for i, text in enumerate(texts) for key in local.get(text, ())]
        hashes, values = self._hashes(rows), self._values(rows)
        keys = [key for _, key in places]
        return Found(
            keys=keys,
            hashes=[hashes[i] for i, _ in places],
            mine=[True] * len(places),
            values=[values[i] for i, _ in places],
            buckets=partial(buckets_of_texts, keys),
        )

    def _hashes(self, rows: RowSet) -> list[bytes]:
        names = self._request.names
        compared = RowSet(names=names, columns=[rows.column(name) for name in names])
        return row_hashes(self._target.columns(names), compared)

    def _values(self, rows: RowSet) -> list[Any]:
        return rows.column(self._request.cursor) if self._request.cursor else [None] * len(rows)


def _part(edges: list[Any], value: Any) -> int:
    try:
        return bisect_right(edges, value)
    except TypeError:
        raise ProtocolError(f"edges like {edges[0]!r} do not cut a column that holds {value!r}") from None


def _differing(found: list[Fingerprint], expected: list[Fingerprint]) -> list[tuple[int, int]]:
    if len(found) != len(expected):
        raise ProtocolError("there is not one fingerprint for each part")
    return [(place, each.count) for place, each in enumerate(found) if each != expected[place]]
