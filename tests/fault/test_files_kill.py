"""The files job is killed at random moments, while the instrument writes on: nothing half, nothing forgotten.

FILES_ROUNDS=100 runs as many rounds as one likes.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

import pytest

from tests.contract.destinations import KILLED, Sent
from tests.files_site import LONG_AGO_NS, Instrument, digests

ROUNDS = int(os.environ.get("FILES_ROUNDS", "4"))
_LONGEST_RUN_SECONDS = 0.4


class _Writing:
    """The instrument: each of its files has had a few contents, all known."""

    def __init__(self, site: Instrument, random_: random.Random) -> None:
        self._site = site
        self._random = random_
        self._moment = 0
        self.contents: dict[str, set[str]] = {}

    def write(self) -> None:
        """Some new files, and some that change."""
        for _ in range(self._random.randint(1, 12)):
            name = f"{self._random.choice(('', 'a/', 'a/b/'))}{self._random.randint(0, 40)}.res"
            size = self._random.choice((0, 10, 3000, 300_000, 2_000_000))
            content = self._random.randbytes(size)
            self._moment += 1
            self._site.write(name, content, age_seconds=-self._moment)
            self.contents.setdefault(name, set()).add(sha256(content).hexdigest())


def _killed_run(site: Instrument, after_seconds: float) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.fault.files_child", str(site.config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout and child.stdin and child.stdout.readline() == "ready\n"
        child.stdin.write("\n")
        child.stdin.flush()
        time.sleep(after_seconds)
        child.kill()


@pytest.mark.parametrize("way", KILLED, ids=lambda way: way.__name__)
def test_killed_at_any_moment(way: Callable[[Path], AbstractContextManager[Sent]], tmp_path: Path) -> None:
    random_ = random.Random(20261126)
    with way(tmp_path) as sent:
        site = Instrument(tmp_path / "site", to=sent.to, extra=sent.extra, now=LONG_AGO_NS / 1e9 + 10**6)
        writing = _Writing(site, random_)
        for _ in range(ROUNDS):
            writing.write()
            _killed_run(site, random_.uniform(0, _LONGEST_RUN_SECONDS))
            for name, digest in digests(sent.root).items():
                assert digest in writing.contents[name], f"{name} is none of what the instrument wrote"
        outcome = site.run()
        assert (outcome.error, outcome.exit_code) == (None, 0), site.held()
        assert digests(sent.root) == site.written()
        assert not [path for path in sent.root.rglob(".pusher/*/*") if path.is_file()], "a part was left behind"
        again = site.run()
        assert again.files and again.files.copied == again.files.same == 0
