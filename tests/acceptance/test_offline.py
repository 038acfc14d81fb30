"""Twelve weeks without central: one run catches up, in flat memory, and goes on where it was interrupted."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from models import Base
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.stage import CentralService, start_pusher, wait_until, write_config

# OFFLINE_READINGS=2000000 is the whole of it; fewer of them, here, lie as many weeks back.
_READINGS = int(os.environ.get("OFFLINE_READINGS", "40000"))
_NODES = tuple(range(37, 47))
_SECONDS = 12 * 7 * 86400
_BATCH_ROWS = 1000
_SIGNALS = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
_ROWS = 'select "time", "nodeId", type, value from {}."Reading"'


@dataclass
class Scene:
    site: Path
    central: Path
    config: Path

    def arrived(self) -> int:
        with closing(sqlite3.connect(self.central, timeout=30)) as connection:
            return int(connection.execute('select count(*) from "Reading"').fetchone()[0])

    def differing(self) -> int:
        """How many readings only one of the two sides has."""
        with closing(sqlite3.connect(self.site)) as connection:
            connection.execute("attach ? as central", (str(self.central),))
            sides = _ROWS.format("main"), _ROWS.format("central")
            return sum(
                connection.execute(f"select count(*) from ({here} except {there})").fetchone()[0]
                for here, there in (sides, sides[::-1])
            )


@pytest.fixture
def scene(new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    site, central = new_database("sqlite"), new_database("sqlite")
    with opened(site) as engine:
        Base.metadata.create_all(engine)
        Datagen(nodes=_NODES, gap_seconds=_SECONDS * len(_NODES) / _READINGS).bulk(engine, _READINGS)
    with CentralService(central) as service:
        config = write_config(
            tmp_path / "agent", "north", site, service.resturl, service.token("north"), pushlimit=_BATCH_ROWS
        )
        paths = [Path(url.removeprefix("sqlite:///")) for url in (site, central)]
        yield Scene(site=paths[0], central=paths[1], config=config)


def memory_kilobytes(pid: int) -> int:
    """What a process holds now; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def test_one_run_catches_up_though_it_is_interrupted(scene: Scene) -> None:
    chance = random.Random(12)
    before = 0
    for number in _SIGNALS:
        with start_pusher("--config", scene.config, "run", "--once") as agent:
            wanted = before + chance.randrange(1, 4) * _BATCH_ROWS
            wait_until(lambda: scene.arrived() >= wanted, 60)  # noqa: B023 (used at once)
            agent.send_signal(number)
            agent.communicate()
        before = scene.arrived()
        assert wanted <= before < _READINGS
    samples = []
    with start_pusher("--config", scene.config, "run", "--once") as agent:
        while agent.poll() is None:
            samples.append((scene.arrived(), memory_kilobytes(agent.pid)))
            time.sleep(0.01)
        agent.communicate()
    assert agent.returncode == 0
    assert scene.arrived() == _READINGS and scene.differing() == 0
    assert samples[0][0] >= before
    early, late = (
        max(memory for arrived, memory in samples if low < (arrived - before) / (_READINGS - before) <= high)
        for low, high in ((0.1, 0.5), (0.6, 1.0))
    )
    print(f"{_READINGS} readings; memory {early} kB in the first part, {late} kB in the last")
    assert late < early * 1.1
