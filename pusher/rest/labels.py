"""What people call the rows that a foreign key refers to: their name, if they have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection

from pusher.schema.reading import raw_table, read
from pusher.wire.tables import Kind, Schema, Table

_NAMES = ("name", "address", "title", "label", "hostname")
_UNITS = ("units", "unit")
_MOST = 500  # rows of a parent that are offered or looked up


class Labels:
    """Of the foreign keys `columns` of one table, read at once."""

    def __init__(self, connection: Connection, schema: Schema, table: Table, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._names: dict[str, dict[Any, str | None]] = {}
        self._units: dict[str, dict[Any, str | None]] = {}
        parents = {parent.name: parent for parent in schema.tables}
        for name in columns:
            reference = next((each for each in table.references if each.columns == (name,)), None)
            parent = parents.get(reference.parent) if reference else None
            if reference and parent:
                key = (reference.parent_columns or parent.primary_key)[0]
                self._names[name], self._units[name] = _read(connection, schema.dialect, parent, key)

    def of(self, values: Sequence[Any]) -> str:
        """`node 37 · Temperature`; of a whole table, where nothing tells sensors apart, `all rows`."""
        return " · ".join(map(self.one, self._columns, values)) or "all rows"

    def one(self, column: str, value: Any) -> str:
        name = self._names.get(column, {}).get(value)
        return name or f"{column.removesuffix('Id').removesuffix('_id')} {'–' if value is None else value}"

    def options(self, column: str) -> list[tuple[Any, str]]:
        """What can be chosen, each with its label."""
        return [
            (value, f"{value} {name}" if name else str(value)) for value, name in self._names.get(column, {}).items()
        ]

    def units(self, values: Sequence[Any]) -> str:
        """The unit of a sensor, if one of the rows that it refers to names one."""
        found = (self._units.get(name, {}).get(value) for name, value in zip(self._columns, values, strict=True))
        return next((unit for unit in found if unit), "")


def _read(
    connection: Connection, dialect: str, parent: Table, key: str
) -> tuple[dict[Any, str | None], dict[Any, str | None]]:
    texts = {column.name.casefold(): column.name for column in parent.columns if column.kind is Kind.TEXT}
    name = next((texts[each] for each in _NAMES if each in texts), None)
    unit = next((texts[each] for each in _UNITS if each in texts), None)
    names = tuple(dict.fromkeys(each for each in (key, name, unit) if each))
    rows = read(
        connection, dialect, parent, names, lambda select: select.order_by(raw_table(parent).c[key]).limit(_MOST)
    )
    keys = rows.column(key)
    named = rows.column(name) if name else [None] * len(keys)
    units = rows.column(unit) if unit else [None] * len(keys)
    return dict(zip(keys, named, strict=True)), dict(zip(keys, units, strict=True))
