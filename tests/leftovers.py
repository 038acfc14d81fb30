"""Finds threads and sockets that somebody forgot."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Fails if a thread runs or a socket is open at the end that was not at the beginning."""
    threads, sockets = set(threading.enumerate()), _sockets()
    yield
    forgotten = [thread.name for thread in threading.enumerate() if thread not in threads]
    assert not forgotten, f"threads still run: {forgotten}"
    left = _sockets() - sockets
    assert not left, f"still open: {left}"


def _sockets() -> set[str]:
    found = set()
    for handle in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing itself
            found.add(os.readlink(f"/proc/self/fd/{handle}"))
    return {target for target in found if target.startswith("socket:")}
