"""Many sites at once on one central: half of them live, the other half catching up."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.agents import LIVE_EVERY_SECONDS, Simulated, SiteReport
from benchmarks.ends import Central, central, house, say
from benchmarks.results import Measurement, Reference, Series, percentile
from benchmarks.watched import cpu_seconds, peak_mb
from models import Base, Reading
from pusher.schema.engine import opened
from tests.servers import DatabaseServer
from tests.stage import write_config

_WORKERS = 2
_PROCESSES = 2  # of each kind
_LAST_SECONDS = 180  # that all agents have to come to their end
_ERRORS_SHOWN = 10
_LOG_LINES_SHOWN = 3
_SETTLED = "[table Reading]\nsettle = 0\n"  # else every cycle of a live site waits until its newest reading has settled


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """How many sites, how many readings each of those has that catch up, and after how many seconds it is over."""

    sites: int = 100
    backlog: int = 40_000
    seconds: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Crowded:
    """What came of it. `arrived`: rows at central after `seconds`; `extra`: rows there at the end beyond those sent."""

    crowd: Crowd
    seconds: float
    arrived: int
    extra: int
    live: tuple[SiteReport, ...]
    behind: tuple[SiteReport, ...]
    cpu: dict[str, float]
    whole_seconds: float
    peaks: tuple[float, ...]
    log: tuple[str, ...]

    @property
    def errors(self) -> Counter[str]:
        return Counter(error for report in (*self.live, *self.behind) for error in report.errors)


def sites(server: DatabaseServer, folder: Path, crowd: Crowd, single_rows_per_second: float) -> Measurement:
    """`single_rows_per_second`: what a single site's full load came to in the same run."""
    return shown(gather(server, folder, crowd), single_rows_per_second)


def shown(found: Crowded, single_rows_per_second: float) -> Measurement:
    first = [report.seconds[0] for report in found.live if report.seconds]
    cycles = [seconds for report in found.live for seconds in report.seconds[1:]]
    rows = [needed for report in found.live for needed in report.cycles_a_row]
    caught_up = [report.caught_up for report in found.behind if report.caught_up is not None]
    rate = found.arrived / found.seconds
    single = Reference(name="single site", values=(single_rows_per_second,))
    numbers: list[Series] = [
        Series(name="all sites together", values=(rate,), unit="rows/s", against=(single,)),
        Series(name="errors", values=(float(found.errors.total()),), unit=""),
        Series(name="caught up", values=(float(len(caught_up)),), unit=f"of {len(found.behind)}"),
        Series(name="live rows, most cycles until one arrived", values=(float(max(rows, default=0)),), unit="cycles"),
        Series(name="live rows that never arrived", values=(float(sum(r.missing for r in found.live)),), unit="rows"),
        Series(name="rows at central that nobody sent", values=(float(found.extra),), unit="rows"),
    ]
    numbers += _percentiles("first cycle of a live site", first) + _percentiles("its later cycles", cycles)
    if caught_up:
        numbers.append(Series(name="last one caught up after", values=(max(caught_up),)))
    numbers += [Series(name=f"processor, {name}", values=(cpu,)) for name, cpu in found.cpu.items()]
    numbers += [
        Series(name=f"memory, central worker {number}", values=(peak,), unit="MB")
        for number, peak in enumerate(found.peaks, 1)
    ]
    title = f"{found.crowd.sites} sites at once on pusher serve --workers {_WORKERS}"
    return Measurement(title=title, series=tuple(numbers), notes=tuple(_notes(found, cycles, rows)))


def _percentiles(name: str, seconds: Sequence[float]) -> list[Series]:
    parts = {"p50": 0.5, "p95": 0.95} if seconds else {}
    return [Series(name=f"{name}, {shown}", values=(percentile(seconds, part),)) for shown, part in parts.items()]


def _notes(found: Crowded, cycles: Sequence[float], rows: Sequence[int]) -> Iterator[str]:
    yield (
        f"{len(found.live)} live: a reading a second, a cycle each {LIVE_EVERY_SECONDS:.0f} s, settle = 0; "
        f"{len(found.behind)} with {found.crowd.backlog:,} readings to send"
    )
    yield (
        f"the agents that make the load, central and MariaDB share the cores: threads of {2 * _PROCESSES} processes, "
        f"SQLite at the sites, real HTTP; processor seconds are of the {found.whole_seconds:.0f} s until the last ended"
    )
    worst = Counter(max(report.cycles_a_row, default=0) for report in found.live)
    each = ", ".join(f"{number} sites {most}" for most, number in sorted(worst.items()))
    yield f"{len(found.live) + len(cycles):,} live cycles, {len(rows):,} live rows"
    yield f"live sites by the number of cycles that the slowest of their rows took: {each}"
    yield "requests a minute are limited to the default of 600 a token"
    for error, number in found.errors.most_common(_ERRORS_SHOWN):
        yield f"error, {number} times: {error}"
    if found.log:
        yield f"central wrote {len(found.log)} lines to its log; the last: " + " | ".join(found.log[-_LOG_LINES_SHOWN:])


