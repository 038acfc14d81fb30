"""The two ends of a measurement: databases on a server as operators run it, central, and agents of their own."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.watched import Done, family, piped
from models import Base
from pusher.datagen import Datagen, utc_now
from pusher.schema.engine import opened
from tests.servers import DatabaseServer, MariaDB, binary
from tests.stage import PUSHER, CentralService

_START_SECONDS = 60
_OF_CENTRAL = ("Server", "Pushstatus")  # where central notes who pushed

# What is generated ends so long ago that the readings of the deltas to come have room between it and now.
_ROOM = dt.timedelta(days=3)


class LargeMariaDB(MariaDB):
    """As the tests' server, with room for the larger sizes, and durable as an operator has it."""

    in_memory = False

    def _command(self) -> Sequence[str]:
        durable = ["--innodb-flush-log-at-trx-commit=1", "--innodb-flush-method=O_DIRECT", "--sync-frm=1"]
        room = ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"]
        return [*super()._command(), *durable, *room]


class Central(CentralService):
    """`pusher serve` with options, such as --workers."""

    def __init__(self, db: str, *options: str, log: Path = Path(os.devnull)) -> None:
        super().__init__(db, log=log, options=options)

    def __enter__(self) -> Central:
        self.start()
        return self

    @property
    def pids(self) -> list[int]:
        """Its processes that serve: itself, or its workers."""
        assert self._process is not None, "central is not running"
        first, *others = family(self._process.pid)
        return [pid for pid in others if b"spawn_main" in _command_line(pid)] or [first]

    def kill(self) -> None:
        """Ends it in order: its workers would outlive a SIGKILL."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None


def _command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@contextmanager
def central(server: DatabaseServer, *options: str, log: Path = Path(os.devnull)) -> Iterator[Central]:
    """Over an empty database, which goes at the end."""
    with fresh(server) as db, Central(db, *options, log=log) as service:
        yield service


@contextmanager
def fresh(server: DatabaseServer) -> Iterator[str]:
    """An empty database, which goes at the end."""
    url = server.new_database()
    try:
        yield url
    finally:
        with opened(url) as engine, engine.begin() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {database(url)}")


@contextmanager
def site(server: DatabaseServer, readings: int, number: int = 0) -> Iterator[str]:
    """The database of a collection site; each `number` has a house and nodes of its own."""
    with fresh(server) as url:
        with opened(url) as engine:
            Base.metadata.create_all(engine)
            house(number).bulk(engine, readings, end=utc_now() - _ROOM)
        yield url


def house(number: int) -> Datagen:
    if not number:
        return Datagen(seed=1)
    nodes = (1000 + 2 * number, 1001 + 2 * number)
    return Datagen(seed=1, deployment=f"Deployment {number}", address=f"{number} Push Street", nodes=nodes)


def agent_command(config: Path, *arguments: str) -> list[str | Path]:
    return [PUSHER, "--config", config, *arguments]


def cycle(config: Path) -> tuple[Done, dict[str, Any]]:
    """One cycle in a process of its own, its start and end included, and what it reports."""
    done = piped(agent_command(config, "run", "--once", "--json"))
    (outcome,) = json.loads(done.output)
    return done, outcome


def database(url: str) -> str:
    return str(sa.make_url(url).database)


def login(url: str) -> list[str]:
    """For MariaDB's own programs, over the same TCP port as the agent."""
    parts = sa.make_url(url)
    return [f"--host={parts.host}", f"--port={parts.port}", f"--user={parts.username}"]


def dump_command(url: str, *options: str, tables: Sequence[str] = ()) -> list[str]:
    whole = ["--single-transaction", "--quick", *options]
    return [binary("mariadb-dump"), *login(url), *whole, database(url), *tables]


def restore_command(url: str) -> list[str]:
    return [binary("mariadb"), *login(url), database(url)]


def counts(url: str) -> dict[str, int]:
    """The rows of each domain table, by its name in small letters without underscores: some tools spell it anew."""
    wanted = {table.name.lower() for table in Base.metadata.sorted_tables if table.name not in _OF_CENTRAL}
    with opened(url) as engine, engine.connect() as connection:
        found = {name.lower().replace("_", ""): name for name in sa.inspect(connection).get_table_names()}
        query = "SELECT COUNT(*) FROM `{}`"
        return {
            key: int(connection.exec_driver_sql(query.format(name)).scalar_one())
            for key, name in found.items()
            if key in wanted
        }


def check_equally_many(source: dict[str, int], target: dict[str, int], whose: str) -> None:
    """Raises RuntimeError if a load left something behind, or made something up."""
    if source != target:
        raise RuntimeError(f"{whose}: not equally many rows on both sides: {source} and {target}")


def say(text: str) -> None:
    """How far it is; the results go to standard output."""
    print(text, file=sys.stderr, flush=True)
