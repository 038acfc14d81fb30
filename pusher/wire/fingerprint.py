"""The canonical form of a value, and the fingerprint of a set of rows made from it.

Two values are the same to pusher exactly if their canonical forms are the same bytes, whatever engines
they come from. The form is that of the column where the value ends up (its kind, its precision), so that
both sides write down what central can hold.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from hashlib import blake2b
from typing import Any

import msgspec

from pusher.wire.tables import Column, Kind, RowSet

VERSION = 1  # of the canonical form; fingerprints of different versions cannot be compared

_NULL = b"\x00"
_pack_int = struct.Struct("<cq").pack
_pack_float = struct.Struct("<cd").pack
_pack_length = struct.Struct("<cI").pack
_single = struct.Struct("<f")
_MODULUS = 1 << 128
_DECIMAL_DIGITS = 200
_FRACTION = re.compile(r"(?<=:\d\d)\.(\d*)")


class Fingerprint(msgspec.Struct, frozen=True, array_like=True):
    """`count` rows and `total`, the sum of their hashes modulo 2^128 as 32 hexadecimal digits."""

    count: int
    total: str

    def __add__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint(self.count + other.count, f"{(int(self.total, 16) + int(other.total, 16)) % _MODULUS:032x}")


EMPTY = Fingerprint(0, "0" * 32)


def fingerprint(columns: Iterable[Column], rows: RowSet) -> Fingerprint:
    """The fingerprint of `rows`, whose names must be those of `columns` in the same order."""
    hashes = row_hashes(columns, rows)
    return Fingerprint(len(hashes), f"{sum(map(_as_number, hashes)) % _MODULUS:032x}")


def row_hashes(columns: Iterable[Column], rows: RowSet) -> list[bytes]:
    """BLAKE2b-128 of each row's canonical form."""
    encoded = [canonical(column, values) for column, values in zip(columns, rows.columns, strict=True)]
    return [blake2b(b"".join(parts), digest_size=16).digest() for parts in zip(*encoded, strict=True)]


def canonical(column: Column, values: list[Any]) -> list[bytes]:
    """The canonical bytes of each plain value as `column` holds it; every form tells its own end."""
    encode_all = _WHOLE.get((column.kind, frozenset(map(type, values))))
    encoded = encode_all(values) if encode_all else None
    if encoded is not None:
        return encoded
    encode = _ENCODERS[column.kind]
    return [_NULL if value is None else encode(column, value) for value in values]


def _as_number(digest: bytes) -> int:
    return int.from_bytes(digest, "little")


