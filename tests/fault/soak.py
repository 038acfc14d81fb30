"""One daemon for a long time under faults without end: `python -m tests.fault.soak --minutes 20 --seed S`.

Ends 0 if site and central are equal afterwards, and the daemon lived through it and kept its memory within bounds.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

from tests.fault.orders import CENTRAL, Orders
from tests.fault.processes import Agent
from tests.fault.sides import MariaSide
from tests.fault.world import World
from tests.servers import MariaDB

_SYNCTIME_MINUTES = 0.02
_COLLECT_SECONDS = 1.0
_SAMPLE_SECONDS = 3.0
_FAULT_SECONDS = 2.0  # on average from one to the next
_STEPS_AT_ONCE = 10
# What is steady does not grow by half from the second minute to the last.
_GROWTH_ALLOWED = 1.5


class Soak:
    """A world whose agent is one daemon from beginning to end. `memory`: megabytes, by minute."""

    def __init__(self, world: World) -> None:
        self.memory: dict[int, list[float]] = defaultdict(list)
        self._world = world
        text = world.config.read_text()
        world.config.write_text(text.replace("[locations]", f"synctime = {_SYNCTIME_MINUTES}\n\n[locations]", 1))
        self.daemon = Agent(world.config, from_scratch=True)
        self._began = self._next_collect = self._next_sample = time.monotonic()

    def run(self, seconds: float) -> None:
        faults: list[Callable[[], None]] = [self._bad_link, self._central_is_away, self._central_dies, self._no_disk]
        if isinstance(self._world.central, MariaSide):
            faults.append(self._database_restarts)
        rng = self._world.rng
        next_fault = self._began + _FAULT_SECONDS
        while (now := time.monotonic()) < self._began + seconds:
            if now >= next_fault:
                rng.choice(faults)()
                next_fault = time.monotonic() + rng.uniform(0, 2 * _FAULT_SECONDS)
            self._pass(0.2)

    def wrongs(self) -> list[str]:
        """What is wrong once it is quiet."""
        found = [] if self.daemon.is_running() else ["the daemon has ended"]
        code = self.daemon.stop()
        if code:
            found.append(f"the daemon ended with {code}")
        medians = [statistics.median(sizes) for sizes in self.memory.values()]
        if len(medians) > 2 and medians[-1] > _GROWTH_ALLOWED * medians[1]:
            found.append(f"the daemon grew from {medians[1]:.0f} to {medians[-1]:.0f} MB")
        return found + self._world.settled_wrongs()

    def recoveries(self) -> tuple[int, int, int]:
        """How many runs there were, how many failed, and how often a good one came after a bad one."""
        with contextlib.closing(sqlite3.connect(self._world.config.parent / "state" / "ledger.db")) as ledger:
            codes = [code for (code,) in ledger.execute("select exit_code from run order by id")]
        recovered = sum(one != 0 and two == 0 for one, two in pairwise(codes))
        return len(codes), sum(code != 0 for code in codes), recovered

    # --- faults

    def _bad_link(self) -> None:
        proxy = self._world.proxy
        before = sum(proxy.suffered.values())
        proxy.rate = self._world.rng.choice((0.3, 0.6, 0.9))
        self._pass(self._world.rng.uniform(2, 8))
        proxy.rate = 0.0
        proxy.deliver_late()
        self._world.injected["connections that suffered"] += sum(proxy.suffered.values()) - before

    def _central_is_away(self) -> None:
        self._world.service.kill()
        self._pass(self._world.rng.uniform(0, 5))
        self._world.service.start()
        self._world.injected["central killed at any time"] += 1

    def _central_dies(self) -> None:
        point = self._world.rng.choice(list(CENTRAL))
        self._world.service.order(Orders(deed="die", point=point, count=self._world.rng.randrange(1, 4)))
        self._pass(4)
        if self._world.service.was_killed():
            self._world.injected[point] += 1
        self._world.restart_central()

    def _no_disk(self) -> None:
        side, rng = self._world.central, self._world.rng
        what, strike = rng.choice((("full", side.fill), ("read-only", side.make_read_only)))
        strike(rng)
        self._pass(rng.uniform(1, 5))
        side.heal()
        self._world.injected[f"central: disk {what}"] += 1

    def _database_restarts(self) -> None:
        assert isinstance(self._world.central, MariaSide)
        self._world.central.restart()
        self._world.injected["database killed and restarted"] += 1

    # ---

    def _pass(self, seconds: float) -> None:
        """Time goes by, the site collects, and the daemon's memory is looked at."""
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if now >= self._next_collect:
                self._next_collect = now + _COLLECT_SECONDS
                self._world.collecting.on_time(_STEPS_AT_ONCE)
            if now >= self._next_sample:
                self._next_sample = now + _SAMPLE_SECONDS
                self.memory[int((now - self._began) // 60)].append(_resident_megabytes(self.daemon.pid))
            if now >= until:
                return
            time.sleep(min(0.1, until - now))


def _resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0  # it has ended


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fault.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--central", choices=("sqlite", "mariadb"), default="sqlite")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.minutes} minutes, central on {options.central}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="pusher-soak-") as folder,
        MariaDB() if options.central == "mariadb" else nullcontext() as server,
        World(Path(folder), options.seed, server) as world,
    ):
        soak = Soak(world)
        try:
            soak.run(options.minutes * 60)
            wrongs = soak.wrongs()
        finally:
            soak.daemon.kill()
        runs, failed, recovered = soak.recoveries()
        injected = world.injected
    print("minute   min  median   max  MB of the daemon")
    for minute, sizes in soak.memory.items():
        print(f"{minute + 1:6} {min(sizes):5.0f} {statistics.median(sizes):7.0f} {max(sizes):5.0f}")
    for fault, count in sorted(injected.items()):
        print(f"{count:6}  {fault}")
    print(f"{sum(injected.values()):6}  faults; {runs} cycles, {failed} of them failed, {recovered} times it recovered")
    print("\n".join(wrongs[:20]) if wrongs else "nothing lost, doubled or wrong")
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
