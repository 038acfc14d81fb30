"""Reads rows as plain values: the same value is the same plain value, whatever the dialect."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name

from pusher.wire.tables import Column, Kind, RowSet, Table

Select: TypeAlias = Any  # SQLAlchemy's own is generic over every column
Narrow = Callable[[Select], Select]

# Values within a statement would refer to themselves, and stay until a collection.
_KEYS: sa.BindParameter[Any] = sa.bindparam("keys", expanding=True)
_KEYS_IN_ONE_QUERY = 500
_TUPLES_IN_ONE_QUERY = 50  # MariaDB compares each with all others first
_PLAIN_TEXT = re.compile(r"(VARCHAR|TEXT)\b")
_AS_TEXT = (Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.INSTANT, Kind.DECIMAL, Kind.UUID, Kind.JSON)
# How databases spell moments; SQLite may hold any other text beside them.
_SPELT = {
    Kind.TIME: re.compile(r"-?\d{2,3}:\d\d:\d\d(?:\.\d+)?", re.ASCII),
    Kind.DATETIME: re.compile(r"\d{4,}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?", re.ASCII),
    Kind.INSTANT: re.compile(r"\d{4,}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00)?", re.ASCII),
}
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_BITS = re.compile(r"BIT\(\d+\)$")


class Raw(sa.types.UserDefinedType[Any]):
    """No type at all: nothing converts the value on its way, and nothing casts it."""

    cache_ok = True


@lru_cache(maxsize=1024)
def raw_table(table: Table) -> sa.TableClause:
    """The table for building statements, one object a table; nothing converts the values of its columns. Its names are
    always quoted: which words a database keeps for itself depends on its version."""
    columns = (sa.column(quoted_name(column.name, quote=True), Raw()) for column in table.columns)
    return sa.table(quoted_name(table.name, quote=True), *columns)


def expression(dialect: str, table: sa.FromClause, column: Column) -> sa.ColumnElement[Any]:
    """What to select so that the driver hands over the value exactly: as text where it would convert."""
    source = table.c[column.name]
    if dialect == "mariadb":
        if column.kind is Kind.SINGLE:
            return source.op("+")(sa.literal_column("0e0"))
        plain: sa.ColumnElement[Any] = source
        if column.declared.startswith("BIT(") or column.declared.endswith("ZEROFILL"):
            plain = source.op("+")(sa.literal_column("0"))
        # Text as well: within JSON, only so is it in the connection's character set, and a JSON column not a document.
        return sa.cast(plain, sa.CHAR) if column.kind in _AS_TEXT or column.kind is Kind.TEXT else plain
    if dialect == "postgresql":
        if column.kind is Kind.SINGLE:
            return sa.cast(source, sa.Double)
        if column.declared == "INET":
            return sa.func.abbrev(source)  # its cast to text adds /32
        if column.kind in _AS_TEXT or (column.kind is Kind.TEXT and not _PLAIN_TEXT.match(column.declared)):
            return sa.cast(source, sa.Text)
    return source


def read(connection: sa.Connection, dialect: str, table: Table, names: Sequence[str], narrow: Narrow) -> RowSet:
    """The columns `names` of the rows that `narrow` leaves of a select of all."""
    return to_plain(table, names, read_raw(connection, dialect, table, names, narrow))


def read_raw(
    connection: sa.Connection, dialect: str, table: Table, names: Sequence[str], narrow: Narrow
) -> list[tuple[Any, ...]]:
    """Rows as the driver gives them: what a cursor is made of."""
    return _fetched(connection, narrow(select_raw(dialect, table, names)))


def select_raw(dialect: str, table: Table, names: Sequence[str]) -> Select:
    source = raw_table(table)
    columns = [
        sa.type_coerce(expression(dialect, source, table.column(name)), Raw()).label(f"c{place}")
        for place, name in enumerate(names)  # labelled, so that ORDER BY means the column and not its text
    ]
    return sa.select(*columns).select_from(source)


def read_by_key(
    connection: sa.Connection,
    dialect: str,
    table: Table,
    names: Sequence[str],
    by: Sequence[str],
    keys: Sequence[tuple[Any, ...]],
) -> RowSet:
    """The columns `names` of the rows whose columns `by` hold one of `keys` (bound values, no NULL)."""
    source = raw_table(table)
    rows: list[tuple[Any, ...]] = []
    size = _KEYS_IN_ONE_QUERY if len(by) == 1 else _TUPLES_IN_ONE_QUERY
    for at in range(0, len(keys), size):
        chunk = keys[at : at + size]
        if len(by) == 1:
            condition = source.c[by[0]].in_(_KEYS)
            wanted: list[Any] = [key[0] for key in chunk]
        else:
            condition = sa.tuple_(*(source.c[name] for name in by), types=[Raw()] * len(by)).in_(_KEYS)
            wanted = list(chunk)
        rows += _fetched(connection, select_raw(dialect, table, names).where(condition), {_KEYS.key: wanted})
    return to_plain(table, names, rows)


def _fetched(connection: sa.Connection, query: Select, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """As the driver has them: nothing is to be converted, and SQLAlchemy's rows would double the time."""
    result = connection.execute(query, values)
    try:
        return list(result.cursor.fetchall())
    finally:
        result.close()


def to_plain(table: Table, names: Sequence[str], rows: list[tuple[Any, ...]]) -> RowSet:
    return plain_columns(table, names, RowSet.of(tuple(names), rows).columns)


def plain_columns(table: Table, names: Sequence[str], columns: list[list[Any]]) -> RowSet:
    """Values as the driver gave them → plain values."""
    plain = [_plain_column(table.column(name), values) for name, values in zip(names, columns, strict=True)]
    return RowSet(names=tuple(names), columns=plain)


def _plain_column(column: Column, values: list[Any]) -> list[Any]:
    if column.kind in _SPELT:
        return _plain_moments(column, values)
    if column.kind is Kind.INTEGER and _BITS.match(column.declared):
        return [int(value, 2) if type(value) is str else value for value in values]
    return values


def _plain_moments(column: Column, values: list[Any]) -> list[Any]:
    """ISO 8601: T before the time, no fraction of zeros, an instant with its zone; other text as it is."""
    spelt = _SPELT[column.kind]
    zeros = "." + "0" * (6 if column.scale is None else column.scale)
    if set(map(type, values)) == {str} and (_alike(values, spelt) or all(map(spelt.fullmatch, values))):
        text = "\n".join(values) + "\n"
        text = text.replace(" ", "T").replace(zeros + "\n", "\n")
        if column.kind is Kind.INSTANT:
            text = text.replace("+00\n", "\n").replace("\n", "+00:00\n")
        return text[:-1].split("\n")
    return [_plain_moment(column, spelt, value, zeros) if type(value) is str else value for value in values]


def _alike(values: list[str], spelt: re.Pattern[str]) -> bool:
    """Whether all texts have digits where the first has them, and the first is a moment: some times faster."""
    text = "\n".join(values) + "\n"
    if not text.isascii():
        return False
    shape = text.encode().translate(_DIGITS_TO_ZERO)
    return shape == shape[: len(values[0]) + 1] * len(values) and spelt.fullmatch(values[0]) is not None


def _plain_moment(column: Column, spelt: re.Pattern[str], value: str, zeros: str) -> str:
    era = " BC" if value.endswith(" BC") else ""
    text = value.removesuffix(era)
    if not spelt.fullmatch(text):
        return value
    text = text.replace(" ", "T").removesuffix("+00").removesuffix(zeros)
    return f"{text}+00:00{era}" if column.kind is Kind.INSTANT else f"{text}{era}"
