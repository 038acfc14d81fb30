"""What a CSV file can say of the rows of a table: of its columns, and of the parents of its foreign keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pusher.config_keys import guess as alike
from pusher.errors import ConfigError
from pusher.schema import guess
from pusher.schema.names import match, references
from pusher.wire.tables import Column, Reference, Schema, Table

_MOST_STEPS = 4  # from a table to the parent of a parent of …

Keys = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A column that is given as it stands. `name`: of its field; `others`: what else that may be called."""

    column: Column
    name: str
    others: tuple[str, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        yield self

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column.name,)


@dataclass(frozen=True, kw_only=True)
class Link:
    """A foreign key: `parts` give the columns `key` of the parent, and those find its row.

    `name`: what the names of its fields begin with, such as `Deployment.`; empty if it is given by what it holds.
    """

    reference: Reference
    parent: Table
    key: tuple[str, ...]
    parts: tuple[Leaf | Link, ...]
    name: str

    def leaves(self) -> Iterator[Leaf]:
        for part in self.parts:
            yield from part.leaves()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.reference.columns


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one table. `key`: the columns that find one, empty if nothing does. `parts`: what gives each of its
    columns. `raw`: foreign keys by the very values that they hold."""

    table: Table
    key: tuple[str, ...]
    parts: tuple[Leaf | Link, ...]
    raw: tuple[Link, ...]

    @cached_property
    def named(self) -> dict[str, Leaf]:
        """Each field by all its names."""
        leaves = [leaf for part in (*self.parts, *self.raw) for leaf in part.leaves()]
        other = {name: leaf for leaf in reversed(leaves) for name in leaf.others}
        return other | {leaf.name: leaf for leaf in reversed(leaves)}

    def locates(self, part: Leaf | Link) -> bool:
        return not set(part.columns).isdisjoint(self.key)


def rows_of(schema: Schema, name: str, keys: Keys) -> Rows:
    """Raises ConfigError if `keys` names a column that is not there."""
    return _Reader(schema, keys).rows(schema.table(name))


class _Reader:
    def __init__(self, schema: Schema, keys: Keys) -> None:
        self._tables = {table.name: table for table in schema.tables}
        self._keys = keys

    def rows(self, table: Table) -> Rows:
        links = [self._link(each, (table.name,), ways, ("",)) for each, ways in self._references(table)]
        raw = tuple(_by_value(link) for link in links if len(link.columns) == 1)
        return Rows(table=table, key=self._key(table), parts=_parts(table, links, ("",)), raw=raw)

    def _key(self, table: Table) -> tuple[str, ...]:
        chosen = match(table.name, self._keys)
        if not chosen:
            return guess.natural_key(table, table)[0] or table.primary_key
        columns = {column.name: column.name for column in table.columns}
        for name in chosen:
            if match(name, columns) is None:
                raise ConfigError([f"[table {table.name}] key: there is no column {name}{alike(name, columns)}"])
        return tuple(match(name, columns) or name for name in chosen)

    def _references(self, table: Table) -> Iterator[tuple[Reference, tuple[str, ...]]]:
        """The foreign keys of a table that share no column, each with how it may be called."""
        declared = [each for each in references(table, self._tables, {}) if each.parent in self._tables]
        rivals = Counter(each.parent for each in declared)
        taken = set[str]()
        for reference in sorted(declared, key=lambda each: len(each.columns)):
            if taken.isdisjoint(reference.columns):
                taken |= set(reference.columns)
                own = (reference.columns[0],)
                yield reference, ((reference.parent, *own) if rivals[reference.parent] == 1 else own)

    def _link(self, reference: Reference, above: Sequence[str], ways: Sequence[str], prefixes: Sequence[str]) -> Link:
        """`above`: the tables from which it is reached. Where that turns in a circle, or goes on for too long, a
        foreign key is given by what it holds."""
        parent = self._tables[reference.parent]
        inner = [f"{prefix}{way}." for way in ways for prefix in prefixes]
        key = self._key(parent) or reference.parent_columns
        path = (*above, parent.name)
        links = [
            self._link(each, path, further, inner)
            for each, further in self._references(parent)
            if set(each.columns) <= set(key) and each.parent not in path and len(path) <= _MOST_STEPS
        ]
        parts = tuple(part for part in _parts(parent, links, inner) if set(part.columns) <= set(key))
        return Link(reference=reference, parent=parent, key=key, parts=parts, name=inner[0])


def _parts(table: Table, links: Sequence[Link], prefixes: Sequence[str]) -> tuple[Leaf | Link, ...]:
    """In the order of the table's columns."""
    first = {link.columns[0]: link for link in links}
    taken = {name for link in links for name in link.columns}
    parts: list[Leaf | Link] = []
    for column in table.columns:
        if column.name in first:
            parts.append(first[column.name])
        elif column.name not in taken and not column.generated:
            name, *others = (f"{prefix}{column.name}" for prefix in prefixes)
            parts.append(Leaf(column=column, name=name, others=tuple(others)))
    return tuple(parts)


def _by_value(link: Link) -> Link:
    leaf = Leaf(column=link.parent.column(link.reference.parent_columns[0]), name=link.columns[0])
    return replace(link, key=link.reference.parent_columns, parts=(leaf,), name="")
