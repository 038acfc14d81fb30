"""Changes many rows of a MariaDB table with one statement, ten times as fast as with one each: what is to become of
them is a table of the statement's own, which it joins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pusher.wire.tables import Kind, Table

Around = tuple[str, str]  # what stands before and behind the rows, of which a statement has as many as fit


def can_join(
    dialect: sa.Dialect, table: Table, names: Sequence[str], key: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> bool:
    """Whether that is as if it were row by row. A single row is not worth it, and is refused in plainer words."""
    if len(rows) < 2 or not getattr(dialect, "is_mariadb", False):  # MySQL writes such a table otherwise
        return False
    if any(table.column(name).kind is not Kind.INTEGER for name in key):
        return False  # as such a table has texts, no index finds moments, nor other texts
    changed = set(names) - set(key)
    if any(table.column(name).kind is Kind.BYTES for name in changed):
        return False  # of long ones MariaDB cuts off what is more than 64 kB, without a word
    if any(changed & set(unique) for unique in table.unique_keys()):
        return False  # one row may take what another gives up
    places = [names.index(name) for name in key]
    return len({tuple([row[place] for place in places]) for row in rows}) == len(rows)


def joined_update(dialect: sa.Dialect, table: Table, names: Sequence[str], key: Sequence[str]) -> Around:
    """Sets the columns `names` that are not in `key` of the rows that `key` tells."""
    own = _Names(dialect, table, names)
    changes = ", ".join(f"{own.column(name)} = {own.given(name)}" for name in names if name not in key)
    return f"UPDATE {own.table} {own.head}", f"{own.ending(key)} SET {changes}"


def joined_delete(dialect: sa.Dialect, table: Table, key: Sequence[str]) -> Around:
    """Deletes the rows that `key` tells."""
    own = _Names(dialect, table, key)
    return f"DELETE {own.table} FROM {own.table} {own.head}", own.ending(key)


class _Names:
    """What table and columns are called in the statement."""

    def __init__(self, dialect: sa.Dialect, table: Table, names: Sequence[str]) -> None:
        self._preparer = dialect.identifier_preparer
        self._names = names
        self.table = self._quote(table.name)
        columns = ", ".join(f"p{place}" for place in range(len(names)))
        self.head = f"JOIN (WITH pusher_rows ({columns}) AS (VALUES "

    def _quote(self, name: str) -> str:
        """Without parameters, the driver does not take %% for %."""
        return self._preparer.quote_identifier(name).replace("%%", "%")

    def column(self, name: str) -> str:
        return f"{self.table}.{self._quote(name)}"

    def given(self, name: str) -> str:
        return f"pusher_rows.p{self._names.index(name)}"

    def ending(self, key: Sequence[str]) -> str:
        found = " AND ".join(f"{self.column(name)} = {self.given(name)}" for name in key)
        return f") SELECT * FROM pusher_rows) AS pusher_rows ON {found}"
