"""The site's own memory, an SQLite file in the state folder: how far each location is, and what is held."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pusher.errors import ConfigError, PusherError
from pusher.ledger_tables import TABLES, UPGRADES, VERSION
from pusher.wire.batch import Cursor
from pusher.wire.blocks import Start, block_of
from pusher.wire.fingerprint import EMPTY, Fingerprint

_BUSY_SECONDS = 30

_KEPT_RUNS = 1000

_READ_LOCATION = "select epoch, marker, instance, schema_hash, schema, resolved from location where name = ?"
_WRITE_MARKER = "update location set marker = ? where name = ?"
_WRITE_CENTRAL = "update location set instance = ?, schema_hash = ?, schema = ? where name = ?"
_WRITE_RESOLVED = "update location set resolved = ? where name = ?"
_WRITE_CHECKPOINT = """
insert into checkpoint (location, table_name, cursor, sequence) values (?, ?, ?, ?)
on conflict (location, table_name) do update set cursor = excluded.cursor, sequence = excluded.sequence
"""
_WRITE_FLOOR = "update checkpoint set floor = ? where location = ? and table_name = ?"
_BLOCKS_WITHIN = """
from block where location = ?1 and table_name = ?2 and (?3 is null or start >= ?3) and (?4 is null or start < ?4)
"""
_READ_BLOCKS = f"select start, rows, total {_BLOCKS_WITHIN} order by start"
_READ_BLOCK = "select rows, total from block where location = ? and table_name = ? and start = ?"
_COUNT_IN_BLOCKS = f"select sum(rows) {_BLOCKS_WITHIN}"
_FORGET_CURSOR = "update checkpoint set cursor = null where location = ? and table_name = ?"
_FORGET_BLOCK = "delete from block where location = ? and table_name = ? and start = ?"
_FORGET_LATER_BLOCKS = "delete from block where location = ? and table_name = ? and sequence > ?"
_FORGET_BLOCKS_BEHIND = "delete from block where location = ? and table_name = ? and (? is null or start > ?)"
_WRITE_FORM = """
update checkpoint set form = ? where location = ? and table_name = ?
and (? or not exists (select 1 from block where location = ? and table_name = ?))
"""
_FORGET_BLOCKS_WITHIN = f"delete {_BLOCKS_WITHIN}"
_WRITE_PROVEN_BLOCK = """
insert into block select ?1, ?2, ?3, ?4, ?5, sequence from checkpoint where location = ?1 and table_name = ?2
"""
_WRITE_BLOCK = "insert or replace into block values (?, ?, ?, ?, ?, ?)"
_READ_IDENTITIES = "select local_key, central_key, row_hash from identity where location = ? and table_name = ?"
_READ_VERSIONS = "select local_key, version from identity where location = ? and table_name = ? and version > 0"
_WRITE_IDENTITY = """
insert or replace into identity (location, table_name, local_key, central_key, row_hash, version)
values (?, ?, ?, ?, ?, ?)
"""
_WRITE_AGREED = """
update identity set row_hash = ?, version = ? where location = ? and table_name = ? and local_key = ?
"""
_FORGET_RUNS = "delete from run where location = ? and id <= (select max(id) from run where location = ?) - ?"


def prepare_state(state: Path) -> None:
    """Makes the state folder, for nobody else to read. Raises ConfigError if it cannot be used."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(state, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reason = "a file of this name is there" if isinstance(error, FileExistsError) else error.strerror
        raise ConfigError([f"the state folder {state} cannot be used: {reason}; correct state in [general]"]) from error


@dataclass(frozen=True, kw_only=True)
class LocationState:
    """`marker`: what pusher last wrote as `lastupdate`. The rest is what it last learnt of central, `resolved` being
    how many requests for ids it said that it had answered."""

    epoch: str
    marker: str | None
    instance: str | None
    schema_hash: str | None
    schema: bytes | None
    resolved: int = 0


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """How far a stream is: the cursor, None at the beginning, and the number of the last batch.

    `floor`: rows before it are not sent, since the operator skipped them.
    """

    cursor: Cursor | None
    sequence: int
    floor: Cursor | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    started: str
    seconds: float
    exit_code: int
    outcome: dict[str, Any]


