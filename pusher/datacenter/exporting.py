"""Writes a table as CSV that imports back unchanged into an empty one: parents by what tells them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TextIO

import sqlalchemy as sa

from pusher.central.rows import Key, Target
from pusher.config_import import NULL
from pusher.datacenter.cells import read_cells, write_cells
from pusher.datacenter.csvform import row_text
from pusher.datacenter.links import Leaf, Link, Rows, rows_of
from pusher.datacenter.parents import bind
from pusher.datacenter.table import table_called
from pusher.errors import PusherError
from pusher.schema.paging import Reader
from pusher.schema.reading import read
from pusher.schema.storable import encodable
from pusher.wire.fingerprint import canonical
from pusher.wire.tables import RowSet, Schema, Table

_PAGE_ROWS = 1000


def export_table(
    connection: sa.Connection,
    schema: Schema,
    name: str,
    out: TextIO,
    *,
    null: str = NULL,
    keys: Mapping[str, tuple[str, ...]] | None = None,
) -> int:
    """Writes its rows to `out`, which must not change the ends of lines; returns how many. No cell is empty: NULL is
    `null`. Raises UsageError if there is no such table, PusherError if a row cannot be written so that it comes
    back."""
    table = table_called(schema, name)
    export = _Export(connection=connection, schema=schema, rows=rows_of(schema, table.name, keys or {}), null=null)
    return export.write(out)


@dataclass(frozen=True, kw_only=True)
class _Export:
    connection: sa.Connection
    schema: Schema
    rows: Rows
    null: str

    def write(self, out: TextIO) -> int:
        parts = self._parts()
        out.write(row_text([leaf.name for part in parts for leaf in part.leaves()]))
        count = 0
        for rows in self._pages():
            columns = [cells for part in parts for cells in self._cells(self.rows.table, part, rows)]
            for row in zip(*columns, strict=True):
                out.write(row_text(row))
            count += len(rows)
        return count

    def _parts(self) -> list[Leaf | Link]:
        """The number that the database gave a row says nothing elsewhere, unless rows are found by it alone."""
        key = set(self.rows.key)
        circular = any(
            key & set(link.columns) or any(leaf.column.numbered for leaf in link.leaves()) for link in self._own
        )
        by_value = {
            link.columns: link for link in self.rows.raw if circular and link.parent.name == self.rows.table.name
        }
        return [
            by_value.get(part.columns, part)
            for part in self.rows.parts
            if circular or self.rows.locates(part) or isinstance(part, Link) or not part.column.numbered
        ]

    @cached_property
    def _own(self) -> list[Link]:
        """The foreign keys to the table itself."""
        links = (part for part in self.rows.parts if isinstance(part, Link))
        return [link for link in links if link.parent.name == self.rows.table.name]

    def _pages(self) -> Iterator[RowSet]:
        table, dialect = self.rows.table, self.schema.dialect
        names = tuple(column.name for column in table.columns)
        if self._own or not table.primary_key:
            whole = read(self.connection, dialect, table, names, lambda query: query)
            yield _parents_first(table, whole, self._own)
            return
        reader = Reader(
            connect=lambda: nullcontext(self.connection),
            dialect=dialect,
            table=table,
            names=names,
            order=table.primary_key,
        )
        for page in reader.pages(None, None, lambda: _PAGE_ROWS):
            yield page.rows

    def _cells(self, table: Table, part: Leaf | Link, rows: RowSet) -> list[list[str]]:
        """What a part says of rows of `table`, a list for each field."""
        if isinstance(part, Leaf):
            return [self._written(table, part, rows)]
        keys = rows.tuples(part.columns)
        told = self._told(part, [key for key in dict.fromkeys(keys) if None not in key])
        nothing = [self.null] * len(list(part.leaves()))
        for place, key in enumerate(keys):
            if key not in told and set(key) != {None}:
                raise _unwritable(table, rows, place, f"its {part.parent.name} is not there")
        return [[told.get(key, nothing)[place] for key in keys] for place in range(len(nothing))]

    def _told(self, link: Link, keys: Sequence[Key]) -> dict[Key, list[str]]:
        """What tells the parents apart to which these foreign keys refer, a cell for each field."""
        target = Target(connection=self.connection, dialect=self.schema.dialect, table=link.parent)
        by = link.reference.parent_columns
        bound, _ = target.parameters(RowSet.of(by, list(keys)))
        found = target.find(tuple(dict.fromkeys((*by, *link.key))), by, bound)
        for name in link.key:
            if None in found.column(name):
                words = f"it has no {name}, by which rows of {self.rows.table.name} are to name it"
                raise _unwritable(link.parent, found, found.column(name).index(None), words)
        columns = [cells for part in link.parts for cells in self._cells(link.parent, part, found)]
        return {key: [cells[place] for cells in columns] for place, key in enumerate(found.tuples(by))}

    def _written(self, table: Table, leaf: Leaf, rows: RowSet) -> list[str]:
        """Raises PusherError if one would not be read as what it is."""
        column, values = leaf.column, rows.column(leaf.column.name)
        cells = write_cells(column, values, self.null)
        back, faults = read_cells(column, self.schema.dialect, leaf.name, cells, self.null)
        wanted = RowSet(names=(column.name,), columns=[back])
        if not faults:
            faults = bind(self.schema.dialect, [column], wanted, {})[1]
        for place, reason in faults.items():
            raise _unwritable(table, rows, place, reason)
        for place, (here, there) in enumerate(zip(canonical(column, values), canonical(column, back), strict=True)):
            if here != there or "\0" in cells[place] or not encodable(cells[place]):
                raise _unwritable(table, rows, place, f"{leaf.name}: no CSV file can hold {values[place]!r:.60}")
        return cells


def _unwritable(table: Table, rows: RowSet, place: int, words: str) -> PusherError:
    key = [name for name in table.primary_key or rows.names if name in rows.names]
    named = ", ".join(f"{name} = {rows.column(name)[place]!r:.60}" for name in key)
    return PusherError(f"{table.name}, the row with {named}: {words}; correct that row")


def _parents_first(table: Table, rows: RowSet, links: Sequence[Link]) -> RowSet:
    """Each row behind those that it refers to."""
    waiting, order = list(range(len(rows))), list[int]()
    there: list[set[Key]] = [set() for _ in links]
    wanted = [rows.tuples(link.columns) for link in links]
    offered = [rows.tuples(link.reference.parent_columns) for link in links]
    while waiting:
        ready = [
            row
            for row in waiting
            if all(keys[row] in known or None in keys[row] for keys, known in zip(wanted, there, strict=True))
        ]
        if not ready:
            raise _unwritable(table, rows, waiting[0], "it refers to itself, or to rows that refer to it in turn")
        for known, keys in zip(there, offered, strict=True):
            known.update(keys[row] for row in ready)
        order += ready
        gone = set(ready)
        waiting = [row for row in waiting if row not in gone]
    return rows.take(order)
