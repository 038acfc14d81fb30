"""The data pool: which folders and files a location has in it, and what their names say."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

from pusher.disk import PART_NAMES, writing
from pusher.errors import ConfigError

# Greedy: of DD_FU_2026-11-26 the scale is DD_FU, never DD.
_NAME = re.compile(r"(?P<scale>.+)_(?P<day>\d{4}-\d\d-\d\d)", re.ASCII | re.DOTALL)
_PRIVATE = 0o700
BENCHMARKS = "benchMark.json"
STUDY = "study"  # the schedule is archived as if it were a scale of this name


class Pool:
    """`root`: shared by all locations, each with a folder of its name in it."""

    def __init__(self, root: Path, location: str) -> None:
        self.root = root
        self.folder = root / location
        self.raw = self.folder / "raw_data"
        self.active = self.folder / "active_data"
        self.reports = self.folder / "reports"
        self.benchmarks = self.raw / BENCHMARKS

    def create(self) -> None:
        """Makes what is missing, for nobody else to read. Raises ConfigError if it cannot be used."""
        for folder in (self.root, self.root / "logs", self.folder, self.raw, self.active, self.reports):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
            except OSError as error:
                reason = "a file of this name is there" if isinstance(error, FileExistsError) else error.strerror
                raise ConfigError(
                    [f"the data pool's folder {folder} cannot be made: {reason}; correct path"]
                ) from error

    def sweep(self) -> None:
        """Removes what a kill left of files that were being written. Raises WriteFailed."""
        for folder in (self.raw, self.active, self.reports):
            for path in folder.glob(PART_NAMES):
                with writing(path):
                    path.unlink(missing_ok=True)

    def raw_file(self, scale: str, day: dt.date) -> Path:
        return self.raw / f"{scale}_{day.isoformat()}.json"

    def active_file(self, scale: str, day: dt.date) -> Path:
        return self.active / f"{scale}_{day.isoformat()}.csv"

    def raw_days(self, scale: str) -> list[dt.date]:
        """Of which days there are raw files of this very scale, sorted."""
        return _days(self.raw, scale, ".json")

    def active_days(self, scale: str) -> list[dt.date]:
        return _days(self.active, scale, ".csv")

    def raw_scales(self) -> list[str]:
        return _scales(self.raw, ".json")

    def active_scales(self) -> list[str]:
        return _scales(self.active, ".csv")


def _days(folder: Path, scale: str, suffix: str) -> list[dt.date]:
    return sorted(day for name, day in _named(folder, suffix) if name == scale)


def _scales(folder: Path, suffix: str) -> list[str]:
    return sorted({name for name, _ in _named(folder, suffix)})


def _named(folder: Path, suffix: str) -> Iterator[tuple[str, dt.date]]:
    for path in folder.glob(f"*{suffix}"):
        found = _NAME.fullmatch(path.name.removesuffix(suffix))
        try:
            if found:
                yield found["scale"], dt.date.fromisoformat(found["day"])
        except ValueError:  # 2026-13-01 is no day
            continue
