"""One run of an import job that is killed before one of its steps: a write, a rename, a commit and the like."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL
from typing import Any

import sqlalchemy as sa

from pusher.config import load
from pusher.datacenter import importing
from pusher.datacenter.job import ImportJob
from pusher.ledger import Ledger

_CHUNK_ROWS = 5
_CHANGING = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link")  # as sys.audit calls them
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

sa.create_engine("sqlite://")  # loads what each fork would have to
# Forks of a process that has loaded everything, and has no threads.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


def is_killed(config: Path, before_step: int) -> bool:
    """Runs the job of the only location; whether it came to that step. Fails if it ended with an error."""
    child = _PROCESSES.Process(target=_run, args=(config, before_step))
    child.start()
    child.join()
    assert child.exitcode in (0, -SIGKILL), f"it ended with {child.exitcode} before step {before_step}"
    return child.exitcode == -SIGKILL


def _run(config: Path, before_step: int) -> None:
    vars(importing)["CHUNK_ROWS"] = _CHUNK_ROWS
    settings = load(config)
    (location,) = settings.locations
    with Ledger(settings.general.state) as ledger:
        job = ImportJob(settings, location, ledger)
        _die_before(before_step)
        outcome = job.run()
    assert outcome.error is None, outcome.error


def _die_before(step: int) -> None:
    """Of a write, half is done by then."""
    left = step
    write = os.write

    def count() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    def die() -> None:
        os.kill(os.getpid(), SIGKILL)

    def audited(name: str, arguments: tuple[Any, ...]) -> None:
        if (name in _CHANGING or (name == "open" and arguments[2] & _WRITING)) and count():
            die()

    def written(handle: int, content: Any) -> int:
        if count():
            write(handle, memoryview(content)[: len(content) // 2])
            die()
        return write(handle, content)

    committing: Callable[[object], None] = lambda _connection: die() if count() else None  # noqa: E731
    vars(os)["write"] = written
    sa.event.listen(sa.Engine, "commit", committing)
    sys.addaudithook(audited)
