"""The export job is killed at random moments while the server fails at random: nothing lost, nothing twice.

EXPORT_ROWS=50000 EXPORT_ROUNDS=40 is the full run.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from signal import SIGKILL

import pytest

from pusher.export.pool import Pool
from tests.export_stub import ExportStub, Row, Scale, answers, random_faults
from tests.fault.export_site import Archive, contents, hash_as_sent, pool_of, write_config
from tests.stage import pusher, start_pusher, wait_until

ROWS = int(os.environ.get("EXPORT_ROWS", "2000"))
ROUNDS = int(os.environ.get("EXPORT_ROUNDS", "6"))
_SCALES = ("DD", "DD_FU", "DASS21", *(f"Scale{number}" for number in range(15)))
_STATIC = ("Trial", "TaskLog")
_FAULTY_SHARE = 0.02
_LONGEST_SECONDS = 1.0
_MOST_RUNS = 30


def _run(stub: ExportStub, config: Path, kill_when: Callable[[], bool] | None = None) -> int:
    """One export as a process of its own, and what it ended with; killed once `kill_when` says so."""
    asked = len(stub.requests)
    with start_pusher("--config", config, "export") as child:
        if kill_when:
            wait_until(lambda: len(stub.requests) > asked)
            while child.poll() is None and not kill_when():
                time.sleep(0)  # no longer, or the moment is missed
            child.kill()
        out, err = child.communicate()
    assert "Traceback" not in out + err, out + err
    return child.returncode


def _moments(pool: Pool, random_: random.Random) -> Iterator[Callable[[], bool]]:
    """When to kill: at any time; between archiving rows and noting them; between decoding rows and noting them."""
    while True:
        yield _has_passed(random_.uniform(0, _LONGEST_SECONDS))
        yield _has_grown(pool.raw, random_.randint(1, 9))
        yield _has_grown(pool.active, random_.randint(1, 9))


def _has_passed(seconds: float) -> Callable[[], bool]:
    """Whether that time has passed since it was first asked."""
    began: list[float] = []

    def has_passed() -> bool:
        if not began:
            began.append(time.monotonic())
        return time.monotonic() - began[0] >= seconds

    return has_passed


def _has_grown(folder: Path, times: int) -> Callable[[], bool]:
    """Whether what a folder holds was seen to change so often."""
    seen = {_bytes(folder)}

    def has_grown() -> bool:
        seen.add(_bytes(folder))
        return len(seen) > times

    return has_grown


def _bytes(folder: Path) -> int:
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    except FileNotFoundError:  # it is not made yet, or a file has just got its name
        return 0


class _Server:
    """Participants go on answering; each row that goes must be archived by then, and the ledger must know."""

    def __init__(self, stub: ExportStub, archive: Archive, ledger: Path) -> None:
        self.given: dict[str, dict[int, Row]] = {scale: {} for scale in (*_SCALES, *_STATIC)}
        self._stub = stub
        self._archive = archive
        self._ledger = ledger
        stub.scales |= {scale: Scale(deleteable=scale in _SCALES) for scale in self.given}
        stub.on_delete = self._prove

    def grow(self, rows: int) -> None:
        for scale, given in self.given.items():
            new = answers(scale, rows, first=len(given) + 1)
            given |= new
            self._stub.scales[scale].rows |= new

    def _prove(self, scale: str, id_: int) -> None:
        row = self.given[scale][id_]
        assert self._archive.holds(scale, row), f"{scale} {id_} was deleted before it was archived"
        with closing(sqlite3.connect(f"file:{self._ledger}?mode=ro", uri=True)) as db:
            ((hash_,),) = db.execute("select hash from archived where scale = ? and id = ?", (scale, id_))
        assert hash_ == hash_as_sent(row)

    def left(self) -> int:
        return sum(len(self._stub.scales[scale].rows) for scale in _SCALES)


@pytest.mark.timeout(max(300, ROWS // 10))
def test_killed_at_any_moment(tmp_path: Path) -> None:
    random_ = random.Random(20261126)
    pool = pool_of(tmp_path)
    archive = Archive(pool)
    with ExportStub() as stub:
        server = _Server(stub, archive, tmp_path / "state" / "ledger.db")
        stub.trouble = random_faults(20261126, _FAULTY_SHARE)
        config = write_config(tmp_path, stub.url, timeout=0.5, extra="scales = all")
        killed = 0
        for moment in islice(_moments(pool, random_), ROUNDS):
            server.grow(ROWS // ROUNDS // len(server.given))
            killed += _run(stub, config, moment) == -SIGKILL
        assert killed > ROUNDS // 2, "it was done before it could be killed"
        for _ in range(_MOST_RUNS):
            _run(stub, config)
            if not server.left():
                break
        assert len(stub.befell) > 5
        stub.trouble = lambda method, path: None
        assert _run(stub, config) == 0
    _each_row_once(server, archive)
    _equal_to_recovered(config, pool.active)
    assert not list(pool.folder.rglob(".*")), "a part was left behind"


def _each_row_once(server: _Server, archive: Archive) -> None:
    for scale, given in server.given.items():
        archive.read(scale)
        for row in given.values():
            assert archive.holds(scale, row)
    counted = Counter({key: len(lines) for key, lines in archive.lines.items() if key[0] in _SCALES})
    assert counted == Counter((scale, id_) for scale in _SCALES for id_ in server.given[scale])


def _equal_to_recovered(config: Path, folder: Path) -> None:
    live = contents(folder)
    assert live
    for path in folder.iterdir():
        path.unlink()
    done = pusher("--config", config, "recover", "mindtrails")
    assert done.returncode == 0, done.stderr
    recovered = contents(folder)
    assert recovered.keys() == live.keys()
    assert [name for name in live if recovered[name] != live[name]] == []
