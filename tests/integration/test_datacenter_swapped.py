"""Somebody puts a link in the place of a folder or a file while a storage is worked on: at no moment does that help."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pusher.datacenter.csvform import examine, lines
from pusher.datacenter.outcome import Choice
from pusher.datacenter.processing import Mode
from pusher.datacenter.storage import DataCenter
from pusher.datacenter.work import Order, Work
from pusher.errors import PusherError

_STEPS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
_NAMES = (
    *("a.csv", "a-2.csv", "finished.csv", "pending.csv", "a.create.finished.csv", "a.create.pending.csv"),
    *("order.json", "order.json.new", "House.csv", "House-2.csv"),
)
_FEWEST_STEPS = 12

LayOut = Callable[[DataCenter], None]
Works = Callable[[DataCenter], None]

# It forks for each step, which only a process without threads may.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize(
    "place", ["finished", "unfinished", ".work", ".work/finished.csv", "finished/a.create.finished.csv"]
)
def test_swapped_before_any_step_of_a_distribution(place: str, ok: bool, tmp_path: Path) -> None:
    _in_a_process(_lay_out_results, partial(_distribute, ok=ok), place, tmp_path)


@pytest.mark.parametrize(
    "place", ["a.csv", "deleted", "deleted/House.csv", ".work", ".work/a.csv", ".work/order.json", ".work/pending.csv"]
)
def test_swapped_before_any_step_of_a_run(place: str, tmp_path: Path) -> None:
    _in_a_process(_lay_out_file, _run, place, tmp_path)


def _in_a_process(*given: object) -> None:
    child = _PROCESSES.Process(target=_swap_everywhere, args=given)
    child.start()
    child.join()
    assert child.exitcode == 0


def _swap_everywhere(lay_out: LayOut, work: Works, place: str, folder: Path) -> None:
    vars(os)["fsync"] = lambda _handle: None
    for step in count(1):
        storage, outside = folder / f"{step}" / "storage", folder / f"{step}" / "outside"
        lay_out(DataCenter(storage))
        outside.mkdir()
        for name in _NAMES:
            (outside / name).write_text("a\nsecret\n")
        before = _contents(outside)
        child = os.fork()
        if not child:
            _work(storage, work, place, outside, step)
        _, status = os.waitpid(child, 0)
        came_to_it = {0: False, 1: True}[os.waitstatus_to_exitcode(status)]
        assert _contents(outside) == before, f"something outside changed at step {step}"
        assert not any(b"secret" in content for content in _contents(storage).values()), f"it was read at step {step}"
        if not came_to_it:
            assert step > _FEWEST_STEPS, "it did next to nothing"
            return
        shutil.rmtree(folder / f"{step}")


def _lay_out_results(center: DataCenter) -> None:
    (center.storage / ".work").mkdir()
    for name in ("a.csv", "finished.csv", "pending.csv"):
        (center.storage / ".work" / name).write_text("a\n1\n")
    (center.finished / "a.create.finished.csv").write_text("a\n0\n")


def _lay_out_file(center: DataCenter) -> None:
    (center.storage / "a.csv").write_text("a\n1\n")
    (center.deleted / "House.csv").write_text("a,del_date\n0,2026-11-25 00:00:00\n")


def _contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _work(storage: Path, work: Works, place: str, outside: Path, step: int) -> None:
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
            work(DataCenter(storage))
        status = int(left <= 0)
    finally:
        os._exit(status)


def _swap(path: Path, outside: Path) -> None:
    with suppress(OSError):  # it may have been moved or removed by then
        os.rename(path, f"{path}.old")
        os.symlink(outside / path.name if path.suffix else outside, path)


def _distribute(center: DataCenter, *, ok: bool) -> None:
    work = center.storage / ".work"
    source = work / "a.csv"
    _read(source)
    center.resume()
    center.distribute(ok, source, work / "finished.csv", None if ok else work / "pending.csv", "create")


def _run(center: DataCenter) -> None:
    """What a run does that is broken off behind two rows, and the one that goes on with it."""
    order = Order(run="0" * 32, name="a.csv", form=examine(center.storage / "a.csv"))
    choice = Choice(processor="House", mode=Mode.CREATE, map=())
    with Work.begin(center, order) as begun:
        begun.belong_to(choice)
        _add(begun)
        sizes = begun.sizes()
        _add(begun)
    with Work.found(center) as work:
        if work is None:
            return
        work.belong_to(choice)
        work.examined()
        work.cut_back(sizes)
        _read(work.source)
        _add(work)
        work.pending_digest()
        work.give_back()


def _add(work: Work) -> None:
    work.add([["1"]], [["2", "no"]])
    work.bury([{"a": "1"}], dt.datetime(2026, 11, 26, tzinfo=dt.UTC))


def _read(source: Path) -> None:
    assert all("secret" not in line.cells for line in lines(source, examine(source)))
