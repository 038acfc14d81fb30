"""`pusher run`: it cycles, reads its configuration anew, and ends in order when it is told to."""

from __future__ import annotations

import functools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from models import bookkeeping
from tests.conftest import NewDatabase
from tests.daemons import Scene, end, scene_of
from tests.stage import contents, pusher, start_pusher, wait_until


@pytest.fixture
def scene(new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    with scene_of(new_database, tmp_path) as found:
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


def test_the_lock_of_a_killed_daemon_holds_up_nobody(scene: Scene) -> None:
    with scene.daemon() as daemon:
        wait_until(lambda: scene.has(20))
        second = pusher("--config", scene.config, "run", "--once")
        assert second.returncode == 4 and str(daemon.pid) in second.stderr
        daemon.kill()
        daemon.wait()
    scene.collect(20)
    with scene.daemon():
        wait_until(lambda: scene.has(40))


@contextmanager
def systemd_for(scene: Scene) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """Its socket, and the environment that it gives to a daemon."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        address = str(scene.config.parent / "notify")
        systemd.bind(address)
        systemd.settimeout(30)
        yield systemd, {**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "600000"}


def heard(systemd: socket.socket) -> list[str]:
    """What it was told until now."""
    systemd.setblocking(False)
    told = []
    with suppress(BlockingIOError):
        while True:
            told.append(systemd.recv(1000).decode())
    return told


def test_systemd_hears_how_it_is(scene: Scene) -> None:
    with systemd_for(scene) as (systemd, environ), scene.daemon(environ=environ) as daemon:
        told = [systemd.recv(1000).decode()]
        assert told == ["READY=1"]
        while told.count("WATCHDOG=1") < 3 or "STATUS=central waits" not in told:
            told.append(systemd.recv(1000).decode())
        assert scene.has(20)
        assert end(daemon) < 5
        while not told[-1].startswith("STOPPING=1"):
            told.append(systemd.recv(1000).decode())


# The command, with a patience that a test has.
_HASTY = "import pusher.daemon as daemon; daemon._STUCK_SECONDS = 1; import pusher.cli.main as main; main.main()"


def test_systemd_hears_no_more_of_a_daemon_with_a_location_that_is_stuck(scene: Scene) -> None:
    with systemd_for(scene) as (systemd, environ), closing(socket.create_server(("127.0.0.1", 0))) as silent:
        scene.add_location("lab", f"http://127.0.0.1:{silent.getsockname()[1]}/rest/")
        command = [sys.executable, "-c", _HASTY, "--config", str(scene.config), "run"]
        with scene.log.open("w") as log, subprocess.Popen(command, env=environ, stderr=log) as daemon:
            try:
                wait_until(lambda: "location_stuck location=lab" in scene.log.read_text())
                wait_until(lambda: scene.has(20))
                assert "WATCHDOG=1" in heard(systemd)
                time.sleep(1)
                assert "WATCHDOG=1" not in heard(systemd)
                assert daemon.poll() is None
            finally:
                daemon.kill()


def test_central_learns_why_a_cycle_failed_once_it_can_be_told(scene: Scene) -> None:
    service = re.search(r"http://127\.0\.0\.1:(\d+)/", scene.config.read_text())
    assert service
    scene.change(f":{service[1]}/", ":1/")
    assert pusher("--config", scene.config, "run", "--once").returncode == 3
    scene.change(":1/", f":{service[1]}/")
    for _ in range(2):
        assert pusher("--config", scene.config, "run", "--once").returncode == 0
    event = bookkeeping.event
    with scene.central.connect() as connection:
        (detail,) = connection.scalars(sa.select(event.c.detail).where(event.c.kind == "failure"))
    assert "cannot be reached" in detail
