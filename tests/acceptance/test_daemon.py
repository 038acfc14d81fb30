"""`pusher run`: it cycles, reads its configuration anew, and ends in order when it is told to."""

from __future__ import annotations

import functools
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired

import pytest
import sqlalchemy as sa

from models import Base, Reading
from pusher.central.migrate import upgrade
from pusher.central.tokens import new_token
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.stage import contents, pusher, serving, start_pusher, wait_until, write_config


@dataclass(frozen=True)
class Scene:
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
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    @contextmanager
    def daemon(self, synctime: float = 60) -> Iterator[Popen[str]]:
        """The daemon; ends it, in order, if the test did not."""
        self.change("[locations]", f"synctime = {synctime}\n\n[locations]")
        with (
            self.log.open("w") as log,
            start_pusher("--config", self.config, "run", stdout=DEVNULL, stderr=log) as daemon,
        ):
            yield daemon
            assert end(daemon) < 10
        assert daemon.returncode == 0
        assert "Traceback" not in self.log.read_text()

    @property
    def log(self) -> Path:
        return self.config.parent / "log"


def end(daemon: Popen[str], number: signal.Signals = signal.SIGTERM) -> float:
    """How many seconds it takes."""
    began = time.monotonic()
    daemon.send_signal(number)
    try:
        daemon.wait(20)
    except TimeoutExpired:
        daemon.kill()
    return time.monotonic() - began


@pytest.fixture
def scene(new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    site, central = new_database("sqlite"), new_database("sqlite")
    with opened(site) as here, opened(central) as there:
        Base.metadata.create_all(here)
        upgrade(there)
        with serving(central) as resturl:
            config = write_config(tmp_path, "north", site, resturl, new_token(there, "north", "push"), pushlimit=5)
            found = Scene(here, there, config)
            found.collect(20)
            yield found


def test_it_cycles_every_synctime(scene: Scene) -> None:
    with scene.daemon(synctime=0.005):
        for readings in (20, 40, 60):
            wait_until(functools.partial(scene.has, readings))
            scene.collect(20)
    assert "cycle_ended location=central" in scene.log.read_text()


@pytest.mark.parametrize(("old", "new"), [("central = 1", "central = yes?"), ("central = 1", "central = 0")])
def test_it_does_not_begin_with_a_wrong_configuration(scene: Scene, old: str, new: str) -> None:
    scene.change(old, new)
    done = pusher("--config", scene.config, "run")
    assert done.returncode == 2 and "[locations]" in done.stderr


def test_it_wakes_on_sighup_and_reads_the_configuration_anew(scene: Scene) -> None:
    with scene.daemon() as daemon:
        wait_until(lambda: scene.arrived() == 20)
        scene.change("central = 1", "central = yes?")
        scene.collect(20)
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: "cycle_failed" in scene.log.read_text())
        assert daemon.poll() is None and scene.arrived() == 20
        scene.change("central = yes?", "central = 1")
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: scene.arrived() == 40)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_between_two_batches(scene: Scene, number: signal.Signals) -> None:
    scene.collect(2000)
    with scene.daemon() as daemon:
        wait_until(lambda: scene.arrived() > 20)
        assert end(daemon, number) < 5
    assert 20 < scene.arrived() < 2020
    assert "stopped by a signal" in scene.log.read_text()
    scene.change("pushlimit = 5", "pushlimit = 500")
    assert pusher("--config", scene.config, "run", "--once").returncode == 0
    assert contents(str(scene.site.url)) == contents(str(scene.central.url))


def test_one_cycle_ends_early_too(scene: Scene) -> None:
    scene.collect(2000)
    with start_pusher("--config", scene.config, "run", "--once") as agent:
        wait_until(lambda: scene.arrived() > 20)
        agent.send_signal(signal.SIGINT)
        _, err = agent.communicate()
    assert agent.returncode == 1
    assert err == "central: stopped by a signal; the next run goes on from here\n"
    assert scene.arrived() < 2020


def test_it_ends_while_central_keeps_silent(scene: Scene) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        scene.config.write_text(
            scene.config.read_text().replace("resturl = ", f"resturl = http://127.0.0.1:{port}/rest/ ; was ")
        )
        with scene.daemon() as daemon:
            connection, _ = silent.accept()
            with closing(connection):
                assert connection.recv(10)  # the hello, which is never answered
                assert end(daemon) < 10
