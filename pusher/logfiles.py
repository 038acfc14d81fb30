"""Log files by level, that begin anew at midnight and hinder nothing, whatever befalls the disk.

    DEBUG.log       all
    Daily.log       info and beyond
    error.log       warning and beyond
    break_down.log  critical: what needs somebody at once

The first line of a day has the files of the day before renamed, to DEBUG.log.2026-11-25 and so on. Several processes
may write at once: an entry is one write to the end of a file, and files are renamed under a lock.
"""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

LEVELS = {
    "DEBUG.log": logging.DEBUG,
    "Daily.log": logging.INFO,
    "error.log": logging.WARNING,
    "break_down.log": logging.CRITICAL,
}
_LOCK = ".lock"
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_DATE_LETTERS = len("2026-11-25")


class LogFiles(logging.Handler):
    """`keep`: how many days of each file stay. A line begins with its local date, as `logging` formats it: so a file
    itself tells of which day it is."""

    def __init__(self, folder: Path, keep: int) -> None:
        super().__init__(logging.DEBUG)
        self.folder = folder
        self._keep = keep
        self._files = [_File(folder / name, level) for name, level in LEVELS.items()]
        self._day: dt.date | None = None
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """What cannot be written is said on standard error, once, and ends nothing."""
        try:
            day = dt.datetime.fromtimestamp(record.created).date()
            entry = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # as every handler does: a line that cannot be formed is no reason to end, either
            self.handleError(record)
            return
        if self._day is None or self._day < day:
            with self._surviving(self.folder):
                self._begin(day)
        for file in self._files:
            if record.levelno >= file.level:
                with self._surviving(file.path):
                    file.append(entry)

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()

    def _begin(self, day: dt.date) -> None:
        """Puts away what is older than `day`, if no other process has done so."""
        with _locked(self.folder):
            for file in self._files:
                file.close()
                with self._surviving(file.path):
                    file.put_away(day)
                    self._thin_out(file.path)
        self._day = day

    def _thin_out(self, path: Path) -> None:
        for old in sorted(path.parent.glob(f"{path.name}.[0-9]*"))[: -self._keep]:
            old.unlink(missing_ok=True)

    @contextmanager
    def _surviving(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"cannot write the log {path}: {error.strerror}"
            if text not in self._told:
                self._told.add(text)
                with suppress(OSError, ValueError):  # nobody reads it, or it is closed
                    print(f"pusher: {text}; pusher goes on; free some room, or correct [logging]", file=sys.stderr)


class _File:
    """One of the files: opened when it is first written to."""

    def __init__(self, path: Path, level: int) -> None:
        self.path = path
        self.level = level
        self._handle: int | None = None
        self._torn = False

    def append(self, entry: bytes) -> None:
        if self._handle is not None and os.fstat(self._handle).st_nlink == 0:  # somebody has deleted it
            self.close()
        if self._handle is None:
            _make(self.path.parent)
            self._handle = os.open(self.path, _FLAGS, _PRIVATE_FILE)
        content = b"\n" + entry if self._torn else entry
        self._torn = os.write(self._handle, content) < len(content)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._torn = None, False

    def put_away(self, day: dt.date) -> None:
        """Unless it is of that day, or of a later one: a clock may have been wrong."""
        held = _day_of(self.path)
        if held is not None and held < day:
            self.path.rename(_free(self.path.with_name(f"{self.path.name}.{held}")))


def _day_of(path: Path) -> dt.date | None:
    """That of the first line; None if there is none."""
    try:
        with path.open("rb") as file:
            first = file.read(_DATE_LETTERS)
            changed = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    if not first:
        return None
    try:
        return dt.date.fromisoformat(first.decode())
    except ValueError:  # not ours, or damaged
        return dt.datetime.fromtimestamp(changed).date()


def _free(path: Path) -> Path:
    """A clock that was set back makes a second file of a day."""
    others = (path.with_name(f"{path.name}.{number}") for number in count(2))
    return path if not path.exists() else next(other for other in others if not other.exists())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    _make(folder)
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
