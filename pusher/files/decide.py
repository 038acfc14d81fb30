"""What is to be done with a file, from what is known of it here, in the ledger and at the destination: pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from pusher.filelist import AtFault, Code, Entry
from pusher.files.destination import Found
from pusher.paths.choice import LocalFile
from pusher.paths.names import beside


class OnChange(StrEnum):
    """What happens to a file that changed after it had arrived."""

    COPY = "copy"
    KEEP_BOTH = "keep-both"
    NEVER = "never"


class Need(StrEnum):
    """Why a file is not due, or DUE."""

    DUE = "due"
    DONE = "done"
    LOCKED = "locked"
    SETTLING = "settling"
    UNWANTED = "changed"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Send the file. `replace`: what is under its name came from here."""

    file: LocalFile
    name: str
    replace: bool


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Something of the same size, changed at `there_modified`, has its name: if it is the same, the file has arrived.
    Else do `otherwise`."""

    file: LocalFile
    name: str
    there_modified: int
    otherwise: Copy | Refuse


@dataclass(frozen=True, kw_only=True)
class Refuse:
    file: LocalFile
    name: str
    reason: str


Step = Copy | Compare | Refuse


def need_of(file: LocalFile, entry: Entry | None, *, settled: bool, on_change: OnChange) -> Need:
    """Whether a file is to go to the destination. `settled`: it has not changed for long enough."""
    if entry and entry.code is Code.NEVER:
        return Need.LOCKED
    arrived = entry is not None and entry.arrived is not None
    changed = entry is None or (entry.size, entry.modified_ns) != (file.size, file.mtime_ns)
    asked = entry is not None and (entry.code is Code.COPY or entry.fault is not None)
    if arrived and not asked and not changed:
        return Need.DONE
    if arrived and not asked and on_change is OnChange.NEVER:
        return Need.UNWANTED
    return Need.DUE if settled else Need.SETTLING


def decide(file: LocalFile, entry: Entry | None, name: str, found: Found | None) -> Step:
    """What to do with a file that is due. `name`: what it is to be called there. `found`: what has this name there.

    With on_change = keep-both, ask `name_of` for the name first.
    """
    if found is None:
        return Copy(file=file, name=name, replace=False)
    ours = entry is not None and is_ours(entry, found)
    if ours and entry and (entry.code is Code.COPY or entry.fault is AtFault.DAMAGED):
        return Copy(file=file, name=name, replace=True)
    otherwise = Copy(file=file, name=name, replace=True) if ours else _refusal(file, name, found)
    if found.size == file.size:
        return Compare(file=file, name=name, there_modified=found.modified, otherwise=otherwise)
    return otherwise


def name_of(file: LocalFile, entry: Entry | None, name: str, on_change: OnChange) -> str:
    """Under which name a file goes: one that changed may stand beside what had arrived before."""
    if on_change is not OnChange.KEEP_BOTH or entry is None or entry.arrived is None or entry.destination is None:
        return name
    if (entry.size, entry.modified_ns) == (file.size, file.mtime_ns):
        return entry.destination  # what is to be mended is the last one
    return beside(name, f"{_moment(file.mtime_ns // 10**9):%Y%m%dT%H%M%SZ}")


def is_ours(entry: Entry, found: Found) -> bool:
    """Whether what is there came from here: it has the time that it was given here, which damage does not change and
    whoever writes it anew does."""
    coming = entry.coming
    if coming and (coming.destination, coming.size, coming.modified) == (found.name, found.size, found.modified):
        return True
    return entry.arrived is not None and (entry.destination, entry.there_modified) == (found.name, found.modified)


def _refusal(file: LocalFile, name: str, found: Found) -> Refuse:
    moment = _moment(found.modified)
    return Refuse(
        file=file,
        name=name,
        reason=f"another file has the name {name} there ({found.size:,} bytes, of {moment:%Y-%m-%d %H:%M:%S} UTC) and "
        "is not overwritten: move it away there, rename this one, or lock it",
    )


def _moment(seconds: int) -> dt.datetime:
    """Of seconds since 1970; one that no calendar has is the nearest that it has."""
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return dt.datetime.max.replace(tzinfo=dt.UTC) if seconds > 0 else dt.datetime.min.replace(tzinfo=dt.UTC)
