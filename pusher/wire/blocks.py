"""Blocks: the rows of a stream in ten minutes of its cursor, or in a stretch of numbers, and what was sent of each.

The rows of a block lie side by side in the order of the stream, and blocks sort as their rows do.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pusher.errors import ProtocolError
from pusher.wire.fingerprint import EMPTY, Fingerprint, summed
from pusher.wire.tables import Kind

# Where a block begins, as the site's database spells its cursor: text or a number, all alike in one stream.
Start = Any

FIRST = "0000-00-00"  # with what lies before all years of four digits, as PostgreSQL can hold it
_LAST = "9999-12-31 23:50"
_DAY = len("2013-05-01")
_TEN_MINUTES = len("2013-05-01 12:0")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:([ T])(\d\d:\d\d(?::\d\d)?))?", re.ASCII)
_MINUTES = len("2013-05-01T12:00")
_ROWS = 1000  # numbers in a block of a column that only counts
# A number this large is most likely a time since 1970: from it on, how many make a second.
_LEAST = 2**70  # added to a number, so that none is negative
_EPOCHS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3), (10**9, 1))


def units_a_second(value: float) -> int | None:
    """Of a number that is most likely a time since 1970 how many make a second; None if it is another number."""
    return next((units for least, units in _EPOCHS if value >= least), None)


def block_of(value: Any) -> Start:
    """The block that holds a cursor value: a moment as text, or a number."""
    if not isinstance(value, str):
        for least, units in _EPOCHS:
            if value >= least:
                length = 600 * units
                return max(int(value) // length * length, least)
        return math.floor(value) // _ROWS * _ROWS
    if value[4:5] != "-" or value.startswith("-") or value.endswith("BC"):
        return FIRST if value < "0" or value.endswith("BC") else _LAST
    if len(value) > _TEN_MINUTES:
        return value[:_TEN_MINUTES] + "0"
    return value


def behind(start: Start) -> Start:
    """What lies behind the block that begins at `start`, and before every other block that follows it."""
    return f"{start} " if isinstance(start, str) else start + 1


def edge(kind: Kind, value: Any) -> Any:
    """A value of a cursor, or the beginning of a block, as central's column of that kind has it in plain form.

    None for FIRST, before which nothing can lie.
    """
    if not isinstance(value, str):
        return value
    if value == FIRST:
        return None
    text = value.removesuffix("+00").replace(" ", "T")
    if kind is Kind.DATE:
        return text
    text = text if "T" in text else f"{text}T00:00"
    text = f"{text}:00" if len(text) == _MINUTES else text
    text = text.rstrip("0").removesuffix(".") if "." in text else text
    return f"{text}+00:00" if kind is Kind.INSTANT else text


def name_of(kind: Kind, value: Any) -> str:
    """Under which name central notes the block with a plain value of its column; names sort as their blocks do.

    Raises ProtocolError on what cannot be one.
    """
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise ProtocolError("a block is found by a moment or a number, and something else is given")
    start = block_of(value)
    return edge(kind, start) or "" if isinstance(start, str) else f"{start + _LEAST:022d}"


def window_start(value: Any, seconds: float) -> Start:
    """The first block of the window that ends at a cursor value and is `seconds` long, or a thousand rows where
    the cursor only counts."""
    if not isinstance(value, str):
        units = units_a_second(value)
        return block_of(value - (int(seconds * units) if units else _ROWS * (seconds > 0)))
    found = _MOMENT.match(value)
    try:
        moment = dt.datetime.fromisoformat(found[0] if found else "") - dt.timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return block_of(value)  # a date that no calendar knows
    separator = found[2] if found else None
    return block_of(moment.isoformat(separator, "minutes") if separator else moment.date().isoformat())


def runs(values: Sequence[Any]) -> Iterator[tuple[Start, int, int]]:
    """The blocks of cursor values in their order, each with its first place and the one behind its last."""
    at = 0
    while at < len(values):
        start = block_of(values[at])
        end = bisect_left(values, True, at + 1, key=partial(_is_beyond, start))
        yield start, at, end
        at = end


def _is_beyond(start: Start, value: Any) -> bool:
    return bool(block_of(value) != start)


class Tally:
    """Adds up the fingerprints of blocks as their rows go by in order.

    `base`: what was sent before of the block in which the first rows may lie; None if nobody knows, so that this
    block is left out.
    """

    def __init__(self, base: Mapping[Start, Fingerprint | None] | None = None) -> None:
        self._open = dict(base or {})

    def before(self, value: Any) -> Fingerprint | None:
        """What was there already of the block in which the next row, with this cursor value, lies."""
        return self._open.get(block_of(value), EMPTY)

    def add(self, values: Sequence[Any], hashes: Sequence[bytes]) -> dict[Start, Fingerprint]:
        """Takes the next rows: their cursor values and hashes. Returns the blocks they lie in, as they stand now."""
        touched: dict[Start, Fingerprint | None] = {}
        for start, at, end in runs(values):
            before = self._open.get(start, EMPTY)
            touched[start] = None if before is None else before + summed(hashes[at:end])
        if touched:
            last = next(reversed(touched))
            self._open = {last: touched[last]}
        return {start: each for start, each in touched.items() if each is not None}
