"""Random rows of every pair of engines: verify calls the same rows different, and no others, as an oracle does."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pusher.config import load
from tests.conftest import DIALECTS, NewDatabase
from tests.extremes import connect, requoted
from tests.inprocess import Database, Workshop
from tests.property.columns import COLUMNS, Way

_KEPT = ("pusher_instance", "pusher_alembic_version")
_REFUSALS = (pymysql.Error, psycopg.Error, sqlite3.Error, OverflowError)
# One is compared along its cursor, the other by the hash of its key.
_TABLES = ("along", "apart")
_CONFIG = "[table along]\nrole = stream\ncursor = at\n[table apart]\nrole = entity\n"
_EPOCH = dt.datetime(2020, 1, 1)

Named = tuple[set[int], set[int], set[int]]  # rows that are missing at central, different, only there
# When, and the only cell that is not NULL: the place of its column, and the value.
Row = tuple[dt.datetime, int, Any]
_Cell = tuple[int, int]  # a row and the place of a column
# A cell, how to alter it (None: to the value), and the value.
Alteration = tuple[_Cell, Way | None, Any]


class Side:
    """A database as its bare driver sees it."""

    def __init__(self, database: Database, *, central: bool) -> None:
        self.dialect = database.dialect
        self._central = central
        self._connection: Any = connect(database.engine.url.render_as_string(hide_password=False))
        self._mark = "?" if self.dialect == "sqlite" else "%s"
        at = {"mariadb": "DATETIME(6)", "postgresql": "TIMESTAMP", "sqlite": "DATETIME"}[self.dialect]
        columns = ", ".join(f'"{each.name}" {each.types[self.dialect][central]}' for each in COLUMNS)
        for table in _TABLES:
            self.run(f'CREATE TABLE "{table}" (id BIGINT NOT NULL PRIMARY KEY, at {at} NOT NULL, {columns})')
        self._emptied = [*_TABLES, *(self._bookkeeping(database) if central else ())]

    def _bookkeeping(self, database: Database) -> list[str]:
        names = sa.inspect(database.engine).get_table_names()
        return [name for name in names if name.startswith("pusher_") and name not in _KEPT]

    def close(self) -> None:
        self._connection.close()

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(
                requoted(self.dialect, statement).replace("?", self._mark), *([parameters] if parameters else [])
            )
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def empty(self) -> None:
        for table in self._emptied:
            self.run(f'DELETE FROM "{table}"')

    def fill(self, rows: Sequence[Row]) -> None:
        self.run("BEGIN")
        for number, (at, place, value) in enumerate(rows):
            for table in _TABLES:
                self.run(
                    f'INSERT INTO "{table}" (id, at, "{COLUMNS[place].name}") VALUES (?, ?, ?)',
                    (number, at.isoformat(" ", "microseconds"), value),
                )
        self.run("COMMIT")

    def cells(self, table: str) -> dict[int, tuple[Any, ...]]:
        sorts = [each.sort if self._central else each.source for each in COLUMNS]
        shown = [sort.read[self.dialect].format(f'"{each.name}"') for sort, each in zip(sorts, COLUMNS, strict=True)]
        return {row[0]: row[1:] for row in self.run(f'SELECT id, {", ".join(shown)} FROM "{table}"')}

    def write(self, table: str, cell: _Cell, value: Any) -> None:
        number, place = cell
        self.run(f'UPDATE "{table}" SET "{COLUMNS[place].name}" = ? WHERE id = ?', (value, number))


class Pair:
    """A site and central, with the same two tables."""

    def __init__(self, workshop: Workshop) -> None:
        self.store = workshop.store
        self.site = workshop.site("site", tables=_CONFIG)
        self.here = Side(self.site, central=False)
        self.there = Side(workshop.central, central=True)

    def close(self) -> None:
        self.here.close()
        self.there.close()

    def begin(self, rows: Sequence[Row]) -> None:
        """As if nothing had ever been here but these rows."""
        for side in (self.here, self.there):
            side.empty()
        for file in load(self.site.config).general.state.glob("*"):
            file.unlink()
        self.site.set_lastupdate(None)
        self.here.fill(rows)

    def push(self) -> dict[str, set[int]]:
        """Returns the rows that are held, by table."""
        outcome = self.site.push(self.store)
        assert outcome.error is None, outcome.error
        assert [(entry.table, entry.stopped) for entry in outcome.tables if entry.stopped] == []
        held = self.site.held()
        return {table: {json.loads(key)[0] for key, _ in held.get(table, ())} for table in _TABLES}

    def named(self, *, deep: bool) -> dict[str, Named]:
        """What verify finds."""
        verdicts = {each.table: each for each in self.site.verify(self.store, deep=deep)}
        found = {}
        for table in _TABLES:
            verdict = verdicts[table]
            lists = [verdict.missing, verdict.different, verdict.only_central]
            missing, different, only_central = ({json.loads(key)[0] for key in keys} for keys in lists)
            assert list(map(len, lists)) == [len(missing), len(different), len(only_central)]
            assert (verdict.verdict == "equal") == (not (missing or different or only_central))
            found[table] = missing, different, only_central
        return found

    def differing(self) -> dict[str, Named]:
        """What the oracle finds."""
        found = {}
        for table in _TABLES:
            here, there = self.here.cells(table), self.there.cells(table)
            different = {number for number in here.keys() & there.keys() if not self._same(here[number], there[number])}
            found[table] = here.keys() - there.keys(), different, there.keys() - here.keys()
        return found

    def _same(self, here: tuple[Any, ...], there: tuple[Any, ...]) -> bool:
        dialect = self.there.dialect
        return all(
            column.meaning(dialect, one) == column.meaning(dialect, other)
            for column, one, other in zip(COLUMNS, here, there, strict=True)
        )

    def alter(self, alterations: Sequence[Alteration]) -> dict[tuple[str, _Cell], Any]:
        """Alters cells at central, as far as it lets us; returns what stood there."""
        before: dict[tuple[str, _Cell], Any] = {}
        for table in _TABLES:
            cells = self.there.cells(table)
            for (number, place), way, value in alterations:
                if number in cells:
                    cell = cells[number][place]
                    with suppress(*_REFUSALS):
                        self.there.write(table, (number, place), _altered(cell, way, value))
                        before.setdefault((table, (number, place)), cell)
        return before


def _altered(cell: Any, way: Way | None, value: Any) -> Any:
    if way is None or cell is None:
        return value
    try:
        return way(cell)
    except (ArithmeticError, IndexError, ValueError, struct.error):
        return value  # since there is nothing like the cell


def _rows(dialect: str) -> st.SearchStrategy[list[Row]]:
    at = st.builds(
        lambda minutes, microseconds: _EPOCH + dt.timedelta(minutes=minutes, microseconds=microseconds),
        st.integers(0, 40),
        st.integers(0, 2),
    )
    cell = st.sampled_from(range(len(COLUMNS))).flatmap(
        lambda place: st.tuples(st.just(place), COLUMNS[place].values[dialect])
    )
    return st.lists(st.tuples(at, cell).map(lambda row: (row[0], *row[1])), min_size=1, max_size=50)


@st.composite
def _alterations(draw: st.DrawFn, rows: Sequence[Row], dialect: str) -> list[Alteration]:
    """Of up to so many rows one cell each, mostly the only one that is not NULL."""
    found: list[Alteration] = []
    for number in draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=30, unique=True)):
        place = rows[number][1] if draw(st.integers(0, 5)) else draw(st.sampled_from(range(len(COLUMNS))))
        column = COLUMNS[place]
        way = draw(st.sampled_from([*column.sort.ways, None]))
        found.append(((number, place), way, draw(st.none() | column.values[dialect])))
    return found


@pytest.mark.parametrize(("here", "there"), list(product(DIALECTS, DIALECTS)))
def test_verify_finds_what_differs_and_nothing_else(
    here: str, there: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, here, there) as workshop, closing(Pair(workshop)) as pair:

        @given(rows=_rows(here), data=st.data())
        @settings(max_examples=4, suppress_health_check=list(HealthCheck))
        def run(rows: list[Row], data: st.DataObject) -> None:
            pair.begin(rows)
            held = pair.push()
            pushed = {table: (held[table], set[int](), set[int]()) for table in _TABLES}
            assert pair.named(deep=False) == pair.named(deep=True) == pair.differing() == pushed
            alterations = data.draw(_alterations(rows, there))
            before = pair.alter(alterations)
            assert pair.named(deep=True) == pair.differing()
            for (table, cell), value in before.items():
                pair.there.write(table, cell, value)
            assert pair.differing() == pushed
            assert pair.named(deep=True) == pair.named(deep=False) == pushed

        run()
