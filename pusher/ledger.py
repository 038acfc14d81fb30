"""The site's own memory, an SQLite file in the state folder: how far each location is, and what is held."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pusher.errors import ConfigError, PusherError

_VERSION = 1
_BUSY_SECONDS = 30

_TABLES = """
create table location (
    name text primary key, epoch text not null, marker text, instance text, schema_hash text, schema text,
    resolved integer not null default 0
) without rowid;
create table checkpoint (
    location text, table_name text, cursor text, primary key (location, table_name)
) without rowid;
create table identity (
    location text, table_name text, local_key text, central_key text not null, row_hash text not null,
    primary key (location, table_name, local_key)
) without rowid;
create table entity (
    location text, table_name text, digest text not null, primary key (location, table_name)
) without rowid;
create table held (
    id integer primary key, location text not null, table_name text not null, local_key text not null,
    reason text not null, since text not null, unique (location, table_name, local_key)
);
create table run (
    id integer primary key, location text not null, started text not null, seconds real not null,
    outcome text not null, exit_code integer not null
);
create index run_location on run (location, id);
"""
_KEPT_RUNS = 1000

_READ_LOCATION = "select epoch, marker, instance, schema_hash, schema, resolved from location where name = ?"
_WRITE_MARKER = "update location set marker = ? where name = ?"
_WRITE_CENTRAL = "update location set instance = ?, schema_hash = ?, schema = ? where name = ?"
_WRITE_RESOLVED = "update location set resolved = ? where name = ?"
_WRITE_CHECKPOINT = "insert or replace into checkpoint values (?, ?, ?)"
_READ_IDENTITIES = "select local_key, central_key, row_hash from identity where location = ? and table_name = ?"
_WRITE_IDENTITY = "insert or replace into identity values (?, ?, ?, ?, ?)"
_HOLD = """
insert into held (location, table_name, local_key, reason, since) values (?, ?, ?, ?, ?)
on conflict (location, table_name, local_key) do update set reason = excluded.reason
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
        with self._change():
            version = self._db.execute("pragma user_version").fetchone()[0]
            if version == 0:
                for statement in _TABLES.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"pragma user_version = {_VERSION}")
        if version > _VERSION:
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
    def _change(self) -> Iterator[None]:
        with self._reaching():
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:  # a full disk has SQLite roll back by itself
                    self._db.execute("rollback")
                raise

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._reaching():
            return self._db.execute(query, values).fetchall()

    # --- a location and its checkpoints

    def location(self, name: str) -> LocationState:
        """What is known of a location; one not seen before gets an epoch."""
        with self._change():
            self._db.execute("insert or ignore into location (name, epoch) values (?, ?)", (name, uuid.uuid4().hex))
            epoch, marker, instance, schema_hash, schema, resolved = self._db.execute(
                _READ_LOCATION, (name,)
            ).fetchone()
        return LocationState(
            epoch=epoch, marker=marker, instance=instance, schema_hash=schema_hash, schema=schema, resolved=resolved
        )

    def know_central(self, location: str, instance: str, schema_hash: str, schema: bytes) -> None:
        with self._change():
            self._db.execute(_WRITE_CENTRAL, (instance, schema_hash, schema, location))

    def checkpoints(self, location: str) -> dict[str, tuple[Any, ...]]:
        query = "select table_name, cursor from checkpoint where location = ? and cursor is not null"
        return {table: tuple(msgspec.json.decode(cursor)) for table, cursor in self._read(query, location)}

    def advance(self, location: str, table: str, cursor: tuple[Any, ...]) -> None:
        with self._change():
            self._db.execute(_WRITE_CHECKPOINT, (location, table, msgspec.json.encode(cursor).decode()))

    def begin_from(self, location: str, cursors: dict[str, tuple[Any, ...] | None], marker: str | None) -> None:
        """Sets checkpoints, also backwards, and notes `marker` as seen, so that it counts as an edit only once."""
        with self._change():
            for table, cursor in cursors.items():
                text = None if cursor is None else msgspec.json.encode(cursor).decode()
                self._db.execute(_WRITE_CHECKPOINT, (location, table, text))
            self._db.execute(_WRITE_MARKER, (marker, location))

    def write_marker(self, location: str, marker: str | None) -> None:
        with self._change():
            self._db.execute(_WRITE_MARKER, (marker, location))

    def start_over(self, location: str) -> str:
        """Forgets how far the location is and every id learnt there; returns the new epoch."""
        epoch = uuid.uuid4().hex
        with self._change():
            self._db.execute("delete from checkpoint where location = ?", (location,))
            self._forget(location)
            self._db.execute("update location set epoch = ?, marker = null where name = ?", (epoch, location))
        return epoch

    # --- the identity map

    def identities(self, location: str, table: str) -> dict[str, tuple[str, str]]:
        """Local key → (central key, hash of the row as it was sent), keys as JSON arrays."""
        rows = self._read(_READ_IDENTITIES, location, table)
        return {local_key: (central_key, row_hash) for local_key, central_key, row_hash in rows}

    def note_identities(
        self, location: str, table: str, noted: Iterable[tuple[str, str, str]], resolved: int = 0
    ) -> None:
        """`resolved`: how many requests for ids central has answered, the one that gave these included."""
        with self._change():
            self._db.executemany(_WRITE_IDENTITY, ((location, table, *each) for each in noted))
            self._db.execute(_WRITE_RESOLVED, (resolved, location))

    def forget_identities(self, location: str) -> None:
        with self._change():
            self._forget(location)

    def _forget(self, location: str) -> None:
        for table in ("identity", "entity"):
            self._db.execute(f"delete from {table} where location = ?", (location,))
        self._db.execute(_WRITE_RESOLVED, (0, location))

    def digests(self, location: str) -> dict[str, str]:
        """Of what central last had of the entities that come down."""
        query = "select table_name, digest from entity where location = ?"
        return dict(self._read(query, location))

    def note_digest(self, location: str, table: str, digest: str) -> None:
        with self._change():
            self._db.execute("insert or replace into entity values (?, ?, ?)", (location, table, digest))

    # --- what is held, and what was run

    def hold(self, location: str, table: str, rows: Iterable[tuple[str, str]], since: str) -> None:
        """Keeps rows in mind that central did not take: (local key as JSON array, reason)."""
        with self._change():
            self._db.executemany(_HOLD, ((location, table, key, reason, since) for key, reason in rows))

    def held(self, location: str) -> dict[str, int]:
        query = "select table_name, count(*) from held where location = ? group by table_name"
        return dict(self._read(query, location))

    def held_reasons(self, location: str, table: str, limit: int) -> list[tuple[str, str]]:
        query = "select local_key, reason from held where location = ? and table_name = ? order by id limit ?"
        return self._read(query, location, table, limit)

    def release(self, location: str, table: str, local_keys: Iterable[str]) -> None:
        """No longer holds rows that central has taken since."""
        query = "delete from held where location = ? and table_name = ? and local_key = ?"
        with self._change():
            self._db.executemany(query, ((location, table, key) for key in local_keys))

    def note_run(self, location: str, started: str, seconds: float, outcome: bytes, exit_code: int) -> None:
        query = "insert into run (location, started, seconds, outcome, exit_code) values (?, ?, ?, ?, ?)"
        with self._change():
            self._db.execute(query, (location, started, seconds, outcome.decode(), exit_code))
            self._db.execute(_FORGET_RUNS, (location, location, _KEPT_RUNS))

    def last_run(self, location: str, *, successful: bool = False) -> Run | None:
        wanted = "and exit_code = 0" if successful else ""
        query = f"select started, seconds, exit_code, outcome from run where location = ? {wanted} order by id desc"
        rows = self._read(query + " limit 1", location)
        if not rows:
            return None
        row = rows[0]
        return Run(started=row[0], seconds=row[1], exit_code=row[2], outcome=msgspec.json.decode(row[3]))
