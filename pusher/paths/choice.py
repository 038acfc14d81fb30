"""Which files of a folder a location takes, and what the folder holds."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from stat import S_ISREG

from pusher.errors import SourceUnreachable
from pusher.paths.names import PARTS, long_path

_Patterns = tuple[re.Pattern[str] | None, re.Pattern[str] | None]  # of names, and of paths


@dataclass(frozen=True, slots=True)
class LocalFile:
    """`path`: relative to the source, with `/`."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Patterns count in any case, of the file's name, or of its path where they hold a `/`. Several of one kind:
    any of them. `not_before`, `not_after`: of the file's time, in local time."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    startswith: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    not_before: dt.datetime | None = None
    not_after: dt.datetime | None = None
    subdirs: bool = True

    def suits(self, relative: str, mtime_ns: int) -> bool:
        """`mtime_ns`: since 1970."""
        name = relative.rpartition("/")[2]
        if not _match(self._included, name, relative) or _match(self._excluded, name, relative):
            return False
        if self.startswith and not name.startswith(self.startswith):
            return False
        if self.contains and not any(text in name for text in self.contains):
            return False
        low, high = self._times
        return (low is None or low <= mtime_ns) and (high is None or mtime_ns <= high)

    @cached_property
    def _included(self) -> _Patterns:
        return _compiled(self.include)

    @cached_property
    def _excluded(self) -> _Patterns:
        return _compiled(self.exclude)

    @cached_property
    def _times(self) -> tuple[int | None, int | None]:
        return _nanoseconds(self.not_before), _nanoseconds(self.not_after)


def _nanoseconds(moment: dt.datetime | None) -> int | None:
    """Since 1970, from local time."""
    if moment is None:
        return None
    try:
        return round(moment.timestamp() * 10**6) * 1000
    except (OverflowError, OSError, ValueError):  # at the calendar's ends, where the zone is of no account
        return (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1) * 1000


def _compiled(patterns: Sequence[str]) -> _Patterns:
    of_paths = [each.lstrip("/") for each in patterns if "/" in each]
    return _alternatives([each for each in patterns if "/" not in each]), _alternatives(of_paths)


def _alternatives(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(translate, patterns)), re.IGNORECASE) if patterns else None


def _match(patterns: _Patterns, name: str, relative: str) -> bool:
    of_names, of_paths = patterns
    return bool(of_names and of_names.match(name)) or bool(of_paths and of_paths.match(relative))


def _unheard(_folder: str, _reason: str) -> None:
    pass


def scan(root: Path, choice: Choice, unread: Callable[[str, str], None] = _unheard) -> Iterator[LocalFile]:
    """Every regular file below `root` that suits, folder by folder; links are not followed, and what pusher keeps in
    a folder of its own is left out. `unread` is told of each folder that cannot be looked into, and why.

    Raises SourceUnreachable if `root` itself cannot.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(long_path(os.path.join(root, folder))) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise SourceUnreachable(
                    f"the folder {root} cannot be read: {_reason(error)}; correct from, mount its disk, or let us in"
                ) from error
            if not isinstance(error, FileNotFoundError):
                unread(folder, _reason(error))
            continue
        below: list[str] = []
        yield from _files(folder, entries, choice, below, unread)
        folders += reversed(below)


def _files(
    folder: str,
    entries: Sequence[os.DirEntry[str]],
    choice: Choice,
    below: list[str],
    unread: Callable[[str, str], None],
) -> Iterator[LocalFile]:
    """The files of one folder; the folders to look into next are added to `below`."""
    reason = None
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        try:
            if entry.is_dir(follow_symlinks=False):
                if choice.subdirs and entry.name.lower() != PARTS:
                    below.append(path)
                continue
            state = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # meanwhile it went
            continue
        except OSError as error:  # such as in a folder that may be listed and no more
            reason = _reason(error)
            continue
        if S_ISREG(state.st_mode) and choice.suits(path, state.st_mtime_ns):
            yield LocalFile(path, state.st_size, state.st_mtime_ns)
    if reason is not None:
        unread(folder, reason)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
