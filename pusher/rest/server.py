"""Starts the central service: its database, its socket, its worker processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

import h11
import msgspec
import uvicorn
from sqlalchemy.engine import Engine
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from pusher.central.filestore import FileStore
from pusher.central.prepared import is_prepared, refuse_unprepared
from pusher.central.store import RETENTION_DAYS
from pusher.config import load
from pusher.errors import UsageError
from pusher.log import to_files
from pusher.rest.app import make_app
from pusher.rest.imports_runs import Imports
from pusher.rest.limits import Limits
from pusher.schema.engine import open_engine

_URL_VARIABLE = "PUSHER_CENTRAL_DB"  # an environment, unlike a command line, is not for everybody to read
_SETTINGS_VARIABLE = "PUSHER_CENTRAL_SETTINGS"
_STOP_SECONDS = 10
_CONNECTIONS = 10  # to the database that each worker keeps; twice as many at most
# While a batch is taken apart, a message of two lines waits for Python's lock at each of its statements, and so long.
_SWITCH_SECONDS = 0.002
_HEAD_BYTES = 16 << 10  # the address and the headers of a request
_HEAD_SECONDS = 30


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the service behaves, as each worker process learns it. `retention_days`: see `Store`. `files`: the folder of
    the sites' files, None to take none. `imports`: the configuration with the locations to import from, None if nobody
    may; each worker reads it, so that no secret of it travels."""

    retention_days: int = RETENTION_DAYS
    read_public: bool = False
    requests_per_minute: int = 600
    files: str | None = None
    imports: str | None = None


def serve(
    url: str,
    host: str,
    port: int,
    workers: int,
    *,
    make: bool,
    settings: Settings,
    tls: tuple[str, str] | None = None,
    trusted_proxies: list[str] | None = None,
) -> None:
    """Serves until it is stopped. `make`: create the tables if there are none. `tls`: files of a certificate and key.
    `trusted_proxies`: addresses of proxies whose word on whom they speak for is taken.

    Raises SchemaMismatch if the tables are not as expected, UsageError if the address, the certificate or the folder of
    files cannot be had, ConfigError, WriteFailed or FileRefused if that is so of `settings.imports` or its folders.
    """
    if tls:
        _check_certificate(*tls)
    if settings.files:
        FileStore(Path(settings.files)).check()
    if settings.imports:
        Imports(load(Path(settings.imports)))
    open_central(url, make=make).dispose()
    listening = listen(host, port)
    os.environ[_URL_VARIABLE] = url
    os.environ[_SETTINGS_VARIABLE] = msgspec.json.encode(settings).decode()
    config = uvicorn.Config(
        "pusher.rest.server:app_from_environment",
        factory=True,
        workers=workers,
        http=PatientProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies or [],
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_graceful_shutdown=_STOP_SECONDS,
        timeout_keep_alive=75,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
    address = listening.getsockname()
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    print(f"central serves http{'s' if tls else ''}://{shown}:{address[1]}/rest/", file=sys.stderr, flush=True)
    # The server ends in order and then raises the signal again: to whoever asked for the end that is no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if workers == 1:
            uvicorn.Server(config).run(sockets=[listening])
        else:
            Multiprocess(config, sockets=[listening]).run()
    except KeyboardInterrupt:
        pass


class PatientProtocol(H11Protocol):
    """Closes a connection on which no head of a request comes to its end: the server itself would wait for ever."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(_HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._end_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        super().connection_lost(exc)

    def _end_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def open_central(url: str, *, make: bool) -> Engine:
    """Central's database, its bookkeeping up to date; `make` creates it if it is not there.

    Raises SchemaMismatch, telling what to do, if it is not.
    """
    engine = open_engine(url, create=make)
    if not make:
        refuse_unprepared(engine)
    elif not is_prepared(engine):
        from pusher.central.migrate import upgrade  # which takes its time to load, and is needed but once

        upgrade(engine)
    return engine


def app_from_environment() -> Starlette:
    """What each worker process serves."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    settings = msgspec.json.decode(os.environ[_SETTINGS_VARIABLE], type=Settings)
    config = load(Path(settings.imports)) if settings.imports else None
    if config:
        to_files(config.logging)
    return make_app(
        open_engine(os.environ[_URL_VARIABLE], connections=_CONNECTIONS),
        settings.retention_days,
        read_public=settings.read_public,
        limits=Limits(requests_per_minute=settings.requests_per_minute),
        files_folder=Path(settings.files) if settings.files else None,
        locations=Imports(config) if config else None,
    )


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns off Nagle's algorithm only then: it costs 40 ms an answer.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listening.listen(512)  # from now on whoever calls waits, and is not refused, until the workers are up
    listening.set_inheritable(True)
    return listening


def _check_certificate(certificate: str, key: str) -> None:
    """Before anything else, since each worker would fail by itself, and ask for a password."""
    for file in (certificate, key):
        try:
            with open(file, "rb"):
                pass
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error)
        raise UsageError(
            f"{certificate} and {key} are no certificate and its key, in PEM and without a password: {why}"
        ) from error
