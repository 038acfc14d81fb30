"""Random rows of every pair of engines: verify calls the same rows different, and no others, as an oracle does."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pusher.config import load
from tests.conftest import DIALECTS, NewDatabase
from tests.extremes import connect, requoted
from tests.inprocess import Database, Workshop
from tests.property.columns import COLUMNS, Way

_KEPT = ("pusher_instance", "pusher_alembic_version")
_REFUSALS = (pymysql.Error, psycopg.Error, sqlite3.Error, OverflowError)
# The first is compared along its cursor, the others by the hash of their keys: "turn" is no moment and not whole.
_TABLES = ("along", "apart", "entity")
_CONFIG = """[table along]
role = stream
cursor = at
[table apart]
role = stream
cursor = turn
[table entity]
role = entity
"""
_EACH = 4  # values of each column
_EPOCH = dt.datetime(2020, 1, 1)

# What chance seldom hits: a column, a value, what central's is altered to, and at which centrals that is a difference.
_PINNED: tuple[tuple[str, Any, Any, tuple[str, ...]], ...] = (
    ("double", 0.0, -0.0, ()),
    ("double", 0.1, 0.10000000000000002, DIALECTS),
    ("exact", "0.0000000001", "0.0000000002", DIALECTS),
    ("narrow", "1.005", "1.014", ("sqlite",)),
    ("precise", "2020-01-01 00:00:00.000001", "2020-01-01 00:00:00.000002", DIALECTS),
    ("word", "", None, DIALECTS),
    ("word", None, "", DIALECTS),
    ("word", "a", "A", DIALECTS),
    ("word", "a", "a ", DIALECTS),
    ("word", "e", "é", DIALECTS),
    ("fixed", "a", "a ", ("sqlite",)),
    ("raw", b"", b"\0", DIALECTS),
    ("truth", True, False, DIALECTS),
    ("document", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', ("mariadb",)),
    ("document", "[1]", "[true]", DIALECTS),
)
_PLACES = {column.name: place for place, column in enumerate(COLUMNS)}

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
        order = f"at {at} NOT NULL, turn DOUBLE PRECISION NOT NULL"
        for table in _TABLES:
            self.run(f'CREATE TABLE "{table}" (id BIGINT NOT NULL PRIMARY KEY, {order}, {columns})')
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
        with self._transaction():
            for table in self._emptied:
                self.run(f'DELETE FROM "{table}"')

    def fill(self, rows: Sequence[Row]) -> None:
        with self._transaction():
            for number, (at, place, value) in enumerate(rows):
                for table in _TABLES:
                    self.run(
                        f'INSERT INTO "{table}" (id, at, turn, "{COLUMNS[place].name}") VALUES (?, ?, ?, ?)',
                        (number, at.isoformat(" ", "microseconds"), number / 2, value),
                    )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.run("BEGIN")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK")
            raise
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

    def lacking(self) -> dict[str, set[int]]:
        """The rows that are not at central."""
        return {table: self.here.cells(table).keys() - self.there.cells(table).keys() for table in _TABLES}

    def differing(self) -> dict[str, Named]:
        """What the oracle finds."""
        found = {}
        for table in _TABLES:
            here, there = self.here.cells(table), self.there.cells(table)
            different = {number for number in here.keys() & there.keys() if not self._same(here[number], there[number])}
            found[table] = here.keys() - there.keys(), different, there.keys() - here.keys()
        return found

    def check(self, *, deep: bool) -> None:
        """Verify and the oracle find the same."""
        named, expected = self.named(deep=deep), self.differing()
        wrong = [
            f"{table} {number}: {shown}"
            for table in _TABLES
            for number in set.symmetric_difference(*({*each[table][1]} for each in (named, expected)))
            for shown in zip(self.here.cells(table)[number], self.there.cells(table)[number], strict=True)
            if shown != (None, None)
        ]
        assert named == expected, "\n".join(wrong)

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
    except (ArithmeticError, IndexError, TypeError, ValueError, struct.error):
        return value  # since there is nothing like the cell


@st.composite
def _rows(draw: st.DrawFn, dialect: str) -> list[Row]:
    """Some of every column."""
    at = st.builds(
        lambda minutes, microseconds: _EPOCH + dt.timedelta(minutes=minutes, microseconds=microseconds),
        st.integers(0, 40),
        st.integers(0, 2),
    )
    rows = [
        (draw(at), place, value)
        for place, column in enumerate(COLUMNS)
        for value in draw(st.lists(column.values[dialect], min_size=_EACH, max_size=_EACH))
    ]
    return draw(st.permutations(rows))


@st.composite
def _alterations(draw: st.DrawFn, rows: Sequence[Row], dialect: str) -> list[Alteration]:
    """Of most rows one cell each, mostly the only one that is not NULL."""
    found: list[Alteration] = []
    for number in draw(st.sets(st.sampled_from(range(len(rows))), min_size=len(rows) // 2)):
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
        # Not shrunk, which would take minutes: the assertion shows the cells on which the two disagree.
        @given(rows=_rows(here), data=st.data())
        @settings(max_examples=2, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck))
        def run(rows: list[Row], data: st.DataObject) -> None:
            pinned = range(len(rows), len(rows) + len(_PINNED))
            pair.begin([*rows, *((_EPOCH, _PLACES[name], value) for name, value, _, _ in _PINNED)])
            held = pair.push()
            pushed = {table: (held[table], set[int](), set[int]()) for table in _TABLES}
            assert pair.lacking() == held
            pair.check(deep=False)
            pair.check(deep=True)
            assert pair.differing() == pushed
            alterations = data.draw(_alterations(rows, there))
            alterations += [
                ((number, _PLACES[name]), None, other)
                for number, (name, _, other, _) in zip(pinned, _PINNED, strict=True)
            ]
            before = pair.alter(alterations)
            pair.check(deep=True)
            differing = {number for number, each in zip(pinned, _PINNED, strict=True) if there in each[3]}
            assert [found[1].intersection(pinned) for found in pair.differing().values()] == [differing] * len(_TABLES)
            for (table, cell), value in before.items():
                pair.there.write(table, cell, value)
            assert pair.differing() == pushed
            pair.check(deep=True)
            pair.check(deep=False)

        run()
