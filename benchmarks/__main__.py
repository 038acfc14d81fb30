"""`make bench`: a full load, a cycle with nothing new and verify, MariaDB to MariaDB, beside a dump and restore."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from models import Base
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.servers import DatabaseServer, MariaDB, binary
from tests.stage import CentralService, write_config

Verified = tuple[float, int]  # seconds, bytes on the wire


class LargeMariaDB(MariaDB):
    """As the tests' server, with room for the larger sizes."""

    def _command(self) -> Sequence[str]:
        durable = ["--innodb-flush-log-at-trx-commit=1", "--innodb-flush-method=O_DIRECT", "--sync-frm=1"]
        return [*super()._command(), *durable, "--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000], help="sizes of the full load")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured, in turn with its reference")
    options = parser.parse_args()
    with LargeMariaDB() as server, tempfile.TemporaryDirectory() as folder:
        for rows in options.rows:
            measure(server, Path(folder), rows, options.rounds)


def measure(server: DatabaseServer, folder: Path, rows: int, rounds: int) -> None:
    site = server.new_database()
    with opened(site) as engine:
        Base.metadata.create_all(engine)
        Datagen(seed=1).bulk(engine, rows)
    load, pipe, idle = [], [], []
    noted: list[Verified] = []
    deep: list[Verified] = []
    wire = 0.0
    for number in range(rounds):
        pipe.append(seconds(lambda: dump_pipe(server, site)))
        with CentralService(server.new_database()) as service:
            token = service.token("site")
            config = write_config(folder / f"{rows}-{number}", "site", site, service.resturl, token)
            began = time.perf_counter()
            outcome = push(config)
            load.append(time.perf_counter() - began)
            wire = outcome["bytes_sent"] / sum(table["sent"] for table in outcome["tables"])
            began = time.perf_counter()
            push(config)
            idle.append(time.perf_counter() - began)
            noted.append(verify(config))
            deep.append(verify(config, "--deep"))
    median = statistics.median
    ratio = median(ours / theirs for ours, theirs in zip(load, pipe, strict=True))
    print(f"{rows:,} readings, medians of {rounds}:")
    print(f"  full load        {median(load):7.2f} s   {rows / median(load):,.0f} rows/s")
    print(f"  dump | mariadb   {median(pipe):7.2f} s   ratio {ratio:.2f}")
    print(f"  nothing new      {median(idle):7.2f} s")
    print(f"  on the wire      {wire:7.2f} bytes a row")
    for name, found in (("verify", noted), ("verify --deep", deep)):
        took, size = (median(each[place] for each in found) for place in (0, 1))
        print(f"  {name:<16} {took:7.2f} s   {size:,.0f} bytes on the wire, {rows / took:,.0f} rows/s", flush=True)


def seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def push(config: Path) -> dict[str, Any]:
    """One cycle in a process of its own, start and end included; what it reports."""
    command = [sys.executable, "-m", "pusher.cli.main", "--config", str(config), "run", "--once", "--json"]
    outcome: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)[0]
    return outcome


def verify(config: Path, *options: str) -> Verified:
    """Both sides being equal; in a process of its own, start and end included."""
    command = [sys.executable, "-m", "pusher.cli.main", "--config", str(config), "verify", "--json", *options]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    took = time.perf_counter() - began
    (found,) = json.loads(done.stdout)
    return took, found["bytes_sent"] + found["bytes_received"]


def dump_pipe(server: DatabaseServer, site: str) -> None:
    """The reference: a whole dump into a fresh database, over the same TCP port."""
    target = server.new_database()
    source, sink = (sa.engine.make_url(url) for url in (site, target))
    where = [f"--host={source.host}", f"--port={source.port}", f"--user={source.username}"]
    dump = subprocess.Popen(
        [binary("mariadb-dump"), *where, "--single-transaction", "--quick", str(source.database)],
        stdout=subprocess.PIPE,
    )
    subprocess.run([binary("mariadb"), *where, str(sink.database)], stdin=dump.stdout, check=True)
    if dump.wait():
        raise RuntimeError("mariadb-dump failed")


if __name__ == "__main__":
    main()
