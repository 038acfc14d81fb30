"""The canonical form of a value, and the fingerprint of a set of rows made from it.

Two values are the same to pusher exactly if their canonical forms are the same bytes, whatever engines
they come from. The form is that of the column where the value ends up (its kind, its precision), so that
both sides write down what central can hold.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
import sys
from array import array
from collections.abc import Callable, Collection, Iterable
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import partial
from hashlib import blake2b
from typing import Any

import msgspec

from pusher.errors import ProtocolError
from pusher.wire.lanes import Lane, floats, integers, moments, side_by_side
from pusher.wire.tables import Column, Kind, RowSet

VERSION = 1  # of the canonical form; fingerprints of different versions cannot be compared

_NULL = b"\x00"
_pack_int = struct.Struct("<cq").pack
_pack_float = struct.Struct("<cd").pack
_pack_length = struct.Struct("<cI").pack
_single = struct.Struct("<f")
_MODULUS = 1 << 128
_HASH_BYTES = 16
# A number as every database writes it: no plus, no needless zero in front. The exponent is capped, lest a few
# letters grow into a number of gigabytes; PostgreSQL's largest has 131,072 digits.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,5})?", re.ASCII)
_NONFINITE = frozenset(("NaN", "Infinity", "-Infinity"))
_EXACT = Context(prec=400_000, rounding=ROUND_HALF_UP)
_INTEGER_DIGITS = 400
_ZONE = r"(Z|[+-]\d\d(?::?\d\d)?(?::\d\d)?)?"
_DATED = re.compile(rf"(\d{{4,}}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(\.\d+)?{_ZONE})?( BC)?", re.ASCII)
_TIMED = re.compile(rf"(-?\d{{2,3}}:\d\d)(:\d\d)?(\.\d+)?{_ZONE}", re.ASCII)
_UTC = frozenset((None, "Z", "+00", "-00", "+00:00", "-00:00", "+0000", "-0000"))
_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_TRUTH = {"true": 1, "t": 1, "1": 1, "false": 0, "f": 0, "0": 0}
_json_decoder = msgspec.json.Decoder(float_hook=Decimal)
_json_encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")


class Fingerprint(msgspec.Struct, frozen=True, array_like=True):
    """`count` rows and `total`, the sum of their hashes modulo 2^128 as 32 hexadecimal digits."""

    count: int
    total: str

    @classmethod
    def of(cls, count: int, total: int) -> Fingerprint:
        """`total`: the plain sum of so many rows' hashes."""
        return cls(count, f"{total % _MODULUS:032x}")

    def __add__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint.of(self.count + other.count, int(self.total, 16) + int(other.total, 16))


EMPTY = Fingerprint(0, "0" * 32)


def fingerprint(columns: Iterable[Column], rows: RowSet) -> Fingerprint:
    """The fingerprint of `rows`, whose names must be those of `columns` in the same order."""
    return summed(row_hashes(columns, rows))


def summed(hashes: Collection[bytes]) -> Fingerprint:
    """The fingerprint of rows with these hashes; an empty hash stands for a row that only counts."""
    joined = b"".join(hashes)
    if len(joined) != _HASH_BYTES * len(hashes):
        return Fingerprint.of(len(hashes), sum(map(_as_number, hashes)))
    halves = array("Q", joined)
    if sys.byteorder == "big":
        halves.byteswap()
    return Fingerprint.of(len(hashes), sum(halves[0::2]) + (sum(halves[1::2]) << 64))


def summed_by_place(placed: Iterable[tuple[int, bytes]], places: int) -> list[Fingerprint]:
    """The fingerprint of each of so many places, from the hashes of rows and where each row lies."""
    counts, totals = [0] * places, [0] * places
    for place, digest in placed:
        counts[place] += 1
        totals[place] += _as_number(digest)
    return [Fingerprint.of(count, total) for count, total in zip(counts, totals, strict=True)]


def row_hashes(columns: Iterable[Column], rows: RowSet) -> list[bytes]:
    """BLAKE2b-128 of each row's canonical form."""
    return [blake2b(row, digest_size=_HASH_BYTES).digest() for row in _encoded(columns, rows)]


