"""The list of a location's files in the site's ledger: which are where, which are on their way, which are locked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

import msgspec

from pusher.ledger import Ledger

_READ = """
select path, code, size, modified_ns, sha256, destination, arrived, there_modified, coming, fault
from file where location = ?
"""
_NOTE_COMING = """
insert into file (location, path, coming) values (?1, ?2, ?3)
on conflict (location, path) do update set coming = excluded.coming
"""
_NOTE_ARRIVED = """
insert into file (location, path, size, modified_ns, sha256, destination, there_modified, arrived)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
on conflict (location, path) do update set size = excluded.size, modified_ns = excluded.modified_ns,
sha256 = excluded.sha256, destination = excluded.destination, there_modified = excluded.there_modified,
arrived = excluded.arrived, code = max(code, 1), coming = null, fault = null
"""
_LAST = "select max(arrived), count(arrived) from file where location = ?"
_KEEP_EARLIER = """
insert into earlier_file (location, path, destination, size, sha256, arrived)
select location, path, destination, size, sha256, arrived from file
where location = ?1 and path = ?2 and arrived is not null and destination <> ?3
"""
_SET_CODE = """
insert into file (location, path, code) values (?1, ?2, ?3)
on conflict (location, path) do update set code = excluded.code
"""
_SET_FAULT = "update file set fault = ? where location = ? and path = ?"
_EARLIER = "select destination from earlier_file where location = ?"


FILES = "file"  # in place of a table's name, for what is held and what a check found


class Code(IntEnum):
    """What is to become of a file: copied though it did not change, copied if it changed, or never."""

    COPY = 0
    IF_CHANGED = 1
    NEVER = 2


class AtFault(StrEnum):
    """What a check found at the destination in place of a file that had arrived."""

    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True, slots=True)
class Coming:
    """A file as it is about to be placed: whoever finds it there knows that it came from here. `modified`: in whole
    seconds, as the destination keeps it."""

    destination: str
    size: int
    modified: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file. `size`, `modified_ns`, `sha256`: of what has arrived, at `arrived`, as `destination`; `there_modified`:
    its time there, in whole seconds."""

    path: str
    code: Code = Code.IF_CHANGED
    size: int | None = None
    modified_ns: int | None = None
    sha256: str | None = None
    destination: str | None = None
    arrived: str | None = None
    there_modified: int | None = None
    coming: Coming | None = None
    fault: AtFault | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A file that is whole at its destination, proven."""

    path: str
    size: int
    modified_ns: int
    sha256: str
    destination: str
    there_modified: int


class FileList:
    """Paths are relative to the location's folder, with `/`. Every change is on disk before a method returns."""

    def __init__(self, ledger: Ledger, location: str) -> None:
        self._ledger = ledger
        self._location = location

    def entries(self) -> dict[str, Entry]:
        return {row[0]: _entry(row) for row in self._ledger.read(_READ, self._location)}

    def earlier_destinations(self) -> set[str]:
        """Under which names earlier contents of files were kept."""
        return {name for (name,) in self._ledger.read(_EARLIER, self._location)}

    def last_arrived(self) -> tuple[str | None, int]:
        """When the last file arrived, and how many have."""
        ((arrived, count),) = self._ledger.read(_LAST, self._location)
        return arrived, count

    def note_coming(self, coming: Mapping[str, Coming]) -> None:
        with self._ledger.change() as db:
            rows = [(self._location, path, msgspec.json.encode(each).decode()) for path, each in coming.items()]
            db.executemany(_NOTE_COMING, rows)

    def note_arrived(self, arrivals: Iterable[Arrival]) -> None:
        """An earlier content that stays under another name is not forgotten."""
        each = list(arrivals)
        if not each:
            return
        now = dt.datetime.now(dt.UTC).isoformat(sep=" ", timespec="microseconds").removesuffix("+00:00")
        with self._ledger.change() as db:
            db.executemany(_KEEP_EARLIER, [(self._location, a.path, a.destination) for a in each])
            db.executemany(_NOTE_ARRIVED, [(self._location, *_values(arrival), now) for arrival in each])

    def note_faults(self, faults: Mapping[str, AtFault | None]) -> None:
        """What a check found; None: the file is there as it should be."""
        if not faults:
            return
        with self._ledger.change() as db:
            db.executemany(_SET_FAULT, [(fault, self._location, path) for path, fault in faults.items()])

    def set_code(self, paths: Iterable[str], code: Code) -> None:
        with self._ledger.change() as db:
            db.executemany(_SET_CODE, [(self._location, path, code) for path in paths])


def _values(arrival: Arrival) -> tuple[object, ...]:
    return (
        *(arrival.path, arrival.size, arrival.modified_ns, arrival.sha256),
        *(arrival.destination, arrival.there_modified),
    )


def _entry(row: tuple[str, int, int, int, str, str, str, int, str, str]) -> Entry:
    path, code, size, modified_ns, sha256, destination, arrived, there_modified, coming, fault = row
    return Entry(
        path=path,
        code=Code(min(max(int(code), 0), 2)),
        size=size,
        modified_ns=modified_ns,
        sha256=sha256,
        destination=destination,
        arrived=arrived,
        there_modified=there_modified,
        coming=msgspec.json.decode(coming, type=Coming) if coming else None,
        fault=AtFault(fault) if fault else None,
    )
