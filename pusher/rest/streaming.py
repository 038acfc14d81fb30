"""Answers that are made while they are sent: memory stays flat, and what breaks, or nobody waits for, ends at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import anyio
import sqlalchemy as sa
from sqlalchemy import exc
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pusher.schema.engine import reaching

_INCOMPARABLE = "42883"  # PostgreSQL: the type has no such operator, or no order
_MARIADB = ("mariadb", "mysql")


class Look:
    """One look at central's database, which another thread may end."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: sa.Connection | None = None
        self._stopped = False

    @contextmanager
    def connected(self, *, snapshot: bool) -> Iterator[sa.Connection]:
        """`snapshot`: all statements see the same rows. Raises Unreachable, or 400 if a value suits no comparison."""
        level = "REPEATABLE READ" if snapshot and self._engine.dialect.name != "sqlite" else None
        engine = self._engine.execution_options(isolation_level=level) if level else self._engine
        with _told(), reaching("central's database"), engine.connect() as connection:
            with self._lock:
                if self._stopped:
                    raise Stopped
                self._connection = connection
            try:
                yield connection
            except BaseException:
                self._abandon(connection)
                raise
            finally:
                with self._lock:
                    self._connection = None

    def stop(self) -> None:
        """Ends what the database is doing for it, or is about to do."""
        with self._lock:
            self._stopped = True
            if self._connection is not None:
                with suppress(Exception):  # it may be through in this moment; then there is nothing to end
                    _cancel(self._engine, self._connection)

    def _abandon(self, connection: sa.Connection) -> None:
        """What is left of the rows is not read, and the connection not used again."""
        with self._lock, suppress(Exception):
            _cancel(self._engine, connection)
            result = getattr(connection.connection.driver_connection, "_result", None)
            if result is not None and result.unbuffered_active:  # PyMySQL reads to the end, which has come close
                result._finish_unbuffered_query()
        with suppress(Exception):
            connection.invalidate()


class Stopped(Exception):
    """Nobody waits for the answer any more."""


def _cancel(engine: sa.Engine, connection: sa.Connection) -> None:
    if connection.closed or connection.invalidated:
        return
    driver: Any = connection.connection.driver_connection
    if engine.dialect.name == "sqlite":
        driver.interrupt()
    elif engine.dialect.name == "postgresql":
        driver.cancel_safe(timeout=5)
    elif engine.dialect.name in _MARIADB:
        arguments, options = engine.dialect.create_connect_args(engine.url)
        with closing(engine.dialect.connect(*arguments, **options)) as other:  # the pool may have none to spare
            other.cursor().execute(f"KILL QUERY {driver.thread_id()}")


@contextmanager
def _told() -> Iterator[None]:
    """What the database has against a value of a filter is the client's to know."""
    try:
        yield
    except exc.DataError as error:
        raise HTTPException(400, "a filter, or next, holds a value that its column cannot have") from error
    except exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _INCOMPARABLE:
            raise
        raise HTTPException(400, "a column that is filtered or sorted by is of a type that has no order") from error
    except OverflowError as error:  # SQLite's driver
        raise HTTPException(400, "a filter, or next, holds a number that no column can have") from error


class Stream(Response):
    """Sends parts as they are made, in threads. An error breaks the answer off, so that half of it looks like nothing
    whole; before the first part it still gets a status of its own. A client that goes away ends `look`.

    `headers` may be filled in until the first part is made.
    """

    def __init__(
        self, parts: Generator[bytes, None, None], look: Look, media_type: str, headers: dict[str, str]
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self._late_headers = headers
        self._parts = parts
        self._look = look
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with leaving(receive, self._look) as gone:
            try:
                await self._send_all(send, gone, empty=scope["method"] == "HEAD")
            except Exception:
                if not gone():
                    raise
            finally:
                with anyio.CancelScope(shield=True):
                    await run_in_threadpool(self._parts.close)

    async def _send_all(self, send: Send, gone: Callable[[], bool], *, empty: bool) -> None:
        part = await run_in_threadpool(next, self._parts, None)
        self.init_headers(self._late_headers)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while part is not None and not empty and not gone():
            if part:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            part = await run_in_threadpool(next, self._parts, None)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@contextmanager
def leaving(receive: Receive, look: Look) -> Iterator[Callable[[], bool]]:
    """Ends `look` when the client goes away; gives whether it has."""
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        await run_in_threadpool(look.stop)

    watcher = asyncio.create_task(watch())
    try:
        yield lambda: left
    finally:
        if not left:
            watcher.cancel()