def _encoded(columns: Iterable[Column], rows: RowSet) -> Iterable[bytes]:
    """The canonical forms of each row's values, one behind the other."""
    parts: list[list[bytes]] = []
    lanes: list[Lane] = []
    for column, values in zip(columns, rows.columns, strict=True):
        if lane := _lane(column, values):
            lanes.append(lane)
            continue
        if lanes:
            parts.append(side_by_side(lanes, len(rows)))
            lanes = []
        parts.append(canonical_one_by_one(column, values))
    if lanes:
        parts.append(side_by_side(lanes, len(rows)))
    return parts[0] if len(parts) == 1 else map(b"".join, zip(*parts, strict=True))


def canonical(column: Column, values: list[Any]) -> list[bytes]:
    """The canonical bytes of each plain value as `column` holds it; every form tells its own end."""
    lane = _lane(column, values)
    return side_by_side([lane], len(values)) if lane else canonical_one_by_one(column, values)


def _lane(column: Column, values: list[Any]) -> Lane | None:
    """The canonical forms of a whole column if they are of one length, as far as that can be told quickly."""
    make = _LANES.get((column.kind, frozenset(map(type, values))))
    return make(values) if make else None


def canonical_one_by_one(column: Column, values: list[Any]) -> list[bytes]:
    """What `canonical` gives, without the short cuts for whole columns."""
    encode = _ENCODERS[column.kind]
    try:
        return [_NULL if value is None else encode(column, value) for value in values]
    except UnicodeEncodeError as error:  # no database gave that, but a client of the REST interface may write "\\ud800"
        raise ProtocolError(f"{column.name} holds a text that is not Unicode") from error


def _as_number(digest: bytes) -> int:
    return int.from_bytes(digest, "little")


def _text(tag: bytes, text: str) -> bytes:
    return _raw(tag, text.encode("utf-8", "surrogateescape"))


def _raw(tag: bytes, raw: bytes) -> bytes:
    return _pack_length(tag, len(raw)) + raw


def _stray(value: Any) -> bytes:
    """A value that its column's kind does not foresee: by its own type; to SQLite 1.0 is 1."""
    if isinstance(value, bool | int):
        return _integer(value)
    if isinstance(value, float):
        return _integer(int(value)) if value.is_integer() else _float(value)
    return _raw(b"b", value) if isinstance(value, bytes) else _text(b"s", str(value))


def _integer(value: int) -> bytes:
    if -(2**63) <= value < 2**63:
        return _pack_int(b"i", value)
    return _text(b"I", str(value))


def _float(value: float) -> bytes:
    return _pack_float(b"f", math.nan if value != value else value + 0.0)  # -0.0 + 0.0 is 0.0


# --- numbers


def to_decimal(value: Any) -> Decimal | None:
    """A number exactly, a float by its shortest decimal; None if the value is no number."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, int):
        return Decimal(value)
    is_number = isinstance(value, str) and (_NUMBER.fullmatch(value) or value in _NONFINITE)
    return Decimal(value) if is_number else None


def to_integer(value: Any) -> int | None:
    """A whole number; None if the value is none."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    number = to_decimal(value)
    if number is None or not number.is_finite() or number.adjusted() > _INTEGER_DIGITS:
        return None
    return int(number) if number == number.to_integral_value() else None


def to_float(value: Any) -> float | None:
    """The nearest 64-bit float; None if the value is no number, or far out of range."""
    if isinstance(value, float):
        return value
    number = to_decimal(value)
    if number is None:
        return None
    nearest = float(number)
    return None if math.isinf(nearest) and number.is_finite() else nearest


