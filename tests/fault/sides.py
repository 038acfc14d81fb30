"""The databases of a world: opened, backed up and restored, broken and healed, whatever their dialect."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

import pymysql

from tests.fault.orders import CENTRAL, Orders, give
from tests.servers import MariaDB, binary

# Tables that a full disk may hit first: of the sites, and of pusher's own.
_MAY_BE_FULL = ("Reading", "Reading", "Reading", "Note", "Note", "pusher_batch", "pusher_checkpoint")
_TABLE_IS_FULL = 1114


class Side(ABC):
    """`url`: as pusher gets it."""

    dialect: str
    url: str

    @abstractmethod
    def back_up(self) -> None:
        """Whoever uses the database may go on."""

    @abstractmethod
    def restore(self) -> None:
        """Puts the backup back, while nobody uses the database."""

    @abstractmethod
    def fill(self, rng: random.Random) -> None:
        """From now on, or from some step on, the disk is full."""

    @abstractmethod
    def make_read_only(self, rng: random.Random) -> None: ...

    @abstractmethod
    def heal(self) -> None:
        """Neither full nor read-only any more."""


class SqliteSide(Side):
    """A file. What its disk refuses, the process that is under `orders` notices."""

    dialect = "sqlite"

    def __init__(self, path: Path, orders: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self._orders = orders
        self._backup = path.with_suffix(".backup")
        path.touch()

    def back_up(self) -> None:
        copy_database(self.path, self._backup)

    def restore(self) -> None:
        copy_database(self._backup, self.path)

    def fill(self, rng: random.Random) -> None:
        give(self._orders, Orders(deed="full", point=_some_point(rng), file_bytes=rng.randrange(300_000)))

    def make_read_only(self, rng: random.Random) -> None:
        give(self._orders, Orders(deed="read-only", point=_some_point(rng), folder=str(self.path.parent)))

    def heal(self) -> None:
        give(self._orders, None)


class MariaSide(Side):
    """A database of a server; pusher uses it as an account that may not write when the server is read-only."""

    dialect = "mariadb"

    def __init__(self, server: MariaDB) -> None:
        self.server = server
        self.name = server.new_database().rpartition("/")[2]
        self.url = server.url(self.name).replace("root@", "pusher@")
        self._backup = server.folder / f"{self.name}.sql"
        self._run("create user if not exists pusher@'%'", f"grant all on {self.name}.* to pusher@'%'")

    def back_up(self) -> None:
        with self._backup.open("wb") as file:
            command = [
                "mariadb-dump",
                *self._login(),
                "--single-transaction",
                "--add-drop-database",
                "--databases",
                self.name,
            ]
            subprocess.run([binary(command[0]), *command[1:]], stdout=file, check=True)

    def restore(self) -> None:
        with self._backup.open("rb") as file:
            subprocess.run([binary("mariadb"), *self._login()], stdin=file, check=True)

    def fill(self, rng: random.Random) -> None:
        table = rng.choice(_MAY_BE_FULL)
        self._run(
            f"create trigger {self.name}.full before insert on {self.name}.`{table}` for each row "
            f"signal sqlstate 'HY000' set mysql_errno = {_TABLE_IS_FULL}, message_text = 'The table is full'"
        )

    def make_read_only(self, rng: random.Random) -> None:
        self._run("set global read_only = 1")

    def heal(self) -> None:
        self._run("set global read_only = 0", f"drop trigger if exists {self.name}.full")

    def restart(self) -> None:
        """As after a power failure."""
        self.server.kill()
        self.server.start()

    def _login(self) -> list[str]:
        return ["--no-defaults", "--host=127.0.0.1", f"--port={self.server.port}", "--user=root"]

    def _run(self, *statements: str) -> None:
        with pymysql.connect(host="127.0.0.1", port=self.server.port, user="root") as connection:
            for statement in statements:
                connection.cursor().execute(statement)


def _some_point(rng: random.Random) -> str:
    return rng.choice(["central hears", *CENTRAL])


def copy_database(source: Path, target: Path) -> None:
    """As a database of any kind is backed up: whole, whatever its log holds."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{target}{suffix}").unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(source)) as here, contextlib.closing(sqlite3.connect(target)) as there:
        here.backup(there)
