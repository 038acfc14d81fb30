"""Starts the central service: its database, its socket, its worker processes."""

from __future__ import annotations

import os
import signal
import socket
import sys

import uvicorn
from sqlalchemy.engine import Engine
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess

from pusher.central.migrate import is_prepared, refuse_unprepared, upgrade
from pusher.errors import UsageError
from pusher.rest.app import make_app
from pusher.schema.engine import open_engine

_URL_VARIABLE = "PUSHER_CENTRAL_DB"  # an environment, unlike a command line, is not for everybody to read
_RETENTION_VARIABLE = "PUSHER_CENTRAL_RETENTION_DAYS"
_STOP_SECONDS = 10


def serve(url: str, host: str, port: int, workers: int, *, make: bool, retention_days: int) -> None:
    """Serves until it is stopped. `make`: create the tables if there are none. `retention_days`: see `Store`.

    Raises SchemaMismatch if the tables are not as expected, UsageError if the address cannot be had.
    """
    open_central(url, make=make).dispose()
    listening = listen(host, port)
    os.environ[_URL_VARIABLE] = url
    os.environ[_RETENTION_VARIABLE] = str(retention_days)
    config = uvicorn.Config(
        "pusher.rest.server:app_from_environment",
        factory=True,
        workers=workers,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
        timeout_keep_alive=75,
    )
    address = listening.getsockname()
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    print(f"central serves http://{shown}:{address[1]}/rest/", file=sys.stderr, flush=True)
    # The server ends in order and then raises the signal again: to whoever asked for the end that is no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if workers == 1:
            uvicorn.Server(config).run(sockets=[listening])
        else:
            Multiprocess(config, sockets=[listening]).run()
    except KeyboardInterrupt:
        pass


def open_central(url: str, *, make: bool) -> Engine:
    """Central's database, its bookkeeping up to date; `make` creates it if it is not there.

    Raises SchemaMismatch, telling what to do, if it is not.
    """
    engine = open_engine(url, create=make)
    if not make:
        refuse_unprepared(engine)
    elif not is_prepared(engine):
        upgrade(engine)
    return engine


def app_from_environment() -> Starlette:
    """What each worker process serves."""
    return make_app(open_engine(os.environ[_URL_VARIABLE]), int(os.environ[_RETENTION_VARIABLE]))


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
