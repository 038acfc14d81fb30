"""The import job is killed before each of its steps in turn, and killed once more: the next run ends it well.

IMPORT_ROUNDS=50 takes every step, else some.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.fault.import_child import is_killed
from tests.fault.import_clerks import CLERKS, Clerk, Target
from tests.fault.import_site import Storage, write_config
from tests.fault.import_wrongs import wrongs

_THOROUGH = int(os.environ.get("IMPORT_ROUNDS", "6")) >= 50
_EVERY = 1 if _THOROUGH else 14
_NEVER = 10**6
_FEWEST_STEPS = 15


def _new_file(clerk: Clerk, _run: Callable[[], object]) -> None:
    clerk.drop(rows=12, bad=(3, 8))


def _faultless_file(clerk: Clerk, _run: Callable[[], object]) -> None:
    clerk.drop(rows=12, bad=())


def _all_mended(clerk: Clerk, run: Callable[[], object]) -> None:
    clerk.drop(rows=12, bad=(2, 3, 4, 7, 8, 9, 11))
    run()
    clerk.mend(_came_back(clerk), share=1)


def _some_mended(clerk: Clerk, run: Callable[[], object]) -> None:
    clerk.drop(rows=14, bad=(2, 3, 4, 7, 8, 9, 11))
    run()
    clerk.mend(_came_back(clerk), share=0.6)


def _came_back(clerk: Clerk) -> str:
    (name,) = clerk.storage.pending()
    return name


_SCENES = [(mode, begin) for begin in (_new_file, _faultless_file, _all_mended, _some_mended) for mode in CLERKS]
_FEW_SCENES = [("remove", _new_file), ("create", _faultless_file), ("upsert", _all_mended), ("create", _some_mended)]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("mode", "begin"), _SCENES if _THOROUGH else _FEW_SCENES)
def test_killed_before_any_step(
    mode: str, begin: Callable[[Clerk, Callable[[], object]], None], tmp_path: Path
) -> None:
    random_ = random.Random(20261126)
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "target.db").touch()
    target = Target(f"sqlite:///{whole / 'target.db'}")
    target.prepare()
    clerk = CLERKS[mode](whole / mode, target, random_)
    config = write_config(whole, "sqlite:///target.db", {mode: (clerk.table, mode)})
    begin(clerk, lambda: is_killed(config, _NEVER))
    for step in count(1, _EVERY):
        copy = tmp_path / "copy"
        shutil.copytree(whole, copy)
        again = copy / config.name
        if not is_killed(again, step):
            break
        is_killed(again, random_.randint(1, step))
        assert not is_killed(again, _NEVER)
        target.url, clerk.storage = f"sqlite:///{copy / 'target.db'}", Storage(copy / mode)
        assert wrongs(copy, target, {mode: clerk}) == [], f"killed before step {step}"
        shutil.rmtree(copy)
    assert step > _FEWEST_STEPS, "it did next to nothing"
