"""`python -m benchmarks.stream`: a whole table read over REST with curl, and how far the server's memory grows."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from itertools import product
from pathlib import Path

from benchmarks.ends import LargeMariaDB
from models import Base
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.servers import PostgreSQL
from tests.stage import CentralService

_SAMPLE_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dialect", nargs="+", default=["mariadb", "postgresql", "sqlite"])
    parser.add_argument("--query", default="", help="for example sort=value")
    parser.add_argument("--format", nargs="+", default=["text/csv", "application/json", "application/x-ndjson"])
    parser.add_argument("--encoding", nargs="+", default=["identity", "zstd", "gzip"])
    options = parser.parse_args()
    for dialect in options.dialect:
        with tempfile.TemporaryDirectory() as folder:
            if dialect == "sqlite":
                measure(f"sqlite:///{folder}/central.db", dialect, options)
                continue
            with LargeMariaDB() if dialect == "mariadb" else PostgreSQL() as server:
                measure(server.new_database(), dialect, options)


def measure(db: str, dialect: str, options: argparse.Namespace) -> None:
    with CentralService(db, log=Path("/dev/stderr")) as service:
        with opened(db) as engine:
            Base.metadata.create_all(engine)
            Datagen(seed=1).bulk(engine, options.rows)
        token = service.token("bench", "read")
        pid = service._process.pid if service._process else 0
        url = f"{service.resturl}reading/?{options.query}"
        curl(f"{url}&limit=1", token, "text/csv")  # what is imported, connected and reflected once
        for form, encoding in product(options.format, options.encoding):
            peak = Peak(pid)
            began = time.perf_counter()
            bytes_ = curl(url, token, form, encoding)
            seconds = time.perf_counter() - began
            print(
                f"{dialect:10} {form:21} {encoding:8} {seconds:6.1f} s  {options.rows / seconds:9,.0f} rows/s"
                f"  {bytes_ / 1e6:6.1f} MB  memory {peak.end() / 2**20:+.1f} MB",
                flush=True,
            )


def curl(url: str, token: str, accept: str, encoding: str = "identity") -> int:
    """The bytes that came."""
    headers = (f"Authorization: Bearer {token}", f"Accept: {accept}", f"Accept-Encoding: {encoding}")
    command = ["curl", "--silent", "--show-error", "--fail", "--output", "/dev/null", "--write-out", "%{size_download}"]
    done = subprocess.run(
        [*command, *(part for header in headers for part in ("--header", header)), url],
        check=True,
        stdout=subprocess.PIPE,
    )
    return int(done.stdout)


class Peak:
    """How far the memory of a process grows from now on."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._first = self._peak = self._now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._peak - self._first

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self._peak = max(self._peak, self._now())

    def _now(self) -> int:
        (line,) = (line for line in self._status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