def _text(tag: bytes, text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return _pack_length(tag, len(raw)) + raw


def _stray(value: Any) -> bytes:
    """A value that its column's kind does not foresee: by its own type."""
    if isinstance(value, bool | int):
        return _integer(value)
    if isinstance(value, float):
        return _pack_float(b"f", math.nan if value != value else value + 0.0)
    if isinstance(value, bytes):
        return _pack_length(b"b", len(value)) + value
    return _text(b"s", str(value))


def _integer(value: int) -> bytes:
    if -(2**63) <= value < 2**63:
        return _pack_int(b"i", value)
    return _text(b"I", str(value))


def _encode_integer(_column: Column, value: Any) -> bytes:
    if isinstance(value, float) and value.is_integer():
        return _integer(int(value))
    if isinstance(value, str):
        try:
            return _integer(int(value))
        except ValueError:
            return _stray(value)
    return _integer(value) if isinstance(value, int) else _stray(value)


def _encode_float(column: Column, value: Any) -> bytes:
    if not isinstance(value, float):
        try:
            value = float(value)
        except (ValueError, TypeError, OverflowError):
            return _stray(value)
    if column.kind is Kind.SINGLE:
        value = to_single(value)
    return _pack_float(b"f", math.nan if value != value else value + 0.0)  # -0.0 + 0.0 is 0.0


def to_single(value: float) -> float:
    """The nearest 32-bit float, as a 64-bit one; infinity if it is out of range."""
    try:
        return float(_single.unpack(_single.pack(value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _encode_decimal(column: Column, value: Any) -> bytes:
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value))
    except InvalidOperation:
        return _stray(value)
    if not number.is_finite():
        return _text(b"n", str(number))
    with localcontext(prec=_DECIMAL_DIGITS):
        if column.scale is not None:
            number = number.quantize(Decimal(1).scaleb(-column.scale), ROUND_HALF_UP)
        return _text(b"n", f"{number.normalize() + 0:f}")


def _encode_text(column: Column, value: Any) -> bytes:
    if isinstance(value, str):
        return _text(b"s", value.rstrip(" ") if column.padded else value)
    return _stray(value) if isinstance(value, bytes) else _text(b"s", str(value))


def _encode_bytes(column: Column, value: Any) -> bytes:
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if not isinstance(raw, bytes):
        return _stray(raw)
    if column.padded:
        raw = raw.rstrip(b"\0")
    return _pack_length(b"b", len(raw)) + raw


def _encode_moment(column: Column, value: Any) -> bytes:
    if not isinstance(value, str):
        return _stray(value)
    return _text(b"t", moment(column, value))


def moment(column: Column, text: str) -> str:
    """A date, time, datetime or instant in its one canonical spelling, cut to the precision of `column`.

    `2013-05-01T12:00:00.5`: T between date and time, the fraction without trailing zeros, no zone
    (an instant is in UTC). Text is all it handles, so that a date no calendar knows survives too.
    """
    if column.kind in (Kind.DATETIME, Kind.INSTANT):
        text = _utc(text.replace(" ", "T", 1))
        if len(text) == len("2013-05-01"):
            text += "T00:00:00"
    digits = 6 if column.scale is None else column.scale
    return _FRACTION.sub(lambda match: ("." + match[1][:digits]).rstrip("0").rstrip("."), text, count=1)


def _utc(text: str) -> str:
    era = " BC" if text.endswith(" BC") else ""
    return text.removesuffix(era).removesuffix("+00:00").removesuffix("Z") + era


# --- whole columns of one type, the same bytes as value by value but several times as fast


def _whole_integers(values: list[Any]) -> list[bytes] | None:
    try:
        return [_pack_int(b"i", value) for value in values]
    except struct.error:
        return None  # beyond 64 bits


def _whole_floats(values: list[Any]) -> list[bytes] | None:
    return None if any(value != value for value in values) else [_pack_float(b"f", value + 0.0) for value in values]


def whole_moments(values: list[Any]) -> list[bytes] | None:
    """The UTF-8 of datetimes that are canonical as they stand: T, no fraction, no zone; None if some are not."""
    joined = "\n".join(values)
    if not joined.isascii() or any(sign in joined for sign in " .+Z") or joined.count("T") != len(values):
        return None
    raw = joined.encode()
    split = raw.split(b"\n")
    width = len("2013-05-01T12:00:00")
    return split if len(split) == len(values) and set(map(len, split)) == {width} else None


def _whole_moments(values: list[Any]) -> list[bytes] | None:
    raw = whole_moments(values)
    if raw is None:
        return None
    head = _pack_length(b"t", len(raw[0]))
    return [head + each for each in raw]


_WHOLE: dict[tuple[Kind, frozenset[type]], Callable[[list[Any]], list[bytes] | None]] = {
    (Kind.INTEGER, frozenset((int,))): _whole_integers,
    (Kind.FLOAT, frozenset((float,))): _whole_floats,
    (Kind.DATETIME, frozenset((str,))): _whole_moments,
}


def _encode_json(_column: Column, value: Any) -> bytes:
    try:
        document = msgspec.json.decode(value if isinstance(value, str | bytes) else str(value))
        return _text(b"j", msgspec.json.encode(document, order="sorted").decode())
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError):
        return _stray(value)


def _encode_uuid(_column: Column, value: Any) -> bytes:
    return _text(b"u", value.replace("-", "").lower()) if isinstance(value, str) else _stray(value)


_ENCODERS: dict[Kind, Callable[[Column, Any], bytes]] = {
    Kind.INTEGER: _encode_integer,
    Kind.BOOLEAN: _encode_integer,
    Kind.FLOAT: _encode_float,
    Kind.SINGLE: _encode_float,
    Kind.DECIMAL: _encode_decimal,
    Kind.TEXT: _encode_text,
    Kind.BYTES: _encode_bytes,
    Kind.DATE: _encode_moment,
    Kind.TIME: _encode_moment,
    Kind.DATETIME: _encode_moment,
    Kind.INSTANT: _encode_moment,
    Kind.JSON: _encode_json,
    Kind.UUID: _encode_uuid,
}
