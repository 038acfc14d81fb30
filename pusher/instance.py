"""One pusher a state folder: holds it for this process, and calls the process that holds it already."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pusher.errors import AlreadyRunning, ConfigError
from pusher.ledger import prepare_state


@contextmanager
def only_instance(state: Path) -> Iterator[None]:
    """Holds the state folder for this process; the system lets go of it however the process ends.

    Raises AlreadyRunning, naming the other process; ConfigError if the folder cannot be used.
    """
    prepare_state(state)
    try:
        handle = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError([f"{state / 'lock'} cannot be used: {error.strerror}; remove it, or correct it"]) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(f"another pusher (process {other}) uses {state}") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def call_holder(state: Path) -> int | None:
    """Sends SIGHUP to the process that holds the state folder, and returns its number; None if it cannot be called."""
    lock = state / "lock"
    try:
        pid = int(lock.read_text())
        if not _has_open(pid, lock):
            return None  # of another container, or long gone: that number may be anybody's here
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError):
        return None
    return pid


def _has_open(pid: int, file: Path) -> bool:
    seen = (each for each in Path(f"/proc/{pid}/fd").iterdir() if each.exists())
    return any(each.samefile(file) for each in seen)
