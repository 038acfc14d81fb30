"""Why a database refused a row, in words that name what is in the way rather than what the database calls that."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pusher.central.rows import Target
from pusher.datacenter.given import Given
from pusher.schema.reading import raw_table
from pusher.wire.tables import RowSet, Schema, Table


def refused_write(target: Target, given: Given, row: int, wanted: RowSet, place: int, reason: str) -> str:
    """`wanted`: what was to be written; the row at `place` of it, `row` of the file, was refused for `reason`, in the
    words of the database."""
    values = {name: column[place] for name, column in zip(wanted.names, wanted.columns, strict=True)}
    for unique in target.table.unique_keys():
        if any(values.get(name) is None for name in unique):
            continue
        bound, faults = target.parameters(RowSet(names=unique, columns=[[values[name]] for name in unique]))
        found = target.find(target.table.primary_key or unique, unique, bound) if not faults else RowSet.of((), [])
        if len(found) and not _is_itself(target.table, values, found):
            names = " or ".join(dict.fromkeys(given.called(column) for column in target.columns(unique)))
            return f"there is another {target.table.name} with {given.said(unique, row)}; choose another {names}"
    return f"the database refuses it: {reason}; correct the row"


def _is_itself(table: Table, values: dict[str, Any], found: RowSet) -> bool:
    key = tuple(values.get(name) for name in table.primary_key)
    return bool(key) and found.tuples(table.primary_key) == [key]


def refused_removal(target: Target, schema: Schema, values: dict[str, Any], reason: str) -> str:
    """`values`: of the row that was to be deleted, by column."""
    for child in schema.tables:
        for reference in child.references:
            parent_columns = reference.parent_columns or target.table.primary_key
            if reference.parent.casefold() != target.table.name.casefold() or not set(parent_columns) <= values.keys():
                continue
            columns = [values[name] for name in parent_columns]
            rows = RowSet(names=reference.columns, columns=[[value] for value in columns])
            there = Target(connection=target.connection, dialect=target.dialect, table=child)
            bound, faults = there.parameters(rows)
            if faults or None in columns:
                continue
            source = raw_table(child)
            held = [source.c[name] == value for name, value in zip(reference.columns, bound[0], strict=True)]
            count = target.connection.scalar(sa.select(sa.func.count()).select_from(source).where(*held))
            if count:
                rows_ = "row refers" if count == 1 else "rows refer"
                return f"{count} {rows_} to it in {child.name}; remove that first, or leave the row out"
    return f"the database refuses it: {reason}; leave the row out"
