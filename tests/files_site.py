"""A site whose instrument writes files, for tests of the files job."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pusher.config import load
from pusher.filelist import Entry, FileList
from pusher.files.job import FilesJob
from pusher.files.opening import open_destination
from pusher.held import HeldRow, Quarantine
from pusher.job import NoProgress, Outcome
from pusher.ledger import Ledger

LONG_AGO_NS = 1_700_000_000_000_000_000  # any clock has settled it

_CONFIG = """\
[general]
site = pc-7
state = state

[locations]
instrument = 1

[instrument]
kind = files
from = raw
to = {to}
settle = 30 seconds
reconcile = off
{extra}
"""


@dataclass
class Instrument:
    """`there`: the folder behind the destination, where it is one."""

    folder: Path
    to: str = "there"
    extra: str = ""
    now: float = LONG_AGO_NS / 1e9 + 3600
    there: Path = field(init=False)

    def __post_init__(self) -> None:
        self.there = self.folder / "there"
        self.raw.mkdir(parents=True)
        self.there.mkdir(exist_ok=True)
        self.configure(self.extra)

    @property
    def raw(self) -> Path:
        return self.folder / "raw"

    @property
    def config(self) -> Path:
        return self.folder / "synchronise.conf"

    def configure(self, extra: str = "") -> None:
        self.config.write_text(_CONFIG.format(to=self.to, extra=extra))
        self.config.chmod(0o600)

    def write(self, path: str, content: bytes = b"1;2\n", age_seconds: float = 0) -> Path:
        """A result file, whole since long ago."""
        return put(self.raw / path, content, LONG_AGO_NS - int(age_seconds * 1e9))

    @contextmanager
    def job(self) -> Iterator[FilesJob]:
        settings = load(self.config)
        location = settings.location("instrument")
        with (
            Ledger(settings.general.state) as ledger,
            open_destination(settings, location) as destination,
        ):
            yield FilesJob(settings, location, destination, ledger, lambda: self.now)

    def run(self) -> Outcome:
        with self.job() as job:
            return job.run(NoProgress())

    def entries(self) -> dict[str, Entry]:
        with Ledger(self.folder / "state") as ledger:
            return FileList(ledger, "instrument").entries()

    def held(self) -> list[HeldRow]:
        with Ledger(self.folder / "state") as ledger:
            return Quarantine(ledger, "instrument").rows()

    def arrived(self) -> dict[str, str]:
        """Each file that somebody sees there, with its hash."""
        return digests(self.there)

    def written(self) -> dict[str, str]:
        return digests(self.raw)


def put(path: Path, content: bytes, mtime_ns: int = LONG_AGO_NS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".pusher" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
