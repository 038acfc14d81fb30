"""Central's tables and columns under the names that clients give them: what is unknown never gets into a statement."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.exceptions import HTTPException

from pusher.config_keys import guess
from pusher.schema.names import match
from pusher.wire.tables import Column, Schema, Table

_SHOWN_CHARACTERS = 100


def table_called(schema: Schema, name: str) -> Table:
    """The table of this name, in any case. Raises 404."""
    tables = {table.name: table for table in schema.tables}
    table = match(name, tables)
    if table is None:
        raise HTTPException(404, f"there is no table {name[:_SHOWN_CHARACTERS]}{guess(name, tables)}")
    return table


def column_called(table: Table, name: str) -> Column | None:
    """The column of this name, in any case; old clients say typeId for `type` where that refers to another table."""
    columns = {column.name: column for column in table.columns}
    found = match(name, columns)
    if found is None and name.endswith("Id"):
        found = match(name.removesuffix("Id"), columns)
        referring = {each for reference in table.references for each in reference.columns}
        return found if found and found.name in referring else None
    return found


def columns_called(table: Table, names: list[str]) -> list[Column]:
    """Raises 400 if there is no column of one of the names."""
    return [known_column(table, name) for name in names]


def known_column(table: Table, name: str, others: Iterable[str] = ()) -> Column:
    """Raises 400 if there is none, naming what comes nearest, also of `others` that might have been meant."""
    column = column_called(table, name)
    if column is None:
        names = [*(each.name for each in table.columns), *others]
        raise HTTPException(400, f"{table.name} has no column {name[:_SHOWN_CHARACTERS]}{guess(name, names)}")
    return column
