"""Writes many rows as the text of one MariaDB statement, several times as fast as binding them one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from pymysql.converters import escape_string

Row = tuple[Any, ...]
_NUMBERS = {int, float, bool}
_ALIKE = _NUMBERS | {str, type(None)}
_OTHERWISE = ("\\u", "\\f", "-0.0,", "-0.0]")  # to MariaDB -0.0 is a decimal, which has no such zero
_STATEMENT_CHARACTERS = 1 << 20  # well below the smallest max_allowed_packet in use


def statements(insert: str, ending: str, rows: Sequence[Row]) -> Iterator[str]:
    """`insert` (… VALUES ) with as many rows as fit, and `ending`, until all rows are in one.

    The session must take backslashes as escapes and "…" as text, as MariaDB does unless told otherwise.
    """
    text = _values(rows)
    parts = -(-len(text) // _STATEMENT_CHARACTERS)
    if parts <= 1 or len(rows) == 1:
        yield f"{insert}{text}{ending}"
        return
    size = -(-len(rows) // parts)
    for at in range(0, len(rows), size):
        yield from statements(insert, ending, rows[at : at + size])


def _values(rows: Sequence[Row]) -> str:
    columns = list(zip(*rows, strict=True))
    quick = _as_json(rows, columns)
    if quick is not None:
        return quick
    return "(" + "),(".join(map(",".join, zip(*map(_literals, columns), strict=True))) + ")"


def _as_json(rows: Sequence[Row], columns: Sequence[tuple[Any, ...]]) -> str | None:
    """The rows as JSON writes them, where MariaDB reads that as what it is; several times as fast as value by value."""
    for column in columns:
        types = set(map(type, column))
        if not types <= _ALIKE or (float in types and not (types <= _NUMBERS and math.isfinite(sum(column)))):
            return None
    try:
        text = msgspec.json.encode(rows).decode()
    except (UnicodeEncodeError, OverflowError):
        return None
    if text.count("],[") != len(rows) - 1 or any(each in text for each in _OTHERWISE):
        return None  # a text holds what looks like a border between rows, or JSON has a spelling of its own
    return f"({text[2:-2].replace('],[', '),(')})"


def _literals(column: tuple[Any, ...]) -> list[str]:
    types = set(map(type, column))
    if types == {int}:
        return list(map(str, column))
    if types == {float}:
        return [_float(value) for value in column]
    if types == {str}:
        return _texts(column)
    return [_WRITERS[type(value)](value) for value in column]


def _texts(column: Sequence[str]) -> list[str]:
    joined = "\x1f".join(column)
    escaped = escape_string(joined).split("\x1f")
    if len(escaped) != len(column):  # a text holds the separator itself
        escaped = [escape_string(text) for text in column]
    return [f"'{text}'" for text in escaped]


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} has no place in this database")
    text = repr(value)
    return text if "e" in text else text + "e0"


_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    bool: lambda value: str(int(value)),
    int: str,
    float: _float,
    str: lambda value: f"'{escape_string(value)}'",
    bytes: lambda value: f"x'{value.hex()}'" if value else "''",
}
