"""Runs the command `pusher` under orders.

A file says what is to befall the process, and where: at a boundary between two steps. It is read again at each of
them, so orders may be given, changed and taken back while the process runs. The product knows nothing of it: its
functions are wrapped from outside.
"""

from __future__ import annotations

import errno
import functools
import os
import resource
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.pool import Pool

import pusher.central.store
import pusher.push.marker
import pusher.rest.access
from pusher.central.blocks import BlockNotes
from pusher.central.store import Store
from pusher.cli.main import main
from pusher.ledger import Ledger
from pusher.transport.rest import RestCentral

Deed = Literal["die", "slow", "full", "read-only"]

# Where an agent and a central can be struck: the owner of a function, its name, and on which side of it.
AGENT: dict[str, tuple[Any, str, str]] = {
    "agent before request": (RestCentral, "push", "before"),
    "agent after receipt": (RestCentral, "push", "after"),
    "agent after resolve": (RestCentral, "resolve", "after"),
    "agent before checkpoint": (Ledger, "advance", "before"),
    "agent after checkpoint": (Ledger, "advance", "after"),
    "agent before identities": (Ledger, "note_identities", "before"),
    "agent after marker in ledger": (Ledger, "write_marker", "after"),
    "agent before config": (pusher.push.marker, "write_lastupdate", "before"),
    "agent after config": (pusher.push.marker, "write_lastupdate", "after"),
}
CENTRAL: dict[str, tuple[Any, str, str]] = {
    "central before apply": (pusher.central.store, "apply", "before"),
    "central before notes": (BlockNotes, "add", "before"),
    "central before commit": (pusher.central.store, "apply", "after"),
    "central before reply": (Store, "push", "after"),
    "central resolve before reply": (Store, "resolve", "after"),
}
_ALSO: dict[str, tuple[Any, str, str]] = {
    "agent begins": (RestCentral, "hello", "before"),
    "agent has read config to change it": (tempfile, "mkstemp", "before"),
    "central hears": (pusher.rest.access, "bearer", "before"),
}
_SLOW_SECONDS = 0.3
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.truncate", "os.link")


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """At the `count`th time that the process comes to `point` (or at its start), `deed` happens to it.

    slow: it stands still for a moment; full: no file grows beyond `file_bytes`; read-only: nothing in `folder` can be
    written, at central not its database.
    """

    deed: Deed
    point: str = "start"
    count: int = 1
    file_bytes: int = 0
    folder: str = ""


def give(path: Path, orders: Orders | None) -> None:
    """Gives orders to the process that reads `path`, or takes them back."""
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(orders) if orders else b"")
    new.replace(path)


class _Fate:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = b""
        self._orders: Orders | None = None
        self._left = 0
        self._lock = threading.Lock()
        self.read_only: Path | None = None

    def come_to(self, point: str) -> None:
        with self._lock:
            self._listen()
            if self._orders and self._orders.point == point:
                self._left -= 1
                if self._left == 0:
                    self._do(self._orders)

    def _listen(self) -> None:
        text = b""
        with suppress(FileNotFoundError):
            text = self._path.read_bytes()
        if text == self._text:
            return
        self._text = text
        self._orders = msgspec.json.decode(text, type=Orders) if text else None
        self._left = self._orders.count if self._orders else 0
        self.read_only = None
        _limit_files(resource.RLIM_INFINITY)

    def _do(self, orders: Orders) -> None:
        if orders.deed == "die":
            os.kill(os.getpid(), signal.SIGKILL)  # as a power failure would
        elif orders.deed == "slow":
            time.sleep(_SLOW_SECONDS)
        elif orders.deed == "full":
            _limit_files(orders.file_bytes)
        else:
            self.read_only = Path(orders.folder)


def _limit_files(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def _strike(fate: _Fate, point: str, owner: Any, name: str, side: str) -> None:
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if side == "before":
            fate.come_to(point)
        result = function(*arguments, **named)
        if side == "after":
            fate.come_to(point)
        return result

    setattr(owner, name, wrapped)


def _make_read_only(fate: _Fate) -> None:
    """As root may write whatever the mode of a file says, the refusal has to come from within."""

    def is_in(path: object) -> bool:
        if fate.read_only is None or not isinstance(path, str | os.PathLike):
            return False
        return Path(os.fspath(path)).absolute().is_relative_to(fate.read_only)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and arguments[2] & _WRITING and is_in(arguments[0])
        if writes or (event in _CHANGES and any(map(is_in, arguments[:2]))):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))

    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connect_as_allowed(database: Any, *arguments: Any, **named: Any) -> sqlite3.Connection:
        connection = connect(database, *arguments, **named)
        if is_in(database):
            connection.execute("pragma query_only = on")
        return connection

    sys.addaudithook(hook)
    for module in (sqlite3, sqlite3.dbapi2):
        setattr(module, "connect", connect_as_allowed)  # noqa: B010  mypy knows the overloads of the real one

    @sa.event.listens_for(Pool, "checkout")
    def checkout(connection: Any, _record: object, _proxy: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute(f"pragma query_only = {'off' if fate.read_only is None else 'on'}")


def obey(path: Path) -> None:
    """The command of `sys.argv`, under the orders in `path`."""
    fate = _Fate(path)
    _make_read_only(fate)
    for point, (owner, name, side) in {**AGENT, **CENTRAL, **_ALSO}.items():
        _strike(fate, point, owner, name, side)
    fate.come_to("start")
    main()
