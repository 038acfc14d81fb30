"""What a request asks for, in terms of the database: which rows, which columns, in what order; and how it is read."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa
from starlette.exceptions import HTTPException

from pusher.rest.filters import columns_of, conditions, equals, sort_by
from pusher.rest.formats import Columns
from pusher.rest.naming import columns_called
from pusher.rest.seek import Order
from pusher.schema.aggregates import read_columns
from pusher.schema.paging import may_be_long
from pusher.schema.reading import Select, plain_columns, raw_table, select_raw
from pusher.wire.tables import Table

_ROWS_AT_ONCE = 5000
_WALK_ROWS = 10_000
_LARGE_ROWS_AT_ONCE = 100  # of rows that may be long

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Page:
    """`following`: where the rows behind it begin, for `page`; None if there are none."""

    columns: Columns
    following: str | None


@dataclass(frozen=True, kw_only=True)
class Selection:
    dialect: str
    table: Table
    names: tuple[str, ...]
    conditions: tuple[sa.ColumnElement[bool], ...]
    order: Order

    @classmethod
    def of(cls, dialect: str, table: Table, parameters: Parameters, key: str | None = None) -> Selection:
        """`key`: the values of a primary key, as they stand in an address, percent-encoded. Raises 400 or 404."""
        found = conditions(dialect, table, parameters)
        if key is not None:
            found += _is_row(dialect, table, key)
        return cls(
            dialect=dialect,
            table=table,
            names=_fields(table, parameters),
            conditions=tuple(found),
            order=Order.of(dialect, table, sort_by(table, parameters)),
        )

    def count(self, connection: sa.Connection) -> int:
        counted = sa.select(sa.func.count()).select_from(raw_table(self.table)).where(*self.conditions)
        return int(connection.execute(counted).scalar_one())

    def page(self, connection: sa.Connection, after: str | None, rows: int) -> Page:
        """At most `rows` rows behind `after`. Raises 400 if that is not from a page of the same order."""
        place = None if after is None else self.order.place(after)
        columns, last = self._rows(connection, place, rows)
        if last is None:
            return Page(columns=columns, following=None)
        if self.order.total:
            return Page(columns=columns, following=self.order.token(last))
        done = place if isinstance(place, int) else 0
        return Page(columns=columns, following=self.order.counted_token(done + rows))

    def pages(
        self, connection: sa.Connection, first: int = 0, rows: int | None = None
    ) -> Generator[Columns, None, None]:
        """`rows` rows (None: all) from the row `first` on, some thousands at a time."""
        # As arrays of columns MariaDB gives them several times as fast; but each page has to be found at once.
        one_index = self.order.is_walk and columns_of(self.conditions) <= {self.order.names[0]}
        if self.dialect == "mariadb" and one_index and not first and rows is None and self._rows_at_once > 1000:
            yield from self._walk(connection)
            return
        statement = self._ordered(select_raw(self.dialect, self.table, self.names)).offset(first or None).limit(rows)
        result = connection.execute(statement, execution_options={"yield_per": self._rows_at_once})
        try:
            for part in result.partitions():
                yield self._plain(self.names, [list(column) for column in zip(*part, strict=True)])
        finally:
            if self.dialect != "mariadb":  # whose driver would read to the end: `Look` sees to it
                result.close()

    # ---

    def _walk(self, connection: sa.Connection) -> Iterator[Columns]:
        last: tuple[Any, ...] | None = None
        while True:
            columns, last = self._rows(connection, last, _WALK_ROWS)
            if columns[0]:
                yield columns
            if last is None:
                return

    def _rows(
        self, connection: sa.Connection, place: tuple[Any, ...] | int | None, rows: int
    ) -> tuple[Columns, tuple[Any, ...] | None]:
        """The values of the columns, and of the order those of the last row, if there are rows behind it."""
        names = (*self.names, *(name for name in self.order.names if name not in self.names))

        def narrow(select: Select) -> Select:
            select = self._ordered(select)
            if isinstance(place, tuple):
                select = select.where(self.order.beyond(place))
            elif place:
                select = select.offset(place)
            return select.limit(rows + 1)

        columns = read_columns(connection, self.dialect, self.table, names, narrow)
        last = None
        if len(columns[0]) > rows:
            last = tuple(columns[names.index(name)][rows - 1] for name in self.order.names)
            columns = [column[:rows] for column in columns]
        return self._plain(self.names, columns[: len(self.names)]), last

    def _ordered(self, select: Select) -> Select:
        return select.where(*self.conditions).order_by(*self.order.clauses)

    def _plain(self, names: Sequence[str], columns: Columns) -> Columns:
        return plain_columns(self.table, names, columns).columns

    @property
    def _rows_at_once(self) -> int:
        return (
            _LARGE_ROWS_AT_ONCE if any(may_be_long(self.table.column(name)) for name in self.names) else _ROWS_AT_ONCE
        )


def _fields(table: Table, parameters: Parameters) -> tuple[str, ...]:
    """The columns that `fields` names, each once; all, if it names none."""
    wanted = [part.strip() for name, text in parameters if name == "fields" for part in text.split(",")]
    columns = columns_called(table, [name for name in wanted if name]) or table.columns
    return tuple(dict.fromkeys(column.name for column in columns))


def _is_row(dialect: str, table: Table, key: str) -> Iterable[sa.ColumnElement[bool]]:
    names = table.primary_key
    if not names:
        raise HTTPException(404, f"{table.name} has no primary key, by which a row could be named")
    values = [unquote(part) for part in key.split(",")]
    if len(values) != len(names):  # a comma within a value, or every comma percent-encoded
        values = [unquote(key)] if len(names) == 1 else unquote(key).split(",")
    if len(values) != len(names):
        raise HTTPException(400, f"a row of {table.name} is named by {','.join(names)}: so many values, with commas")
    return [equals(dialect, table, name, value) for name, value in zip(names, values, strict=True)]
