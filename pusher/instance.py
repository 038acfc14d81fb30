"""Calls the pusher that holds a state folder, so that it starts a cycle at once."""

from __future__ import annotations

import os
import signal
from pathlib import Path


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
