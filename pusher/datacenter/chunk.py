"""Some rows of a CSV file on their way into a table: what is to become of each, and what did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import sqlalchemy as sa

from pusher.central.rows import Key, Target
from pusher.datacenter.cells import NOTHING, write_cells
from pusher.datacenter.explaining import refused_removal, refused_write
from pusher.datacenter.given import Given
from pusher.datacenter.links import Rows
from pusher.datacenter.owning import Owners
from pusher.datacenter.parents import match_exactly
from pusher.datacenter.processing import Action, Done, Mode, Refused, Result, RowRefused
from pusher.datacenter.waves import stretches, waves
from pusher.schema.reading import raw_table
from pusher.wire.tables import Column, RowSet, Schema

Pattern = tuple[object, ...]
Plan = tuple[Action, tuple[str, ...]]  # what is done to a row, and the columns that it says something of
There = dict[int, list[Key]]  # of each row the rows of the database that have its key


class Chunk:
    def __init__(self, target: Target, schema: Schema, rows: Rows, mode: Mode, null: str, given: Given) -> None:
        self._target = target
        self._schema = schema
        self._table = rows.table
        self._key = rows.key
        self._mode = mode
        self._null = null
        self._given = given
        self._owners = Owners(target, schema)
        self._done: dict[int, Done] = {}
        self._plans: dict[tuple[str, Pattern], Plan] = {}
        self._by = self._table.primary_key or rows.key
        others = [column.name for column in self._table.columns] if mode is Mode.REMOVE else ()
        self._held = tuple(dict.fromkeys((*self._by, *others)))  # what is read of the rows of the database

    def run(self, count: int) -> list[Result]:
        """What became of the rows, of which there are so many."""
        given = self._given
        for batch in self._batches(given.going(range(count))):
            given.resolve_own(batch)
            self._write(given.going(batch))
        return [self._done[row] if row in self._done else Refused(given.refused[row]) for row in range(count)]

    # --- in which order

    def _batches(self, rows: Sequence[int]) -> Iterable[Sequence[int]]:
        """Rows that may be written at once, so that all is as if it were row by row."""
        own = self._given.own
        by_value = any(not link.name for links in own for link in links)
        in_key = any(set(links[0].columns) & set(self._key) for links in own)
        if by_value or in_key or len(own) > 1 or (self._mode is Mode.REMOVE and self._refers_to_itself()):
            return ([row] for row in rows)
        cut = stretches if self._must_keep_order() else waves
        return ([rows[place] for place in part] for part in cut(self._given.keys(rows), self._given.sought(rows)))

    def _refers_to_itself(self) -> bool:
        return any(reference.parent == self._table.name for reference in self._table.references)

    def _must_keep_order(self) -> bool:
        """Whether one row may take what another gives up, a value that has to be unique, or a number that the database
        might give to another."""
        given, key = set(self._given.columns), set(self._key)
        others = any(set(unique) & given and not key <= set(unique) for unique in self._table.unique_keys())
        return others or any(column.numbered for column in self._target.columns(given))

    # --- what is to become of them

    def _write(self, rows: Sequence[int]) -> None:
        there = self._there(rows)
        planned: list[tuple[int, Plan]] = []
        going = self._given.going(rows)
        for row, pattern in zip(going, self._given.patterns(going), strict=True):
            try:
                planned.append((row, self._decide(row, pattern, there.get(row, []))))
            except RowRefused as refusal:
                self._given.refuse({row: str(refusal)})
        if not self._must_keep_order():
            planned.sort(key=lambda each: each[1])
        for (action, names), part in groupby(planned, key=lambda each: each[1]):
            self._do(action, names, [row for row, _ in part], there)

    def _there(self, rows: Sequence[int]) -> There:
        keyed = [row for row in rows if self._given.has_key(row)]
        if not keyed:
            return {}
        wanted = self._given.taken(self._key, keyed)
        bound, faults = self._given.bound(wanted)
        self._given.refuse({keyed[place]: reason for place, reason in faults.items()})
        whole = [place for place in range(len(keyed)) if place not in faults]
        keys = [bound[place] for place in whole]
        found = match_exactly(self._target, self._key, self._held, wanted.take(whole), keys)
        return {keyed[place]: each for place, each in zip(whole, found, strict=True)}

    def _decide(self, row: int, pattern: Pattern, there: list[Key]) -> Plan:
        """Raises RowRefused."""
        given, name = self._given, self._table.name
        if len(there) > 1:
            raise RowRefused(f"{len(there)} rows of {name} have {given.told(row)}; see to it that only one has")
        if there and self._mode is Mode.CREATE:
            raise RowRefused(
                f"there is a {name} with {given.told(row)} already; leave the row out, or import it with mode update"
            )
        if self._mode is Mode.CREATE or (self._mode is Mode.UPSERT and not there):
            return self._plan(self._plan_new, row, pattern)
        if not given.has_key(row):
            raise RowRefused(self._without_key(row))
        if not there:
            remedy = "leave the row out" if self._mode is Mode.REMOVE else "import the row with mode create"
            fields = " or ".join(given.locating())
            raise RowRefused(f"there is no {name} with {given.told(row)}; correct {fields}, or {remedy}")
        if self._mode is Mode.REMOVE:
            return Action.REMOVED, ()
        self._refuse_other(row, there[0])
        return self._plan(self._plan_change, row, pattern)

    def _plan(self, make: Callable[[int], Plan], row: int, pattern: Pattern) -> Plan:
        """What is to be done depends on no more than what a row says something of: there are few such patterns."""
        known = self._plans.get((make.__name__, pattern))
        if known is None:
            known = self._plans[make.__name__, pattern] = make(row)
        return known

    def _plan_new(self, row: int) -> Plan:
        names = []
        for column in self._table.columns:
            value = self._given.value(column.name, row)
            if value is NOTHING:
                if is_needed(column):
                    raise RowRefused(
                        f"{self._given.lacking(column, row)}; a new {self._table.name} needs it, fill it in"
                    )
                if not column.nullable or column.has_default or column.name not in self._given.columns:
                    continue  # else it is NULL as well as in the rows that say so, and can be written with them
            elif value is None:
                self._refuse_null(column, row)
            names.append(column.name)
        return Action.CREATED, tuple(names)

    def _plan_change(self, row: int) -> Plan:
        names = []
        for column in self._target.columns(self._given.columns):
            value = self._given.value(column.name, row)
            if value is NOTHING or column.name in self._key or column.name in self._by:
                continue
            if value is None:
                self._refuse_null(column, row)
            names.append(column.name)
        return Action.UPDATED, tuple(names)

    def _refuse_other(self, row: int, there: Key) -> None:
        """A primary key is said again at most."""
        for column, known in zip(self._target.columns(self._by), there, strict=True):
            if column.name not in self._key and self._given.value(column.name, row) not in (NOTHING, known):
                raise RowRefused(f"{self._given.called(column)} is for good, and cannot be changed; leave it empty")

    def _refuse_null(self, column: Column, row: int) -> None:
        if not column.nullable:
            raise RowRefused(f"{self._given.lacking(column, row)}, and cannot be NULL; write a value")

    def _without_key(self, row: int) -> str:
        for column in self._target.columns(self._key):
            if self._given.value(column.name, row) in (NOTHING, None):
                return f"{self._given.lacking(column, row)}, but the row is found by it; fill it in"
        return f"{self._table.name} has no key by which a row is found; import the row with mode create"

    # --- what becomes of them

    def _do(self, action: Action, names: tuple[str, ...], rows: list[int], there: There) -> None:
        wanted = self._given.taken(names, rows)
        if action is not Action.CREATED:
            keys = RowSet.of(self._by, [there[row][0][: len(self._by)] for row in rows])
            wanted = RowSet(names=(*self._by, *names), columns=[*keys.columns, *wanted.columns])
        bound, faults = self._given.bound(wanted)
        faults |= self._foreign(wanted, new=action is Action.CREATED)
        whole = [place for place in range(len(rows)) if place not in faults]
        given = [bound[place] for place in whole] if faults else bound
        if action is Action.CREATED:
            refused = self._target.insert(wanted.names, given)
            self._pass_numbers(wanted.names)
        elif action is Action.UPDATED:
            refused = self._target.update(wanted.names, self._by, given)
        else:
            refused = self._target.delete(self._by, given)
        for at, reason in refused.items():
            place = whole[at]
            faults[place] = self._explained(action, rows[place], wanted, place, there.get(rows[place], []), reason)
        self._given.refuse({rows[place]: reason for place, reason in faults.items()})
        gone = self._gone([there[row][0] for row in rows]) if action is Action.REMOVED else [{}] * len(rows)
        for place, row in enumerate(rows):
            if place not in faults:
                self._done[row] = Done(action, gone[place])

    def _foreign(self, wanted: RowSet, *, new: bool) -> dict[int, str]:
        owners = self._owners.of(wanted, new=new)
        told = f"this row of {self._table.name} belongs to site {{}}, which pushes it; have it changed there"
        return {place: told.format(owner) for place, owner in enumerate(owners) if owner is not None}

    def _pass_numbers(self, names: Sequence[str]) -> None:
        """Has PostgreSQL go on behind the numbers that a file brought, as the other databases do by themselves."""
        for column in self._target.columns(names) if self._target.dialect == "postgresql" else ():
            if column.numbered:
                sequence = sa.func.pg_get_serial_sequence(f'"{self._table.name}"', column.name)
                highest = sa.select(sa.func.max(raw_table(self._table).c[column.name])).scalar_subquery()
                last = sa.func.coalesce(
                    sa.func.pg_sequence_last_value(sequence.op("::")(sa.literal_column("regclass"))), 0
                )
                self._target.connection.execute(sa.select(sa.func.setval(sequence, highest)).where(highest > last))

    def _explained(self, action: Action, row: int, wanted: RowSet, place: int, there: list[Key], reason: str) -> str:
        if action is Action.REMOVED:
            return refused_removal(self._target, self._schema, dict(zip(self._held, there[0], strict=True)), reason)
        return refused_write(self._target, self._given, row, wanted, place, reason)

    def _gone(self, rows: list[Key]) -> list[dict[str, str]]:
        """What they held, by column."""
        columns = [
            write_cells(column, [row[place] for row in rows], self._null)
            for place, column in enumerate(self._target.columns(self._held))
        ]
        return [dict(zip(self._held, cells, strict=True)) for cells in zip(*columns, strict=True)]


def is_needed(column: Column) -> bool:
    """Whether a new row cannot be without it."""
    return not (column.nullable or column.has_default or column.numbered or column.generated)
