"""The agent and central of a world as processes of their own, which may be killed at any time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from pusher.cli.main import main
from tests.fault.orders import Orders, give, obey
from tests.servers import free_port

_START_SECONDS = 30
_CYCLE_SECONDS = 120
_KILLED = -9

# Processes are forked off one that has everything imported already: most of a short life would else be that.
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    ["__main__", "tests.fault.orders", "pusher.daemon", "pusher.rest.app", "pusher.cli.site"]
)


class Forked:
    """`pusher` in a process of its own, under the orders in a file if there is one."""

    def __init__(self, orders: Path | None, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        self._process = _FORKING.Process(target=_command, args=(orders, arguments, environ), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        assert self._process.exitcode is not None, "it does not end"
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _command(orders: Path | None, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.environ.update(environ)
    sys.argv = ["pusher", *arguments]
    if orders:
        obey(orders)
    else:
        main()


class Agent:
    """`pusher run`, under orders, or from scratch and with a clock of its own."""

    def __init__(
        self,
        config: Path,
        *options: str,
        orders: Orders | None = None,
        clock: str | None = None,
        from_scratch: bool = False,
    ) -> None:
        arguments = ["--config", str(config), "run", *options]
        self._process: Forked | subprocess.Popen[bytes]
        if clock or from_scratch:
            command = [sys.executable, "-m", "pusher.cli.main", *arguments]
            environ = {**os.environ, **(faked_clock(clock) if clock else {})}
            nowhere = subprocess.DEVNULL
            self._process = subprocess.Popen(command, env=environ, stdout=nowhere, stderr=nowhere)
        else:
            path = config.parent / "orders"
            give(path, orders)
            self._process = Forked(path if orders else None, arguments, {})
        self.pid = self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        try:
            return self._process.wait(_CYCLE_SECONDS)
        finally:
            self.kill()

    def was_killed(self) -> bool:
        return self.wait() == _KILLED

    def stop(self) -> int:
        self._process.terminate()
        return self.wait()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for left in ("faketime_shm_", "sem.faketime_sem_"):  # what a faked clock leaves when it dies
            Path(f"/dev/shm/{left}{self.pid}").unlink(missing_ok=True)


class Central:
    """`pusher serve`, always on the same port and always under the orders in `orders`."""

    def __init__(self, url: str, orders: Path) -> None:
        self.port = free_port()
        self._url = url
        self._orders = orders
        self._process: Forked | None = None

    def start(self) -> None:
        if self._process and self._process.poll() is None:
            return
        give(self._orders, None)
        arguments = ["serve", "--db", "env:FAULT_DB", "--port", str(self.port)]
        self._process = Forked(self._orders, arguments, {"FAULT_DB": self._url})
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"http://127.0.0.1:{self.port}/live", timeout=5).ok:
                    return
            time.sleep(0.02)
        raise AssertionError("central did not start")

    def order(self, orders: Orders) -> None:
        give(self._orders, orders)

    def was_killed(self) -> bool:
        return self._process is not None and self._process.poll() == _KILLED

    def kill(self) -> None:
        """As a power failure would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


def faked_clock(offset: str) -> Mapping[str, str]:
    """The environment of a process whose clock is wrong by `offset`, as Debian's faketime writes it: "+10y", "-6h"."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert libraries, "faketime is not installed; `make test` installs it"
    return {"LD_PRELOAD": str(libraries[0]), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
