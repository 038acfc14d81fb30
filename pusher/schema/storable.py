"""One plain value as its column stores it unchanged, or the reason why it cannot."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from pusher.wire.fingerprint import (
    canonical,
    is_uuid,
    moment,
    rounded,
    to_decimal,
    to_float,
    to_integer,
    to_single,
    to_text,
)
from pusher.wire.tables import Column, Kind

_Converter = Callable[[str, Column, Any], Any]
_TRUE = frozenset((True, "1", "t", "true"))
_FALSE = frozenset((False, "0", "f", "false"))
_SHOWN_CHARACTERS = 60
_INT64 = (-(2**63), 2**63 - 1)
_INTEGER = re.compile(r"(TINY|SMALL|MEDIUM|BIG|)INT(?:EGER)?\b(.*)")
_INTEGER_BITS = {"TINY": 8, "SMALL": 16, "MEDIUM": 24, "": 32, "BIG": 64}
_YEARS = (1901, 2155)
BITS = re.compile(r"BIT\((\d+)\)")
_MEMBER = re.compile(r"'((?:[^']|'')*)'")
TEXT_BYTES = {"TINYTEXT": 2**8 - 1, "TEXT": 2**16 - 1, "MEDIUMTEXT": 2**24 - 1}  # of MariaDB
_FRACTION = r"(\.\d{1,6})?"
_DAY_TIME = rf"([01]\d|2[0-3]):[0-5]\d:[0-5]\d{_FRACTION}"
_ZONE = r"([+-]\d\d(:\d\d){0,2})"
# What each database takes literally. They understand far more, and make of it what was not said: "now",
# 13-05-01, 24:00:00 of a day, a zone where the column has none.
_LITERAL_MOMENTS: dict[tuple[str, Kind], re.Pattern[str]] = {
    (dialect, kind): re.compile(pattern, re.ASCII)
    for dialect, kind, pattern in (
        ("mariadb", Kind.DATE, r"\d{4}-\d\d-\d\d"),
        ("mariadb", Kind.TIME, rf"-?\d{{2,3}}:[0-5]\d:[0-5]\d{_FRACTION}"),
        ("mariadb", Kind.DATETIME, rf"\d{{4}}-\d\d-\d\dT{_DAY_TIME}"),
        ("mariadb", Kind.INSTANT, rf"\d{{4}}-\d\d-\d\dT{_DAY_TIME}"),
        ("postgresql", Kind.DATE, r"\d{4,}-\d\d-\d\d( BC)?|-?infinity"),
        ("postgresql", Kind.TIME, rf"({_DAY_TIME}|24:00:00){_ZONE}?"),
        ("postgresql", Kind.DATETIME, rf"\d{{4,}}-\d\d-\d\dT{_DAY_TIME}( BC)?|-?infinity"),
        ("postgresql", Kind.INSTANT, rf"\d{{4,}}-\d\d-\d\dT{_DAY_TIME}( BC)?|-?infinity"),
    )
}
_FINER = re.compile(r"\.\d{6}0*[1-9]", re.ASCII)  # than a microsecond, which no server keeps
_ENDS_WITH_ZONE = re.compile(_ZONE + "$", re.ASCII)
_SQLITE_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", re.ASCII)
_SQLITE_MOMENTS = {
    Kind.TIME: re.compile(r"\d{2,3}:\d\d:\d\d(\.\d+)?", re.ASCII),
    Kind.DATETIME: _SQLITE_DATETIME,
    Kind.INSTANT: _SQLITE_DATETIME,
}
_SQLITE_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


class Unstorable(ValueError):
    """A value that the column cannot hold unchanged; the text says why."""


def to_parameter(dialect: str, column: Column, value: Any) -> Any:
    """The value to bind. Raises Unstorable."""
    if value is None:
        # MariaDB would put the current time into a TIMESTAMP, and a numbered column would number itself.
        if column.numbered or not column.nullable:
            raise Unstorable("NULL has no place here")
        return None
    bound = _for_sqlite(column, value) if dialect == "sqlite" else _CONVERTERS[column.kind](dialect, column, value)
    if isinstance(bound, str):
        if not encodable(bound):
            raise Unstorable(f"{_show(bound)} is not UTF-8 text")
        if dialect == "postgresql" and "\0" in bound:
            raise Unstorable(f"{_show(bound)} holds the character NUL, which PostgreSQL does not take")
    return bound


@lru_cache(maxsize=256)
def integer_range(dialect: str, declared: str) -> tuple[float, float]:
    """The least and the largest integer of a type; no bounds if it is not known."""
    if dialect == "sqlite":
        return _INT64
    if declared.startswith("YEAR"):
        return _YEARS
    if bits := BITS.match(declared):
        return 0, 2 ** int(bits[1]) - 1
    integer = _INTEGER.match(declared)
    if not integer:
        return -math.inf, math.inf
    size = _INTEGER_BITS[integer[1]]
    return (0, 2**size - 1) if "UNSIGNED" in integer[2] else (-(2 ** (size - 1)), 2 ** (size - 1) - 1)


@lru_cache(maxsize=256)
def members(declared: str) -> tuple[str, ...] | None:
    """The members of MariaDB's ENUM and SET; None for all other types."""
    if not declared.startswith(("ENUM(", "SET(")):
        return None
    return tuple(member.replace("''", "'") for member in _MEMBER.findall(declared))


