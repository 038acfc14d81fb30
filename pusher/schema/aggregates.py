"""Reads many rows as one row of JSON arrays, where the database writes these exactly and faster than a driver reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from pusher.schema.reading import Narrow, Raw, expression, raw_table, read_raw
from pusher.wire.tables import Kind, Table

_FLOATS = (Kind.FLOAT, Kind.SINGLE)
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
        columns = _read_arrays(connection, dialect, table, names, narrow)
        if columns is not None:
            return columns
    rows = read_raw(connection, dialect, table, names, narrow)
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]


def _read_arrays(
    connection: sa.Connection, dialect: str, table: Table, names: Sequence[str], narrow: Narrow
) -> list[list[Any]] | None:
    """None if the arrays did not come whole: the server cuts what is longer than its max_allowed_packet."""
    source = raw_table(table)
    # The inner query limits and sorts by bare columns, so that it can walk an index; the outer one writes the arrays.
    inner = narrow(sa.select(*(source.c[name] for name in names))).subquery("rows")
    arrays = [sa.func.json_arrayagg(expression(dialect, inner, table.column(name)), type_=Raw()) for name in names]
    count, *texts = connection.execute(sa.select(sa.func.count(), *arrays).select_from(inner)).one()
    if not count:
        return [[] for _ in names]
    try:
        columns = [msgspec.json.decode(text) for text in texts]
    except (msgspec.DecodeError, TypeError):
        return None
    if any(len(column) != count for column in columns):
        return None
    return [
        _floats(column) if table.column(name).kind in _FLOATS else column
        for name, column in zip(names, columns, strict=True)
    ]


def _floats(column: list[Any]) -> list[Any]:
    """MariaDB writes 37.0 as 37."""
    if set(map(type, column)) == {float}:
        return column
    return [float(value) if type(value) is int else value for value in column]
