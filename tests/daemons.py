"""Daemons for tests: a site whose daemon is a real process, and centrals that only ever say no."""

from __future__ import annotations

import http.server
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any

import sqlalchemy as sa

from models import Base, Reading
from pusher.central.migrate import upgrade
from pusher.central.tokens import new_token
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.stage import serving, start_pusher, write_config


@dataclass(frozen=True)
class Scene:
    """A site with a location `central` that works."""

    site: sa.Engine
    central: sa.Engine
    config: Path

    def collect(self, readings: int) -> None:
        Datagen(seed=1, start=datetime(2026, 1, 1)).bulk(self.site, readings)

    def arrived(self) -> int:
        with self.central.connect() as connection:
            return connection.execute(sa.select(sa.func.count(Reading.time))).scalar_one()

    def has(self, readings: int) -> bool:
        return self.arrived() == readings

    def change(self, old: str, new: str) -> None:
        """Edits the configuration, whole, as a careful editor does."""
        text = self.config.read_text()
        assert old in text
        edited = self.config.with_name("edited")
        edited.write_text(text.replace(old, new))
        edited.chmod(0o600)
        edited.replace(self.config)

    def add_location(self, name: str, resturl: str, *, on: bool = True) -> None:
        self.change("central = 1\n", f"central = 1\n{name} = {int(on)}\n")
        with self.config.open("a") as config:
            config.write(f"\n[{name}]\nresturl = {resturl}\ntoken = file:token\n")

    @contextmanager
    def daemon(self, synctime: float = 60, environ: Mapping[str, str] | None = None) -> Iterator[Popen[str]]:
        """The daemon; ends it, in order, if the test did not."""
        if "\nsynctime = " not in self.config.read_text():
            self.change("[locations]", f"synctime = {synctime}\n\n[locations]")
        with (
            self.log.open("a") as log,
            start_pusher("--config", self.config, "run", stdout=DEVNULL, stderr=log, env=environ) as daemon,
        ):
            try:
                yield daemon
                assert end(daemon) < 10
            finally:
                daemon.kill()
        assert daemon.returncode in (0, -signal.SIGKILL), self.log.read_text()
        assert "Traceback" not in self.log.read_text()

    @property
    def log(self) -> Path:
        return self.config.parent / "log"

    def events(self, name: str, location: str) -> list[str]:
        """The rest of each line of the log with this event of a location."""
        return re.findall(rf" {name} location={location}\b(.*)", self.log.read_text())


def end(daemon: Popen[str], number: signal.Signals = signal.SIGTERM) -> float:
    """How many seconds it takes."""
    began = time.monotonic()
    daemon.send_signal(number)
    try:
        daemon.wait(20)
    except TimeoutExpired:
        daemon.kill()
    return time.monotonic() - began


@contextmanager
def scene_of(new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    """20 readings wait at the site, and go in batches of 5."""
    site, central = new_database("sqlite"), new_database("sqlite")
    with opened(site) as here, opened(central) as there:
        Base.metadata.create_all(here)
        upgrade(there)
        with serving(central) as resturl:
            config = write_config(tmp_path, "north", site, resturl, new_token(there, "north", "push"), pushlimit=5)
            found = Scene(here, there, config)
            found.collect(20)
            yield found


@dataclass
class Refusal:
    """A central that answers everything with `status`, and notes when it was asked."""

    status: int = 503
    retry_after: str | None = None
    asked: list[float] = field(default_factory=list)
    resturl: str = ""


@contextmanager
def refusing(status: int = 503, retry_after: str | None = None) -> Iterator[Refusal]:
    central = Refusal(status, retry_after)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            central.asked.append(time.monotonic())
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(central.status)
            if central.retry_after is not None:
                self.send_header("Retry-After", central.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        central.resturl = f"http://127.0.0.1:{server.server_address[1]}/rest/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield central
        finally:
            server.shutdown()
            thread.join()