def encodable(text: str) -> bool:
    """False if a text holds bytes that are not UTF-8 (read from SQLite as lone surrogates)."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- value by value for the servers


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _no(column: Column, value: Any) -> Unstorable:
    article = "an" if column.kind.value[0] in "aeiou" else "a"
    return Unstorable(f"{_show(value)} is not {article} {column.kind.value}")


def _too_large(column: Column, value: Any) -> Unstorable:
    return Unstorable(f"{_show(value)} does not fit into {column.declared}")


def _integer(dialect: str, column: Column, value: Any) -> Any:
    bits = BITS.match(column.declared)
    # Of a text nobody can tell whether 10 means ten or two.
    number = None if bits and isinstance(value, str) else to_integer(value)
    if number is None:
        raise _no(column, value)
    low, high = integer_range(dialect, column.declared)
    if not low <= number <= high and (number != 0 or low != _YEARS[0]):
        raise _too_large(column, number)
    return f"{number:0{bits[1]}b}" if bits and dialect == "postgresql" else number


def _float(dialect: str, column: Column, value: Any) -> Any:
    number = to_float(value)
    if number is None:
        raise _no(column, value)
    if not math.isfinite(number):
        if dialect != "postgresql":
            raise _too_large(column, number)
        return number
    kept = number if column.scale is None else round(number, column.scale)
    if column.kind is Kind.SINGLE:
        number, kept = to_single(number), to_single(kept)
    if not math.isfinite(number) or kept != number:
        raise _too_large(column, value)
    return number


def _decimal(dialect: str, column: Column, value: Any) -> Any:
    number = to_decimal(value)
    if number is None:
        raise _no(column, value)
    if not number.is_finite():
        if dialect != "postgresql" or (number.is_infinite() and column.precision is not None):
            raise _too_large(column, value)
        return str(number)
    number = rounded(column, number)
    if column.precision is not None and number.adjusted() >= column.precision - (column.scale or 0) and number:
        raise _too_large(column, value)
    return f"{number:f}"


def _boolean(_dialect: str, column: Column, value: Any) -> Any:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise _no(column, value)


def _text(dialect: str, column: Column, value: Any) -> Any:
    if column.declared.startswith("BIT VARYING") and not isinstance(value, str):
        raise _no(column, value)
    text = _decoded(value) if isinstance(value, bytes) else to_text(value)
    chosen_from = members(column.declared)
    if chosen_from is not None:
        return _member(column, chosen_from, text)
    bytes_ = TEXT_BYTES.get(column.declared) if dialect == "mariadb" else None
    if (column.length is not None and len(text) > column.length) or (
        # What is too long by nothing but spaces, MariaDB would cut without an error.
        bytes_ is not None and text.endswith(" ") and len(text.encode("utf-8", "replace")) > bytes_
    ):
        raise Unstorable(f"{len(text)} characters do not fit into {column.declared}")
    if column.padded and text.endswith(" "):
        raise Unstorable(f"{column.declared} would lose the spaces at the end of {_show(text)}")
    return text


def _member(column: Column, known: tuple[str, ...], text: str) -> str:
    """MariaDB would take a number for a place in the list, and ignore case, spaces and order."""
    chosen = text.split(",")
    exact = text in known
    if column.declared.startswith("SET("):
        exact = text == ",".join(member for member in known if member in chosen)
    if not exact:
        raise Unstorable(f"{_show(text)} is not in {column.declared}")
    return text


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Unstorable(f"{_show(value)} is not UTF-8 text") from None


def _bytes(_dialect: str, column: Column, value: Any) -> Any:
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if not isinstance(raw, bytes):
        raise _no(column, value)
    if column.length is not None and len(raw) > column.length:
        raise Unstorable(f"{len(raw)} bytes do not fit into {column.declared}")
    if column.padded and len(raw) != column.length:
        raise Unstorable(f"{column.declared} would fill up {len(raw)} bytes")
    return raw


def _moment(dialect: str, column: Column, value: Any) -> Any:
    text = moment(column, value) if isinstance(value, str) and not _FINER.search(value) else ""
    if not _LITERAL_MOMENTS[dialect, column.kind].fullmatch(text):
        raise _no(column, value)
    if (dialect, column.kind) == ("postgresql", Kind.TIME) and bool(_ENDS_WITH_ZONE.search(text)) != (
        "WITH TIME ZONE" in column.declared
    ):
        raise Unstorable(f"{_show(value)} and {column.declared} differ in whether they have a zone")
    return text


def _json(_dialect: str, column: Column, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise _no(column, value)
    if isinstance(value, str | bytes):
        return _decoded(value) if isinstance(value, bytes) else value
    return msgspec.json.encode(value).decode()


def _uuid(_dialect: str, column: Column, value: Any) -> Any:
    if not is_uuid(value):
        raise _no(column, value)
    return value


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


# --- value by value for SQLite, which holds anything anywhere, but makes numbers of texts and texts of numbers


def _for_sqlite(column: Column, value: Any) -> Any:
    if isinstance(value, float) and value != value:
        raise Unstorable("SQLite would make NULL of NaN")
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return to_text(value) if column.kind in (Kind.TEXT, Kind.JSON) else value
    if column.kind is Kind.TEXT:
        return value if column.declared == "unknown" else to_text(value)
    if isinstance(value, str):
        return value if column.kind is Kind.BYTES else _sqlite_text(column, value)
    if isinstance(value, int) and not _INT64[0] <= value <= _INT64[1]:
        raise _too_large(column, value)
    if isinstance(value, float) and column.kind in (Kind.DECIMAL, Kind.JSON) and math.isfinite(value):
        return _as_sqlite_number(repr(value))  # SQLite makes an integer of 1e17, but not of its shortest digits
    return value


def _sqlite_text(column: Column, value: str) -> Any:
    if column.kind in _SQLITE_MOMENTS:
        text = moment(column, value)
        if _SQLITE_MOMENTS[column.kind].fullmatch(text):
            # SQLAlchemy's own storage format, so that times sort as text and other programs read them.
            main, _, fraction = text.replace("T", " ").partition(".")
            return f"{main}.{fraction:0<6}"
    if not _SQLITE_NUMBER.fullmatch(value):
        return value
    number = _as_sqlite_number(value)
    if canonical(column, [number]) != canonical(column, [value]):
        raise Unstorable(f"SQLite would make {number!r} of {_show(value)}")
    return number


def _as_sqlite_number(text: str) -> int | float:
    """What SQLite makes of a text that looks like a number; made here, since it does not round as well."""
    number = Decimal(text.strip())
    whole = number.is_finite() and number.adjusted() < 19 and number == number.to_integral_value()
    return int(number) if whole and _INT64[0] <= number <= _INT64[1] else float(number)
