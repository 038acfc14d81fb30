"""The processor that is made of a table: what it takes, and how rows get into the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa

from pusher.central.rows import Target
from pusher.config_import import NULL
from pusher.config_keys import guess as alike
from pusher.datacenter.cells import about
from pusher.datacenter.chunk import Chunk, is_needed
from pusher.datacenter.entry import find_entry
from pusher.datacenter.given import Given
from pusher.datacenter.links import Leaf, Link, Rows, rows_of
from pusher.datacenter.processing import Field, Mode, Processor, Result
from pusher.errors import UsageError
from pusher.schema.guess import is_ignored
from pusher.schema.names import match
from pusher.wire.tables import Schema, Table

Keys = Mapping[str, tuple[str, ...]]


def open_processor(schema: Schema, name: str, *, null: str = NULL, keys: Keys | None = None) -> Processor:
    """The processor that is called `name`: a table, an entry point of the group `pusher.processors`, or "module:Class".
    Raises UsageError if there is none, ConfigError if `keys` do not suit the tables."""
    return find_entry(name) or table_processor(schema, name, null=null, keys=keys)


def table_processor(schema: Schema, name: str, *, null: str = NULL, keys: Keys | None = None) -> Processor:
    """`null`: the cell that stands for NULL; `keys`: the columns that tell the rows of a table apart, where it does not
    say so itself. Raises UsageError if there is no such table, ConfigError if `keys` do not suit the tables."""
    return TableProcessor(schema, rows_of(schema, table_called(schema, name).name, keys or {}), null)


def table_called(schema: Schema, name: str) -> Table:
    """Raises UsageError if there is none that may be imported into."""
    tables = {table.name: table for table in schema.tables if not is_ignored(table.name)}
    table = match(name, tables)
    if table is None:
        raise UsageError(f"there is no table {name}{alike(name, tables)}")
    return table


class TableProcessor:
    def __init__(self, schema: Schema, rows: Rows, null: str) -> None:
        self.name = rows.table.name
        self._schema = schema
        self._rows = rows
        self._null = null

    def fields(self, mode: Mode) -> Sequence[Field]:
        return [*self._fields(mode), *self._raw_fields(mode)]

    def apply(
        self, connection: sa.Connection, mode: Mode, names: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> list[Result]:
        columns: list[Sequence[str]] = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        texts = {self._rows.named[name].name: column for name, column in zip(names, columns, strict=True)}
        if mode is Mode.REMOVE:
            texts = {name: column for name, column in texts.items() if self._locates(name)}
        target = Target(connection=connection, dialect=self._schema.dialect, table=self._rows.table)
        given = Given(target, self._rows, self._null, len(rows), texts)
        return Chunk(target, self._schema, self._rows, mode, self._null, given).run(len(rows))

    def _locates(self, name: str) -> bool:
        parts = [part for part in (*self._rows.parts, *self._rows.raw) if self._rows.locates(part)]
        return any(leaf.name == name for part in parts for leaf in part.leaves())

    def _fields(self, mode: Mode) -> Iterator[Field]:
        for part in self._rows.parts:
            for leaf in part.leaves():
                of = f", of the {part.parent.name} that it belongs to" if isinstance(part, Link) else ""
                yield Field(
                    name=leaf.name,
                    about=about(leaf.column) + of,
                    required=self._is_required(part, mode),
                    locates=self._rows.locates(part),
                    others=leaf.others,
                    spare=self._is_spare(part, mode),
                )

    def _raw_fields(self, mode: Mode) -> Iterator[Field]:
        by_columns = {part.columns: part for part in self._rows.parts}
        for link in self._rows.raw:
            (leaf,) = link.leaves()
            yield Field(
                name=leaf.name,
                about=f"{about(leaf.column)}: {leaf.column.name} of the {link.parent.name} that it belongs to",
                locates=self._rows.locates(link),
                gives=tuple(each.name for each in by_columns[link.columns].leaves()),
                spare=True,
            )

    def _is_required(self, part: Leaf | Link, mode: Mode) -> bool:
        columns = [self._rows.table.column(name) for name in part.columns]
        if mode is Mode.CREATE:
            return any(map(is_needed, columns))
        return self._rows.locates(part)

    def _is_spare(self, part: Leaf | Link, mode: Mode) -> bool:
        """What a clerk has no need of: the number that the database gives a row, and what is of no use here."""
        if self._rows.locates(part):
            return False
        numbered = any(self._rows.table.column(name).numbered for name in part.columns)
        return numbered or mode is Mode.REMOVE
