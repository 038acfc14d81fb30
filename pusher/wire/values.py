"""Plain values ⇄ values that JSON can hold without losing a bit.

A column of kind `bytes` travels as base64, a float that JSON has no word for as "NaN", "Infinity" or
"-Infinity"; all else is JSON already. SQLite may hold any value in any column: what does not fit its
column's kind travels as an object that says what it is, {"bytes": …}, {"text": …} or {"float": …}, and
text that is not UTF-8 as {"raw": …}.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from typing import Any

from pusher.errors import ProtocolError
from pusher.wire.tables import Kind

_FLOATS = (Kind.FLOAT, Kind.SINGLE)
_NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_wire(kind: Kind, column: list[Any]) -> list[Any]:
    """A column of plain values as JSON values; the same list if there is nothing to change."""
    types = set(map(type, column))
    if (
        kind is Kind.BYTES
        or bytes in types
        or (str in types and (kind in _FLOATS or not _encodable(column)))
        or (float in types and not math.isfinite(sum(column if types == {float} else _floats(column))))
    ):
        return [_to_wire(kind, value) for value in column]
    return column


def from_wire(kind: Kind, column: list[Any]) -> list[Any]:
    """The inverse of `to_wire`. Raises ProtocolError on anything `to_wire` does not write."""
    types = set(map(type, column))
    if dict in types or list in types or (str in types and (kind is Kind.BYTES or kind in _FLOATS)):
        return [_from_wire(kind, value) for value in column]
    return column


def _floats(column: list[Any]) -> list[float]:
    return [value for value in column if type(value) is float]


def _encodable(column: list[Any]) -> bool:
    """False if a text holds bytes that are not UTF-8 (read from SQLite as lone surrogates)."""
    try:
        "".join([value for value in column if type(value) is str]).encode()
    except UnicodeEncodeError:
        return False
    return True


def _to_wire(kind: Kind, value: Any) -> Any:
    if type(value) is bytes:
        encoded = b64encode(value).decode("ascii")
        return encoded if kind is Kind.BYTES else {"bytes": encoded}
    if type(value) is float and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return name if kind in _FLOATS else {"float": name}
    if type(value) is str:
        if not _encodable([value]):
            return {"raw": b64encode(value.encode("utf-8", "surrogateescape")).decode("ascii")}
        if kind is Kind.BYTES or (kind in _FLOATS and value in _NONFINITE):
            return {"text": value}
    return value


def _from_wire(kind: Kind, value: Any) -> Any:
    if type(value) is str:
        if kind is Kind.BYTES:
            return _decode_base64(value)
        return _NONFINITE.get(value, value) if kind in _FLOATS else value
    if type(value) is dict:
        return _tagged(value)
    if type(value) is list:
        raise ProtocolError("a value is an array; expected a number, a string, true, false or null")
    return value


def _tagged(value: dict[str, Any]) -> Any:
    match list(value.items()):
        case [("bytes", str(text))]:
            return _decode_base64(text)
        case [("text", str(text))]:
            return text
        case [("raw", str(text))]:
            return _decode_base64(text).decode("utf-8", "surrogateescape")
        case [("float", str(text))] if text in _NONFINITE:
            return _NONFINITE[text]
    raise ProtocolError("a value is an object that this version does not know")


def _decode_base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise ProtocolError(f"bytes that are not base64: {error}") from error