def to_single(value: float) -> float:
    """The nearest 32-bit float, as a 64-bit one; infinity if it is out of range."""
    try:
        return float(_single.unpack(_single.pack(value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def rounded(column: Column, number: Decimal) -> Decimal:
    """A finite number with the digits that a decimal column keeps."""
    if column.scale is None:
        return number
    return number.quantize(Decimal(1).scaleb(-column.scale), context=_EXACT)


def _plain_decimal(number: Decimal) -> str:
    return f"{number.normalize(_EXACT):f}" if number else "0"


def _encode_integer(_column: Column, value: Any) -> bytes:
    number = to_integer(value)
    return _stray(value) if number is None else _integer(number)


def _encode_boolean(column: Column, value: Any) -> bytes:
    return _encode_integer(column, _TRUTH.get(value, value) if isinstance(value, str) else value)


def _encode_float(column: Column, value: Any) -> bytes:
    number = to_float(value)
    if number is None:
        return _stray(value)
    return _float(to_single(number) if column.kind is Kind.SINGLE else number)


def _encode_decimal(column: Column, value: Any) -> bytes:
    number = to_decimal(value)
    if number is None:
        return _stray(value)
    return _text(b"n", _plain_decimal(rounded(column, number)) if number.is_finite() else str(number))


# --- texts and bytes: the same if their bytes are, since what is text to one database is bytes to another


def _encode_text(column: Column, value: Any) -> bytes:
    if not isinstance(value, bytes):
        value = (value if isinstance(value, str) else to_text(value)).encode("utf-8", "surrogateescape")
    return _raw(b"s", value.rstrip(b" ") if column.padded else value)


def to_text(value: Any) -> str:
    """A plain value that is not bytes as a text column holds it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _encode_bytes(column: Column, value: Any) -> bytes:
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if not isinstance(raw, bytes):
        return _stray(raw)
    return _raw(b"b", raw.rstrip(b"\0") if column.padded else raw)


# --- moments


def _encode_moment(column: Column, value: Any) -> bytes:
    return _text(b"t", moment(column, value)) if isinstance(value, str) else _stray(value)


def moment(column: Column, text: str) -> str:
    """A date, time, datetime or instant in its one canonical spelling, cut to the precision of `column`.

    `2013-05-01T12:00:00.5`: T between date and time, the fraction without trailing zeros, no zone
    (an instant is in UTC). Text is all it handles, so that a date no calendar knows survives too, and
    what is no moment at all, or holds more than `column` can, stays as it is.
    """
    if column.kind is Kind.TIME:
        timed = _TIMED.fullmatch(text)
        if not timed:
            return text
        clock, seconds, fraction, zone = timed.groups()
        return f"{clock}{seconds or ':00'}{_cut(column, fraction)}{zone or ''}"
    dated = _DATED.fullmatch(text)
    if not dated:
        return text
    day, clock, seconds, fraction, zone, era = dated.groups()
    era = era or ""
    time = f"{clock or '00:00'}{seconds or ':00'}"
    if column.kind is Kind.DATE:
        midnight = time == "00:00:00" and not (fraction or "").strip(".0") and zone in _UTC
        return f"{day}{era}" if midnight else text
    fraction = _cut(column, fraction)
    if zone in _UTC:
        return f"{day}T{time}{fraction}{era}"
    shifted = _in_utc(f"{day}T{time}{zone}") if column.kind is Kind.INSTANT and not era else None
    return f"{shifted}{fraction}" if shifted else f"{day}T{time}{fraction}{zone}{era}"


def _cut(column: Column, fraction: str | None) -> str:
    if not fraction:
        return ""
    kept = fraction if column.scale is None else fraction[: 1 + column.scale]
    return kept.rstrip("0").rstrip(".")


def _in_utc(text: str) -> str | None:
    try:
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC).replace(tzinfo=None).isoformat()
    except (ValueError, OverflowError):
        return None  # a year that Python does not count


# --- documents


def _encode_json(_column: Column, value: Any) -> bytes:
    if isinstance(value, float) and not math.isfinite(value):
        return _stray(value)
    try:
        text = value if isinstance(value, str | bytes) else msgspec.json.encode(value)
        document = _exact_numbers(_json_decoder.decode(text))
        return _raw(b"j", _json_encoder.encode(document))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _stray(value)


def _exact_numbers(document: Any) -> Any:
    """1, 1.0 and 1e0 are one number; none of their digits is lost."""
    if isinstance(document, dict):
        return {name: _exact_numbers(value) for name, value in document.items()}
    if isinstance(document, list):
        return [_exact_numbers(value) for value in document]
    if isinstance(document, int | Decimal) and not isinstance(document, bool):
        return Decimal(document).normalize(_EXACT) if document else 0
    return document


def _encode_uuid(_column: Column, value: Any) -> bytes:
    return _text(b"u", value.replace("-", "").lower()) if is_uuid(value) else _stray(value)


def is_uuid(value: Any) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


_LANES: dict[tuple[Kind, frozenset[type]], Callable[[list[Any]], Lane | None]] = {
    (Kind.INTEGER, frozenset((int,))): integers,
    (Kind.FLOAT, frozenset((float,))): floats,
    (Kind.DATETIME, frozenset((str,))): partial(moments, Kind.DATETIME),
    (Kind.INSTANT, frozenset((str,))): partial(moments, Kind.INSTANT),
}

_ENCODERS: dict[Kind, Callable[[Column, Any], bytes]] = {
    Kind.INTEGER: _encode_integer,
    Kind.BOOLEAN: _encode_boolean,
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
