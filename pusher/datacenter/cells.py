"""The cells of a CSV file as plain values of a column, and back, so that nothing changes on the way.

An empty cell says nothing of its column, and a marker says NULL. So that a text may be empty, or the marker itself, it
has a backslash before it, one more than it has already: \\ is the empty text, \\XXX is XXX, and \\\\XXX is \\XXX. All
other texts are as they stand, also those that begin with a backslash.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from pusher.schema.storable import members
from pusher.wire.fingerprint import is_uuid, moment, rounded, to_single
from pusher.wire.tables import Column, Kind


class Said(Enum):
    NOTHING = "nothing"


NOTHING: Final = Said.NOTHING  # what an empty cell says of its column

_SHOWN_CHARACTERS = 60
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,5})?", re.ASCII)
_NONFINITE = {"nan": "NaN", "infinity": "Infinity", "-infinity": "-Infinity"}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_DAY = r"\d{4,}-\d\d-\d\d"
_CLOCK = r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
_ZONE = r"(?:Z|[+-]\d\d(?::?\d\d)?)?"
_MOMENTS = {
    Kind.DATE: re.compile(rf"({_DAY})(?:[T ]00:00(?::00(?:\.0+)?)?)?(?: BC)?|-?infinity", re.ASCII),
    Kind.TIME: re.compile(rf"-?\d?{_CLOCK}(?:[+-]\d\d(?::\d\d){{0,2}})?", re.ASCII),
    Kind.DATETIME: re.compile(rf"({_DAY})(?:[T ]{_CLOCK})?(?: BC)?|-?infinity", re.ASCII),
    Kind.INSTANT: re.compile(rf"({_DAY})(?:[T ]{_CLOCK}{_ZONE})?(?: BC)?|-?infinity", re.ASCII),
}
_ORDINARY = {kind: re.compile(r"\d{4}-(?!.*BC).*", re.ASCII) for kind in _MOMENTS} | {
    Kind.TIME: re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?![\d:.])", re.ASCII)
}


class NoSuchValue(ValueError):
    """A cell that its column cannot hold exactly; the text says why, and how to mend it."""


def show(text: str) -> str:
    """A cell within a sentence, on one line."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def read_cells(
    column: Column, dialect: str, name: str, texts: Sequence[str], null: str
) -> tuple[list[Any], dict[int, str]]:
    """A column of cells as plain values, NOTHING where a cell is empty and None where it is the marker; and for each
    index that is no value of `column` the reason, which speaks of the column as `name`."""
    read = _READERS.get(column.kind, _text)
    escaped = _escaped(null)
    known: dict[str, Any] = {"": NOTHING, null: None}
    faults: dict[str, str] = {}
    for text in set(texts) - known.keys():
        try:
            known[text] = read(column, dialect, text[1:] if text[0] == "\\" and escaped.fullmatch(text) else text)
        except NoSuchValue as error:
            known[text], faults[text] = NOTHING, f"{name}: {error}"
    wrong = {index: faults[text] for index, text in enumerate(texts) if text in faults} if faults else {}
    return [known[text] for text in texts], wrong


def write_cells(column: Column, values: Sequence[Any], null: str) -> list[str]:
    """Plain values as cells that read as these again, if `read_cells` can read them at all."""
    escaped = _escaped(null)
    cells = []
    for value in values:
        if value is None:
            cells.append(null)
            continue
        text = _written(column, value)
        cells.append(f"\\{text}" if escaped.fullmatch(text) else text)
    return cells


@lru_cache(maxsize=64)
def _escaped(null: str) -> re.Pattern[str]:
    """Texts that would be taken for no cell, for a blank row, for the marker, or for one of these written down."""
    return re.compile(rf"\\*(?:\s*|{re.escape(null)})")


def _written(column: Column, value: Any) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, bool) or (column.kind is Kind.BOOLEAN and value in (0, 1)):
        return "true" if value else "false"
    if isinstance(value, float):
        return _NONFINITE.get(f"{value}".replace("inf", "infinity"), repr(value))
    return str(value)


# --- what a cell says, kind by kind


def _text(_column: Column, _dialect: str, text: str) -> Any:
    return text


def _sized_text(column: Column, _dialect: str, text: str) -> Any:
    """SQLite would take it, however long; but what follows may not."""
    if column.length is not None and len(text) > column.length:
        raise NoSuchValue(f"{len(text)} characters do not fit into {column.declared}; shorten it")
    return text


def _truth(_column: Column, _dialect: str, text: str) -> Any:
    found = _TRUTH.get(text.strip().lower())
    if found is None:
        raise NoSuchValue(f"{show(text)} is neither true nor false; write one of them")
    return found


def _integer(column: Column, _dialect: str, text: str) -> Any:
    number = text.strip()
    if _INTEGER.fullmatch(number) and len(number) < 400:
        return int(number)
    if column.declared.startswith("TINYINT(1)") and number.lower() in _TRUTH:  # MariaDB's BOOLEAN
        return int(_TRUTH[number.lower()])
    exact = _decimal_of(number)
    if exact is None or not exact.is_finite() or exact.adjusted() > 400 or exact != exact.to_integral_value():
        raise NoSuchValue(f"{show(text)} is no whole number; write one such as 42")
    return int(exact)


