"""Finds what the names of one side mean on the other: the same name, or one that differs only in case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

from pusher.wire.tables import Column, Reference, Table

_T = TypeVar("_T")


def match(name: str, candidates: Mapping[str, _T]) -> _T | None:
    """The candidate of that name; else the only one that differs just in case."""
    if name in candidates:
        return candidates[name]
    alike = [value for other, value in candidates.items() if other.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def pair(names: Iterable[str], candidates: Mapping[str, _T]) -> dict[str, _T]:
    """Each name with its candidate, as far as it has one; no candidate is given twice."""
    names = list(names)
    pairs = {name: candidates[name] for name in names if name in candidates}
    free = {name: value for name, value in candidates.items() if name not in pairs}
    rivals = Counter(name.casefold() for name in names if name not in pairs)
    for name in names:
        twin = None if name in pairs or rivals[name.casefold()] > 1 else match(name, free)
        if twin is not None:
            pairs[name] = twin
    return pairs


def pair_columns(local: Table, central: Table) -> dict[str, Column]:
    """Central's column for each of the site's that has one, by the site's name."""
    return pair((column.name for column in local.columns), {column.name: column for column in central.columns})


def references(local: Table, here: Mapping[str, Table], twins: Mapping[str, Table]) -> tuple[Reference, ...]:
    """The foreign keys that the site or central declares for `local`, in the names of the site's tables.

    `here`: the site's tables by name; `twins`: central's, by the site's names. A parent that is not in
    `here` stays as it is declared.
    """
    declared = [*local.references, *_central_references(local, here, twins)]
    return tuple(dict.fromkeys(_respelt(reference, local, here) for reference in declared))


def _central_references(local: Table, here: Mapping[str, Table], twins: Mapping[str, Table]) -> Iterable[Reference]:
    twin = twins.get(local.name)
    names = {table.name: name for name, table in twins.items()}
    for reference in twin.references if twin else ():
        parent = match(reference.parent, names)
        if twin is None or parent is None:
            continue
        columns = _back(local, twin, reference.columns)
        parent_columns = _back(here[parent], twins[parent], reference.parent_columns or twins[parent].primary_key)
        if columns and parent_columns:
            yield Reference(columns=columns, parent=parent, parent_columns=parent_columns)


def _back(local: Table, central: Table, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Central's columns under the site's names, None if the site lacks one."""
    known = {column.name: name for name, column in pair_columns(local, central).items()}
    found = tuple(own for name in names if (own := match(name, known)))
    return found if len(found) == len(names) else None


def _respelt(reference: Reference, local: Table, here: Mapping[str, Table]) -> Reference:
    """As the tables themselves spell it: SQLite lets a foreign key write names in any case, or leave them out."""
    parent = match(reference.parent, here)
    if parent is None:
        return reference
    return Reference(
        columns=_as_in(local, reference.columns),
        parent=parent.name,
        parent_columns=_as_in(parent, reference.parent_columns or parent.primary_key),
    )


def _as_in(table: Table, names: tuple[str, ...]) -> tuple[str, ...]:
    known = {column.name: column.name for column in table.columns}
    return tuple(match(name, known) or name for name in names)
