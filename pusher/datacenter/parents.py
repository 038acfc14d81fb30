"""Finds the rows that foreign keys are to refer to, by what tells those rows apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa

from pusher.central.rows import Key, Target
from pusher.datacenter.cells import NOTHING, remedy, show
from pusher.datacenter.links import Leaf, Link
from pusher.schema.writing import to_parameters
from pusher.wire.fingerprint import canonical
from pusher.wire.tables import Column, RowSet, Table

Cells = Mapping[str, Sequence[Any]]  # by the name of the field: a value for each row of a chunk


@dataclass(frozen=True, kw_only=True)
class Found:
    """Of some rows what their foreign key is to hold, as plain values: NOTHING if nothing is said of it, None if it is
    to be NULL. `refused`: the reason for each index of `keys` for which there is none."""

    keys: list[Any]
    refused: dict[int, str]


@dataclass(frozen=True, kw_only=True)
class Parents:
    """`texts`: the cells as they stand in the file, for what is said of them. `null`: the marker."""

    connection: sa.Connection
    dialect: str
    null: str
    cells: Cells
    texts: Mapping[str, Sequence[str]]
    _known: dict[tuple[str, ...], dict[Key, Any]] = field(default_factory=dict)

    def find(self, link: Link, rows: Sequence[int], *, fresh: bool = False) -> Found:
        """What the foreign key of each of the rows is to hold. `fresh`: its parents may have changed since they were
        last looked for."""
        given, refused = self._given(link, rows)
        wanted = {key for key in given if key is not NOTHING and key is not None}
        name = tuple(leaf.name for leaf in link.leaves())
        known = {} if fresh else self._known.setdefault(name, {})
        known |= self._look(link, [key for key in wanted if key not in known])
        keys: list[Any] = []
        for place, key in enumerate(given):
            if key is NOTHING or key is None:
                keys.append(key)
                continue
            found = known[key]
            if isinstance(found, str):
                refused[place] = found or self._missing(link, rows[place])
                found = NOTHING
            keys.append(found)
        return Found(keys=keys, refused=refused)

    def _given(self, link: Link, rows: Sequence[int]) -> tuple[list[Any], dict[int, str]]:
        """The key of the parent that each row names."""
        refused: dict[int, str] = {}
        columns: list[Sequence[Any]] = []
        for part in link.parts:
            if isinstance(part, Leaf):
                said = self.cells.get(part.name)
                columns.append([NOTHING] * len(rows) if said is None else [said[row] for row in rows])
                continue
            inner = self.find(part, rows)
            refused |= inner.refused
            for place in range(len(part.columns)):
                columns.append([key[place] if isinstance(key, tuple) else key for key in inner.keys])
        order = [name for part in link.parts for name in part.columns]
        places = [order.index(name) for name in link.key]
        keys: list[Any] = list(zip(*(columns[place] for place in places), strict=True))
        for index, key in enumerate(keys):
            if NOTHING not in key and None not in key:
                continue
            alike = key.count(key[0]) == len(key)
            keys[index] = key[0] if alike else NOTHING
            if not alike and index not in refused:
                refused[index] = self._incomplete(link, rows[index])
        return keys, refused

    def _look(self, link: Link, keys: list[Key]) -> dict[Key, Any]:
        """What refers to the parents with these keys; a text where there is none, which may tell the reason."""
        if not keys:
            return {}
        columns = [link.parent.column(name) for name in link.key]
        wanted = RowSet.of(link.key, keys)
        names = {part.column.name: part.name for part in link.parts if isinstance(part, Leaf)}
        bound, faults = bind(self.dialect, columns, wanted, names)
        whole = [index for index in range(len(keys)) if index not in faults]
        target = Target(connection=self.connection, dialect=self.dialect, table=link.parent)
        places = match_exactly(
            target, link.key, link.reference.parent_columns, wanted.take(whole), [bound[i] for i in whole]
        )
        found: dict[Key, Any] = {keys[index]: reason for index, reason in faults.items()}
        for index, rows in zip(whole, places, strict=True):
            many = f"{len(rows)} rows of {link.parent.name} have this {' and '.join(link.key)}; give one another"
            found[keys[index]] = rows[0] if len(rows) == 1 else many if rows else ""
        return found

    def _missing(self, link: Link, row: int) -> str:
        told = self.told(link, row)
        names = " or ".join(leaf.name for leaf in link.leaves())
        return f"there is no {link.parent.name} with {told}; import it first, or correct {names}"

    def told(self, link: Link, row: int) -> str:
        """What a row says of its parent."""
        said = []
        for leaf in link.leaves():
            name = leaf.name.removeprefix(link.name) if link.name else leaf.column.name
            said.append(f"{name} = {show(self.texts[leaf.name][row])}")
        return " and ".join(said)

    def _incomplete(self, link: Link, row: int) -> str:
        leaves = list(link.leaves())
        names = " and ".join(leaf.name for leaf in leaves)
        lacking = next(
            leaf for leaf in leaves if leaf.name not in self.cells or self.cells[leaf.name][row] in (NOTHING, None)
        )
        said = "is not given" if lacking.name not in self.cells else "is empty"
        if said == "is empty" and self.cells[lacking.name][row] is None:
            said = f"is {self.null}"
        return f"{lacking.name} {said}, but it takes {names} to find a {link.parent.name}; give all of them, or none"


def bind(
    dialect: str, columns: Sequence[Column], rows: RowSet, names: Mapping[str, str]
) -> tuple[list[Key], dict[int, str]]:
    """Plain values as the database takes them, a tuple a row, and the reason for each index that it cannot hold.
    `names`: what a column is called in a reason, if not by its name."""
    bound, refused = [], dict[int, str]()
    for column, values in zip(columns, rows.columns, strict=True):
        called = msgspec.structs.replace(column, name=names.get(column.name, column.name))
        parameters, faults = _parameters(dialect, called, values)
        bound.append(parameters)
        refused |= {index: f"{reason}; {remedy(column)}" for index, reason in faults.items() if index not in refused}
    return list(zip(*bound, strict=True)), refused


def _parameters(dialect: str, column: Column, values: list[Any]) -> tuple[list[Any], dict[int, str]]:
    """NULL goes as it is: without it, most columns are bound as a whole."""
    places = [place for place, value in enumerate(values) if value is not None]
    if len(places) == len(values) or not column.nullable:
        return to_parameters(dialect, column, values)
    known, faults = to_parameters(dialect, column, [values[place] for place in places])
    bound: list[Any] = [None] * len(values)
    for place, parameter in zip(places, known, strict=True):
        bound[place] = parameter
    return bound, {places[index]: reason for index, reason in faults.items()}


def match_exactly(
    target: Target, by: tuple[str, ...], names: tuple[str, ...], wanted: RowSet, bound: list[Key]
) -> list[list[Key]]:
    """For each of the rows `wanted`, whose values of `by` are `bound`, the columns `names` of all rows that have
    exactly these; a database may take for equal what differs in case, accents or spaces."""
    every = tuple(dict.fromkeys((*by, *names)))
    found = target.find(every, by, bound)
    there: dict[tuple[bytes, ...], list[Key]] = {}
    for each, row in zip(canonical_keys(target.table, by, found), found.tuples(names), strict=True):
        there.setdefault(each, []).append(row)
    return [there.get(each, []) for each in canonical_keys(target.table, by, wanted)]


def canonical_keys(table: Table, by: Sequence[str], rows: RowSet) -> list[tuple[bytes, ...]]:
    return list(zip(*(canonical(table.column(name), rows.column(name)) for name in by), strict=True))
