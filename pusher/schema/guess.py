"""What reflection suggests for one table: its role, its cursor, its natural key, each with the reason."""

from __future__ import annotations

import re
from enum import StrEnum

from pusher.wire.tables import Column, Kind, Table

_VALIDITY = re.compile(
    r"^(start|end|begin|valid|birth|expir|due|from|until)|(_from|_until|_start|_end)$", re.IGNORECASE
)
_PREFERENCES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"updat|modif|chang",
        r"^(time|timestamp|datetime|ts|at)$",
        r"time|stamp|_at$|^at_",
        r"creat|insert|log|record",
    )
)
_IGNORED = re.compile(r"^(pusher_.*|alembic_version|pushstatus)$", re.IGNORECASE)
_CURSOR_KINDS = (Kind.DATETIME, Kind.INSTANT)


class Role(StrEnum):
    ENTITY = "entity"
    STREAM = "stream"
    IGNORE = "ignore"


def role(table: Table, referred: bool) -> tuple[Role, str]:
    """`referred`: whether a foreign key of another table points here."""
    if is_ignored(table.name):
        return Role.IGNORE, "bookkeeping"
    candidate = cursor(table)
    if candidate and candidate in table.primary_key:
        return Role.STREAM, f"{candidate} is part of its primary key"
    if candidate and not referred:
        return Role.STREAM, f"{candidate} tells when, and no table refers to it"
    if referred:
        return Role.ENTITY, "other tables refer to it"
    return Role.ENTITY, "no column that is never null tells when"


def is_ignored(name: str) -> bool:
    """Whether a table of this name is bookkeeping, of pusher or of another program."""
    return bool(_IGNORED.match(name))


def cursor(table: Table) -> str | None:
    """The column that most likely tells when a row was written; one that can be null would hide rows."""
    candidates = [
        column.name
        for column in table.columns
        if column.kind in _CURSOR_KINDS
        and (not column.nullable or column.name in table.primary_key)
        and not _VALIDITY.search(column.name)
    ]
    in_key = [name for name in candidates if name in table.primary_key]
    return min(in_key or candidates, key=_preference, default=None)


def _preference(name: str) -> int:
    return next((place for place, pattern in enumerate(_PREFERENCES) if pattern.search(name)), len(_PREFERENCES))


def natural_key(local: Table, central: Table) -> tuple[tuple[str, ...], str]:
    """The columns (of `local`) that make a row the same row on both sides; () for the origin key.

    `central` must name its columns as `local` does. Preference: a primary key that the application chooses;
    a unique constraint; else origin, (site, local primary key).
    """
    if local.primary_key and not is_surrogate(local, central):
        if len(local.primary_key) == 1:
            return local.primary_key, "the application chooses its primary key, so it means the same everywhere"
        return local.primary_key, "its primary key"
    travelling = {column.name for column in central.columns if not column.generated}
    travelling &= {column.name for column in local.columns} - set(local.primary_key)
    candidates = [unique for unique in local.uniques if set(unique) <= travelling]
    if candidates:
        shared = set(map(frozenset, central.unique_keys()))
        chosen = min(
            candidates, key=lambda unique: (_nullable(local, unique), frozenset(unique) not in shared, len(unique))
        )
        return chosen, f"unique, and {', '.join(local.primary_key) or 'nothing'} is only a number of this database"
    return (), "nothing but a number of this database tells its rows apart, so the site's name goes with it"


def is_surrogate(local: Table, central: Table) -> bool:
    """Whether both databases number the rows by themselves, so that equal numbers mean nothing."""
    return any(_numbered(local, name) and _numbered(central, name) for name in local.primary_key)


def _numbered(table: Table, name: str) -> bool:
    referring = {column for reference in table.references for column in reference.columns}
    return name not in referring and name in {column.name for column in table.columns if column.numbered}


def _nullable(table: Table, names: tuple[str, ...]) -> bool:
    return any(table.column(name).nullable for name in names)


def narrowing(here: Column, there: Column) -> str | None:
    """What central's column loses of the site's values, or None."""
    lost = None
    if here.kind in (Kind.FLOAT, Kind.DECIMAL) and there.kind is Kind.SINGLE:
        lost = "all but about 7 digits"
    elif here.kind is Kind.DECIMAL and there.kind is Kind.FLOAT:
        lost = "all but about 16 digits"
    elif here.kind is Kind.INTEGER and there.kind in (Kind.FLOAT, Kind.SINGLE):
        lost = "the exact value of very large numbers"
    elif there.kind is Kind.DECIMAL and there.scale is not None and _scale(here) > there.scale:
        lost = f"digits after the {there.scale}th decimal place"
    elif here.kind in (*_CURSOR_KINDS, Kind.TIME) and there.kind in (*_CURSOR_KINDS, Kind.TIME):
        digits = 6 if there.scale is None else there.scale
        if (6 if here.scale is None else here.scale) > digits:
            lost = f"fractions of a second finer than {digits} digits"
    return f"{here.name}: {here.declared} here, {there.declared} at central, which loses {lost}" if lost else None


def _scale(column: Column) -> float:
    if column.kind is Kind.INTEGER:
        return 0
    return float("inf") if column.scale is None else column.scale
