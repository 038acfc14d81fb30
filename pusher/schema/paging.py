"""Reads a table page by page in the order of some of its columns, so that memory does not grow with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import sqlalchemy as sa

from pusher.schema.aggregates import read_columns
from pusher.schema.keyset import Place, between
from pusher.schema.reading import Select, plain_columns, raw_table
from pusher.wire.batch import Cursor, pack_cursor
from pusher.wire.tables import Column, Kind, RowSet, Table

Connect = Callable[[], AbstractContextManager[sa.Connection]]


_LONG = 1000  # characters, or bytes
_FIRST_ROWS = 100  # of a table that may hold long ones
_PAGE_BYTES = 8 << 20
_GROWTH = 8


def may_be_long(column: Column) -> bool:
    unlimited = column.kind in (Kind.TEXT, Kind.BYTES, Kind.JSON)
    return unlimited and (column.length is None or column.length > _LONG) and not column.declared.startswith("ENUM")


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a table in their order; `first` and `last` are the cursors of its ends.

    `values`: what the first column of the order holds, as the database gives it.
    """

    rows: RowSet
    first: Cursor
    last: Cursor
    values: list[Any]


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """The columns `names`, which include those of `order`, of one table; `connect` is called for each page."""

    connect: Connect
    dialect: str
    table: Table
    names: Sequence[str]
    order: Sequence[str]

    def pages(self, after: Place, upto: Place, page_rows: Callable[[], int]) -> Iterator[Page]:
        """The rows behind `after` up to `upto`, at most `page_rows` at a time, and fewer where they are long."""
        long = [name for name in self.names if may_be_long(self.table.column(name))]
        fitting = _FIRST_ROWS if long else sys.maxsize
        while page := self._page(after, upto, limit := min(page_rows(), fitting)):
            yield page
            if len(page.rows) < limit:
                return
            after = page.last
            if long:
                fitting = _fitting(page.rows, long)

    def _page(self, after: Place, upto: Place, limit: int) -> Page | None:
        order = [raw_table(self.table).c[name] for name in self.order]

        def narrow(select: Select) -> Select:
            return select.where(between(order, after, upto)).order_by(*order).limit(limit)

        with self.connect() as connection:
            columns = read_columns(connection, self.dialect, self.table, self.names, narrow)
        if not columns[0]:
            return None
        ordered = [columns[self.names.index(name)] for name in self.order]
        first, last = (pack_cursor(values[place] for values in ordered) for place in (0, -1))
        return Page(rows=plain_columns(self.table, self.names, columns), first=first, last=last, values=ordered[0])


def _fitting(rows: RowSet, long: Sequence[str]) -> int:
    """How many rows of their length the next page may have."""
    size = sum(len(value) for name in long for value in rows.column(name) if isinstance(value, str | bytes))
    return max(1, min(len(rows) * _GROWTH, _PAGE_BYTES * len(rows) // max(size, 1)))
