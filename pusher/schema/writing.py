"""Turns columns of plain values into what the driver needs to store them unchanged, and says which it cannot."""

from __future__ import annotations

import math
from typing import Any

from pusher.schema.storable import BITS, TEXT_BYTES, Unstorable, encodable, integer_range, members, to_parameter
from pusher.wire.lanes import joined_moments
from pusher.wire.tables import Column, Kind

_SMALL_SINGLE, _LARGE_SINGLE = 1.2e-38, 3.4e38  # beyond, PostgreSQL would not round but refuse


def to_parameters(dialect: str, column: Column, values: list[Any]) -> tuple[list[Any], dict[int, str]]:
    """The values to bind, and for each index that cannot be stored the reason (its value is then None)."""
    whole = _whole(dialect, column, values)
    if whole is not None:
        return whole, {}
    parameters, refused = [], {}
    for index, value in enumerate(values):
        try:
            parameters.append(to_parameter(dialect, column, value))
        except Unstorable as error:
            parameters.append(None)
            refused[index] = f"{column.name}: {error}"
    return parameters, refused


# --- whole columns in one pass


def _whole(dialect: str, column: Column, values: list[Any]) -> list[Any] | None:
    """All values if they can be bound as they are, or nearly so; None if each must be looked at."""
    types = set(map(type, values))
    if type(None) in types and (column.numbered or not column.nullable):
        return None
    if column.kind in (Kind.DATETIME, Kind.INSTANT) and types == {str}:
        return _plain_moments(dialect, column.kind, values)
    unchanged = _UNCHANGED.get(column.kind)
    if unchanged is None or not types <= unchanged:
        return None
    known = [value for value in values if value is not None] if type(None) in types else values
    return values if _FITS[column.kind](dialect, column, known) else None


def _plain_moments(dialect: str, kind: Kind, values: list[str]) -> list[Any] | None:
    """Datetimes and instants without a fraction."""
    raw = joined_moments(kind, values)
    if raw is None:
        return None
    text = raw[:-1].decode()
    if dialect == "sqlite":
        text = text.replace("T", " ").replace("\n", ".000000\n") + ".000000"
    elif "T24:" in text or ":60" in text:
        return None  # PostgreSQL would make it the next day, or the next minute
    return text.split("\n")


def _integers_fit(dialect: str, column: Column, values: list[Any]) -> bool:
    if dialect == "postgresql" and BITS.match(column.declared):
        return False
    low, high = integer_range(dialect, column.declared)
    return not values or (low <= min(values) and max(values) <= high)


def _floats_fit(dialect: str, column: Column, values: list[Any]) -> bool:
    if column.scale is not None:
        return False
    if column.kind is Kind.SINGLE:
        return all(not value or _SMALL_SINGLE < abs(value) < _LARGE_SINGLE for value in values)
    return dialect == "postgresql" or all(map(math.isfinite, values))


def _texts_fit(dialect: str, column: Column, values: list[Any]) -> bool:
    text = "".join(values)
    if not encodable(text):
        return False
    if dialect == "sqlite":
        return True
    if column.padded or members(column.declared) is not None or (dialect == "postgresql" and "\0" in text):
        return False
    longest = max(map(len, values), default=0)
    bytes_ = TEXT_BYTES.get(column.declared) if dialect == "mariadb" else None
    return (column.length is None or longest <= column.length) and (bytes_ is None or longest * 4 <= bytes_)


def _bytes_fit(dialect: str, column: Column, values: list[Any]) -> bool:
    if dialect == "sqlite" or column.length is None:
        return True
    return not column.padded and max(map(len, values), default=0) <= column.length


_UNCHANGED = {
    Kind.INTEGER: {int, type(None)},
    Kind.TEXT: {str, type(None)},
    Kind.FLOAT: {float, type(None)},
    Kind.SINGLE: {float, type(None)},
    Kind.BYTES: {bytes, type(None)},
}
_FITS = {
    Kind.INTEGER: _integers_fit,
    Kind.TEXT: _texts_fit,
    Kind.FLOAT: _floats_fit,
    Kind.SINGLE: _floats_fit,
    Kind.BYTES: _bytes_fit,
}
