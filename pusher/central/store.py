"""Central itself: takes each message of a site in one transaction of its database."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Engine
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

import pusher
from pusher.central.batches import Arrived, OutOfTurn, apply, apply_ahead, goes_ahead, known_sequence
from pusher.central.blocks import BlockNotes
from pusher.central.pushstatus import write_pushstatus
from pusher.central.refusals import Fault, fault_of, reason_of
from pusher.central.remove import Removal
from pusher.central.reports import note_findings, note_report
from pusher.central.resolve import MustWrite, Resolution
from pusher.central.rows import Target
from pusher.central.sites import (
    checkpoints,
    count_resolve,
    emptied,
    emptiness,
    forget_batches,
    instance_of,
    lock,
    note_contact,
    resolved,
    utc_now,
)
from pusher.central.verdicts import note_verdicts
from pusher.central.verify import SiteRows
from pusher.central.versions import entity_rows
from pusher.errors import CentralUnreachable, ProtocolError, SchemaMismatch, Unreachable
from pusher.schema.engine import writing
from pusher.schema.reflect import Reflected, dialect_name, reflect_changed, schema_hash
from pusher.wire import PROTOCOL, buckets
from pusher.wire.batch import Batch, unpack
from pusher.wire.fingerprint import row_hashes, summed
from pusher.wire.messages import (
    MAX_REMOVED,
    MAX_STRETCHES,
    Compare,
    Compared,
    Done,
    EntityQuery,
    EntityRows,
    Hello,
    Look,
    Looked,
    Receipt,
    Remove,
    Removed,
    Report,
    Resolve,
    Resolved,
    Verified,
    Welcome,
)
from pusher.wire.tables import RowSet, Schema, Table

_T = TypeVar("_T")
_ATTEMPTS = 8
_SCHEMA_SECONDS = 0.5
RETENTION_DAYS = 400  # that a batch is remembered: longer than any outage
# Large messages to be worked on at once; half of them may be batches before their turn.
AT_ONCE = max(2, os.cpu_count() or 1)
PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, *(0.5,) * 20)  # seconds to wait for the batch before
_OWN_TABLES = ("pusher_", "alembic_version")


class _Known:
    """Central's own tables as they were reflected, without pusher's."""

    def __init__(self, reflected: Reflected) -> None:
        self.reflected = reflected
        tables = tuple(table for table in reflected.schema.tables if not table.name.startswith(_OWN_TABLES))
        self.schema = Schema(dialect=reflected.schema.dialect, tables=tables)
        self.hash = schema_hash(self.schema)
        self.emptiness = emptiness(tables)


class Store:
    """Central over its own database; safe to use from several threads.

    Every method raises CentralUnreachable if the database is not to be had just now, ProtocolError on a
    message that makes no sense, SchemaMismatch on one that does not suit central's tables. `retention_days`: how
    long each batch is remembered.
    """

    def __init__(self, engine: Engine, retention_days: int = RETENTION_DAYS) -> None:
        self._retention_days = retention_days
        self._reading = engine  # for what writes nothing, and takes long: it holds up no other transaction
        self._engine = writing(engine)
        self._dialect = dialect_name(engine)
        self._tables: _Known | None = None
        self._looked = 0.0  # when they were last looked at
        self._reflecting = threading.Lock()
        self._resolving: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._storing: set[tuple[str, str, int]] = set()
        self._ahead = threading.BoundedSemaphore(AT_ONCE // 2)

    def schema(self, *, fresh: bool = False) -> Schema:
        """Central's own tables, without pusher's; looked at again when older than half a second if `fresh`."""
        return self._known(fresh=fresh).schema

    def _known(self, *, fresh: bool) -> _Known:
        known = self._tables
        if known is not None and not fresh:
            return known
        with self._reflecting:
            known = self._tables  # which others may drop at any time
            if known is None or time.monotonic() - self._looked > _SCHEMA_SECONDS:
                began = time.monotonic()
                try:
                    found = reflect_changed(self._engine, known.reflected if known else None, "central's database")
                except Unreachable as error:
                    raise CentralUnreachable(str(error)) from error
                if known is None or found is not known.reflected:
                    self._tables = known = _Known(found)
                self._looked = began
            return known

    def hello(self, hello: Hello) -> Welcome:
        _check_protocol(hello.protocol)
        known = self._known(fresh=True)
        schema, hash_ = known.schema, known.hash

        def run(connection: sa.Connection) -> Welcome:
            if note_contact(connection, hello, hash_):
                forget_batches(connection, hello.site, self._retention_days)
            return Welcome(
                protocol=PROTOCOL,
                version=pusher.__version__,
                instance=instance_of(connection),
                clock=utc_now().isoformat(),
                dialect=schema.dialect,
                schema_hash=hash_,
                tables=None if hello.schema_hash == hash_ else schema.tables,
                checkpoints=checkpoints(connection, hello.site, hello.epoch),
                resolved=resolved(connection, hello.site),
                emptied=emptied(connection, hello.site, schema.tables, known.emptiness),
            )

        return self.transaction(run)

    def resolve(self, request: Resolve) -> Resolved:
        _check_protocol(request.protocol)
        rows = unpack(request.rows)
        table = self._table(request.table, rows.names)
        _check_named(rows, request.key + request.agree)
        if len(request.local_keys) != len(rows):
            raise ProtocolError("there is not one local key for each row")
        _check_key(table, request.key)
        if request.versions is not None and len(request.versions) != len(rows):
            raise ProtocolError("there is not one version for each row")

        def run(connection: sa.Connection, *, looks_only: bool = False) -> Resolved:
            if not looks_only:
                lock(connection, table.name)
            resolution = Resolution(
                target=self._target(connection, table),
                site=request.site,
                rows=rows,
                local_keys=request.local_keys,
                key=request.key,
                agree=request.agree,
                insist=request.insist,
                versions=request.versions,
                looks_only=looks_only,
            )
            return resolution.run().answer(count_resolve(connection, request.site))

        if request.versions is None:
            try:  # first without a lock: of what all sites have in common, all but the first bring nothing new
                return self.transaction(partial(run, looks_only=True))
            except MustWrite:
                pass
        with self._resolving[table.name]:  # whose turn it is not yet keeps no connection busy
            return self.transaction(run)

    def push(self, batch: Batch) -> Receipt:
        """Rows, ledger entry and checkpoint in one transaction; a repeat gets the stored receipt.

        Raises SequenceConflict if `batch.sequence` is not the next one, and does not become so within some seconds.
        """
        arrived = self.receive(batch)
        for pause in PAUSES:
            receipt = self.take(arrived)
            if receipt:
                return receipt
            time.sleep(pause)
        return self.take_now(arrived)

    def receive(self, batch: Batch) -> Arrived:
        """Checks all that can be checked of a batch without its place in the sequence."""
        _check_protocol(batch.protocol)
        rows = unpack(batch.rows)
        table = self._table(batch.table, rows.names)
        _check_named(rows, batch.key)
        hashes = row_hashes((table.column(name) for name in rows.names), rows)
        if summed(hashes) != batch.fingerprint:
            raise ProtocolError(f"batch {batch.sequence} of {batch.table} does not have the fingerprint that it names")
        if batch.origin is not None and len(batch.origin) != len(rows):
            raise ProtocolError("there is not one origin for each row")
        if batch.origin is None:
            _check_key(table, batch.key)
        if batch.cursor is not None:
            _check_named(rows, (batch.cursor,))
        return Arrived(batch=batch, table=table, rows=rows, hashes=hashes)

    def take(self, arrived: Arrived, *, ahead: bool = True) -> Receipt | None:
        """The receipt, or None if the batch before this one is not here yet: then it may be tried again.

        `ahead`: to store it beside the one before is worth its while, since there is nothing else to do.
        """
        known = self.transaction(lambda connection: known_sequence(connection, arrived), self._reading)
        if arrived.batch.sequence != known + 2:  # the sender has two batches on the line, not more
            return self.take_now(arrived)
        if not (ahead and goes_ahead(self._dialect, arrived)):
            return None
        # If the one before is not in work here, it may be waiting for its turn to be: not all may wait for others.
        stranger = _place(arrived, -1) not in self._storing
        if stranger and not self._ahead.acquire(blocking=False):
            return None
        try:
            return self._store(arrived, apply_ahead)
        except OutOfTurn:
            return None
        finally:
            if stranger:
                self._ahead.release()

    def take_now(self, arrived: Arrived) -> Receipt:
        return self._store(arrived, apply)

    def _store(self, arrived: Arrived, apply: Callable[[Target, Arrived], Receipt]) -> Receipt:
        self._storing.add(_place(arrived))
        try:
            return self.transaction(lambda connection: apply(self._target(connection, arrived.table), arrived))
        finally:
            self._storing.discard(_place(arrived))

    def entities(self, query: EntityQuery) -> EntityRows:
        _check_protocol(query.protocol)
        table = self._table(query.table, query.names + query.key)
        if not query.names:
            raise ProtocolError("no column is asked for")

        def run(connection: sa.Connection) -> EntityRows:
            lock(connection, table.name)  # since versions are noted
            return entity_rows(self._target(connection, table), query)

        return self.transaction(run)

    def compare(self, request: Compare) -> Compared:
        table = self._compared_table(request)

        def run(connection: sa.Connection) -> Compared:
            if request.noted and request.cursor:
                notes = BlockNotes(connection, request.site, table.name, table.column(request.cursor))
                return Compared(differing=list(notes.compare(request)))
            return SiteRows(self._target(connection, table), request).compare(request)

        return self.transaction(run, self._reading)

    def look(self, request: Look) -> Looked:
        table = self._compared_table(request)
        return self.transaction(
            lambda connection: SiteRows(self._target(connection, table), request).look(request), self._reading
        )

    def remove(self, request: Remove) -> Removed:
        """Deletes rows that the site has deleted, and buries them. Some may be refused: what others refer to."""
        _check_protocol(request.protocol)
        if max(len(request.keys), len(request.forgotten)) > MAX_REMOVED:
            raise ProtocolError(f"more than {MAX_REMOVED} rows to be deleted in one message")
        table = self._table(request.table, request.key + ((request.cursor,) if request.cursor else ()))
        if not (request.key or request.mapped):
            raise ProtocolError("it is not said by what the rows are known")
        return self.transaction(lambda connection: Removal(self._target(connection, table), request).run())

    def verified(self, verified: Verified) -> Done:
        """Notes what a comparison found, and the blocks that it proved."""
        _check_protocol(verified.protocol)
        tables = {
            name: self._table(name, (found.cursor,) if found.cursor else ()) for name, found in verified.tables.items()
        }

        def run(connection: sa.Connection) -> Done:
            note_findings(connection, verified)
            note_verdicts(connection, verified, tables)
            return Done()

        return self.transaction(run)

    def report(self, report: Report) -> Done:
        _check_protocol(report.protocol)
        schema = self.schema()

        def run(connection: sa.Connection) -> Done:
            write_pushstatus(connection, schema, report)
            note_report(connection, report)
            return Done()

        return self.transaction(run)

    def transaction(self, run: Callable[[sa.Connection], _T], engine: Engine | None = None) -> _T:
        """Runs `run` in a transaction, again when another one was in the way."""
        attempts = Retrying(
            retry=retry_if_exception(lambda error: fault_of(error) is Fault.CONTENTION),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.02, max=2),
            reraise=True,
        )
        try:
            return attempts(lambda: self._once(run, engine or self._engine))
        except OverflowError as error:  # SQLite's driver says so itself, before the database sees it
            raise ProtocolError("a number has more than 64 bits") from error
        except exc.TimeoutError as error:
            raise CentralUnreachable("central has no free connection to its database") from error
        except exc.DBAPIError as error:
            if fault_of(error) is Fault.TABLE:
                self._tables = None
                raise SchemaMismatch(f"central's tables have changed: {reason_of(error)}") from error
            if fault_of(error) is Fault.ROW:  # of pusher's own tables; others' are refused one by one
                raise ProtocolError(f"central's database does not take the message: {reason_of(error)}") from error
            raise CentralUnreachable(f"central's database: {reason_of(error)}") from error

    # ---

    def _compared_table(self, request: Compare | Look) -> Table:
        _check_protocol(request.protocol)
        if not request.names:
            raise ProtocolError("no column is asked for")
        if len(request.segments if isinstance(request, Compare) else request.ranges) > MAX_STRETCHES:
            raise ProtocolError(f"more than {MAX_STRETCHES} stretches in one message")
        count = len(request.buckets) if isinstance(request, Compare) else request.of
        if not (request.cursor or 1 <= count <= buckets.MOST):
            raise ProtocolError(f"{count} buckets; expected 1 to {buckets.MOST}")
        named = request.names + request.key + ((request.cursor,) if request.cursor else ())
        return self._table(request.table, named)

    def _target(self, connection: sa.Connection, table: Table) -> Target:
        referred = {reference.parent.casefold() for each in self.schema().tables for reference in each.references}
        return Target(
            connection=connection, dialect=self._dialect, table=table, referenced=table.name.casefold() in referred
        )

    def _table(self, name: str, names: tuple[str, ...]) -> Table:
        """Names from the wire are only ever looked up among the reflected ones."""
        for fresh in (False, True):
            table = next((table for table in self.schema(fresh=fresh).tables if table.name == name), None)
            if table and set(names) <= {column.name for column in table.columns}:
                return table
        if table is None:
            raise SchemaMismatch(f"central has no table {name!r}")
        unknown = sorted(set(names) - {column.name for column in table.columns})
        raise SchemaMismatch(f"central's table {name} has no column {', '.join(map(repr, unknown))}")

    def _once(self, run: Callable[[sa.Connection], _T], engine: Engine) -> _T:
        with engine.begin() as connection:
            if self._dialect == "postgresql":
                connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")  # a bad row shows itself, not the commit
            return run(connection)


def _place(arrived: Arrived, later: int = 0) -> tuple[str, str, int]:
    """Of a batch, or of one that many batches `later`, in the sequence of its stream."""
    return arrived.batch.site, arrived.table.name, arrived.batch.sequence + later


def _check_protocol(protocol: int) -> None:
    if protocol != PROTOCOL:
        raise ProtocolError(
            f"protocol {protocol} is spoken to central, which understands {PROTOCOL}; update one of them"
        )


def _check_named(rows: RowSet, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in rows.names:
            raise ProtocolError(f"the rows do not have the column {name!r}, by which they are to be known")


def _check_key(table: Table, key: tuple[str, ...]) -> None:
    """Without a key of its own, a row of a table that central does not number could not be told from others."""
    if not key and not any(column.numbered for column in table.columns):
        raise SchemaMismatch(f"central does not number {table.name}, so its rows need a key")
