"""Central's notes of what arrived of each block of a site's streams, so that a comparison need not read the rows.

A block that rows came to in any other way than one after the other, each once, is in doubt until somebody has read it:
what is noted is then no fingerprint, but that there is none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from models import bookkeeping
from pusher.errors import ProtocolError
from pusher.wire.blocks import name_of, runs
from pusher.wire.fingerprint import EMPTY, Fingerprint, summed
from pusher.wire.messages import Compare, Proven, Segment
from pusher.wire.tables import Column

_CHUNK = 500
_TABLE = bookkeeping.block
_Noted = dict[str, Fingerprint | None]  # None: in doubt


class BlockNotes:
    """What is noted of the blocks of one site's stream, within one transaction. `cursor`: the column that cuts them."""

    def __init__(self, connection: sa.Connection, site: str, table: str, cursor: Column) -> None:
        self._connection = connection
        self._mine = (_TABLE.c.site == site, _TABLE.c.table_name == table)
        self._place = {"site": site, "table_name": table}
        self._kind = cursor.kind

    def add(self, values: Sequence[Any], hashes: Sequence[bytes], before: Fingerprint | None) -> None:
        """Adds rows that were just stored: their cursor values, in order, and their hashes.

        `before`: what the site has sent of the first block already, as it knows; of the others it has sent nothing.
        None if it does not know, or if the rows come again.
        """
        if before is None:
            self.doubt(values)
            return
        fresh: dict[str, Fingerprint] = {}
        for _, at, end in runs(values):
            name = self._name(values[at])
            fresh[name] = fresh.get(name, EMPTY) + summed(hashes[at:end])
        noted = self._noted(fresh)
        first = next(iter(fresh), None)
        after: _Noted = {}
        for name, more in fresh.items():
            known = noted.get(name, EMPTY)
            after[name] = known + more if known == (before if name == first else EMPTY) else None
        self._write(noted, after)

    def doubt(self, values: Iterable[Any]) -> None:
        """What these rows' blocks amount to is not known any more."""
        names = {self._name(value) for value in set(values)}
        self._write(self._noted(names), dict.fromkeys(sorted(names)))

    def compare(self, request: Compare) -> Iterator[list[tuple[int, int]]]:
        """The parts of each segment that are in doubt or differ: (place, rows noted)."""
        for segment in request.segments:
            if len(segment.prints) != len(segment.edges) + 1:
                raise ProtocolError("there is not one fingerprint for each part")
            found = self._totals(segment)
            yield [
                (at, count) for at, (count, total) in enumerate(found) if not _same(count, total, segment.prints[at])
            ]

    def settle(self, proven: Proven) -> None:
        """Notes what was found when the rows of a stretch were read on both sides, and were the same."""
        if len(proven.starts) != len(proven.prints):
            raise ProtocolError("there is not one fingerprint for each block")
        self._connection.execute(sa.delete(_TABLE).where(*self._mine, *self._within(proven.low, proven.high)))
        named = {self._name(start): each for start, each in zip(proven.starts, proven.prints, strict=True)}
        self._write(self._noted(named), named)

    def _name(self, value: Any) -> str:
        return name_of(self._kind, value)

    def _totals(self, segment: Segment) -> list[tuple[int, int | None]]:
        """Rows and the sum of their hashes of each part; no sum where one of its blocks is in doubt."""
        edges = [self._name(edge) for edge in segment.edges]
        counts, totals, doubtful = [0] * (len(edges) + 1), [0] * (len(edges) + 1), set()
        query = sa.select(_TABLE.c.start, _TABLE.c.rows, _TABLE.c.total)
        for start, rows, total in self._connection.execute(
            query.where(*self._mine, *self._within(segment.low, segment.high))
        ):
            part = bisect_right(edges, start)
            counts[part] += rows
            if total is None:
                doubtful.add(part)
            else:
                totals[part] += int(total, 16)
        return [(count, None if at in doubtful else totals[at]) for at, count in enumerate(counts)]

    def _within(self, low: Any, high: Any) -> list[sa.ColumnElement[bool]]:
        ends = []
        if low is not None:
            ends.append(_TABLE.c.start >= self._name(low))
        if high is not None:
            ends.append(_TABLE.c.start < self._name(high))
        return ends

    def _noted(self, names: Collection[str]) -> _Noted:
        found: _Noted = {}
        query = sa.select(_TABLE.c.start, _TABLE.c.rows, _TABLE.c.total).where(*self._mine)
        ordered = sorted(names)
        for at in range(0, len(ordered), _CHUNK):
            for start, rows, total in self._connection.execute(
                query.where(_TABLE.c.start.in_(ordered[at : at + _CHUNK]))
            ):
                found[start] = None if total is None else Fingerprint(rows, total)
        return found

    def _write(self, noted: Mapping[str, Fingerprint | None], after: Mapping[str, Fingerprint | None]) -> None:
        fresh, changed = [], []
        for name, each in after.items():
            values = {"rows": each.count if each else 0, "total": each.total if each else None}
            if name not in noted:
                fresh.append(self._place | values | {"start": name})
            elif noted[name] != each:
                changed.append({"of": name, "n": values["rows"], "t": values["total"]})
        if fresh:
            self._connection.execute(sa.insert(_TABLE), fresh)
        if changed:
            update = sa.update(_TABLE).where(*self._mine, _TABLE.c.start == sa.bindparam("of"))
            self._connection.execute(update.values(rows=sa.bindparam("n"), total=sa.bindparam("t")), changed)


def _same(count: int, total: int | None, expected: Fingerprint) -> bool:
    return total is not None and Fingerprint.of(count, total) == expected
