"""Reads many rows as one text of JSON, where the database writes it exactly and faster than a driver reads rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from pusher.schema.reading import Narrow, Raw, expression, raw_table, read_raw
from pusher.wire.tables import Column, Kind, Table

_FLOATS = (Kind.FLOAT, Kind.SINGLE)
_NUMBERS = (Kind.INTEGER, *_FLOATS)
# Kinds whose JSON form in MariaDB is the value itself, or the text that `expression` selects.
_EXACT = (
    Kind.INTEGER,
    Kind.FLOAT,
    Kind.SINGLE,
    Kind.DECIMAL,
    Kind.TEXT,
    Kind.DATE,
    Kind.TIME,
    Kind.DATETIME,
    Kind.INSTANT,
    Kind.UUID,
)


def read_columns(
    connection: sa.Connection, dialect: str, table: Table, names: Sequence[str], narrow: Narrow
) -> list[list[Any]]:
    """The columns `names` of the rows that `narrow` leaves, each a list of values as the driver would give them."""
    if dialect == "mariadb" and all(table.column(name).kind in _EXACT for name in names):
        columns = _read_text(connection, dialect, table, names, narrow)
        if columns is not None:
            return columns
    rows = read_raw(connection, dialect, table, names, narrow)
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]


def _read_text(
    connection: sa.Connection, dialect: str, table: Table, names: Sequence[str], narrow: Narrow
) -> list[list[Any]] | None:
    """None if the text did not come whole: the server cuts what is longer than its max_allowed_packet."""
    source = raw_table(table)
    # The inner query limits and sorts by bare columns, so that it can walk an index; the outer one writes the text.
    inner = narrow(sa.select(*(source.c[name] for name in names))).subquery("rows")
    values = [_as_json(dialect, inner, table.column(name)) for name in names]
    commas = [part for value in values for part in (sa.literal_column("','"), value)][1:]
    array = sa.func.concat(
        sa.literal_column("'['"), sa.func.group_concat(*commas), sa.literal_column("']'"), type_=Raw()
    )
    query = sa.select(sa.func.count(), array).select_from(inner)
    count, text = connection.execute(query).one()
    if not count:
        return [[] for _ in names]
    try:
        flat = msgspec.json.decode(text)
    except (msgspec.DecodeError, TypeError):
        return None
    if len(flat) != count * len(names):
        return None
    columns = [flat[place :: len(names)] for place in range(len(names))]
    return [
        _floats(column) if table.column(name).kind in _FLOATS else column
        for name, column in zip(names, columns, strict=True)
    ]


def _as_json(dialect: str, rows: sa.FromClause, column: Column) -> sa.ColumnElement[Any]:
    """A value as JSON writes it. MariaDB would cut a number to as many characters as its column shows."""
    value = expression(dialect, rows, column)
    if column.kind is Kind.TEXT:
        value = sa.func.json_quote(value)
    elif column.kind in _NUMBERS:
        value = sa.cast(value.op("*")(sa.literal_column("1e0")) if column.kind in _FLOATS else value, sa.CHAR(40))
    else:
        value = sa.func.concat(sa.literal_column("'\"'"), value, sa.literal_column("'\"'"))
    return sa.func.ifnull(value, sa.literal_column("'null'"))


def _floats(column: list[Any]) -> list[Any]:
    """MariaDB writes 37.0 as 37."""
    if set(map(type, column)) == {float}:
        return column
    return [float(value) if type(value) is int else value for value in column]
