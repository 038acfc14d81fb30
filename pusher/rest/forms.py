"""A row of central as clients see it, a JSON object, and a client's object as a row."""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from dateutil import parser as dates
from starlette.exceptions import HTTPException

from pusher.rest.naming import column_called
from pusher.wire.tables import Column, Kind, RowSet, Table
from pusher.wire.values import to_wire

TABLE_KEY = "__table__"
_MOMENTS = (Kind.DATE, Kind.DATETIME, Kind.INSTANT)
_NUMBERS = (Kind.INTEGER, Kind.FLOAT, Kind.SINGLE, Kind.DECIMAL, Kind.BOOLEAN)
_TRUTH = {"true": True, "false": False}
_NONFINITE = {"nan": math.nan, "infinity": math.inf, "-infinity": -math.inf}
_LONGEST_DATE = 64  # characters; dateutil is slow on long nonsense


def shown(table: Table, rows: RowSet) -> Iterator[dict[str, Any]]:
    """Each row as an object: the name of its table, and its values by the names of the columns."""
    kinds = [table.column(name).kind for name in rows.names]
    columns = [shown_values(kind, values) for kind, values in zip(kinds, rows.columns, strict=True)]
    for row in zip(*columns, strict=True):
        yield {TABLE_KEY: table.name, **dict(zip(rows.names, row, strict=True))}


def shown_values(kind: Kind, values: list[Any]) -> list[Any]:
    """A column of plain values for JSON. An old client knows no zones: to it every time is in UTC, and says no more."""
    if kind is Kind.INSTANT:
        return [value.removesuffix("+00:00") if isinstance(value, str) else value for value in values]
    if kind is Kind.BOOLEAN:  # SQLite has numbers for them
        return to_wire(kind, [bool(value) if type(value) is int and value in (0, 1) else value for value in values])
    return to_wire(kind, values)


def row_of(table: Table, given: Mapping[str, Any]) -> dict[str, Any]:
    """A client's object as plain values by column. Raises 400, naming the key at fault."""
    row: dict[str, Any] = {}
    for name, value in given.items():
        if name == TABLE_KEY:
            continue
        column = column_called(table, name)
        if column is None:
            raise HTTPException(400, f"{table.name} has no column {name}")
        if column.name in row and row[column.name] != value:
            raise HTTPException(400, f"{table.name}.{column.name} is given twice")
        row[column.name] = plain_value(table, column, value)
    return row


def plain_value(table: Table, column: Column, value: Any) -> Any:
    """A JSON value as the plain value of a column; what it cannot hold, the database says. Raises 400."""
    try:
        if value is None or isinstance(value, str):
            return None if value is None else plain_text(column, value)
        if column.kind is Kind.JSON:
            return msgspec.json.encode(value).decode()
        if isinstance(value, dict | list):
            raise ValueError("is an array or an object")
        if column.kind in _MOMENTS:
            raise ValueError("is a number where a date is expected")
        if column.kind in (Kind.INTEGER, Kind.BOOLEAN):
            return _whole(column.kind, value)
        return value if column.kind in _NUMBERS else str(value)
    except ValueError as error:
        raise HTTPException(400, f"{table.name}.{column.name}: {_reason(value, error)}") from error


def _whole(kind: Kind, value: Any) -> Any:
    """SQLite would hold any number in any column."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("is no whole number")
    if kind is Kind.BOOLEAN:
        if value not in (0, 1):
            raise ValueError("is neither true nor false")
        return value
    return int(value)


def plain_text(column: Column, text: str) -> Any:
    """A value that is written as text, in a URL or a string, as the plain value of a column. Raises ValueError."""
    if column.kind in _MOMENTS:
        return _moment(column.kind, text)
    is_truth = column.kind is Kind.BOOLEAN or column.declared.startswith("TINYINT(1)")  # MariaDB's BOOLEAN
    if is_truth and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if column.kind in (Kind.INTEGER, Kind.BOOLEAN):
        return int(text)
    if column.kind in (Kind.FLOAT, Kind.SINGLE):
        return _NONFINITE.get(text.lower()) if text.lower() in _NONFINITE else _float(text)
    if column.kind is Kind.BYTES:
        return b64decode(text, validate=True)
    return text


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("is no number that a computer holds")
    return value


def _moment(kind: Kind, text: str) -> str:
    """Any form that dateutil reads; a moment with a zone becomes UTC, and one without is left as it is."""
    if len(text) > _LONGEST_DATE:
        raise ValueError("is no date")
    try:
        moment = dates.isoparse(text)
    except ValueError:
        try:
            moment = dates.parse(text, default=datetime(1, 1, 1))
        except (ValueError, OverflowError) as error:
            raise ValueError("is no date") from error
    if moment.tzinfo:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    if kind is Kind.DATE:
        return moment.date().isoformat()
    written = moment.isoformat()
    if "." in written:
        written = written.rstrip("0").removesuffix(".")
    return f"{written}+00:00" if kind is Kind.INSTANT else written


def _reason(value: Any, error: ValueError) -> str:
    text = str(value)
    what = text if len(text) <= _LONGEST_DATE else f"{text[:_LONGEST_DATE]}…"
    words = str(error)
    return f"{what!r} {words}" if words.startswith("is ") else f"{what!r} does not suit it: {words}"


def objects_of(body: Any) -> Sequence[Mapping[str, Any]]:
    """The objects of a JSON body, one or a list of them. Raises 400."""
    objects = body if isinstance(body, list) else [body]
    if not all(isinstance(each, dict) for each in objects):
        raise HTTPException(400, "expected a JSON object, or a list of them")
    return objects
