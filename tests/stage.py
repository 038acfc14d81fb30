"""A stage for tests of the whole: sites with a configuration of their own, and a real central service."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa
import uvicorn

from models import Base
from pusher.central.tokens import new_token
from pusher.daemon import cycle
from pusher.job import NoProgress, Outcome
from pusher.rest.app import make_app
from pusher.rest.server import listen
from pusher.schema.engine import opened
from tests import prepared, ready
from tests.servers import free_port

PUSHER = Path(sys.executable).with_name("pusher")
_START_SECONDS = 30
_COMMAND_SECONDS = 120
_OF_CENTRAL = ("Server", "Pushstatus")  # where central notes who pushed
_CONFIG = """\
; what the operator wrote
[general]
site = {site}        ; our name at central
localurl = {localurl}
pushlimit = {pushlimit}

[locations]
central = 1

[central]
resturl = {resturl}
token = file:token
lastupdate = None    ; written by pusher
{extra}"""


class CentralService:
    """`pusher serve` as a process of its own, on one port for all its lives.

    `prepare`: migrate both branches first; without, the database must be prepared by the test.
    `log`: a file for what it writes to standard error. `options`: more of them for `pusher serve`.
    """

    def __init__(
        self, db: str, *, prepare: bool = True, log: Path = Path(os.devnull), options: Sequence[str] = ()
    ) -> None:
        self.db = db
        self.log = log
        self.options = options
        self.port = free_port()
        self.resturl = f"http://127.0.0.1:{self.port}/rest/"
        self._process: subprocess.Popen[bytes] | None = None
        if prepare:
            with opened(db, create=True) as engine:
                prepared.prepare(engine)

    def __enter__(self) -> CentralService:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        command = [sys.executable, "-m", "pusher.cli.main", "serve", "--db", "env:TEST_DB", "--port", str(self.port)]
        command += self.options
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env={**os.environ, "TEST_DB": self.db}, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                if requests.get(self.resturl.replace("/rest/", "/live"), timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.05)
        raise AssertionError("the central service did not start")

    def kill(self) -> None:
        """SIGKILL: it has no time for a last word."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def kill_after(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self.kill)
        timer.start()
        return timer

    def token(self, site: str, scope: str = "push") -> str:
        with opened(self.db) as engine:
            return new_token(engine, site, scope)


@contextmanager
def serving(db: str, *, certfile: Path | None = None) -> Iterator[str]:
    """The service's application in a thread, over a prepared database: quicker than a process. Gives its resturl.

    `certfile`: a certificate and its key, to speak TLS with.
    """
    with opened(db) as engine, closing(listen("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(make_app(engine), log_level="critical", ssl_certfile=certfile))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"http{'s' if certfile else ''}://127.0.0.1:{listening.getsockname()[1]}/rest/"
        finally:
            server.should_exit = True
            thread.join()


def contents(db: str, extra: Iterable[sa.Table] = ()) -> dict[str, Counter[object]]:
    """Every row of the domain tables and of `extra`, the numbers of its database replaced by what they stand for.

    Equal on both sides exactly if all arrived, and arrived once. Reads everything: for small databases.
    """
    tables = [*Base.metadata.sorted_tables, *extra]
    meaning: dict[tuple[str, object], object] = {}
    found: dict[str, Counter[object]] = {}
    with opened(db) as engine, engine.connect() as connection:
        for table in tables:
            found[table.name] = Counter()
            for row in connection.execute(sa.select(table)).mappings():
                values = tuple(
                    (c.name, _meant(c, row[c], meaning)) for c in table.c if c is not table.autoincrement_column
                )
                found[table.name][values] += 1
                if len(table.primary_key) == 1:
                    meaning[table.name, row[table.primary_key.columns[0]]] = values
    return {name: rows for name, rows in found.items() if name not in _OF_CENTRAL}


def _meant(column: sa.Column[object], value: object, meaning: dict[tuple[str, object], object]) -> object:
    if value is None or not column.foreign_keys:
        return value
    (reference,) = column.foreign_keys
    return meaning[reference.column.table.name, value]


def write_config(
    folder: Path, site: str, localurl: str, resturl: str, token: str, *, pushlimit: int = 20000, extra: str = ""
) -> Path:
    """A synchronise.conf with its token beside it; `extra`: further sections."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text(token)
    path = folder / "synchronise.conf"
    path.write_text(_CONFIG.format(site=site, localurl=localurl, resturl=resturl, pushlimit=pushlimit, extra=extra))
    path.chmod(0o600)
    return path


def start_pusher(*arguments: str | Path, cwd: Path | None = None, **options: Any) -> subprocess.Popen[str]:
    """The installed command as a process of its own; `options` go to Popen."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([PUSHER, *map(str, arguments)], cwd=cwd, text=True, **pipes | options)


def pusher(*arguments: str | Path, cwd: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command, run to its end, which is never a traceback; `options` go to Popen."""
    if options:
        done = _run(*arguments, cwd=cwd, **options)
    else:
        done = ready.run(PUSHER, arguments, cwd, timeout=_COMMAND_SECONDS)
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done


def _run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    with start_pusher(*arguments, **options) as process:
        try:
            out, err = process.communicate(timeout=_COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Fails if `condition` does not come true in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def push(path: Path) -> Outcome:
    """One cycle of the only location of a configuration, whatever comes of it."""
    (outcome,) = cycle(path, [], NoProgress())
    return outcome


def push_all(path: Path) -> Outcome:
    """One cycle that must end well."""
    outcome = push(path)
    assert outcome.error is None, outcome.error
    assert not [(entry.table, entry.stopped) for entry in outcome.tables if entry.stopped]
    return outcome
