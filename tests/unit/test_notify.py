"""What systemd hears, on real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pusher.notify import ServiceManager


@pytest.fixture(params=["a path", "an abstract name"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{tmp_path}/notify" if request.param == "a path" else f"@pusher-test-{os.getpid()}"


@pytest.fixture
def systemd(address: str) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind("\0" + address[1:] if address.startswith("@") else address)
        listening.settimeout(5)
        yield listening


def heard(systemd: socket.socket) -> list[str]:
    systemd.setblocking(False)
    texts = []
    try:
        while True:
            texts.append(systemd.recv(1000).decode())
    except BlockingIOError:
        return texts


def test_it_tells(systemd: socket.socket, address: str) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": address})
    manager.ready()
    manager.status("central waits")
    manager.status("central waits")
    manager.alive(1)
    manager.stopping()
    ready, status, stopping = heard(systemd)
    assert ready == "READY=1" and status == "STATUS=central waits" and stopping.startswith("STOPPING=1\n")


@pytest.mark.parametrize("address", ["@pusher-test-watchdog"])
def test_the_watchdog_is_fed_in_good_time_and_not_more(systemd: socket.socket, address: str) -> None:
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    manager = ServiceManager(environ)
    for moment in range(0, 61):
        manager.alive(1000 + moment)
    assert heard(systemd) == ["WATCHDOG=1"] * 7


@pytest.mark.parametrize("address", ["@pusher-test-no-watchdog"])
@pytest.mark.parametrize("watchdog", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}])
def test_a_watchdog_of_another_is_not_fed(systemd: socket.socket, address: str, watchdog: dict[str, str]) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000", **watchdog})
    manager.alive(1)
    assert heard(systemd) == []


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_nobody_needs_to_listen(environ: dict[str, str]) -> None:
    manager = ServiceManager(environ)
    manager.ready()
    manager.stopping()
