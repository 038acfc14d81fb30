"""Finds what came behind a stream's checkpoint, or changed there, and has it sent again.

The ledger knows of each block how many rows were sent and their fingerprint. In the window of `lookback` before the
checkpoint the fingerprints are compared, and further back the numbers of rows, so nothing is sent where nothing
changed, and central is not asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

import msgspec

from pusher.ledger import Ledger
from pusher.push.parts import before
from pusher.push.position import Position
from pusher.push.source import Source
from pusher.push.streams import Streams
from pusher.schema.keyset import Before, Place
from pusher.schema.plan import TablePlan
from pusher.wire.batch import unpack_cursor
from pusher.wire.blocks import FIRST, Start, Tally, behind, block_of, window_start
from pusher.wire.fingerprint import Fingerprint

_SLOW_COUNT_SECONDS = 0.25
_WAYS = 16  # into which a part that is miscounted is cut
_COUNT_REST = 50  # a slow count is not repeated before this many times its length


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a stream, from `low` to `high`, as a part of its blocks: from `begin` to before `end`."""

    low: Place
    high: Place
    begin: Start | None
    end: Start | None


class LateRows:
    def __init__(self, location: str, source: Source, ledger: Ledger, streams: Streams, page_rows: int) -> None:
        self._location = location
        self._source = source
        self._ledger = ledger
        self._streams = streams
        self._page_rows = page_rows

    def send(self, position: Position) -> None:
        """Sends what is late or changed, without moving the checkpoint. Raises what `Streams` raises."""
        table = position.table
        doubtful, rest = stretches(position)
        if self._may_count(table):
            began = time.monotonic()
            for stretch in rest:
                doubtful += miscounted(self._source, table, stretch, self._ledger, self._location)
            self._ledger.note_count(self._location, table.name, time.time(), time.monotonic() - began)
        for stretch in doubtful:
            for low, high in self._changed(table, stretch):
                self._streams.send_again(position, low, high)

    def _may_count(self, table: TablePlan) -> bool:
        counted, seconds = self._ledger.last_count(self._location, table.name)
        return seconds < _SLOW_COUNT_SECONDS or abs(time.time() - counted) > _COUNT_REST * seconds

    def _changed(self, table: TablePlan, stretch: Stretch) -> Iterator[tuple[Place, Place]]:
        """From where to where the rows of a stretch are not what was sent."""
        known = self._ledger.blocks(self._location, table.name, stretch.begin, stretch.end)
        if not known:
            yield stretch.low, stretch.high
            return
        found: dict[Start, Fingerprint] = {}
        tally = Tally()
        for page in self._source.pages(table, stretch.low, stretch.high, self._page_rows):
            found |= tally.add(page.values, self._streams.hashes(table, page.rows))
        self._ledger.forget_blocks(self._location, table.name, [start for start in known if start not in found])
        if not found:
            return
        places = [stretch.low, *(before(start) for start in list(found)[1:]), stretch.high]
        differs = [fingerprint != known.get(start) for start, fingerprint in found.items()]
        yield from _joined(pairwise(places), differs)


def miscounted(source: Source, table: TablePlan, stretch: Stretch, ledger: Ledger, location: str) -> Iterator[Stretch]:
    """The parts of a stretch that do not have as many rows as were sent, each around one block at most."""
    expected = ledger.count_in_blocks(location, table.name, stretch.begin, stretch.end)
    if source.count(table, stretch.low, stretch.high) != expected:
        known = ledger.blocks(location, table.name, stretch.begin, stretch.end)
        counts = [(start, each.count) for start, each in known.items()]
        yield from _miscounted(source, table, stretch, counts)


def _miscounted(
    source: Source, table: TablePlan, stretch: Stretch, counts: Sequence[tuple[Start, int]]
) -> Iterator[Stretch]:
    """The same of a stretch that does not; `counts`: how many rows were sent of each of its blocks."""
    if len(counts) < 2:
        yield stretch
        return
    size = -(-len(counts) // _WAYS)
    groups = [counts[at : at + size] for at in range(0, len(counts), size)]
    cuts = [group[0][0] for group in groups[1:]]
    bounds = [(stretch.low, stretch.begin), *((before(cut), cut) for cut in cuts), (stretch.high, stretch.end)]
    parts = [Stretch(low=low, high=high, begin=begin, end=end) for (low, begin), (high, end) in pairwise(bounds)]
    found = source.counts(table, [(part.low, part.high) for part in parts])
    for part, group, rows in zip(parts, groups, found, strict=True):
        if rows != sum(count for _, count in group):
            yield from _miscounted(source, table, part, group)


def stretches(position: Position) -> tuple[list[Stretch], list[Stretch]]:
    """The windows, before the checkpoint and before now, and all that lies between, before and behind them."""
    cursor, ahead = position.cursor, position.horizon.ahead
    future = [Stretch(low=ahead, high=None, begin=block_of(ahead.value), end=None)] if ahead else []
    if cursor is None:
        return [], future
    value = unpack_cursor(cursor)[0]
    high: Place = cursor
    end = behind(block_of(value))
    if ahead and block_of(value) >= block_of(ahead.value):
        high, end, future = None, None, []  # the checkpoint itself is beyond the horizon
    windows: list[Stretch] = []
    others = future
    cuts = _cuts(position, value, None if high else ahead)
    for (low, begin, is_window), after in zip(cuts, [*cuts[1:], None], strict=True):
        stretch = Stretch(
            low=low, high=Before(after[1]) if after else high, begin=begin, end=after[1] if after else end
        )
        (windows if is_window else others).append(stretch)
    return windows, others


def _cuts(position: Position, value: Any, ahead: Before | None) -> list[tuple[Place, Start | None, bool]]:
    """Where each part begins, as a place and as a block (None: with the stream), and whether it is a window.

    `ahead`: the horizon, if the checkpoint, at `value`, lies beyond it.
    """
    seconds = position.table.lookback_seconds
    begin = window_start(value, seconds)
    wanted = [(begin, True)]
    if ahead:
        now = window_start(ahead.value, seconds)
        wanted = [(now, True), (ahead.value, False), (begin, True)] if begin > ahead.value else [(now, True)]
    floor = position.floor
    first = block_of(unpack_cursor(floor)[0]) if floor else None
    at_floor = False
    cuts: list[tuple[Place, Start | None, bool]] = []
    for start, is_window in wanted:
        if start == FIRST or (first is not None and start <= first):
            at_floor = is_window
        else:
            cuts.append((Before(start), start, is_window))
    cuts.insert(0, (floor, first, at_floor))
    return [(low, start, is_window and seconds > 0) for low, start, is_window in cuts]


def _joined(parts: Iterable[tuple[Place, Place]], wanted: Iterable[bool]) -> Iterator[tuple[Place, Place]]:
    """The wanted parts of a stream, those side by side as one."""
    for is_wanted, group in groupby(zip(parts, wanted, strict=True), key=lambda each: each[1]):
        if is_wanted:
            found = [part for part, _ in group]
            yield found[0][0], found[-1][1]
