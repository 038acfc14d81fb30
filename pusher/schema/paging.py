"""Reads a table page by page in the order of some of its columns, so that memory does not grow with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import sqlalchemy as sa

from pusher.schema.aggregates import read_columns
from pusher.schema.keyset import Place, between
from pusher.schema.reading import Select, plain_columns, raw_table
from pusher.wire.batch import Cursor, pack_cursor
from pusher.wire.tables import RowSet, Table

Connect = Callable[[], AbstractContextManager[sa.Connection]]


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

    def pages(self, after: Place, upto: Place, page_rows: int) -> Iterator[Page]:
        """The rows behind `after` up to `upto`, at most `page_rows` at a time."""
        while page := self._page(after, upto, page_rows):
            yield page
            if len(page.rows) < page_rows:
                return
            after = page.last

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
