"""Files are brought where they belong, and that is killed before each of its steps: it always ends as if it was not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pusher.datacenter.storage import DataCenter
from tests.fault.distribution_child import PART, Work, all_done, kill_everywhere, some_refused

_FEWEST_STEPS = 15
_ORIGINAL, _PENDING = "mysource.csv", "mysource.create.pending.csv"
_HEAD = "a,b\n"
_ROWS = "1,2\n" * PART  # added in four parts

Begin = Callable[[DataCenter], None]


def _new_file(center: DataCenter) -> None:
    _lay_out(center, _ORIGINAL)


def _taken_file(center: DataCenter) -> None:
    _lay_out(center, _ORIGINAL)
    os.rename(center.storage / _ORIGINAL, center.storage / ".work" / _ORIGINAL)


def _mended_file(center: DataCenter) -> None:
    _lay_out(center, _PENDING)
    (center.unfinished / _ORIGINAL).write_text(f"{_HEAD}original\n")
    (center.finished / "mysource.create.finished.csv").write_text(f"{_HEAD}0,0")
    (center.finished / _ORIGINAL).write_text("of another")


def _taken_mended_file(center: DataCenter) -> None:
    _mended_file(center)
    os.rename(center.storage / _PENDING, center.storage / ".work" / _PENDING)


def _lay_out(center: DataCenter, source: str) -> None:
    work = center.storage / ".work"
    work.mkdir()
    (center.storage / source).write_text(f"{_HEAD}source\n")
    (work / "order.json").write_text("{}")
    (work / "finished.csv").write_text(_HEAD + _ROWS)
    (work / "pending.csv").write_text(f"{_HEAD}refused\n")


def _contents(storage: Path) -> dict[str, bytes]:
    found = (path for path in storage.rglob("*") if path.name != ".lock")
    return {str(path.relative_to(storage)): path.read_bytes() if path.is_file() else b"" for path in found}


@pytest.mark.parametrize("work", [all_done, some_refused])
@pytest.mark.parametrize("begin", [_new_file, _taken_file, _mended_file, _taken_mended_file])
def test_killed_before_any_step(work: Work, begin: Begin, tmp_path: Path) -> None:
    begin(DataCenter(tmp_path / "storage"))
    copies = tmp_path / "copies"
    kill_everywhere(work, tmp_path / "storage", copies)
    steps = len(list(copies.iterdir()))
    assert steps > _FEWEST_STEPS, "it did next to nothing"
    expected = _contents(copies / f"{steps}")
    assert ".work" not in expected and expected["finished/mysource.create.finished.csv"].endswith(_ROWS.encode())
    for step in range(1, steps):
        assert _contents(copies / f"{step}") == expected, f"killed before step {step}"


def test_what_is_dropped_after_a_kill_is_not_taken_for_what_was_moved(tmp_path: Path) -> None:
    _new_file(DataCenter(tmp_path / "storage"))
    kill_everywhere(all_done, tmp_path / "storage", tmp_path / "copies", complete=False)
    dropped = 0
    for copy in (tmp_path / "copies").iterdir():
        path = copy / _ORIGINAL
        if not path.exists():
            dropped += 1
            path.write_text("new")
            DataCenter(copy).resume()
            assert path.read_text() == "new", f"killed before step {copy.name}"
            assert (copy / "finished" / _ORIGINAL).read_text() == f"{_HEAD}source\n"
    assert dropped > 3