class Ledger:
    """One connection; give each thread its own. Every change is on disk before a method returns."""

    def __init__(self, state: Path) -> None:
        """Raises ConfigError if the folder cannot be used, PusherError if the file is of a newer pusher."""
        self._path = state / "ledger.db"
        prepare_state(state)
        with self._reaching():
            self._db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            with self._reaching():
                self._write_ahead()
                self._db.execute("pragma synchronous = full")
                self._create()
        except BaseException:
            self._db.close()
            raise

    def _write_ahead(self) -> None:
        """SQLite does not wait its turn where several turn a new file to WAL at once."""
        until = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._db.execute("pragma journal_mode = wal")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _create(self) -> None:
        with self.change():
            version = self._db.execute("pragma user_version").fetchone()[0]
            steps = [UPGRADES[each] for each in range(version, VERSION)] if version else [TABLES]
            for statement in (each for step in steps for each in step.split(";\n")):
                self._db.execute(statement)
            if version < VERSION:
                self._db.execute(f"pragma user_version = {VERSION}")
        if version > VERSION:
            raise PusherError(f"the ledger {self._path} was written by a newer pusher; update this one")

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise PusherError(f"the ledger {self._path} cannot be used: {error}") from error

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction of its own on the ledger's file."""
        with self._reaching():
            self._db.execute("begin immediate")
            try:
                yield self._db
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:  # a full disk has SQLite roll back by itself
                    self._db.execute("rollback")
                raise

    def read(self, query: str, *values: object) -> list[Any]:
        with self._reaching():
            return self._db.execute(query, values).fetchall()

    # --- a location and its checkpoints

    def location(self, name: str) -> LocationState:
        """What is known of a location; one not seen before gets an epoch."""
        with self.change():
            self._db.execute("insert or ignore into location (name, epoch) values (?, ?)", (name, uuid.uuid4().hex))
            epoch, marker, instance, schema_hash, schema, resolved = self._db.execute(
                _READ_LOCATION, (name,)
            ).fetchone()
        return LocationState(
            epoch=epoch, marker=marker, instance=instance, schema_hash=schema_hash, schema=schema, resolved=resolved
        )

    def know_central(self, location: str, instance: str, schema_hash: str, schema: bytes) -> None:
        with self.change():
            self._db.execute(_WRITE_CENTRAL, (instance, schema_hash, schema, location))

    def checkpoints(self, location: str) -> dict[str, Checkpoint]:
        query = "select table_name, cursor, sequence, floor from checkpoint where location = ?"
        return {
            table: Checkpoint(cursor=_cursor(cursor), sequence=sequence, floor=_cursor(floor))
            for table, cursor, sequence, floor in self.read(query, location)
        }

    def advance(
        self,
        location: str,
        table: str,
        cursor: Cursor | None,
        sequence: int,
        blocks: Mapping[Start, Fingerprint] | None = None,
    ) -> None:
        """Moves a checkpoint behind the batch `sequence`, and notes the blocks that it completes or adds to."""
        with self.change():
            self._db.execute(_WRITE_CHECKPOINT, (location, table, _text(cursor), sequence))
            rows = [
                (location, table, start, each.count, each.total, sequence) for start, each in (blocks or {}).items()
            ]
            self._db.executemany(_WRITE_BLOCK, rows)

    def begin_from(self, location: str, beginnings: Mapping[str, Checkpoint], marker: str | None) -> None:
        """Sets checkpoints, also backwards, and notes `marker` as seen, so that it counts as an edit only once.

        What was sent by batches that central does not know, or lies behind a cursor that goes back, has to be sent
        again, so its blocks are forgotten.
        """
        before = self.checkpoints(location)
        with self.change():
            for table, beginning in beginnings.items():
                old = before.get(table)
                self._db.execute(_WRITE_CHECKPOINT, (location, table, _text(beginning.cursor), beginning.sequence))
                self._db.execute(_WRITE_FLOOR, (_text(beginning.floor), location, table))
                self._db.execute(_FORGET_LATER_BLOCKS, (location, table, beginning.sequence))
                if old and old.cursor and beginning.cursor != old.cursor:
                    start = block_of(beginning.cursor[0]) if beginning.cursor else None
                    self._db.execute(_FORGET_BLOCKS_BEHIND, (location, table, start, start))
            self._db.execute(_WRITE_MARKER, (marker, location))

    def write_marker(self, location: str, marker: str | None) -> None:
        with self.change():
            self._db.execute(_WRITE_MARKER, (marker, location))

    def start_over(self, location: str) -> str:
        """Forgets how far the location is and every id learnt there; returns the new epoch."""
        epoch = uuid.uuid4().hex
        with self.change():
            for table in ("checkpoint", "block"):
                self._db.execute(f"delete from {table} where location = ?", (location,))
            self._forget(location)
            self._db.execute("update location set epoch = ?, marker = null where name = ?", (epoch, location))
        return epoch

    def forget_rows(self, location: str, tables: Iterable[str]) -> None:
        """Forgets what was sent of these tables, but not under which number the next batch goes."""
        with self.change():
            for table in tables:
                self._db.execute(_FORGET_CURSOR, (location, table))
                for what in ("block", "identity", "entity"):
                    self._db.execute(f"delete from {what} where location = ? and table_name = ?", (location, table))

    # --- the blocks of streams

    def blocks(self, location: str, table: str, low: Start = None, high: Start = None) -> dict[Start, Fingerprint]:
        """What was sent of each block from `low` to before `high` (None: the ends of the stream), in its order."""
        found = self.read(_READ_BLOCKS, location, table, low, high)
        return {begin: Fingerprint(rows, total) for begin, rows, total in found}

    def block(self, location: str, table: str, start: Start) -> Fingerprint:
        """What was sent of one block."""
        return next((Fingerprint(*found) for found in self.read(_READ_BLOCK, location, table, start)), EMPTY)

    def count_in_blocks(self, location: str, table: str, low: Start, high: Start) -> int:
        """How many rows were sent of the blocks from `low` to before `high`."""
        ((rows,),) = self.read(_COUNT_IN_BLOCKS, location, table, low, high)
        return rows or 0

    def forget_blocks(self, location: str, table: str, starts: Iterable[Start]) -> None:
        """No longer expects rows in these blocks."""
        with self.change():
            self._db.executemany(_FORGET_BLOCK, ((location, table, start) for start in starts))

    def note_blocks(
        self, location: str, table: str, low: Start, high: Start, blocks: Mapping[Start, Fingerprint]
    ) -> None:
        """Notes what central has, as was found, from block `low` to before `high` (None: the ends of the stream)."""
        with self.change():
            self._db.execute(_FORGET_BLOCKS_WITHIN, (location, table, low, high))
            rows = [(location, table, start, each.count, each.total) for start, each in blocks.items()]
            self._db.executemany(_WRITE_PROVEN_BLOCK, rows)

    def block_form(self, location: str, table: str) -> str | None:
        """In what form the rows of a stream were hashed, None if it is not known."""
        rows = self.read("select form from checkpoint where location = ? and table_name = ?", location, table)
        return rows[0][0] if rows else None

    def note_block_form(self, location: str, table: str, form: str, *, anew: bool = False) -> None:
        """Of a stream of which nothing was sent yet, or, `anew`, all of whose blocks were noted in this form."""
        with self.change():
            self._db.execute(_WRITE_FORM, (form, location, table, anew, location, table))

    def last_count(self, location: str, table: str) -> tuple[float, float]:
        """When the rows of a stream were last counted, in seconds since 1970, and how many seconds it took."""
        query = "select counted, count_seconds from checkpoint where location = ? and table_name = ?"
        return next(iter(self.read(query, location, table)), (0.0, 0.0))

    def note_count(self, location: str, table: str, counted: float, seconds: float) -> None:
        query = "update checkpoint set counted = ?, count_seconds = ? where location = ? and table_name = ?"
        with self.change():
            self._db.execute(query, (counted, seconds, location, table))

    # --- the identity map

    def identities(self, location: str, table: str) -> dict[str, tuple[str, str]]:
        """Local key → (central key, hash of the row as it was sent), keys as JSON arrays."""
        rows = self.read(_READ_IDENTITIES, location, table)
        return {local_key: (central_key, row_hash) for local_key, central_key, row_hash in rows}

    def knows(self, location: str, table: str) -> bool:
        """Whether an id of any row of a table was learnt."""
        return bool(self.read("select 1 from identity where location = ? and table_name = ? limit 1", location, table))

    def versions(self, location: str, table: str) -> dict[str, int]:
        """Local key → central's version of the row that both sides last had alike, of a table that goes both ways."""
        return dict(self.read(_READ_VERSIONS, location, table))

    def note_identities(
        self,
        location: str,
        table: str,
        noted: Iterable[tuple[str, str, str]],
        resolved: int = 0,
        versions: Mapping[str, int] | None = None,
    ) -> None:
        """`resolved`: how many requests for ids central has answered, the one that gave these included. `versions`:
        as `versions` gives them."""
        agreed = versions or {}
        with self.change():
            rows = ((location, table, *each, agreed.get(each[0], 0)) for each in noted)
            self._db.executemany(_WRITE_IDENTITY, rows)
            self._db.execute(_WRITE_RESOLVED, (resolved, location))

    def note_agreed(self, location: str, table: str, noted: Iterable[tuple[str, str, int]]) -> None:
        """Rows that came down: local key, hash, version."""
        with self.change():
            rows = ((row_hash, version, location, table, key) for key, row_hash, version in noted)
            self._db.executemany(_WRITE_AGREED, rows)

    def forget_identities_of(self, location: str, table: str, local_keys: Iterable[str]) -> None:
        query = "delete from identity where location = ? and table_name = ? and local_key = ?"
        with self.change():
            self._db.executemany(query, ((location, table, key) for key in local_keys))

    def forget_identities(self, location: str) -> None:
        with self.change():
            self._forget(location)

    def _forget(self, location: str) -> None:
        for table in ("identity", "entity"):
            self._db.execute(f"delete from {table} where location = ?", (location,))
        self._db.execute(_WRITE_RESOLVED, (0, location))

    # --- what was run

    def note_run(self, location: str, started: str, seconds: float, outcome: bytes, exit_code: int) -> None:
        query = "insert into run (location, started, seconds, outcome, exit_code) values (?, ?, ?, ?, ?)"
        with self.change():
            self._db.execute(query, (location, started, seconds, outcome.decode(), exit_code))
            self._db.execute(_FORGET_RUNS, (location, location, _KEPT_RUNS))

    def first_run(self, location: str) -> str | None:
        """When the first run began that is still noted, ISO 8601 in UTC."""
        rows = self.read("select started from run where location = ? order by id limit 1", location)
        return rows[0][0] if rows else None

    def last_run(self, location: str, *, successful: bool = False) -> Run | None:
        wanted = "and exit_code = 0" if successful else ""
        query = f"select started, seconds, exit_code, outcome from run where location = ? {wanted} order by id desc"
        rows = self.read(query + " limit 1", location)
        if not rows:
            return None
        row = rows[0]
        return Run(started=row[0], seconds=row[1], exit_code=row[2], outcome=msgspec.json.decode(row[3]))


def _text(cursor: Cursor | None) -> str | None:
    return None if cursor is None else msgspec.json.encode(cursor).decode()


def _cursor(text: str | None) -> Cursor | None:
    return None if text is None else tuple(msgspec.json.decode(text))
