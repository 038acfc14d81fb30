"""A distribution that is killed before each of its steps in turn: what changes a file, or writes some of one."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from signal import SIGKILL
from types import FrameType
from typing import Any

from pusher.datacenter import distribution
from pusher.datacenter.storage import DataCenter

PART = 1 << 14  # bytes that are added at once
_STEPS = {"open", "mkstemp", "write", "truncate", "flush", "mkdir", "rename", "replace", "link", "unlink", "rmdir"}

# It forks for each step, which only a process without threads may.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])

Work = Callable[[DataCenter], None]


def kill_everywhere(work: Work, storage: Path, copies: Path, *, complete: bool = True) -> None:
    """In `copies` there is a copy of the storage for each step, by its number, in which `work` was killed before that
    step, and to `complete` it begun again, killed once more, and done; and in the last one it was not killed."""
    child = _PROCESSES.Process(target=_kill_everywhere, args=(work, storage, copies, complete))
    child.start()
    child.join()
    assert child.exitcode == 0


def all_done(center: DataCenter) -> None:
    """What a run does that finds its work folder: of mysource all rows are done."""
    _complete(center, ok=True)


def some_refused(center: DataCenter) -> None:
    _complete(center, ok=False)


def _complete(center: DataCenter, *, ok: bool) -> None:
    center.resume()
    work = center.storage / ".work"
    if work.exists():
        (source,) = (*work.glob("mysource*.csv"), *center.storage.glob("mysource*.csv"))
        center.distribute(ok, source, work / "finished.csv", None if ok else work / "pending.csv", "create")


def _kill_everywhere(work: Work, storage: Path, copies: Path, complete: bool) -> None:
    vars(distribution)["_PART"] = PART
    vars(os)["fsync"] = lambda _handle: None  # what was written survives a kill, and that is slow
    for step in count(1):
        copy = copies / f"{step}"
        shutil.copytree(storage, copy)
        if not _is_killed(work, copy, step):
            return
        if complete:
            _is_killed(work, copy, 1 + step // 2)
            center = DataCenter(copy)
            with center.locked():
                work(center)


def _is_killed(work: Work, storage: Path, step: int) -> bool:
    """Whether it came to that step; what is done before is done."""
    child = os.fork()
    if not child:
        try:
            _run(work, storage, step)
        finally:
            os._exit(sys.exc_info()[0] is not None)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -SIGKILL), f"an error before step {step}"
    return os.WIFSIGNALED(status)


def _run(work: Work, storage: Path, step: int) -> None:
    center = DataCenter(storage)
    left = step

    def called(_frame: FrameType, event: str, function: Any) -> None:
        nonlocal left
        if event == "c_call" and function.__name__ in _STEPS:
            left -= 1
            if not left:
                os.kill(os.getpid(), SIGKILL)

    sys.setprofile(called)
    work(center)
