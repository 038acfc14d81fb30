"""Reads rows as plain values: the same value is the same plain value, whatever the dialect."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import sqlalchemy as sa

from pusher.wire.tables import Column, Kind, RowSet, Table

Select: TypeAlias = Any  # SQLAlchemy's own is generic over every column
Narrow = Callable[[Select], Select]

_KEYS_IN_ONE_QUERY = 500
_PLAIN_TEXT = re.compile(r"(VARCHAR|TEXT)\b")
_MOMENTS = (Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.INSTANT)
_AS_TEXT = (*_MOMENTS, Kind.DECIMAL, Kind.UUID, Kind.JSON)


class Raw(sa.types.UserDefinedType[Any]):
    """No type at all: nothing converts the value on its way, and nothing casts it."""

    cache_ok = True


@lru_cache(maxsize=1024)
def raw_table(table: Table) -> sa.TableClause:
    """The table for building statements, one object a table; nothing converts the values of its columns."""
    return sa.table(table.name, *(sa.column(column.name, Raw()) for column in table.columns))


def expression(dialect: str, table: sa.FromClause, column: Column) -> sa.ColumnElement[Any]:
    """What to select so that the driver hands over the value exactly: as text where it would convert."""
    source = table.c[column.name]
    if dialect == "mariadb":
        if column.kind in _AS_TEXT or column.declared == "unknown":
            return sa.cast(source, sa.CHAR)
        if column.kind is Kind.SINGLE or column.declared.startswith("BIT"):
            return source.op("+")(sa.literal_column("0e0" if column.kind is Kind.SINGLE else "0"))
    elif dialect == "postgresql":
        if column.kind is Kind.SINGLE:
            return sa.cast(source, sa.Double)
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
    return [tuple(row) for row in connection.execute(narrow(select_raw(dialect, table, names)))]


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
    for at in range(0, len(keys), _KEYS_IN_ONE_QUERY):
        chunk = keys[at : at + _KEYS_IN_ONE_QUERY]
        if len(by) == 1:
            condition = source.c[by[0]].in_([key[0] for key in chunk])
        else:
            condition = sa.tuple_(*(source.c[name] for name in by), types=[Raw()] * len(by)).in_(list(chunk))
        rows += connection.execute(select_raw(dialect, table, names).where(condition))
    return to_plain(table, names, [tuple(row) for row in rows])


def to_plain(table: Table, names: Sequence[str], rows: list[tuple[Any, ...]]) -> RowSet:
    return plain_columns(table, names, RowSet.of(tuple(names), rows).columns)


def plain_columns(table: Table, names: Sequence[str], columns: list[list[Any]]) -> RowSet:
    """Values as the driver gave them → plain values."""
    plain = [_plain_column(table.column(name), values) for name, values in zip(names, columns, strict=True)]
    return RowSet(names=tuple(names), columns=plain)


def _plain_column(column: Column, values: list[Any]) -> list[Any]:
    return _plain_moments(column, values) if column.kind in _MOMENTS else values


def _plain_moments(column: Column, values: list[Any]) -> list[Any]:
    """ISO 8601: T before the time, no fraction of zeros, an instant with its zone."""
    zeros = "." + "0" * (6 if column.scale is None else column.scale)
    if column.kind is not Kind.INSTANT and set(map(type, values)) == {str}:
        # All in one pass. No such text holds a line break; if one does, the count tells.
        text = "\n".join(values).replace(" ", "T").replace(zeros, "")
        plain = text.split("\n")
        if len(plain) == len(values) and "TBC" not in text:
            return plain
    return [_plain_moment(column, value, zeros) if type(value) is str else value for value in values]


def _plain_moment(column: Column, value: str, zeros: str) -> str:
    era = " BC" if value.endswith(" BC") else ""
    text = value.removesuffix(era).replace(" ", "T").replace(zeros, "")
    if column.kind is Kind.INSTANT and "infinity" not in text:
        text = text.removesuffix("+00") + "+00:00"
    return text + era