# --- how it is done


def gather(server: DatabaseServer, folder: Path, crowd: Crowd) -> Crowded:
    log = folder / "central.log"
    with central(server, "--workers", str(_WORKERS), log=log) as service, ExitStack() as stack:
        groups = {kind: _make(folder, service, kind, crowd) for kind in ("live", "behind")}
        running = {
            kind: [
                stack.enter_context(_Agents(folder / f"{kind}-{place}", kind, group[place::_PROCESSES], service.db))
                for place in range(_PROCESSES)
            ]
            for kind, group in groups.items()
        }
        everybody = [agents for each in running.values() for agents in each]
        for agents in everybody:
            agents.await_ready()
        say(f"{crowd.sites} sites begin")
        before = _cpu(service, server)
        began = time.monotonic()
        for agents in everybody:
            agents.go()
        for agents in running["behind"]:
            agents.await_end(began + crowd.seconds)
        seconds = time.monotonic() - began
        arrived = _readings(service.db)
        say("the live sites come to their end")
        for agents in everybody:
            agents.stop()
        reports = {kind: [agents.report() for agents in each] for kind, each in running.items()}
        whole_seconds = time.monotonic() - began
        cpu = {name: after - before[name] for name, after in _cpu(service, server).items()}
        cpu["agents"] = sum(report["cpu"] for each in reports.values() for report in each)
        live, behind = (tuple(_site_reports(reports[kind])) for kind in ("live", "behind"))
        return Crowded(
            crowd=crowd,
            seconds=seconds,
            arrived=arrived,
            extra=_extra(service.db, groups),
            live=live,
            behind=behind,
            cpu=cpu,
            whole_seconds=whole_seconds,
            peaks=tuple(peak_mb(pid) for pid in service.pids),
            log=tuple(line for line in log.read_text(errors="replace").splitlines() if "central serves" not in line),
        )


def _make(folder: Path, service: Central, kind: str, crowd: Crowd) -> list[Simulated]:
    """The databases and configurations of half of the sites."""
    say(f"making {crowd.sites // 2} sites: {kind}")
    made = []
    for place in range(crowd.sites // 2):
        number = 1 + place + (crowd.sites if kind == "behind" else 0)
        name = f"{kind}-site-{place}"
        db = f"sqlite:///{folder / name}.db"
        config = write_config(
            folder / name,
            name,
            db,
            service.resturl,
            service.token(name),
            extra=_SETTLED if kind == "live" else "",
        )
        with opened(db, create=True) as engine:
            Base.metadata.create_all(engine)
            if kind == "behind":
                house(number).bulk(engine, crowd.backlog)
        made.append(Simulated(number=number, db=db, config=str(config)))
    return made


class _Agents:
    """A process of simulated sites."""

    def __init__(self, spec: Path, kind: str, group: Sequence[Simulated], central_db: str) -> None:
        sites = [dataclasses.asdict(each) for each in group]
        spec.write_text(json.dumps({"kind": kind, "central": central_db, "sites": sites}))
        command = [sys.executable, "-m", "benchmarks.agents", str(spec)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._output = ""
        self._reading = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> _Agents:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def await_ready(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the agents did not start")
        self._reading.start()

    def go(self) -> None:
        self._tell()

    def await_end(self, until: float) -> None:
        """Waits no longer than to this moment of the monotonic clock."""
        self._reading.join(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        self._tell()

    def report(self) -> dict[str, Any]:
        """What came of it, once it has come to its end."""
        self._reading.join(_LAST_SECONDS)
        if self._reading.is_alive():
            raise RuntimeError("the agents do not come to their end")
        if self._process.wait():
            raise RuntimeError(f"agents ended with {self._process.returncode}")
        report: dict[str, Any] = json.loads(self._output)
        return report

    def _tell(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended by itself

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._output = self._process.stdout.read()


def _site_reports(reports: Sequence[dict[str, Any]]) -> Iterator[SiteReport]:
    for report in reports:
        for each in report["sites"]:
            yield SiteReport(**each)


def _readings(url: str) -> int:
    with opened(url) as engine, engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(Reading)) or 0)


def _extra(url: str, groups: dict[str, list[Simulated]]) -> int:
    """Rows at central beyond those that the sites have; what is still to come does not count."""
    extra = 0
    with opened(url) as engine, engine.connect() as connection:
        for each in (site for group in groups.values() for site in group):
            nodes = house(each.number).nodes
            found = sa.select(sa.func.count()).select_from(Reading).where(Reading.nodeId.in_(nodes))
            with opened(each.db) as own, own.connect() as here:
                extra += max(0, (connection.scalar(found) or 0) - (here.scalar(found) or 0))
    return extra


def _cpu(service: Central, server: DatabaseServer) -> dict[str, float]:
    return {"central": sum(map(cpu_seconds, service.pids)), "MariaDB": cpu_seconds(server.pid)}
