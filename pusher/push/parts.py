"""Parts of a stream, as both sides compare them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from pusher.push.position import Position
from pusher.schema.guess import Role
from pusher.schema.keyset import Before, Place
from pusher.schema.plan import TablePlan
from pusher.wire.batch import unpack_cursor
from pusher.wire.blocks import FIRST, Start, block_of
from pusher.wire.fingerprint import Fingerprint

_T = TypeVar("_T")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a stream between two values of its cursor (None: its end), and how many rows each side has, if that
    is known."""

    low: Any
    high: Any
    here: int = 0
    there: int = 0


def is_keyed(table: TablePlan) -> bool:
    """Whether central knows a row by its key, and not by an id that it gave."""
    return table.role is Role.STREAM and bool(table.key)


def pushed(position: Position) -> list[tuple[Place, Place]]:
    """What was sent of a stream: up to its checkpoint, and what is dated in the future."""
    cursor, ahead = position.cursor, position.horizon.ahead
    future: list[tuple[Place, Place]] = [(ahead, None)] if ahead else []
    if cursor is None:
        return future
    if ahead and block_of(unpack_cursor(cursor)[0]) >= block_of(ahead.value):
        return [(position.floor, None)]
    return [(position.floor, cursor), *future]


def within(prints: dict[Start, Fingerprint], part: Part) -> dict[Start, Fingerprint]:
    return {
        start: each
        for start, each in prints.items()
        if (part.low is None or start >= block_of(part.low)) and (part.high is None or start < part.high)
    }


def before(value: Any) -> Place:
    return None if value is None or value == FIRST else Before(value)


def chunks(parts: Sequence[Part], size: int) -> Iterator[Sequence[Part]]:
    return (parts[at : at + size] for at in range(0, len(parts), size))


def halves(items: Sequence[_T]) -> tuple[Sequence[_T], Sequence[_T]]:
    middle = len(items) // 2
    return items[:middle], items[middle:]


def pushed_within(position: Position, part: Part) -> Iterator[tuple[Place, Place]]:
    """What was sent of a part."""
    for low, high in pushed(position):
        if part.low is not None and high is not None and _value(high) < part.low:
            continue
        if part.high is not None and low is not None and _value(low) >= part.high:
            continue
        begins = part.low is not None and (low is None or _value(low) < part.low)
        ends = part.high is not None and (high is None or _value(high) >= part.high)
        yield before(part.low) if begins else low, before(part.high) if ends else high


def _value(place: Place) -> Any:
    assert place is not None
    return place.value if isinstance(place, Before) else unpack_cursor(place)[0]
