"""Central's ids of the site's rows, as far as they are known, and rows with these ids in their foreign keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pusher.schema.plan import Link, TablePlan, openings
from pusher.wire.batch import pack_cursor
from pusher.wire.messages import Conflict
from pusher.wire.tables import RowSet

Key = tuple[Any, ...]
Place = tuple[str, tuple[str, ...]]  # a table, and columns of it that foreign keys refer to


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """Rows with central's ids in their foreign keys; `missing[i]`: the links of row i whose parent has none.

    A missing parent's id is NULL where central takes that for a while.
    """

    rows: RowSet
    missing: dict[int, list[Link]]


class KnownKeys:
    def __init__(self) -> None:
        self._central: dict[Place, dict[Key, Key]] = {}
        self._aliases: dict[Place, dict[Key, Key]] = {}

    def learn(self, table: str, columns: tuple[str, ...], pairs: Iterable[tuple[Key, Key]]) -> None:
        """The site's values of these columns, each with central's of the same row."""
        self._central.setdefault((table, columns), {}).update(pairs)

    def of(self, table: str, columns: tuple[str, ...]) -> dict[Key, Key]:
        return self._central.get((table, columns), {})

    def alias(self, link: Link, key: Key, real: Key) -> None:
        """`key` is how a child spells its parent's `real`: a database may hold 'a' and 'A', or 1 and '1', for equal."""
        self._aliases.setdefault((link.parent, link.parent_columns), {})[key] = real

    def link_keys(self, link: Link, rows: RowSet) -> list[Key]:
        """What each row refers to, as the parent itself spells it."""
        keys = rows.tuples(link.columns)
        aliases = self._aliases.get((link.parent, link.parent_columns))
        return [aliases.get(key, key) for key in keys] if aliases else keys

    def unknown(self, link: Link, rows: RowSet) -> set[Key]:
        """The parents of `rows` that have no central id yet. A key that is NULL in part refers to nothing."""
        distinct = set(self.link_keys(link, rows)) - self.of(link.parent, link.parent_columns).keys()
        return {key for key in distinct if None not in key}

    def translate(self, table: TablePlan, rows: RowSet) -> Mapped:
        missing: dict[int, list[Link]] = {}
        mapped = rows
        for link in table.links:
            known = self.of(link.parent, link.parent_columns)
            keys = self.link_keys(link, rows)
            central = {key: known.get(key) for key in set(keys)}
            lost = {key for key, value in central.items() if value is None and None not in key}
            for i in (i for i, key in enumerate(keys) if key in lost) if lost else ():
                missing.setdefault(i, []).append(link)
            opened = openings(table, link) if lost else ()
            for place, name in enumerate(link.columns):
                # What is no whole key, another link over the same column may have translated already.
                kept = {key for key, value in central.items() if value is None and not (key in lost and name in opened)}
                values = {key: value[place] if value else None for key, value in central.items()}
                if kept and len(link.columns) > 1:
                    before = mapped.column(name)
                    column = [before[i] if key in kept else values[key] for i, key in enumerate(keys)]
                else:
                    column = [values[key] for key in keys]
                mapped = mapped.with_column(name, column)
        return Mapped(rows=mapped, missing=missing)


def joined(parts: Iterable[RowSet]) -> RowSet:
    """The rows of all parts, which have the same columns; there is at least one part."""
    first, *others = parts
    columns = [list(column) for column in first.columns]
    for other in others:
        for column, more in zip(columns, other.columns, strict=True):
            column += more
    return RowSet(names=first.names, columns=columns)


def wire_rows(table: TablePlan, mapped: RowSet) -> RowSet:
    """The columns that travel, under central's names."""
    return RowSet(names=table.to_central(table.sent), columns=[mapped.column(name) for name in table.sent])


def key_text(key: Iterable[object]) -> str:
    return msgspec.json.encode(pack_cursor(key)).decode()


def local_key(table: TablePlan, rows: RowSet, index: int) -> str:
    return key_text(rows.column(name)[index] for name in table.identity)


def missing_parent(rows: RowSet, index: int, links: Iterable[Link]) -> str:
    parts = []
    for link in links:
        values = ", ".join(f"{name} = {rows.column(name)[index]}" for name in link.columns)
        parts.append(f"{values} refers to a {link.parent} that is missing or held itself")
    return "; ".join(parts)


def describe(table: TablePlan, conflict: Conflict) -> str:
    here = ", ".join(f"{name} = {value!r}" for name, value in conflict.here.items())
    there = ", ".join(f"{name} = {value!r}" for name, value in conflict.central.items())
    if conflict.kind == "agree":
        return f"{table.name} must agree on both sides: here {here}; at central {there}"
    return f"{table.name} is left as site {conflict.owner} has it: here {here}; at central {there}"
