"""Reads the site's database: the next rows of a stream after a cursor, the rows of an entity, rows by key."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from pusher.config import Settings
from pusher.errors import SourceUnreachable, Unreachable
from pusher.schema.engine import opened, reaching, writing
from pusher.schema.keyset import Place, between, beyond
from pusher.schema.paging import Page, Reader
from pusher.schema.plan import TablePlan
from pusher.schema.reading import Select, raw_table, read_by_key, read_raw, to_plain
from pusher.schema.reflect import Reflected, dialect_name, reflect_changed
from pusher.schema.triggers import is_outbox
from pusher.schema.writing import to_parameters
from pusher.wire.batch import Cursor
from pusher.wire.tables import Kind, RowSet, Schema

_ENTITIES_AT_ONCE = 5000
_WHAT = "the site's database"
_TIMES = (Kind.DATE, Kind.DATETIME, Kind.INSTANT)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?")


@contextmanager
def open_source(settings: Settings) -> Iterator[Source]:
    """The site's database, as long as it is needed. Raises SourceUnreachable or ConfigError."""
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(opened(settings.general.localurl.reveal()))
        except Unreachable as error:
            raise SourceUnreachable(f"{error}; correct localurl in {settings.path}") from error
        yield Source(engine)


class Source:
    """Every method raises Unreachable if the site's database is not there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.dialect = dialect_name(engine)

    def schema(self) -> Schema:
        """Without the outboxes of captured tables, which are nothing that the site collected."""
        return self.reflected(None).schema

    def reflected(self, known: Reflected | None) -> Reflected:
        """The schema with its stamp; `known` itself if nothing of it has changed."""
        found = reflect_changed(self._engine, known, _WHAT)
        if found is known:
            return known
        tables = tuple(table for table in found.schema.tables if not is_outbox(table.name))
        return Reflected(stamp=found.stamp, schema=Schema(dialect=found.schema.dialect, tables=tables))

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction on the site's database that may write: only entities that come down do."""
        with reaching(_WHAT), writing(self._engine).begin() as connection:
            yield connection

    def pages(self, plan: TablePlan, after: Place, upto: Place, page_rows: int | Callable[[], int]) -> Iterator[Page]:
        """The rows of a stream behind `after` up to `upto`, in their order, at most `page_rows` at a time."""
        limit = page_rows if callable(page_rows) else lambda: page_rows
        reader = Reader(
            connect=self._connect, dialect=self.dialect, table=plan.local, names=_names(plan), order=plan.order
        )
        return reader.pages(after, upto, limit)

    @contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        with reaching(_WHAT), self._engine.connect() as connection:
            yield connection

    def count(self, plan: TablePlan, after: Place, upto: Place = None) -> int:
        """How many rows of a stream lie behind `after` up to `upto`."""
        return self.counts(plan, [(after, upto)])[0]

    def counts(self, plan: TablePlan, parts: Sequence[tuple[Place, Place]]) -> list[int]:
        """The same of several parts, in one query."""
        source = raw_table(plan.local)
        order = [source.c[name] for name in plan.order]
        rows = sa.select(sa.func.count()).select_from(source)
        query = sa.select(*(rows.where(between(order, *part)).scalar_subquery() for part in parts))
        with self._connect() as connection:
            return [int(each) for each in connection.execute(query).one()]

    def empty(self, plans: Sequence[TablePlan]) -> list[TablePlan]:
        """Those of the tables that hold no row, in one query."""
        if not plans:
            return []
        rows = [sa.select(sa.literal(1)).select_from(raw_table(plan.local)) for plan in plans]
        query = sa.select(*(sa.exists(each).label(f"t{place}") for place, each in enumerate(rows)))
        with self._connect() as connection:
            return [plan for plan, full in zip(plans, connection.execute(query).one(), strict=True) if not full]

    def ends(self, plan: TablePlan) -> tuple[Any, Any] | None:
        """What the cursor column holds in the first and the last row of a stream; None if it has no row."""
        assert plan.cursor is not None
        column = raw_table(plan.local).c[plan.cursor]
        found = []
        with self._connect() as connection:
            for end in (column, column.desc()):

                def narrow(select: Select, end: sa.ColumnElement[Any] = end) -> Select:
                    return select.order_by(end).limit(1)

                rows = read_raw(connection, self.dialect, plan.local, [plan.cursor], narrow)
                found += [value for (value,) in rows]
        return (found[0], found[-1]) if found else None

    def makes_blocks(self, plan: TablePlan) -> bool:
        """Whether the values of a stream's cursor are moments or numbers throughout; SQLite may hold both."""
        assert plan.cursor is not None
        kind = plan.local.column(plan.cursor).kind
        if kind not in (*_TIMES, Kind.INTEGER):
            return False
        ends = self.ends(plan) if self.dialect == "sqlite" else None
        if ends is None:
            return True
        wanted = (str, int, float) if kind in _TIMES else (int,)
        return type(ends[0]) is type(ends[1]) and isinstance(ends[0], wanted)

    def from_moment(self, plan: TablePlan, moment: str) -> Cursor | None:
        """The cursor before every row of that moment (ISO 8601), spelt as this database spells it.

        None if the stream's cursor is no time.
        """
        assert plan.cursor is not None
        kind = plan.local.column(plan.cursor).kind
        if kind not in _TIMES:
            return None
        spaced = moment[: len("2013-05-01")] if kind is Kind.DATE else moment.replace("T", " ")
        if self.dialect != "sqlite":
            return (spaced,)
        column = raw_table(plan.local).c[plan.cursor]
        with self._connect() as connection:
            sample = connection.scalar(sa.select(column).limit(1))
        if isinstance(sample, int | float):
            return None  # SQLite takes anything for a date
        return (spaced.replace(" ", "T") if "T" in str(sample) else spaced,)  # and compares texts

    def entities(self, plan: TablePlan) -> Iterator[RowSet]:
        """All rows of an entity in the order of its identity, some thousand at a time."""
        source = raw_table(plan.local)
        order = [source.c[name] for name in plan.identity]
        names = _names(plan)
        # Where NULL leaves rows alike, no row is the last of a page: then all of them are one page.
        loose = any(plan.local.column(name).nullable for name in plan.identity) and not plan.local.primary_key
        limit = None if loose else _ENTITIES_AT_ONCE
        last: tuple[Any, ...] | None = None
        while True:

            def narrow(select: Select, last: tuple[Any, ...] | None = last) -> Select:
                condition = beyond(order, last) if last else sa.true()
                return select.where(condition).order_by(*order).limit(limit)

            with self._connect() as connection:
                rows = read_raw(connection, self.dialect, plan.local, names, narrow)
            if rows:
                yield to_plain(plan.local, names, rows)
            if limit is None or len(rows) < limit:
                return
            last = tuple(rows[-1][names.index(name)] for name in plan.identity)

    def by_key(self, plan: TablePlan, columns: tuple[str, ...], keys: Sequence[tuple[Any, ...]]) -> RowSet:
        """The rows whose `columns` hold one of `keys` (plain values)."""
        bound = [
            to_parameters(self.dialect, plan.local.column(name), list(values))[0]
            for name, values in zip(columns, RowSet.of(columns, list(keys)).columns, strict=True)
        ]
        bound_keys = list(zip(*bound, strict=True))
        with self._connect() as connection:
            return read_by_key(connection, self.dialect, plan.local, _names(plan), columns, bound_keys)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for what no other method reads."""
        with self._connect() as connection:
            yield connection


def moment_of(plan: TablePlan, cursor: Cursor) -> str | None:
    """The moment at which a stream's cursor stands, or None if its cursor is no time that a calendar knows."""
    assert plan.cursor is not None
    text = cursor[0]
    if plan.local.column(plan.cursor).kind not in _TIMES or not isinstance(text, str):
        return None
    found = _MOMENT.match(text.replace(" ", "T", 1))
    try:
        dt.datetime.fromisoformat(found[0] if found and not text.endswith("BC") else "")
    except ValueError:
        return None
    return re.sub(r"\.0+$", "", found[0]) if found else None


def older(one: Cursor, other: Cursor) -> Cursor | None:
    """The cursor that leaves nothing out of what either has left to send; None is the beginning."""
    for place, (mine, theirs) in enumerate(zip(_comparable(one), _comparable(other), strict=False)):
        if mine == theirs:
            continue
        if place == 0 and isinstance(mine, str) and isinstance(theirs, str):
            return one if mine < theirs else other
        if isinstance(mine, int | float) and isinstance(theirs, int | float):
            return one if mine < theirs else other
        return one[:1] if place else None  # which of two texts comes first, only the database knows
    return one if len(one) < len(other) else other


def _comparable(cursor: Cursor) -> Cursor:
    return tuple(value.replace("T", " ") if isinstance(value, str) else value for value in cursor[:1]) + cursor[1:]


def _names(plan: TablePlan) -> tuple[str, ...]:
    extra = (plan.active_until,) if plan.active_until else ()
    return tuple(dict.fromkeys(plan.sent + plan.identity + plan.order + extra))
