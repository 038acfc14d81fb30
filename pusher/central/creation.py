"""Adds objects to a table over REST: what is there already is no new row, and what differs from it is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pusher.central.authors import note_author
from pusher.central.identity import IdentityMap, key_text
from pusher.central.owners import Ownership
from pusher.central.rows import Key, Target
from pusher.schema.reading import raw_table, read
from pusher.wire.fingerprint import canonical, row_hashes
from pusher.wire.tables import Column, Kind, RowSet, Schema, Table

_CHUNK = 500
_INEXACT = (Kind.FLOAT, Kind.SINGLE, Kind.DECIMAL, Kind.JSON, Kind.BYTES, Kind.TIME)  # not for finding rows by


@dataclass(frozen=True)
class Objection:
    """Why an object is not taken. `status`, of HTTP: 400 if it is wrong in itself, 409 if it clashes with others."""

    status: int
    reason: str


@dataclass(kw_only=True)
class Creation:
    """Objects of one table with the same columns; call it under the table's lock.

    `stream`: rows belong as those that agents push. `seek_equal`: of an object without a key, a row that is equal in
    all its columns is the one that was meant; else each makes a row of its own.
    """

    target: Target
    schema: Schema
    site: str
    rows: RowSet
    count: int  # of objects, also where they have no column
    stream: bool
    seek_equal: bool

    keys: list[Key | None] = field(init=False)  # central's primary key of each
    refused: dict[int, Objection] = field(default_factory=dict, init=False)
    added: list[int] = field(default_factory=list, init=False)  # those that were not there yet

    def run(self) -> Creation:
        table = self.target.table
        self.keys = [None] * self.count
        self._primary_key = table.primary_key
        self._unsent = tuple(name for name in table.primary_key if name not in self.rows.names)
        lacking = missing(table, self.rows.names)
        if lacking or not self.rows.names:
            reason = f"{table.name}.{lacking} is missing" if lacking else f"nothing is said of {table.name}"
            self.refused = dict.fromkeys(range(self.count), Objection(400, reason))
            return self
        self._bound, faults = self.target.parameters(self.rows)
        if faults:
            self.refused = {i: Objection(400, f"{table.name}.{reason}") for i, reason in faults.items()}
            return self
        self._hashes = row_hashes(self.target.columns(self.rows.names), self.rows)
        everything = list(range(self.count))
        keyless = self._by_key(everything)
        if self.seek_equal:
            self._by_all(keyless)
        self._insert([i for i in everything if self.keys[i] is None and i not in self.refused])
        return self

    # --- what is there already

    def _by_key(self, indexes: list[int]) -> list[int]:
        """Finds the rows that have a key of these; returns the objects that have no key at all."""
        keyless = set(indexes)
        for key in self.target.table.unique_keys():
            if not set(key) <= set(self.rows.names):
                continue
            values = self.rows.tuples(key)
            keyed = [i for i in indexes if None not in values[i]]
            keyless -= set(keyed)
            bound = self._bound_values(key, keyed)
            existing = self.target.find(self._read_names(), key, bound)
            place = {each: at for at, each in enumerate(self._canonical(key, existing))}
            found = existing.tuples(self._primary_key) if self._primary_key else [()] * len(existing)
            hashes = self._hashes_of(existing)
            for i, each in zip(keyed, self._canonical(key, self.rows.take(keyed)), strict=True):
                at = place.get(each)
                if at is not None:
                    self._meet(i, key, found[at], same=hashes[at] == self._hashes[i])
        return sorted(keyless)

    def _meet(self, index: int, key: tuple[str, ...], found: Key, *, same: bool) -> None:
        if same:
            self.keys[index] = found
            return
        named = ", ".join(f"{name} {_shown(self.rows.column(name)[index])}" for name in key)
        which = "" if key == self._primary_key or not found else f", whose {self._primary_key[0]} is {_shown(found[0])}"
        self.refused[index] = Objection(409, f"{self.target.table.name} has another row with {named}{which}")

    def _by_all(self, indexes: list[int]) -> None:
        """An object without a key that is there already was sent before."""
        names = [
            column.name
            for column in self.target.columns(self.rows.names)
            if column.kind not in _INEXACT and not column.padded
        ]
        for at in range(0, len(indexes), _CHUNK):
            part = indexes[at : at + _CHUNK]
            rows = self.rows.take(part)
            by = [name for name in names if None not in rows.column(name)]
            existing = self._equal_in(by, self._bound_values(by, part))
            found = existing.tuples(self._primary_key) if self._primary_key else [()] * len(existing)
            there = dict(zip(self._hashes_of(existing), found, strict=True))
            for i in part:
                self.keys[i] = there.get(self._hashes[i])

    def _equal_in(self, by: Sequence[str], bound: list[Key]) -> RowSet:
        """All rows that may be equal. Column by column, because a list of tuples is slow to compare with."""
        source, target = raw_table(self.target.table), self.target
        wanted = [source.c[name].in_(list({row[place] for row in bound})) for place, name in enumerate(by)]
        return read(
            target.connection, target.dialect, target.table, self._read_names(), lambda query: query.where(*wanted)
        )

    # --- what is new

    def _insert(self, indexes: list[int]) -> None:
        firsts = self._firsts(indexes)
        if not firsts:
            return
        rows = self.rows.take(firsts)
        if self._unsent:
            (name,) = self._unsent
            rows = rows.with_column(name, self._numbers(name, len(firsts)))
        bound, faults = self.target.parameters(rows)
        if faults:
            self.refused = {firsts[place]: Objection(409, f"no number is left: {faults[place]}") for place in faults}
            return
        own = self._owned(rows, bound)
        for place, owner in own.foreign.items() if own else ():
            self.refused[firsts[place]] = Objection(409, conflict(self.target.table, owner))
        if self.refused:
            return
        refused = self.target.insert(rows.names, bound)
        for place, reason in refused.items():
            self.refused[firsts[place]] = Objection(409, explained(self.target, self.schema, rows, place, reason))
        stored = [place for place in range(len(firsts)) if place not in refused]
        keys = rows.tuples(self._primary_key) if self._primary_key else [()] * len(rows)
        for place in stored:
            self.keys[firsts[place]] = keys[place]
        self.added = [firsts[place] for place in stored]
        if own:
            own.note(stored)
        elif self._primary_key:
            note_author(self.target, self.site, [keys[place] for place in stored])

    def _firsts(self, indexes: list[int]) -> list[int]:
        """Each new object once; where each makes a row of its own, all."""
        if not self.seek_equal:
            return indexes
        first: dict[bytes, int] = {}
        for i in indexes:
            first.setdefault(self._hashes[i], i)
        return list(first.values())

    def _owned(self, rows: RowSet, bound: Sequence[Key]) -> Ownership | None:
        key = self._primary_key
        if not (self.stream and key):
            return None
        return Ownership(target=self.target, site=self.site, key=key, rows=rows, bound=bound)

    def _numbers(self, name: str, count: int) -> list[int]:
        """Numbers that no row has, and none had of which an agent may still speak."""
        if self.target.table.column(name).numbered:
            numbers = [number for (number,) in self.target.number(count)]
            if self.target.dialect == "postgresql":
                return numbers
        else:
            column = raw_table(self.target.table).c[name]
            first = (self.target.connection.scalar(sa.select(sa.func.max(column))) or 0) + 1
            numbers = list(range(first, first + count))
        map_ = IdentityMap(self.target.connection, self.site, self.target.table.name)
        while given := map_.given(key_text((number,)) for number in numbers):
            last = max(number for number in numbers if key_text((number,)) in given)
            numbers = list(range(last + 1, last + 1 + count))
        return numbers

    # ---

    def _read_names(self) -> tuple[str, ...]:
        return self.rows.names + self._unsent

    def _hashes_of(self, rows: RowSet) -> list[bytes]:
        return row_hashes(self.target.columns(self.rows.names), rows.without(frozenset(self._unsent)))

    def _bound_values(self, names: Sequence[str], indexes: Iterable[int]) -> list[Key]:
        places = [self.rows.names.index(name) for name in names]
        return [tuple(self._bound[i][place] for place in places) for i in indexes]

    def _canonical(self, names: tuple[str, ...], rows: RowSet) -> list[tuple[bytes, ...]]:
        encoded = [canonical(column, rows.column(column.name)) for column in self.target.columns(names)]
        return list(zip(*encoded, strict=True))


def missing(table: Table, names: Iterable[str]) -> str | None:
    """A column that an object must have and has not."""
    given = set(names)
    for column in table.columns:
        if column.name in given or column.has_default or column.generated or _is_chosen(table, column):
            continue
        if not column.nullable or column.name in table.primary_key:
            return column.name
    return None


def _is_chosen(table: Table, column: Column) -> bool:
    """Whether central can give a new row its key: any number will do."""
    referring = {name for reference in table.references for name in reference.columns}
    only = table.primary_key == (column.name,) and column.kind is Kind.INTEGER and column.name not in referring
    return only or (column.numbered and column.name not in table.primary_key)


def conflict(table: Table, owner: str) -> str:
    return f"{table.name} has its key for a row of site {owner}, which is another"


def explained(target: Target, schema: Schema, rows: RowSet, index: int, reason: str) -> str:
    """Why the database refused a row, naming what it lacks rather than what the database calls that."""
    table = target.table
    for reference in table.references:
        parent = next((each for each in schema.tables if each.name.casefold() == reference.parent.casefold()), None)
        if parent is None or not set(reference.columns) <= set(rows.names):
            continue
        by = reference.parent_columns or parent.primary_key
        values = RowSet(names=by, columns=[[rows.column(name)[index]] for name in reference.columns])
        if any(column[0] is None for column in values.columns):
            continue
        there = Target(connection=target.connection, dialect=target.dialect, table=parent)
        bound, faults = there.parameters(values)
        if faults or not len(there.find(by, by, bound)):
            named = ", ".join(_shown(column[0]) for column in values.columns)
            return f"{table.name}.{', '.join(reference.columns)}: there is no {parent.name} {named}"
    return f"{table.name}: {reason}"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
