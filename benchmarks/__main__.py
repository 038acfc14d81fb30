"""`make bench`: every measurement beside its reference, in turn and in one run, on a MariaDB of its own."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.ends import LargeMariaDB
from benchmarks.files import files
from benchmarks.imports import changes, imports
from benchmarks.load import Loads, load, measure_loads, memory
from benchmarks.loaded import delta, loaded, noop, verify
from benchmarks.peers import PEERS, installed, ready
from benchmarks.results import Measurement, as_json, table
from benchmarks.sites import Crowd, sites
from benchmarks.start import start
from benchmarks.wire import wire
from tests.servers import DatabaseServer

_KINDS = ("load", "delta", "noop", "wire", "memory", "verify", "sites", "start", "files", "import")
_OF_LOADED = {"noop": noop, "verify": verify, "delta": delta}  # in this order: a delta adds rows
_SINGLE_ROWS = 100_000
_EPILOG = """\
10,000 and 100,000 readings are measured unless others are named; 1,000,000 and 5,000,000 are for those who have the
hours and the gigabytes of disk. Only ratios count that were measured side by side: times differ from machine to
machine, and from hour to hour.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    found = []
    with LargeMariaDB() as server, tempfile.TemporaryDirectory() as folder:
        for measurement in measurements(server, Path(folder), options):
            found.append(measurement)
            if not options.json:
                print(table(measurement), end="\n\n", flush=True)
    if options.json:
        print(json.dumps({"rounds": options.rounds, "measurements": [as_json(each) for each in found]}, indent=2))


def measurements(server: DatabaseServer, folder: Path, options: argparse.Namespace) -> Iterator[Measurement]:
    """Of what `options` ask for, each as soon as it is done."""
    single: Loads | None = None
    if "start" in options.only:
        yield start(server, folder)
    if "files" in options.only:
        yield from files(folder / "files", options.rounds)
    for rows in options.rows:
        if {"load", "memory"} & set(options.only):
            single = _loads(server, folder, rows, options)
            if "load" in options.only:
                yield load(single, [name for name in PEERS if name not in installed()])
            if "memory" in options.only:
                yield memory(single)
        if "wire" in options.only:
            yield wire(server, folder, rows)
        if "import" in options.only:
            yield imports(server, folder, rows, options.rounds)
            yield changes(server, folder, rows, options.rounds)
        yield from _of_loaded(server, folder, rows, options)
    if "sites" in options.only:
        single = single or measure_loads(server, folder, _SINGLE_ROWS, 1, [], sites=False)
        crowd = Crowd(sites=options.sites, backlog=options.backlog, seconds=options.seconds)
        yield sites(server, folder, crowd, single.rows_per_second)


def _of_loaded(server: DatabaseServer, folder: Path, rows: int, options: argparse.Namespace) -> Iterator[Measurement]:
    measures = [measure for name, measure in _OF_LOADED.items() if name in options.only]
    if measures:
        with loaded(server, folder, rows) as both:
            for measure in measures:
                yield measure(both, options.rounds)


def _loads(server: DatabaseServer, folder: Path, rows: int, options: argparse.Namespace) -> Loads:
    """For the memory alone, no more than the pipe takes part."""
    whole = "load" in options.only
    with ready(options.peers if whole else []) as peers:
        return measure_loads(server, folder, rows, options.rounds, peers, sites=whole)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, epilog=_EPILOG)
    add = parser.add_argument
    add("--rows", type=int, nargs="+", default=[10_000, 100_000], metavar="N", help="numbers of readings")
    add("--rounds", type=int, default=5, metavar="N", help="how often each is measured, in turn with its reference")
    add("--only", nargs="+", choices=_KINDS, default=_KINDS, metavar="WHAT", help=f"of {', '.join(_KINDS)}")
    there = installed()
    peers = (
        f"tools to load with, besides mariadb-dump | mariadb: of {', '.join(PEERS)}; default: all that are installed"
    )
    add("--peers", nargs="*", choices=list(PEERS), default=there, metavar="TOOL", help=peers)
    add("--json", action="store_true", help="all numbers of all rounds, at the end")
    add("--sites", type=int, default=Crowd.sites, metavar="N", help="simulated sites at once (%(default)s)")
    add("--backlog", type=int, default=Crowd.backlog, metavar="N", help="readings of each one behind (%(default)s)")
    add("--seconds", type=float, default=Crowd.seconds, metavar="S", help="the simulated sites' time (%(default)s)")
    options = parser.parse_args(arguments)
    if missing := [name for name in options.peers if name not in there]:
        parser.error(f"not installed: {', '.join(missing)}")
    if min(options.rows) < 2 or options.rounds < 1 or options.sites < 2:
        parser.error("--rows begins at 2, --rounds at 1, --sites at 2")
    return options


if __name__ == "__main__":
    main()
