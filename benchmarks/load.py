"""The full load, by one site and by two at once, beside a dump and restore and beside other tools; its memory."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ends import agent_command, central, check_equally_many, counts, cycle, fresh, say, site
from benchmarks.peers import Peer, Pipe
from benchmarks.results import Measurement, Series, against
from benchmarks.watched import Done, peak_mb, side_by_side
from tests.servers import DatabaseServer
from tests.stage import write_config

_SITES = 2
_STREAMS = ("reading", "nodestate")

Contender = Callable[[], Done]


@dataclass(kw_only=True)
class Loads:
    """What each contender took in each round, and the memory at its peak in MB, by program."""

    rows: int
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    peaks: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def rows_per_second(self) -> float:
        return self.rows / statistics.median(self.seconds[_PUSHER])


_PUSHER = "pusher run --once"
_TOGETHER = f"pusher, {_SITES} sites at once"


class Loading:
    """The sites that are loaded from, and the ways to do it."""

    def __init__(self, server: DatabaseServer, folder: Path, rows: int, stack: ExitStack) -> None:
        self._server = server
        self._folder = folder
        self._whole = stack.enter_context(site(server, rows))
        self._counts = counts(self._whole)
        self._rows = rows
        self._parts: list[str] = []
        self._stack = stack
        self._number = 0
        self.found = Loads(rows=rows)

    def pusher(self) -> Done:
        with central(self._server) as service:
            done, _ = cycle(self._config("site", self._whole, service.resturl, service.token("site")))
            self.found.peaks["agent"].append(done.peaks[0])
            for number, pid in enumerate(service.pids, 1):
                self.found.peaks[f"central, worker {number}"].append(peak_mb(pid))
            check_equally_many(self._counts, counts(service.db), _PUSHER)
        return done

    def together(self) -> Done:
        """Sites of their own natural keys, each with its part of the rows."""
        if not self._parts:
            each = self._rows // _SITES
            self._parts = [self._stack.enter_context(site(self._server, each, number + 1)) for number in range(_SITES)]
        with central(self._server) as service:
            configs = [
                self._config(f"site-{number}", part, service.resturl, service.token(f"site-{number}"))
                for number, part in enumerate(self._parts)
            ]
            done = side_by_side(*(agent_command(config, "run", "--once", "--json") for config in configs))
            parts, there = [counts(part) for part in self._parts], counts(service.db)
            # Only the streams: the types and the rooms are the same rows for both sites.
            for name in _STREAMS:
                check_equally_many({name: sum(part[name] for part in parts)}, {name: there[name]}, _TOGETHER)
        return done

    def peer(self, peer: Peer) -> Done:
        with fresh(self._server) as target:
            done = peer.run(self._whole, target)
            check_equally_many(self._counts, counts(target), peer.name)
        if isinstance(peer, Pipe):
            for program, peak in zip(peer.name.split(" | "), done.peaks, strict=True):
                self.found.peaks[program].append(peak)
        return done

    def _config(self, name: str, db: str, resturl: str, token: str) -> Path:
        self._number += 1
        return write_config(self._folder / f"load-{self._rows}-{self._number}", name, db, resturl, token)


def measure_loads(
    server: DatabaseServer, folder: Path, rows: int, rounds: int, peers: Sequence[Peer], *, sites: bool
) -> Loads:
    """Every contender once a round, in turn. `sites`: also several at once."""
    with ExitStack() as stack:
        loading = Loading(server, folder, rows, stack)
        pipe = Pipe()
        contenders: dict[str, Contender] = {_PUSHER: loading.pusher, pipe.name: lambda: loading.peer(pipe)}
        if sites:
            contenders[_TOGETHER] = loading.together
        for each in peers:
            contenders[_shown(each)] = lambda peer=each: loading.peer(peer)  # type: ignore[misc]
        for number in range(rounds):
            for name, run in contenders.items():
                say(f"load of {rows:,}, round {number + 1}: {name}")
                loading.found.seconds[name].append(run().seconds)
    return loading.found


def _shown(peer: Peer) -> str:
    return "the same through ssh -C" if peer.name == "ssh" else peer.name


def load(loads: Loads, missing: Sequence[str]) -> Measurement:
    """`missing`: tools that would have taken part if they were installed."""
    series = {name: Series(name=name, values=tuple(each), rows=loads.rows) for name, each in loads.seconds.items()}
    ours = [name for name in (_PUSHER, _TOGETHER) if name in series]
    others = [each for name, each in series.items() if name not in ours]
    shown = [
        Series(name=name, values=series[name].values, rows=loads.rows, against=tuple(map(against, others)))
        for name in ours
    ]
    notes = ["after each load both sides hold equally many rows of every table"]
    if _TOGETHER in ours:
        notes.append(
            f"the {_SITES} sites have their rows, houses and nodes each, and one central: their rate is of both"
        )
    notes += [f"not installed: {name}" for name in missing]
    return Measurement(title="load", rows=loads.rows, series=(*shown, *others), notes=tuple(notes))


def memory(loads: Loads) -> Measurement:
    series = [Series(name=name, values=tuple(values), unit="MB") for name, values in loads.peaks.items()]
    note = "largest resident memory (VmHWM) of each process during the load"
    return Measurement(title="memory", rows=loads.rows, series=tuple(series), notes=(note,))
