"""Columns whose values' canonical forms are all of one length: the same bytes without a step for each value.

Such columns are laid side by side as the planes of an image are: byte by byte, each in one stride over all rows.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from pusher.wire.tables import Kind

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_SPELT = b"0000-00-00T00:00:00\n"
_SPELT_WIDTH = len(_SPELT) - 1


class Lane(NamedTuple):
    """Of each value `head`, then `width` bytes of `data`, which holds one value every `stride` bytes."""

    head: bytes
    data: bytes
    width: int
    stride: int


def integers(values: list[int]) -> Lane | None:
    """None if one is beyond 64 bits."""
    try:
        return _numbers(b"i", array("q", values))
    except OverflowError:
        return None


def floats(values: list[float]) -> Lane | None:
    """None if one is no number, or may be."""
    if not math.isfinite(sum(values)):
        return None
    return _numbers(b"f", array("d", [value + 0.0 for value in values] if 0.0 in values else values))  # -0.0 is 0.0


def moments(kind: Kind, values: list[str]) -> Lane | None:
    """Datetimes or instants that all have T and no fraction; None if some are others."""
    raw = joined_moments(kind, values)
    return None if raw is None else Lane(struct.pack("<cI", b"t", _SPELT_WIDTH), raw, _SPELT_WIDTH, len(_SPELT))


def joined_moments(kind: Kind, values: list[str]) -> bytes | None:
    """The canonical ASCII of such moments, each with a newline behind it."""
    text = "\n".join(values) + "\n"
    if not text.isascii():
        return None
    raw = text.encode()
    if kind is Kind.INSTANT:
        raw = raw.replace(b"+00:00\n", b"\n")
    return raw if raw.translate(_DIGITS_TO_ZERO) == _SPELT * len(values) else None


def side_by_side(lanes: Sequence[Lane], count: int) -> list[bytes]:
    """What the lanes hold for each of `count` rows, one lane behind the other."""
    width = sum(len(lane.head) + lane.width for lane in lanes)
    rows = bytearray(count * width)
    at = 0
    for head, data, length, stride in lanes:
        for byte in head:
            rows[at::width] = bytes((byte,)) * count
            at += 1
        for place in range(length):
            rows[at::width] = data[place::stride]
            at += 1
    return [row for (row,) in struct.iter_unpack(f"{width}s", rows)]


def _numbers(head: bytes, numbers: array[Any]) -> Lane:
    if sys.byteorder == "big":
        numbers.byteswap()
    return Lane(head, numbers.tobytes(), numbers.itemsize, numbers.itemsize)
