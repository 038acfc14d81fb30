"""The active files: the raw ones decoded to CSV, one for one, so that they can be made anew from those at any time."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from pusher.config import ExportSettings
from pusher.disk import append, replace, writing
from pusher.export.csvfile import SEALED, Table, flat, head_of, lines_of, read_columns, read_table
from pusher.export.pool import Pool
from pusher.export.rawfile import RawRow, counting, read_from, read_rows
from pusher.export.register import File, Register
from pusher.held import Fault, Kind, Quarantine
from pusher.log import event

log = logging.getLogger(__name__)


class State(StrEnum):
    """What became of an active file: it was up to date, got more rows, was not there, or was made anew. Or it is left
    as it is, since the key does not open what it shows."""

    CURRENT = "up to date"
    LONGER = "longer"
    NEW = "new"
    ANEW = "made anew"
    LEFT = "left as it is"


@dataclass(frozen=True, kw_only=True)
class ActiveFile:
    """`sealed`: fields that could not be decrypted."""

    scale: str
    day: str
    state: State
    rows: int
    sealed: int


class Opens(Protocol):
    """A private key."""

    @property
    def fingerprint(self) -> str: ...

    def open(self, text: str) -> str: ...


@dataclass(kw_only=True)
class _Decoded:
    """`faults`: by (id, field) why a field could not be decrypted; `unopened`: how many no key was there for."""

    columns: list[str] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    faults: dict[tuple[int | None, str], str] = field(default_factory=dict)
    unopened: int = 0

    @property
    def sealed(self) -> int:
        return len(self.faults) + self.unopened


class ActiveFiles:
    """Those of one location. `opener`: None where there is no key: then what is sealed stays so, and is not held."""

    def __init__(
        self, pool: Pool, settings: ExportSettings, register: Register, quarantine: Quarantine, now: dt.datetime
    ) -> None:
        """Raises ConfigError if the key is none."""
        self._pool = pool
        self._settings = settings
        self._register = register
        self._quarantine = quarantine
        self._now = now.isoformat(timespec="seconds")
        self._opener = _opener(settings)
        self._key = self._opener.fingerprint if self._opener else None

    def bring_up(self, scale: str, day: dt.date, file: File) -> ActiveFile:
        """Has the active file show what is archived. Raises WriteFailed."""
        path = self._pool.active_file(scale, day)
        there = path.stat().st_size if path.exists() else None
        untouched = there is not None and there == file.active_size
        retried = bool(file.sealed) and self._key is not None and (file.key != self._key or self._asked(scale))
        if untouched and file.decoded == file.size and not retried:
            return ActiveFile(scale=scale, day=day.isoformat(), state=State.CURRENT, rows=0, sealed=file.sealed)
        if untouched and file.key == self._key and not retried:
            longer = self._lengthen(scale, day, file)
            if longer:
                return longer
        return self._make(scale, day, file)

    def make_anew(self, scale: str, day: dt.date, file: File) -> ActiveFile:
        """From the raw file alone; one that is the same to the last byte stays. Raises WriteFailed."""
        return self._make(scale, day, file)

    def _make(self, scale: str, day: dt.date, file: File) -> ActiveFile:
        path = self._pool.active_file(scale, day)
        found = self._decode(read_rows(self._pool.raw_file(scale, day)))
        if not found.rows and not path.exists():  # a snapshot that is not whole, or nothing but half a line
            return ActiveFile(scale=scale, day=day.isoformat(), state=State.CURRENT, rows=0, sealed=0)
        content = head_of(found.columns) + lines_of(found.columns, found.rows)
        self._hold(scale, found)
        state = self._put(path, content, found, ours=file.active_size is not None)
        if state is not State.LEFT:
            self._note(scale, day, file, len(content), found.sealed)
        return ActiveFile(scale=scale, day=day.isoformat(), state=state, rows=len(found.rows), sealed=found.sealed)

    def _put(self, path: Path, content: bytes, found: _Decoded, *, ours: bool) -> State:
        if not path.exists():
            replace(path, content)
            log.info(event("active_file_created", file=path.name, rows=len(found.rows)))
            return State.NEW
        with writing(path):
            if path.read_bytes() == content:
                return State.CURRENT
        if found.sealed or not ours:
            old = read_table(path)
            if _would_seal(old, found):
                log.warning(event("active_file_left", file=path.name, reason="the key does not open what it shows"))
                return State.LEFT
            if not ours and _would_lose(old, found):
                with writing(path):
                    kept = path.rename(path.with_name(f"{path.name}.earlier"))
                log.warning(event("active_file_kept", file=kept.name, reason="it has rows that no raw file has"))
        replace(path, content)
        return State.ANEW

    def _lengthen(self, scale: str, day: dt.date, file: File) -> ActiveFile | None:
        """None where that will not do: a new column, or a new snapshot."""
        if self._register.asked(scale).snapshot:  # what is outside of it may be in it
            return None
        entries = read_from(self._pool.raw_file(scale, day), file.decoded).entries if file.decoded else []
        if not entries or any(not isinstance(entry, RawRow) or entry.snapshot for entry in entries):
            return None
        path = self._pool.active_file(scale, day)
        found = self._decode(counting(entries))
        columns = read_columns(path)
        if set(found.columns) - set(columns):
            return None
        self._hold(scale, found)
        content = lines_of(columns, found.rows)
        start = append(path, content)
        sealed = file.sealed + found.sealed
        self._note(scale, day, file, start + len(content), sealed)
        return ActiveFile(scale=scale, day=day.isoformat(), state=State.LONGER, rows=len(found.rows), sealed=sealed)

    def _note(self, scale: str, day: dt.date, file: File, size: int, sealed: int) -> None:
        shown = File(size=file.size, decoded=file.size, active_size=size, key=self._key, sealed=sealed)
        self._register.note_decoded(scale, day, shown)

    def _decode(self, rows: Iterable[RawRow]) -> _Decoded:
        found = _Decoded()
        columns: dict[str, None] = {}
        for row in rows:
            fields = flat(row.values)
            for name, text in fields.items():
                if text and self._settings.is_sealed(name):
                    fields[name] = self._opened(row.id, name, text, found)
            columns |= dict.fromkeys(fields)
            found.rows.append(fields)
        found.columns = list(columns)
        return found

    def _opened(self, number: int | None, name: str, text: str, found: _Decoded) -> str:
        from pusher.export.sealing import CannotOpen

        if self._opener is None:
            found.unopened += 1
            return SEALED
        try:
            return self._opener.open(text)
        except CannotOpen as error:
            found.faults[number, name] = str(error)
            return SEALED

    def _asked(self, scale: str) -> bool:
        """Whether somebody wants fields of this scale tried again."""
        return any(row.retry for row in self._quarantine.rows(scale) if row.kind is Kind.SEALED)

    def _hold(self, scale: str, found: _Decoded) -> None:
        faults = {_key(number, name): reason for (number, name), reason in found.faults.items()}
        shown = {row.get("id") for row in found.rows}
        held = [row for row in self._quarantine.rows(scale) if row.kind is Kind.SEALED]
        opened = [row.local_key for row in held if row.local_key not in faults and str(row.key[0]) in shown]
        if opened and self._opener:
            self._quarantine.release(scale, opened)
        if faults:
            each = [Fault(local_key=key, reason=reason, kind=Kind.SEALED) for key, reason in faults.items()]
            self._quarantine.hold(scale, each, self._now)


def _opener(settings: ExportSettings) -> Opens | None:
    if settings.key is None:
        return None
    from pusher.export.sealing import opener_for

    return opener_for(settings.key.reveal())


def _would_seal(old: Table, new: _Decoded) -> bool:
    """Whether a field is readable in the old file and would not be in the new one."""
    before = {row.get("id"): row for row in old.rows}
    for row in new.rows:
        earlier = before.get(row.get("id"), {})
        if any(text == SEALED and earlier.get(name, "") not in ("", SEALED) for name, text in row.items()):
            return True
    return False


def _would_lose(old: Table, new: _Decoded) -> bool:
    return bool({row.get("id") for row in old.rows} - {row.get("id") for row in new.rows})


def _key(number: int | None, name: str) -> str:
    return msgspec.json.encode([number, name]).decode()
