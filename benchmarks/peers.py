"""The tools that a full load is held against. None of them is installed for it: those that are there take part."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import sqlalchemy as sa

from benchmarks.ends import database, dump_command, restore_command
from benchmarks.watched import Done, piped
from models import Base
from pusher.schema.engine import opened
from tests.servers import SshServer, binary

_TABLES = [table.name for table in Base.metadata.sorted_tables]  # parents first
_BATCH_ROWS = 20_000  # as pusher's own


class Peer(Protocol):
    """Copies all tables of a database on MariaDB into an empty one. URLs as SQLAlchemy writes them."""

    name: str

    def available(self) -> bool: ...

    def run(self, source: str, target: str) -> Done: ...


class Pipe:
    """The reference: a dump into a fresh database, over the same TCP port."""

    name = "mariadb-dump | mariadb"

    def available(self) -> bool:
        return True

    def run(self, source: str, target: str) -> Done:
        return piped(dump_command(source), restore_command(target))


class SshPipe:
    """The same through `ssh -C` to an sshd on the loopback interface."""

    name = "ssh"

    def __init__(self) -> None:
        self._server: SshServer | None = None

    def available(self) -> bool:
        path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
        return all(shutil.which(program, path=path) for program in ("sshd", "ssh", "ssh-keygen"))

    def run(self, source: str, target: str) -> Done:
        if self._server is None:
            self._server = SshServer()
            self._server.start()
        options = [
            f"-p{self._server.port}",
            f"-oUserKnownHostsFile={self._server.clients / 'known_hosts'}",
            "-oStrictHostKeyChecking=yes",
            "-oIdentitiesOnly=yes",
            f"-i{self._server.clients / 'id_ed25519'}",
        ]
        tunnel = [binary("ssh"), "-F/dev/null", "-C", *options, "127.0.0.1"]
        return piped(dump_command(source), [*tunnel, *restore_command(target)])

    def close(self) -> None:
        if self._server:
            self._server.close()
            self._server = None


class Dlt:
    """dlt, its SQL source and its SQLAlchemy destination, as its documentation shows them."""

    name = "dlt"
    _SCRIPT = """
import sys, dlt
from dlt.sources.sql_database import sql_database
source, target, name, *tables = sys.argv[1:]
pipeline = dlt.pipeline("benchmark_" + name, destination=dlt.destinations.sqlalchemy(target), dataset_name=name)
pipeline.run(sql_database(source, table_names=tables), write_disposition="replace").raise_on_failed_jobs()
"""

    def available(self) -> bool:
        return importlib.util.find_spec("dlt") is not None

    def run(self, source: str, target: str) -> Done:
        # It deletes and renames what has a meaning to it; the target is its dataset, a database of that name.
        server = sa.make_url(target).set(database="mysql").render_as_string(hide_password=False)
        return piped([sys.executable, "-c", self._SCRIPT, source, server, database(target), *_TABLES])


class Ingestr:
    """ingestr, a table at a time, as it wants it."""

    name = "ingestr"

    def available(self) -> bool:
        return shutil.which(self.name) is not None

    def run(self, source: str, target: str) -> Done:
        return _one_after_the_other(
            [
                "ingestr",
                "ingest",
                f"--source-uri={_plain(source)}",
                f"--source-table={database(source)}.{table}",
                f"--dest-uri={_plain(target)}",
                f"--dest-table={database(target)}.{table}",
                "--yes",
            ]
            for table in _TABLES
        )


class Sling:
    """sling, all tables in one replication."""

    name = "sling"

    def available(self) -> bool:
        return shutil.which(self.name) is not None

    def run(self, source: str, target: str) -> Done:
        replication = {
            "source": "BENCHMARK_SOURCE",
            "target": "BENCHMARK_TARGET",
            "defaults": {"mode": "full-refresh", "object": f"{database(target)}.{{stream_table}}"},
            "streams": {f"{database(source)}.{table}": {} for table in _TABLES},
        }
        ends = {"BENCHMARK_SOURCE": _plain(source), "BENCHMARK_TARGET": _plain(target)}
        return piped(["sling", "run", "-r", json.dumps(replication)], env={**os.environ, **ends})


class PtArchiver:
    """pt-archiver, which copies and does not delete here, into tables made by a dump without rows."""

    name = "pt-archiver"

    def available(self) -> bool:
        return shutil.which(self.name) is not None

    def run(self, source: str, target: str) -> Done:
        made = piped(dump_command(source, "--no-data"), restore_command(target))
        with opened(source) as engine, engine.connect() as connection:
            full = [
                name for name in _TABLES if connection.execute(sa.select(Base.metadata.tables[name]).limit(1)).all()
            ]
        copied = _one_after_the_other(
            [
                "pt-archiver",
                f"--source={_dsn(source)},t={table}",
                f"--dest={_dsn(target)},t={table}",
                "--where=1=1",
                "--no-delete",
                "--no-safe-auto-increment",
                "--no-check-charset",
                "--bulk-insert",
                f"--limit={_BATCH_ROWS}",
                "--commit-each",
            ]
            for table in full
        )
        return Done(seconds=made.seconds + copied.seconds, peaks=copied.peaks, output=b"")


PEERS: Mapping[str, type[Peer]] = {peer.name: peer for peer in (SshPipe, Dlt, Ingestr, Sling, PtArchiver)}


@contextmanager
def ready(names: list[str]) -> Iterator[list[Peer]]:
    """The peers of these names, and what they started ended afterwards."""
    peers = [PEERS[name]() for name in names]
    try:
        yield peers
    finally:
        for peer in peers:
            if isinstance(peer, SshPipe):
                peer.close()


def installed() -> list[str]:
    return [name for name, peer in PEERS.items() if peer().available()]


def _one_after_the_other(commands: Iterator[list[str]]) -> Done:
    done = [piped(command) for command in commands]
    return Done(seconds=sum(each.seconds for each in done), peaks=(max(max(each.peaks) for each in done),), output=b"")


def _plain(url: str) -> str:
    """Without the driver, which only SQLAlchemy understands."""
    return sa.make_url(url).set(drivername="mysql").render_as_string(hide_password=False)


def _dsn(url: str) -> str:
    parts = sa.make_url(url)
    return f"h={parts.host},P={parts.port},u={parts.username},D={parts.database}"
