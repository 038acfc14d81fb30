"""Says in sentences where the tables of a database differ from what pusher expects of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext


def differences(connection: sa.Connection, metadata: sa.MetaData, tables: Collection[str]) -> list[str]:
    """One sentence for each difference in these tables of `metadata`; no other table is looked at."""

    def is_looked_at(name: str | None, kind: str) -> bool:
        return kind != "table" or name in tables

    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_name": lambda name, kind, _parents: is_looked_at(name, kind),
        "include_object": lambda _object, name, kind, _reflected, _twin: is_looked_at(name, kind),
    }
    context = MigrationContext.configure(connection, opts=options)
    found: list[str] = []
    for difference in compare_metadata(context, metadata):
        # Alembic groups what differs in one column into a list.
        for part in difference if isinstance(difference, list) else [difference]:
            found.append(_sentence(*part))
    return found + _wrong_primary_keys(connection, [metadata.tables[name] for name in tables])


def _wrong_primary_keys(connection: sa.Connection, tables: list[sa.Table]) -> list[str]:
    """Alembic compares everything but primary keys, on which "exactly once" rests."""
    inspector = sa.inspect(connection)
    there = set(inspector.get_table_names())
    found = []
    for table in tables:
        if table.name not in there:
            continue
        expected = [column.name for column in table.primary_key]
        actual = inspector.get_pk_constraint(table.name)["constrained_columns"]
        if actual != expected:
            found.append(f"the primary key of {table.name} is ({_list(actual)}), expected ({_list(expected)})")
    return found


def _sentence(kind: str, *subject: Any) -> str:
    match kind, subject:
        case "add_table", (table,):
            return f"table {table.name} is missing"
        case "add_column", (_, table, column):
            return f"column {table}.{column.name} is missing"
        case "remove_column", (_, table, column):
            return f"column {table}.{column.name} is not one of pusher's"
        case (("add_index" | "add_constraint" | "add_fk"), (constraint,)):
            return f"{_describe(constraint)} is missing"
        case (("remove_index" | "remove_constraint" | "remove_fk"), (constraint,)):
            return f"{_describe(constraint)} is not one of pusher's"
        case "modify_type", (_, table, column, _, actual, expected):
            return f"column {table}.{column} is of type {actual!r}, expected {expected!r}"
        case "modify_nullable", (_, table, column, _, actual, _):
            return f"column {table}.{column} {'allows' if actual else 'does not allow'} NULL"
        case "modify_default", (_, table, column, _, actual, expected):
            return f"column {table}.{column} has default {_default(actual)}, expected {_default(expected)}"
    return f"{kind}: {', '.join(map(str, subject))}"


def _describe(constraint: sa.Index | sa.UniqueConstraint | sa.ForeignKeyConstraint) -> str:
    assert constraint.table is not None
    place = f"{constraint.name or 'without a name'} on {constraint.table.name}"
    match constraint:
        case sa.ForeignKeyConstraint():
            return f"foreign key {place} ({_list(constraint.column_keys)})"
        case sa.UniqueConstraint():
            return f"unique constraint {place} ({_list(column.name for column in constraint.columns)})"
    return f"index {place} ({_list(column.name for column in constraint.columns)})"


def _default(default: Any) -> str:
    return str(getattr(default, "arg", default))


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
