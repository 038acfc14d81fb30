"""The import job is killed at random moments, while clerks drop files and mend rows: none is done twice, none lost.

IMPORT_ROUNDS=50 is the full run.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.conftest import NewDatabase
from tests.fault.import_clerks import CLERKS, Clerk, Target
from tests.fault.import_site import write_config
from tests.fault.import_wrongs import wrongs

ROUNDS = int(os.environ.get("IMPORT_ROUNDS", "6"))
_ROUNDS = {"mariadb": ROUNDS - ROUNDS // 3, "sqlite": ROUNDS // 3}
_MANY_ROUNDS = 20  # in which each state is met
_LONGEST_SECONDS = 2.0
_MOST_CHANGES = 40
_MOST_ROWS = 90
_BAD_SHARE = 0.1
_MENDED_SHARE = 0.5
_MANUAL_SHARE = 0.3
# The command, with many small steps to be killed between.
_PUSHER = "import pusher.datacenter.importing as i; i.CHUNK_ROWS = 20; import pusher.cli.main as main; main.main()"

Moment = Callable[[], bool]


class _Site:
    def __init__(self, folder: Path, url: str, random_: random.Random) -> None:
        self.folder = folder
        self.target = Target(url)
        self.clerks: dict[str, Clerk] = {
            mode: make(folder / mode, self.target, random_) for mode, make in CLERKS.items()
        }
        self._config = write_config(folder, url, {mode: (each.table, mode) for mode, each in self.clerks.items()})
        self._random = random_

    def run(self, *arguments: str, kill_when: Moment | None = None) -> int:
        """A command as a process of its own, and what it ended with; killed once `kill_when` says so."""
        command = [sys.executable, "-c", _PUSHER, "--config", str(self._config), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            if kill_when:
                while child.poll() is None and not kill_when():
                    time.sleep(0)  # no longer, or the moment is missed
                child.kill()
            out, err = child.communicate()
        assert "Traceback" not in out + err, out + err
        return child.returncode

    def some_command(self) -> tuple[str, ...]:
        """One that a person or the machine may give."""
        mode = self._random.choice(list(self.clerks))
        waiting = self.clerks[mode].storage.waiting()
        if not waiting or self._random.random() > _MANUAL_SHARE:
            return "run", "--once"
        return "import", "run", self._random.choice(waiting), "--location", mode

    def all_there_is(self) -> object:
        trees = {mode: each.storage.tree() for mode, each in self.clerks.items()}
        return trees, self.target.rows(), {mode: len(self.target.runs(mode)) for mode in self.clerks}

    def states(self) -> Counter[str]:
        """How far a kill let each location come."""
        return Counter(self._state(each) for each in self.clerks.values())

    def _state(self, clerk: Clerk) -> str:
        tree = clerk.storage.tree()
        if ".distribution.json" in tree:
            return "distributing"
        if ".work/order.json" not in tree:
            return "at rest"
        run = json.loads((clerk.storage.root / ".work" / "order.json").read_bytes())["run"]
        return "all rows done, not distributed" if self.target.has_ended(run) else "under way"


def _moments(site: _Site, random_: random.Random) -> Iterator[Moment]:
    """When to kill: at any time; after so many changes of files; when all rows of a file are done and it is about to
    be distributed, or is under way to where it belongs."""
    while True:
        yield _has_changed(_sizes(site), random_.randint(1, _MOST_CHANGES))
        yield _has_changed(site.target.ended, random_.randint(1, 2))
        yield _has_changed(_journals(site), random_.randint(1, 3), _sizes(site), random_.randint(0, 4))
        yield _has_passed(random_.uniform(0, _LONGEST_SECONDS))


def _sizes(site: _Site) -> Callable[[], object]:
    return lambda: tuple(tuple(each.storage.tree().items()) for each in site.clerks.values())


def _journals(site: _Site) -> Callable[[], object]:
    return lambda: tuple((each.storage.root / ".distribution.json").exists() for each in site.clerks.values())


def _has_changed(
    look: Callable[[], object], times: int, then: Callable[[], object] | None = None, more: int = 0
) -> Moment:
    """Whether what is looked at was seen to change so often, and then something else."""
    seen = [look()]

    def has_changed() -> bool:
        nonlocal look, times, more
        now = look()
        if now != seen[-1]:
            seen.append(now)
        if len(seen) <= times:
            return False
        if then is None or not more:
            return True
        look, times, more = then, more, 0
        seen[:] = [look()]
        return False

    return has_changed


def _has_passed(seconds: float) -> Moment:
    """Whether that time has passed since now."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


@pytest.mark.timeout(max(300, ROUNDS * 20))
@pytest.mark.parametrize("dialect", ["mariadb", "sqlite"], indirect=True)
def test_killed_at_any_moment(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    random_ = random.Random(20261126)
    site = _Site(tmp_path, new_database(dialect), random_)
    rounds = _ROUNDS[dialect]
    killed, states = 0, Counter[str]()
    site.target.prepare()
    moments = _moments(site, random_)
    for _ in range(rounds):
        for clerk in site.clerks.values():
            _work_on(clerk, random_)
        (moment,) = islice(moments, 1)
        if site.run(*site.some_command(), kill_when=moment) == -SIGKILL:
            killed += 1
            states += site.states()
    assert killed >= rounds // 2, "it was done before it could be killed"
    print(dialect, killed, dict(states))
    if rounds >= _MANY_ROUNDS:
        assert len(states) == 4, "the kills came too early or too late to show anything"
    for clerk in site.clerks.values():
        for name in list(clerk.storage.pending())[::2]:
            clerk.mend(name, share=1)
    for _ in range(2):  # what was broken off is completed first, and may be wanted again
        assert site.run("run", "--once") in (0, 1)
    assert wrongs(tmp_path, site.target, site.clerks) == []
    before = site.all_there_is()
    assert site.run("run", "--once") in (0, 1)
    assert site.all_there_is() == before, "what nobody has mended was taken again"


def _work_on(clerk: Clerk, random_: random.Random) -> None:
    rows = random_.randint(2, _MOST_ROWS)
    clerk.drop(rows, bad=[place for place in range(1, rows) if random_.random() < _BAD_SHARE])
    for name in clerk.storage.pending():
        if random_.random() < _MENDED_SHARE:
            clerk.mend(name, share=0.5)
