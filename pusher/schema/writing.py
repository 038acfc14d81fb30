"""Turns plain values into what the driver needs to store them unchanged, and says which it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from pusher.wire.fingerprint import moment, whole_moments
from pusher.wire.tables import Column, Kind

_Converter = Callable[[str, Column, Any], Any]
_TRUE = frozenset((True, 1, "1", "t", "true"))
_FALSE = frozenset((False, 0, "0", "f", "false"))
_SHOWN_CHARACTERS = 60


class Unstorable(ValueError):
    """A value that the column cannot hold unchanged; the text says why."""


def to_parameters(dialect: str, column: Column, values: list[Any]) -> tuple[list[Any], dict[int, str]]:
    """The values to bind, and for each index that cannot be stored the reason (its value is then None)."""
    if column.kind is Kind.DATETIME and set(map(type, values)) == {str} and (raw := whole_moments(values)):
        return _plain_datetimes(dialect, raw), {}
    convert = _CONVERTERS[column.kind]
    unchanged = _UNCHANGED.get(column.kind)
    if unchanged is not None and set(map(type, values)) <= unchanged and _fits(dialect, column, values):
        return values, {}
    parameters, refused = [], {}
    for index, value in enumerate(values):
        try:
            parameters.append(None if value is None else convert(dialect, column, value))
        except Unstorable as error:
            parameters.append(None)
            refused[index] = f"{column.name}: {error}"
    return parameters, refused


def _plain_datetimes(dialect: str, raw: list[bytes]) -> list[Any]:
    """Datetimes without a fraction, all in one pass."""
    text = b"\n".join(raw).decode()
    if dialect == "sqlite":
        text = text.replace("T", " ").replace("\n", ".000000\n") + ".000000"
    return text.split("\n")


_UNCHANGED = {
    Kind.INTEGER: {int, type(None)},
    Kind.TEXT: {str, type(None)},
    Kind.FLOAT: {float, type(None)},
    Kind.SINGLE: {float, type(None)},
    Kind.BYTES: {bytes, type(None)},
}


def _fits(dialect: str, column: Column, values: list[Any]) -> bool:
    if column.kind in (Kind.FLOAT, Kind.SINGLE):
        return dialect == "postgresql" or all(map(math.isfinite, filter(None, values)))
    if column.length is not None and dialect != "sqlite":
        return max(map(len, filter(None, values)), default=0) <= column.length
    return True


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _no(dialect: str, column: Column, value: Any) -> Any:
    """SQLite holds anything anywhere; elsewhere a value of the wrong sort is refused."""
    if dialect == "sqlite":
        return value
    article = "an" if column.kind.value[0] in "aeiou" else "a"
    raise Unstorable(f"{_show(value)} is not {article} {column.kind.value}")


def _integer(dialect: str, column: Column, value: Any) -> Any:
    if isinstance(value, int):
        return int(value)
    try:
        number = Decimal(value) if isinstance(value, str | float) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or number != number.to_integral_value():
        return _no(dialect, column, value)
    return int(number)


def _float(dialect: str, column: Column, value: Any) -> Any:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return _no(dialect, column, value)
    if math.isfinite(number) or dialect == "postgresql":
        return number
    if dialect == "sqlite" and not math.isnan(number):
        return number
    raise Unstorable(f"{number} has no place in this database")


def _decimal(dialect: str, column: Column, value: Any) -> Any:
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value))
    except InvalidOperation:
        return _no(dialect, column, value)
    if dialect != "sqlite":
        return f"{number:f}"
    if not number.is_finite():
        return str(number)
    if number == number.to_integral_value() and abs(number) < 2**63:
        return int(number)
    if Decimal(repr(float(number))) != number:
        raise Unstorable(f"{number} has more digits than SQLite keeps of a decimal")
    return float(number)


def _boolean(dialect: str, column: Column, value: Any) -> Any:
    try:
        truth = True if value in _TRUE else False if value in _FALSE else None
    except TypeError:
        truth = None
    if truth is None:
        return _no(dialect, column, value)
    return truth if dialect == "postgresql" else int(truth)


def _text(dialect: str, column: Column, value: Any) -> Any:
    if isinstance(value, bytes):
        return _undecodable(dialect, value)
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    if dialect == "sqlite":
        return value if isinstance(value, int | float) else text
    if column.length is not None and len(text) > column.length:
        raise Unstorable(f"{len(text)} characters do not fit into {column.declared}")
    return text


def _undecodable(dialect: str, value: bytes) -> Any:
    if dialect == "sqlite":
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Unstorable(f"{_show(value)} is not UTF-8 text") from None


def _bytes(dialect: str, column: Column, value: Any) -> Any:
    if dialect == "sqlite":
        return value
    raw = value.encode() if isinstance(value, str) else value
    if not isinstance(raw, bytes):
        return _no(dialect, column, value)
    if column.length is not None and len(raw) > column.length:
        raise Unstorable(f"{len(raw)} bytes do not fit into {column.declared}")
    return raw


def _moment(dialect: str, column: Column, value: Any) -> Any:
    if not isinstance(value, str):
        return _no(dialect, column, value)
    text = moment(column, value)
    if dialect != "sqlite" or column.kind is Kind.DATE or not value[:1].isdigit():
        return text
    # SQLAlchemy's own storage format, so that times sort as text and other programs read them.
    main, point, fraction = text.replace("T", " ", 1).partition(".")
    return f"{main}.{fraction:0<6}" if point or main[-3:-2] == ":" else text


def _json(_dialect: str, _column: Column, value: Any) -> Any:
    return value if isinstance(value, str | bytes) else msgspec.json.encode(value).decode()


def _uuid(dialect: str, column: Column, value: Any) -> Any:
    return value if isinstance(value, str) else _no(dialect, column, value)


_CONVERTERS: dict[Kind, _Converter] = {
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.SINGLE: _float,
    Kind.DECIMAL: _decimal,
    Kind.BOOLEAN: _boolean,
    Kind.TEXT: _text,
    Kind.BYTES: _bytes,
    Kind.DATE: _moment,
    Kind.TIME: _moment,
    Kind.DATETIME: _moment,
    Kind.INSTANT: _moment,
    Kind.JSON: _json,
    Kind.UUID: _uuid,
}