def _float(column: Column, _dialect: str, text: str) -> Any:
    exact = _decimal_of(text.strip())
    if exact is None:
        raise NoSuchValue(f"{show(text)} is no number; write one such as 0.5")
    value = float(exact)
    if column.kind is Kind.SINGLE:
        value = to_single(value)
    if not exact.is_finite():
        return value
    if value in (float("inf"), float("-inf")):
        raise NoSuchValue(f"{show(text)} does not fit into {column.declared}; write a smaller number")
    # Fractions become the nearest that a computer holds; but of a whole number every digit counts.
    if exact == exact.to_integral_value() and Decimal(repr(value)) != exact != Decimal(value):
        raise NoSuchValue(f"{show(text)} would be {Decimal(value):f} in {column.declared}; write fewer digits")
    return value


def _decimal(column: Column, _dialect: str, text: str) -> Any:
    exact = _decimal_of(text.strip())
    if exact is None:
        raise NoSuchValue(f"{show(text)} is no number; write one such as 0.5")
    if not exact.is_finite():
        return str(exact)
    if rounded(column, exact) != exact:
        raise NoSuchValue(
            f"{show(text)} has more than the {column.scale} decimal places of {column.declared}; round it"
        )
    return f"{exact:f}"


def _decimal_of(text: str) -> Decimal | None:
    if text.lower() in _NONFINITE:
        return Decimal(_NONFINITE[text.lower()])
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _bytes(_column: Column, _dialect: str, text: str) -> Any:
    try:
        return b64decode(text.strip(), validate=True)
    except ValueError:
        raise NoSuchValue(f"{show(text)} is not base64; write the bytes in it") from None


def _moment(column: Column, dialect: str, text: str) -> Any:
    written = text.strip()
    form = _MOMENTS[column.kind].fullmatch(written)
    # SQLite would take any text; the others take more than a calendar has, and know best what.
    if not form or (dialect == "sqlite" and not _ORDINARY[column.kind].fullmatch(written)):
        raise NoSuchValue(f"{show(text)} is no {_ABOUT[column.kind]}")
    if column.kind is not Kind.TIME and _ORDINARY[column.kind].match(written):
        _refuse_unknown(dialect, written, text)
    spelt = moment(_UNCUT[column.kind], written)
    if moment(column, spelt) != spelt:
        raise NoSuchValue(f"{show(text)} is finer than {column.declared}; round it")
    return f"{spelt}+00:00" if column.kind is Kind.INSTANT and _ORDINARY[column.kind].match(spelt) else spelt


def _refuse_unknown(dialect: str, written: str, text: str) -> None:
    """A day and a time of day that no calendar and no clock has."""
    day, clock = written[:10], written[11:]
    incomplete = dialect == "mariadb" and ("-00" in day or day.startswith("0000"))
    try:
        dt.date.fromisoformat("2000-01-01" if incomplete else day)
    except ValueError:
        raise NoSuchValue(f"{show(text)}: there is no such day; correct it") from None
    if clock and not _ORDINARY[Kind.TIME].match(clock):
        raise NoSuchValue(f"{show(text)}: there is no such time of day; correct it")


def _json(_column: Column, _dialect: str, text: str) -> Any:
    try:
        json.loads(text, parse_float=str, parse_int=str, parse_constant=_no_constant)
    except RecursionError:
        raise NoSuchValue("the JSON is nested too deeply; flatten it") from None
    except ValueError as error:
        raise NoSuchValue(f"{show(text)} is not JSON ({error}); correct it") from None
    return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is none")


def _uuid(_column: Column, _dialect: str, text: str) -> Any:
    if not is_uuid(text.strip()):
        raise NoSuchValue(f"{show(text)} is no UUID; write one such as a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
    return text.strip()


_READERS: dict[Kind, Callable[[Column, str, str], Any]] = {
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.SINGLE: _float,
    Kind.DECIMAL: _decimal,
    Kind.BOOLEAN: _truth,
    Kind.TEXT: _sized_text,
    Kind.BYTES: _bytes,
    Kind.DATE: _moment,
    Kind.TIME: _moment,
    Kind.DATETIME: _moment,
    Kind.INSTANT: _moment,
    Kind.JSON: _json,
    Kind.UUID: _uuid,
}
_UNCUT = {kind: Column(name="", kind=kind) for kind in _MOMENTS}

# --- in words

_NUMBERS = (Kind.INTEGER, Kind.FLOAT, Kind.SINGLE, Kind.DECIMAL)

_ABOUT = {
    Kind.INTEGER: "whole number",
    Kind.FLOAT: "number",
    Kind.SINGLE: "number",
    Kind.DECIMAL: "number",
    Kind.BOOLEAN: "true or false",
    Kind.TEXT: "text",
    Kind.BYTES: "bytes, in base64",
    Kind.DATE: "date, such as 2026-01-31",
    Kind.TIME: "time, such as 23:59",
    Kind.DATETIME: "date and time, such as 2026-01-31 23:59",
    Kind.INSTANT: "date and time in UTC, such as 2026-01-31 23:59, or with its zone, such as 2026-01-31 23:59+02:00",
    Kind.JSON: "JSON",
    Kind.UUID: "UUID",
}


def about(column: Column) -> str:
    """What a column holds."""
    chosen_from = members(column.declared)
    if chosen_from:
        return f"one of {', '.join(chosen_from)}"
    words = _ABOUT[column.kind]
    if column.kind is Kind.TEXT and column.length is not None:
        words += f", at most {column.length} characters"
    if column.kind is Kind.DECIMAL and column.scale is not None:
        words += f", at most {column.scale} decimal places"
    return words


def remedy(column: Column) -> str:
    """How to mend a value that a column does not hold."""
    chosen_from = members(column.declared)
    if chosen_from:
        return "write one of these"
    if column.kind in (Kind.TEXT, Kind.BYTES):
        return "shorten it"
    return "write a smaller number" if column.kind in _NUMBERS else "correct it"
