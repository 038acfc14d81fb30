"""A site with locations of kind import, as the tests of kills, of size and of the benchmark want it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pusher.datacenter.csvform import ERRORS
from pusher.datacenter.storage import FOLDERS
from tests.configs import put

NUMBER = "Number"  # a column that nobody takes, by which a row is known wherever it turns up

_GENERAL = """\
[general]
site = office
state = state
localurl = {url}
[locations]
"""
_LOCATION = """
[{name}]
kind = import
storage = {name}
processor = {processor}
mode = {mode}
settle = 0
"""

Cells = Mapping[str, str]


def write_config(folder: Path, url: str, locations: Mapping[str, tuple[str, str]]) -> Path:
    """`locations`: by name the processor and the mode; each has its storage beside the configuration."""
    switches = "".join(f"{name} = 1\n" for name in locations)
    sections = (
        _LOCATION.format(name=name, processor=processor, mode=mode) for name, (processor, mode) in locations.items()
    )
    return put(folder / "synchronise.conf", _GENERAL.format(url=url) + switches + "".join(sections))


@dataclass(frozen=True)
class Storage:
    """A data center as a clerk sees it, who has nothing but files."""

    root: Path

    def drop(self, name: str, rows: Sequence[Cells]) -> bytes:
        """Puts a file there at once, in place of one of that name; returns what it holds."""
        self.root.mkdir(exist_ok=True)
        outside = self.root.with_name(f"{self.root.name}.{name}")
        with outside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        content = outside.read_bytes()
        os.replace(outside, self.root / name)
        return content

    def waiting(self) -> list[str]:
        """The files in the root that anybody can see."""
        if not self.root.exists():
            return []
        return sorted(
            entry.name for entry in os.scandir(self.root) if entry.name not in FOLDERS and entry.name[0] != "."
        )

    def pending(self) -> dict[str, list[dict[str, str]]]:
        """Of each file of refused rows its rows."""
        return {name: read(self.root / name) for name in self.waiting() if name.endswith(".pending.csv")}

    def finished(self) -> list[dict[str, str]]:
        """Every row that is said to be done."""
        return [row for path in sorted(self.root.glob("finished/*.finished*.csv")) for row in read(path)]

    def deleted(self) -> list[dict[str, str]]:
        return [row for path in sorted(self.root.glob("deleted/*.csv")) for row in read(path)]

    def tree(self) -> dict[str, int]:
        """Every file but those of the log, hidden ones too, with its bytes."""
        found: dict[str, int] = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name != "logs"]
            for name in names:
                path = os.path.join(folder, name)
                try:
                    found[os.path.relpath(path, self.root)] = os.lstat(path).st_size
                except FileNotFoundError:  # it has just been moved
                    continue
        return found


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def mended(rows: Iterable[Cells], right: Mapping[str, Cells]) -> list[Cells]:
    """The rows of a file as a clerk corrects them: those of `right`, by their number. The reasons stay where they
    are, since nobody looks at them."""
    return [{**right.get(row[NUMBER], row), ERRORS: row[ERRORS]} for row in rows]
