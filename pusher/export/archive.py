"""The archive of raw files: what comes is written, read back and found right before the ledger calls it archived."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pusher.disk import append, cut, replace, writing
from pusher.errors import ArchiveDamaged, WriteFailed
from pusher.export.answers import Answer
from pusher.export.pool import Pool
from pusher.export.rawfile import (
    Closing,
    RawRow,
    Reading,
    closing_line,
    closing_of,
    lines_of,
    read_from,
    stamp,
    whole_lines,
)
from pusher.export.register import Content, Known, Register
from pusher.log import event

log = logging.getLogger(__name__)


class Archive:
    """`clock`: aware."""

    def __init__(self, pool: Pool, register: Register, clock: Callable[[], dt.datetime]) -> None:
        self._pool = pool
        self._register = register
        self._clock = clock

    def take_in(self, scale: str) -> None:
        """Has the ledger know what the raw files hold: after a power cut, after it was lost, or of an earlier program.
        What a power cut left of a line goes. Raises ArchiveDamaged, WriteFailed."""
        known = self._register.files(scale)
        days = self._pool.raw_days(scale)
        for day in sorted(known.keys() - set(days)):
            log.warning(event("raw_file_missing", file=self._pool.raw_file(scale, day).name))
            self._register.forget_file(scale, day)
        for day in days:
            path = self._pool.raw_file(scale, day)
            size, proven = path.stat().st_size, known[day].size if day in known else 0
            if size < proven:
                raise ArchiveDamaged(
                    f"{path} is shorter than when it was proven; put it back from a backup, or move it away"
                )
            if size > proven or day not in known:
                self._take_in(scale, day, proven)

    def _take_in(self, scale: str, day: dt.date, proven: int) -> None:
        path = self._pool.raw_file(scale, day)
        reading = read_from(path, proven)
        if reading.torn:
            _mend(path, reading)
            reading = read_from(path, proven)
        if reading.unended:
            append(path, b"\n")
        size = reading.size + reading.unended
        whole = [entry for entry in reading.entries if isinstance(entry, Closing)]
        self._register.note_archived(scale, day, size, _contents(reading, None), whole[-1].hash if whole else None)

    def store(self, scale: str, answers: Sequence[Answer]) -> None:
        """Rows that are not archived yet, of those that come and go. Raises WriteFailed: then none of them is."""
        self._store(scale, answers, None)

    def store_snapshot(self, scale: str, answers: Sequence[Answer]) -> None:
        """A static scale as it is now. Raises WriteFailed."""
        self._store(scale, answers, stamp(self._clock()))

    def _store(self, scale: str, answers: Sequence[Answer], snapshot: str | None) -> None:
        now = self._clock()
        day = now.astimezone().date()
        path = self._pool.raw_file(scale, day)
        content = lines_of(scale, answers, now, snapshot)
        closing = closing_of(snapshot, answers) if snapshot else None
        if closing:
            content += closing_line(scale, closing, now + dt.timedelta(microseconds=len(answers)))
        start = append(path, content)
        wanted = [(answer.id, answer.hash) for answer in answers]
        reading = _read_back(path, start)
        if not reading or _contents(reading, snapshot) != wanted or (closing and reading.entries[-1] != closing):
            cut(path, start)
            raise WriteFailed(f"what was written to {path} is not what the disk has; look at the disk")
        rows, hash_ = ([], closing.hash) if closing else (wanted, None)
        self._register.note_archived(scale, day, reading.size, rows, hash_)

    def proven(self, scale: str, known: Iterable[tuple[Content, Known]]) -> set[Content]:
        """Which of these rows, archived before, are in their raw files still, unchanged. Raises ArchiveDamaged."""
        wanted: dict[dt.date, set[Content]] = {}
        for content, entry in known:
            wanted.setdefault(entry.day, set()).add(content)
        found: set[Content] = set()
        for day, contents in wanted.items():
            reading = read_from(self._pool.raw_file(scale, day), 0)
            found |= contents.intersection(_contents(reading, None))
        return found


def _mend(path: Path, reading: Reading) -> None:
    """Takes what was torn out of the file, and keeps it beside: nobody knows what else may have done that. Whole
    lines that follow stay."""
    aside = path.with_name(f"{path.name}.torn")
    log.warning(event("raw_file_mended", file=path.name, torn_bytes=len(reading.torn), aside=aside.name))
    append(aside, reading.torn)
    with writing(path):
        kept = path.read_bytes()[: reading.size]
    replace(path, kept + whole_lines(reading.torn))


def _read_back(path: Path, start: int) -> Reading | None:
    """None if a line of it cannot be read."""
    try:
        reading = read_from(path, start)
    except ArchiveDamaged:
        return None
    return None if reading.torn else reading


def _contents(reading: Reading, snapshot: str | None) -> list[Content]:
    return [
        (entry.id, entry.hash)
        for entry in reading.entries
        if isinstance(entry, RawRow) and entry.snapshot == snapshot and entry.id is not None
    ]
