"""Looks up the few parents of many rows once, so that MariaDB need not look up those of each row.

The parents that were found stay as they are until the transaction ends, as they would under a check of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from pusher.wire.tables import Kind, Reference, Table

Key = tuple[Any, ...]
_LEAST_ROWS = 100
_MOST_PARENTS = 500  # of one foreign key


@contextmanager
def checked_once(connection: sa.Connection, table: Table, names: Sequence[str], rows: Sequence[Key]) -> Iterator[None]:
    """While it lasts MariaDB checks no foreign key, if all parents of `rows` are there; else it checks all as ever."""
    references = table.references if len(rows) >= _LEAST_ROWS else ()
    if not references or not all(_has_parents(connection, table, each, names, rows) for each in references):
        yield
        return
    connection.exec_driver_sql("SET SESSION foreign_key_checks = 0")
    try:
        yield
    except BaseException:
        try:
            connection.exec_driver_sql("SET SESSION foreign_key_checks = 1")
        except sa.exc.SQLAlchemyError:
            connection.invalidate()  # nobody may get a connection that does not check
        raise
    connection.exec_driver_sql("SET SESSION foreign_key_checks = 1")


def _has_parents(
    connection: sa.Connection, table: Table, reference: Reference, names: Sequence[str], rows: Sequence[Key]
) -> bool:
    """Whether all parents are there for sure; they are locked against being deleted."""
    if len(reference.columns) > 1 or reference.parent == table.name or reference.columns[0] not in names:
        return False
    if table.column(reference.columns[0]).kind is not Kind.INTEGER:
        return False
    place = names.index(reference.columns[0])
    wanted = {row[place] for row in rows} - {None}
    if len(wanted) > _MOST_PARENTS:
        return False
    parent = sa.table(reference.parent, sa.column(reference.parent_columns[0])).c[reference.parent_columns[0]]
    query = sa.select(parent).where(parent.in_(wanted)).with_for_update(read=True)
    return not wanted or wanted == set(connection.scalars(query))
