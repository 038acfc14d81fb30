"""Somebody puts a link in the place of a folder or a file while a storage is worked on: at no moment does that help."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pusher.datacenter.csvform import examine, lines
from pusher.datacenter.storage import DataCenter
from pusher.errors import PusherError

_STEPS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
_NAMES = ("a.csv", "a-2.csv", "finished.csv", "pending.csv", "a.create.finished.csv", "a.create.pending.csv")
_FEWEST_STEPS = 12

# It forks for each step, which only a process without threads may.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize(
    "place", ["finished", "unfinished", ".work", ".work/finished.csv", "finished/a.create.finished.csv"]
)
def test_swapped_before_any_step(place: str, ok: bool, tmp_path: Path) -> None:
    child = _PROCESSES.Process(target=_swap_everywhere, args=(place, ok, tmp_path))
    child.start()
    child.join()
    assert child.exitcode == 0


def _swap_everywhere(place: str, ok: bool, folder: Path) -> None:
    vars(os)["fsync"] = lambda _handle: None
    for step in count(1):
        storage, outside = folder / f"{step}" / "storage", folder / f"{step}" / "outside"
        _lay_out(storage, outside)
        before = _contents(outside)
        child = os.fork()
        if not child:
            _work(storage, ok, place, outside, step)
        _, status = os.waitpid(child, 0)
        came_to_it = {0: False, 1: True}[os.waitstatus_to_exitcode(status)]
        assert _contents(outside) == before, f"something outside changed at step {step}"
        assert not any(b"secret" in content for content in _contents(storage).values()), f"it was read at step {step}"
        if not came_to_it:
            assert step > _FEWEST_STEPS, "it did next to nothing"
            return
        shutil.rmtree(folder / f"{step}")


def _lay_out(storage: Path, outside: Path) -> None:
    center = DataCenter(storage)
    (storage / ".work").mkdir()
    outside.mkdir()
    for name in ("a.csv", "finished.csv", "pending.csv"):
        (storage / ".work" / name).write_text("a\n1\n")
    (center.finished / "a.create.finished.csv").write_text("a\n0\n")
    for name in _NAMES:
        (outside / name).write_text("a\nsecret\n")


def _contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _work(storage: Path, ok: bool, place: str, outside: Path, step: int) -> None:
    """Ends with 1 if it came to that step, with 2 if anything but a refusal came of it."""
    left = step

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _STEPS and (event != "open" or isinstance(arguments[0], str)):
            left -= 1
            if not left:
                _swap(storage / place, outside)

    status = 2
    try:
        sys.addaudithook(hook)
        with suppress(PusherError):
            _carry_out(DataCenter(storage), ok)
        status = int(left <= 0)
    finally:
        os._exit(status)


def _swap(path: Path, outside: Path) -> None:
    with suppress(OSError):  # it may have been moved or removed by then
        os.rename(path, f"{path}.old")
        os.symlink(outside / path.name if path.suffix else outside, path)


def _carry_out(center: DataCenter, ok: bool) -> None:
    work = center.storage / ".work"
    source = work / "a.csv"
    form = examine(source)
    assert all("secret" not in line.cells for line in lines(source, form))
    center.resume()
    center.distribute(ok, source, work / "finished.csv", None if ok else work / "pending.csv", "create")
