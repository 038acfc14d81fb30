"""`python -m benchmarks.agents SPEC`: many simulated sites in one process, each a thread that runs whole cycles.

It prints "ready", begins at the first line of its standard input, ends at the second, or when all have caught up,
and prints its report. Processes of their own for a hundred sites would measure how fast processes start.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from benchmarks.ends import house
from models import Reading
from pusher.daemon import cycle
from pusher.datagen import Datagen
from pusher.errors import PusherError
from pusher.job import NoProgress, Outcome
from pusher.schema.engine import opened

LIVE_EVERY_SECONDS = 60.0  # ten times as often as by default
READING_EVERY_SECONDS = 1.0
_AGAIN_SECONDS = 1.0
_LAST_CYCLES = 5  # that a live site has for what it added before the end


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A site: its number (see `house`), its database and its configuration."""

    number: int
    db: str
    config: str

    @property
    def live(self) -> Datagen:
        whole = house(self.number)
        return dataclasses.replace(whole, nodes=whole.nodes[:1], gap_seconds=READING_EVERY_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """`began`, `ended`: by the monotonic clock. `arrived`: how many of the site's rows were at central at its end."""

    began: float
    ended: float
    arrived: int


@dataclass(kw_only=True)
class SiteReport:
    """`cycles_a_row`: in how many cycles each row arrived. `missing`: rows that never did. `seconds`: of each cycle.
    `caught_up`: after how many seconds, None if not."""

    number: int
    errors: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cycles_a_row: list[int] = field(default_factory=list)
    missing: int = 0
    caught_up: float | None = None


def cycles_needed(added: Sequence[float], cycles: Sequence[Cycle]) -> list[int | None]:
    """In how many cycles each row arrived, of those that began after it was added; 1 also in the one under way then.

    `added`: when, in the order in which they go to central. None: it has not arrived.
    """
    needed: list[int | None] = []
    for number, moment in enumerate(added, 1):
        place = next((place for place, each in enumerate(cycles) if each.arrived >= number), None)
        if place is None:
            needed.append(None)
        else:
            needed.append(max(1, sum(each.began >= moment for each in cycles[: place + 1])))
    return needed


class _Stopping(NoProgress):
    """Ends a run at the next batch once the benchmark is over."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def advance(self, table: str, rows: int) -> None:
        if self._stop.is_set():
            raise PusherError("the benchmark is over")


def catch_up(site: Simulated, stop: threading.Event) -> SiteReport:
    """Cycle after cycle until one ends well: then everything is at central."""
    report = SiteReport(number=site.number)
    began = time.monotonic()
    while not stop.is_set():
        outcome = _cycle(site, report, _Stopping(stop), stop)
        if outcome is not None:
            report.caught_up = time.monotonic() - began
            break
        stop.wait(_AGAIN_SECONDS)
    return report


def live(site: Simulated, stop: threading.Event, central: Engine) -> SiteReport:
    """A reading a second and a cycle a minute, or one right after the other where they take longer."""
    report = SiteReport(number=site.number)
    added: list[float] = []
    cycles: list[Cycle] = []
    adding = threading.Thread(target=_add, args=(site, stop, added))
    adding.start()
    left = _LAST_CYCLES
    while left:
        began = time.monotonic()
        if stop.is_set():
            adding.join()  # now all is added that will be
            left -= 1
        _cycle(site, report, NoProgress(), stop)
        cycles.append(Cycle(began=began, ended=time.monotonic(), arrived=_arrived(central, site)))
        if not adding.is_alive() and cycles[-1].arrived == len(added):
            break
        stop.wait(max(0.0, began + LIVE_EVERY_SECONDS - time.monotonic()))
    needed = cycles_needed(added, cycles)
    report.cycles_a_row = [each for each in needed if each is not None]
    report.missing = needed.count(None)
    return report


def _add(site: Simulated, stop: threading.Event, added: list[float]) -> None:
    def sleep(seconds: float) -> None:
        stop.wait(seconds)

    with opened(site.db) as engine:
        for _ in site.live.live(engine, sleep=sleep):
            added.append(time.monotonic())
            if stop.is_set():
                return


def _arrived(central: Engine, site: Simulated) -> int:
    with central.connect() as connection:
        found = sa.select(sa.func.count()).select_from(Reading).where(Reading.nodeId == site.live.nodes[0])
        return int(connection.scalar(found) or 0)


def _cycle(site: Simulated, report: SiteReport, progress: NoProgress, stop: threading.Event) -> Outcome | None:
    """None if it did not end well, which is noted."""
    began = time.monotonic()
    try:
        (outcome,) = cycle(Path(site.config), [], progress)
    except Exception as error:  # whatever it is, it is what was to be found
        report.errors.append(f"{type(error).__name__}: {error}")
        return None
    report.seconds.append(time.monotonic() - began)
    if outcome.error is None and outcome.exit_code == 0:
        return outcome
    if not (outcome.error and stop.is_set() and isinstance(progress, _Stopping)):
        stopped = [f"{entry.table}: {entry.stopped}" for entry in outcome.tables if entry.stopped]
        held = [f"{entry.table}: {entry.held} held" for entry in outcome.tables if entry.held]
        report.errors.append(outcome.error or "; ".join(stopped + held))
    return None


def main() -> None:
    spec: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    sites = [Simulated(**each) for each in spec["sites"]]
    logging.disable()  # what goes wrong is in the report
    stop = threading.Event()
    with opened(spec["central"]) as engine:
        work = partial(live, stop=stop, central=engine) if spec["kind"] == "live" else partial(catch_up, stop=stop)
        print("ready", flush=True)
        sys.stdin.readline()
        cpu = time.process_time()
        threading.Thread(target=_await_end, args=(stop,), daemon=True).start()
        reports = _run(sites, work)
    report = {"cpu": time.process_time() - cpu, "sites": [dataclasses.asdict(report) for report in reports]}
    print(json.dumps(report), flush=True)


def _await_end(stop: threading.Event) -> None:
    sys.stdin.readline()
    stop.set()


def _run(sites: Sequence[Simulated], work: Callable[[Simulated], SiteReport]) -> list[SiteReport]:
    """Each in a thread; one whose thread fails has that as its error."""
    reports = {site.number: SiteReport(number=site.number, errors=["its thread did not end"]) for site in sites}

    def run(site: Simulated) -> None:
        try:
            reports[site.number] = work(site)
        except Exception as error:
            reports[site.number] = SiteReport(number=site.number, errors=[f"{type(error).__name__}: {error}"])

    threads = [threading.Thread(target=run, args=(site,), daemon=True) for site in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return list(reports.values())


if __name__ == "__main__":
    main()
