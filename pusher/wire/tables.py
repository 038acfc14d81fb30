"""What a table is, as reflected on one side and told to the other."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Kind(StrEnum):
    """The sorts of values that travel; every column type of every dialect is one of them.

    A *plain* value is what pusher holds between two databases: int, float, bool, str, bytes or None.
    Decimals, dates, times, UUIDs and JSON are plain text, so that nothing is shifted or rounded on the way.
    """

    INTEGER = "integer"
    FLOAT = "float"  # 64 bits
    SINGLE = "single"  # 32 bits
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    TEXT = "text"
    BYTES = "bytes"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"  # naive: never shifted
    INSTANT = "instant"  # aware: always UTC
    JSON = "json"
    UUID = "uuid"


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column.

    `declared`: the type as the database writes it. `length`: characters or bytes, None if unlimited.
    `scale`: digits after the point of a decimal, or of the seconds of a time; None if unlimited.
    `numbered`: the database hands out the values (auto-increment, serial, rowid).
    """

    name: str
    kind: Kind
    declared: str = ""
    nullable: bool = True
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    padded: bool = False  # CHAR and BINARY: the database adds or strips what fills them up
    numbered: bool = False
    generated: bool = False  # computed by the database: can be read, never written
    has_default: bool = False


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key: `columns` of this table hold `parent_columns` of table `parent`."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    references: tuple[Reference, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def unique_keys(self) -> tuple[tuple[str, ...], ...]:
        """Every set of columns that the database itself keeps unique."""
        return ((self.primary_key,) if self.primary_key else ()) + self.uniques


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    dialect: str
    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        """The table called `name`; KeyError if there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)


class RowSet(msgspec.Struct, kw_only=True):
    """Rows of one table as plain values: `columns[i]` holds every row's value of column `names[i]`."""

    names: tuple[str, ...]
    columns: list[list[Any]]

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def column(self, name: str) -> list[Any]:
        return self.columns[self.names.index(name)]

    def tuples(self, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """The values of the columns `names`, one tuple a row."""
        return list(zip(*(self.column(name) for name in names), strict=True))

    def take(self, indexes: list[int]) -> RowSet:
        """Only the rows at `indexes`, in that order."""
        return RowSet(names=self.names, columns=[[column[i] for i in indexes] for column in self.columns])

    def with_column(self, name: str, values: list[Any]) -> RowSet:
        """The same rows with the values of column `name` replaced, or added behind the others."""
        if name not in self.names:
            return RowSet(names=(*self.names, name), columns=[*self.columns, values])
        place = self.names.index(name)
        return RowSet(names=self.names, columns=[*self.columns[:place], values, *self.columns[place + 1 :]])

    def without(self, names: frozenset[str]) -> RowSet:
        kept = [i for i, name in enumerate(self.names) if name not in names]
        return RowSet(names=tuple(self.names[i] for i in kept), columns=[self.columns[i] for i in kept])

    @staticmethod
    def of(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> RowSet:
        """From row tuples; keeps its width also when there are no rows."""
        return RowSet(names=names, columns=[list(c) for c in zip(*rows, strict=True)] if rows else [[] for _ in names])
