"""What becomes in the database of an object that a client creates, overwrites or deletes over REST."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from models import bookkeeping
from pusher.central.authors import stranger
from pusher.central.blocks import BlockNotes
from pusher.central.creation import Creation, Objection, explained
from pusher.central.identity import key_text
from pusher.central.owners import Ownership, forget_guests
from pusher.central.rows import Key, Target
from pusher.central.sites import lock, utc_now
from pusher.central.tombstones import bury, is_buried
from pusher.schema import guess
from pusher.schema.names import match
from pusher.schema.reading import raw_table, read
from pusher.wire.fingerprint import canonical
from pusher.wire.tables import Column, RowSet, Schema, Table

Conditions = Sequence[sa.ColumnElement[bool]]
_HOST_KEYS = ("id", "hostname")


class Refused(Exception):
    """What a client wants cannot be; `status` is the one of HTTP, and nothing is stored."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def is_stream(schema: Schema, table: Table) -> bool:
    """Whether agents would push it row by row, as a stream."""
    return guess.role(table, table.name in _referred(schema))[0] is guess.Role.STREAM


class Objects:
    """Single objects on behalf of one site; each call within one transaction."""

    def __init__(self, connection: sa.Connection, schema: Schema, site: str) -> None:
        self._connection = connection
        self._schema = schema
        self._site = site

    def create(self, table: Table, row: Mapping[str, Any]) -> RowSet:
        """The row as it now is. Raises Refused if another one has its key."""
        target = self._locked(table)
        given = RowSet(names=tuple(row), columns=[[value] for value in row.values()])
        stream = is_stream(self._schema, table)
        creation = Creation(
            target=target, schema=self._schema, site=self._site, rows=given, count=1, stream=stream, seek_equal=False
        ).run()
        if creation.refused:
            raise _refused(creation.refused[0])
        (key,) = creation.keys
        if not key:  # nothing by which it could be found again
            return given
        found = self._find(target, key)
        cursor = self.noted_cursor(table) if stream and creation.added else None
        if cursor:
            self.doubt(table, cursor, found.column(cursor))
        return found

    def overwrite(
        self, table: Table, row: Mapping[str, Any], conditions: Conditions, defaults: Mapping[str, Any]
    ) -> RowSet:
        """The row that fulfils `conditions` with the columns of `row`; it is created with `defaults` if there is none.

        Raises Refused if there are several, or if it is another site's to change.
        """
        target = self._locked(table)
        given = RowSet(names=tuple(row), columns=[[value] for value in row.values()])
        for reason in target.parameters(given)[1].values():
            raise Refused(400, f"{table.name}.{reason}")
        found = self._read(target, conditions, 2)
        if not len(found):
            return self.create(table, {**defaults, **row})
        if len(found) > 1:
            raise Refused(409, f"several rows of {table.name} match, and only one can be overwritten")
        changed = [column for column in target.columns(row) if not _same(column, row[column.name], found)]
        if not changed:
            return found
        self._refuse_key(table, changed)
        fresh = found
        for column in changed:
            fresh = fresh.with_column(column.name, [row[column.name]])
        key = table.primary_key
        written = RowSet(names=key, columns=[fresh.column(name) for name in key])
        for column in changed:
            written = written.with_column(column.name, [row[column.name]])
        bound, _ = target.parameters(written)
        stream = is_stream(self._schema, table)
        self._refuse_stranger(target, found)
        if stream:
            own = Ownership(target=target, site=self._site, key=key, rows=written, bound=bound)
            for owner in own.foreign.values():
                raise _not_yours(table, owner)
        for reason in target.update(written.names, key, bound).values():
            raise Refused(409, explained(target, self._schema, fresh, 0, reason))
        cursor = self.noted_cursor(table) if stream else None
        if cursor:
            self.doubt(table, cursor, found.column(cursor) + fresh.column(cursor))
        return self._find(target, written.tuples(key)[0])

    def delete(self, table: Table, conditions: Conditions, key: Key) -> None:
        """Buries the row that fulfils `conditions`, which name it by `key`; what this site deleted before, stays so.

        Raises Refused if there is none, if it is another site's, or if others refer to it.
        """
        target = self._locked(table)
        found = self._read(target, conditions, 2)
        if not len(found):
            if is_buried(target, self._site, key):
                return
            raise Refused(404, f"there is no {table.name} {', '.join(map(str, key))}")
        bound, _ = target.parameters(_part(found, table.primary_key))
        self._refuse_stranger(target, found)
        self._refuse_referred(table, found)
        for reason in target.delete(table.primary_key, bound).values():
            raise Refused(409, f"{table.name}: {reason}")
        bury(target, self._site, found, [key_text(found.tuples(table.primary_key)[0])])
        forget_guests(target, self._site, table.primary_key, found)

    def report(self, table: Table, row: Mapping[str, Any]) -> RowSet:
        """A host says that it pushed: the row of `table`, with central's time; and one for a host not seen before."""
        server = match("Server", {each.name: each for each in self._schema.tables})
        if server and {column.name for column in server.columns} >= set(_HOST_KEYS):
            self.lock([server, table])
            target = self.target(server)
            bound, faults = target.parameters(RowSet(names=("hostname",), columns=[[row["hostname"]]]))
            for reason in faults.values():
                raise Refused(400, f"{server.name}.{reason}")
            if not len(target.find(("id",), ("hostname",), bound)):
                self.create(server, {"hostname": row["hostname"]})
        now = {"time": utc_now().isoformat()} if any(column.name == "time" for column in table.columns) else {}
        return self.create(table, {**row, **now})

    def noted_cursor(self, table: Table) -> str | None:
        """The column that cuts a stream into blocks, if anything is noted of those of this site."""
        cursor, noted = guess.cursor(table), bookkeeping.block
        mine = (noted.c.site == self._site, noted.c.table_name == table.name)
        if cursor is None or self._connection.scalar(sa.select(noted.c.start).where(*mine).limit(1)) is None:
            return None
        return cursor

    def doubt(self, table: Table, cursor: str, values: Sequence[Any]) -> None:
        """What is noted of the blocks of rows with these values, which were just written, is not so any more."""
        BlockNotes(self._connection, self._site, table.name, table.column(cursor)).doubt(values)

    def lock(self, tables: Iterable[Table]) -> None:
        """Nobody else writes to these over REST, nor this site's agent to its streams, until the transaction ends."""
        named = sorted({table.name for table in tables})
        streams = [
            table.name for table in self._schema.tables if table.name in named and is_stream(self._schema, table)
        ]
        for name in [*(f"{self._site}/{name}" for name in sorted(streams)), *named]:
            lock(self._connection, name)

    def target(self, table: Table) -> Target:
        return Target(connection=self._connection, dialect=self._schema.dialect, table=table)

    # ---

    def _locked(self, table: Table) -> Target:
        self.lock([table])
        return self.target(table)

    def _read(self, target: Target, conditions: Conditions, most: int) -> RowSet:
        names = [column.name for column in target.table.columns]
        return read(
            self._connection, target.dialect, target.table, names, lambda query: query.where(*conditions).limit(most)
        )

    def _find(self, target: Target, key: Key) -> RowSet:
        """The row just written, as it now is."""
        names = target.table.primary_key
        bound, _ = target.parameters(RowSet.of(names, [key]))
        found = target.find(tuple(column.name for column in target.table.columns), names, bound)
        if len(found) != 1:
            raise Refused(400, f"{target.table.name}.{', '.join(names)}: the database would store another value")
        return found

    def _refuse_key(self, table: Table, changed: Sequence[Column]) -> None:
        if not table.primary_key:
            raise Refused(400, f"{table.name} has no key by which one of its rows could be overwritten")
        for column in changed:
            if column.name in table.primary_key:
                raise Refused(400, f"{table.name}.{column.name} is part of its key, which cannot be changed")

    def _refuse_stranger(self, target: Target, row: RowSet) -> None:
        (key,) = row.tuples(target.table.primary_key)
        owner = stranger(target, self._site, key)
        if owner is not None:
            raise _not_yours(target.table, owner)

    def _refuse_referred(self, table: Table, row: RowSet) -> None:
        counts: dict[str, int] = {}
        for child in self._schema.tables:
            for reference in child.references:
                if reference.parent.casefold() == table.name.casefold():
                    number = self._count(child, reference.columns, row, reference.parent_columns or table.primary_key)
                    counts[child.name] = counts.get(child.name, 0) + number
        found = [f"{name} with {number} row{'s'[: number != 1]}" for name, number in counts.items() if number]
        if found:
            raise Refused(409, f"other rows refer to this one of {table.name}: {', '.join(found)}")

    def _count(self, child: Table, columns: Sequence[str], row: RowSet, parent_columns: Sequence[str]) -> int:
        values = RowSet(names=tuple(columns), columns=[row.column(name) for name in parent_columns])
        bound, faults = self.target(child).parameters(values)
        if faults:
            return 0  # what the column cannot hold, no row holds
        source = raw_table(child)
        wanted = [source.c[name] == value for name, value in zip(columns, bound[0], strict=True)]
        return self._connection.scalar(sa.select(sa.func.count()).select_from(source).where(*wanted)) or 0


def _refused(objection: Objection) -> Refused:
    return Refused(objection.status, objection.reason)


def _not_yours(table: Table, owner: str) -> Refused:
    return Refused(403, f"this row of {table.name} belongs to site {owner}, and no other site may change it")


def _referred(schema: Schema) -> set[str]:
    named = {
        reference.parent.casefold()
        for table in schema.tables
        for reference in table.references
        if reference.parent.casefold() != table.name.casefold()
    }
    return {table.name for table in schema.tables if table.name.casefold() in named}


def _same(column: Column, value: Any, found: RowSet) -> bool:
    return canonical(column, [value]) == canonical(column, found.column(column.name))


def _part(rows: RowSet, names: tuple[str, ...]) -> RowSet:
    return RowSet(names=names, columns=[rows.column(name) for name in names])
