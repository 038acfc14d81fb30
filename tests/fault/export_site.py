"""A location of kind export beside a stub of its server, as the tests of faults and traps want it."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pusher.config import load
from pusher.export.answers import json_of, rows_of
from pusher.export.csvfile import Table, read_table
from pusher.export.job import ExportJob
from pusher.export.pool import Pool
from pusher.export.rawfile import read_rows
from pusher.export.webserver import WebServer
from pusher.held import HeldRow, Quarantine
from pusher.job import Outcome
from pusher.ledger import Ledger
from tests.export_stub import PASSWORD, USER, ExportStub, Row

LOCATION = "mindtrails"
_CONFIG = """\
[general]
site = lab
state = state

[locations]
{location} = 1

[{location}]
kind = export
url = {url}
user = {user}
password = {password}
delete = {delete}
path = data
timeout = {timeout} seconds
{extra}
"""


def write_config(
    folder: Path, url: str, *, delete: bool = True, password: str = PASSWORD, timeout: float = 5, extra: str = ""
) -> Path:
    path = folder / "synchronise.conf"
    values = {"location": LOCATION, "user": USER, "password": password, "delete": "yes" if delete else "no"}
    path.write_text(_CONFIG.format(url=url, timeout=timeout, extra=extra, **values))
    path.chmod(0o600)
    return path


def pool_of(folder: Path) -> Pool:
    return Pool(folder / "data", LOCATION)


def hash_as_sent(row: Row) -> str:
    """What a raw file must say of a row of the stub."""
    (answer,) = rows_of(json.dumps([row]).encode())
    return answer.hash


class Archive:
    """The raw files as they are on the disk. Read on from where they were last read: lines are only ever added."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.lines: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
        self._read: Counter[Path] = Counter()
        self._lock = threading.Lock()

    def holds(self, scale: str, row: Row) -> bool:
        """Whether a whole line has this row, unchanged, with the right hash."""
        self.read(scale)
        wanted = hash_as_sent(row)
        return any(line["row"] == row and line["hash"] == wanted for line in self.lines[scale, row["id"]])

    def read(self, scale: str) -> None:
        with self._lock:
            for day in self.pool.raw_days(scale):
                self._read_on(scale, self.pool.raw_file(scale, day))

    def _read_on(self, scale: str, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._read[path])
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read[path] += len(whole)
        for line in map(json.loads, whole.split(b"\n")[:-1]):
            if "row" in line:
                self.lines[scale, line["id"]].append(line)


def plain(*rows: Row) -> dict[int, Row]:
    """Rows of a test's own, by id."""
    return {row["id"]: {"date": "2026-11-26T04:00:00.000+0000", **row} for row in rows}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, with what it holds."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Site:
    """A location whose job runs in this process. `now`: its clock."""

    def __init__(self, folder: Path, stub: ExportStub) -> None:
        self.folder = folder
        self.stub = stub
        self.pool = pool_of(folder)
        self.now = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
        self.configure()

    @property
    def today(self) -> dt.date:
        return self.now.astimezone().date()

    def configure(self, **values: Any) -> None:
        """`values`: as `write_config` takes them."""
        self.config = write_config(self.folder, self.stub.url, **values)

    def pass_days(self, days: int) -> None:
        self.now += dt.timedelta(days=days)

    @contextmanager
    def job(self) -> Iterator[ExportJob]:
        """It waits for nothing between two tries."""
        settings = load(self.config)
        location = settings.location(LOCATION)
        with (
            Ledger(settings.general.state) as ledger,
            closing(WebServer(location, sleep=lambda seconds: None)) as server,
        ):
            yield ExportJob(settings, location, server, ledger, lambda: self.now)

    def run(self) -> Outcome:
        with self.job() as job:
            return job.run()

    def decode(self) -> None:
        with self.job() as job:
            for scale in self.pool.raw_scales():
                job.decode(scale)

    # --- what the archive has

    def lines(self, scale: str) -> list[dict[str, Any]]:
        """Every line of the raw files, as JSON has it."""
        paths = [self.pool.raw_file(scale, day) for day in self.pool.raw_days(scale)]
        return [json.loads(line) for path in paths for line in path.read_bytes().split(b"\n") if line]

    def ids(self, scale: str) -> list[int]:
        """Of every row that was archived, as often as it was."""
        return [line["id"] for line in self.lines(scale) if "row" in line]

    def rows(self, scale: str) -> list[Row]:
        """What counts of the newest raw file, as it was sent."""
        rows = read_rows(self.pool.raw_file(scale, self.pool.raw_days(scale)[-1]))
        return [json.loads(json_of(row.values)) for row in rows]

    def table(self, scale: str) -> Table:
        """The newest CSV."""
        return read_table(self.pool.active_file(scale, self.pool.active_days(scale)[-1]))

    def texts(self, scale: str, column: str) -> list[str]:
        return [row.get(column, "") for row in self.table(scale).rows]

    def highest(self) -> dict[str, int]:
        """The benchmarks, as their readable copy has them."""
        return dict(json.loads(self.pool.benchmarks.read_text()))

    # --- what happens to it

    def said(self, outcome: Outcome) -> str:
        """All that an operator is told."""
        stopped = [f"{entry.table}: {entry.stopped}" for entry in outcome.tables if entry.stopped]
        downs = [f"{down.what} {down.table}: {down.text}" for down in outcome.break_downs]
        noted = [note for entry in outcome.tables for note in entry.notes]
        held = [f"{row.table}: {row.reason}" for row in self.held()]
        said = [outcome.error or "", *outcome.notes, *outcome.notices, *stopped, *downs, *noted, *held]
        return "\n".join(said).strip()

    def held(self) -> list[HeldRow]:
        with Ledger(self.folder / "state") as ledger:
            return Quarantine(ledger, LOCATION).rows()

    def lose(self, *, ledger: bool, copy: bool) -> None:
        for path in [*(self.folder / "state").glob("ledger.db*")] if ledger else []:
            path.unlink()
        if copy:
            self.pool.benchmarks.unlink()


def check_recovered(site: Site) -> None:
    """What is made anew from the raw files alone is what was there before, to the last byte."""
    live = contents(site.pool.active)
    for path in site.pool.active.iterdir():
        path.unlink()
    site.decode()
    assert contents(site.pool.active) == live


def new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def sealer(key: RSAPrivateKey) -> Callable[[str], str]:
    """Encrypts a text as the web server does."""
    public = key.public_key()
    return lambda text: base64.b64encode(public.encrypt(text.encode(), PKCS1v15())).decode()


def key_line(folder: Path, key: RSAPrivateKey) -> str:
    """A line for the configuration, and the file that it names."""
    path = folder / "private.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    path.chmod(0o600)
    return f"key = file:{path}"
