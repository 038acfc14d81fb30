"""Opens a database so that every session reads and writes values literally, whatever the dialect."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import URL, Engine, make_url

from pusher.errors import ConfigError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

_DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql", "postgresql": "postgresql+psycopg"}

# Strict, so that a value that does not fit is refused and never cut; zero stays zero; instants are UTC.
_MARIADB_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION', "
    "time_zone = '+00:00', group_concat_max_len = 4294967295"
)
_POSTGRESQL_SESSION = (
    "SET client_encoding = 'UTF8'; SET TIME ZONE 'UTC'; SET datestyle = ISO; SET intervalstyle = postgres; "
    "SET extra_float_digits = 1"
)
_SQLITE_BUSY_SECONDS = 60
_CONNECT_SECONDS = 10
_KEPT_ENGINES = 64
_idle: dict[str, Engine] = {}  # by URL; who uses one takes it out
_AWAY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)

# It warns of every batch of which a row is refused; what becomes of those, the receipt says.
logging.getLogger("psycopg").setLevel(logging.ERROR)


def parse_url(text: str) -> URL:
    """The URL with the driver filled in that pusher is tested with.

    Raises ConfigError if it is no database URL.
    """
    try:
        url = make_url(text)
    except exc.ArgumentError:
        raise ConfigError(
            ["not a database URL; expected for example sqlite:///site.db or mysql+pymysql://user@host/name"]
        ) from None
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def open_engine(text: str, *, create: bool = False, connections: int = 5) -> Engine:
    """An engine on the database at URL `text`; nothing is connected yet. It keeps up to so many `connections` open, and
    opens twice as many if need be.

    An SQLite file that does not exist is only made when `create` is true: an empty database
    must never be mistaken for a site. Raises ConfigError or Unreachable.
    """
    url = parse_url(text)
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _open_sqlite(url, create)
    arguments: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS}
    if backend in ("mysql", "mariadb"):
        arguments |= {"charset": "utf8mb4", "init_command": _MARIADB_SESSION}
    try:
        # What another site committed while this transaction waited for a lock must be seen after it.
        engine = sa.create_engine(
            url,
            connect_args=arguments,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            pool_size=connections,
            max_overflow=connections,
        )
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError([f"no driver for {url.drivername}: {error}"]) from error
    if engine.driver == "pymysql":
        event.listen(engine, "do_connect", _connect_pymysql)
    if backend == "postgresql":
        event.listen(engine, "connect", _prepare_postgresql)
    return engine


@contextmanager
def opened(text: str, *, create: bool = False) -> Iterator[Engine]:
    """`open_engine`, its connections closed at the end.

    The engine without them is kept for the next time, since it knows how its statements are spelt: a daemon would have
    to learn it anew in every cycle.
    """
    try:
        engine = _idle.pop(text)
    except KeyError:
        engine = open_engine(text, create=create)
    else:
        _refuse_missing(engine.url, create)
    try:
        yield engine
    finally:
        engine.dispose()
        if len(_idle) >= _KEPT_ENGINES:
            _idle.clear()
        _idle[text] = engine


def _refuse_missing(url: URL, create: bool) -> None:
    path = url.database if url.get_backend_name() == "sqlite" else None
    if path and path != ":memory:" and not create and not Path(path).exists():
        raise Unreachable(f"no database at {path}")


def _open_sqlite(url: URL, create: bool) -> Engine:
    _refuse_missing(url, create)
    engine = sa.create_engine(url, connect_args={"timeout": _SQLITE_BUSY_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine, its transactions taking SQLite's write lock at once instead of failing on the way."""
    return engine.execution_options(sqlite_begin="IMMEDIATE")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # pusher says BEGIN itself: see _begin_sqlite
    connection.text_factory = _decode_text
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _decode_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")  # one damaged text must not stop a stream


def _begin_sqlite(connection: sa.Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _connect_pymysql(_dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> object:
    from pusher.schema.mariadb import Connection

    return Connection(**parameters)


def _prepare_postgresql(connection: Any, _record: object) -> None:
    autocommit = connection.autocommit
    connection.autocommit = True
    connection.execute(_POSTGRESQL_SESSION)
    connection.autocommit = autocommit


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Turns "the database is not there" of every driver into Unreachable, naming `what`."""
    try:
        yield
    except (exc.DatabaseError, exc.InterfaceError, exc.TimeoutError) as error:
        # A file that is damaged, or no database at all, is to SQLite an error of no narrower class.
        if not isinstance(error, _AWAY) and type(error) is not exc.DatabaseError:
            raise
        cause = getattr(error, "orig", None) or error
        raise Unreachable(f"{what} cannot be reached: {first_line(cause)}") from error


def first_line(error: BaseException) -> str:
    """The first line of what a driver said, without its error-number tuple."""
    arguments: tuple[object, ...] = error.args
    text = str(arguments[1] if len(arguments) > 1 else error).strip()
    return text.splitlines()[0] if text else type(error).__name__
