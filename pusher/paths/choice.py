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

from pusher.errors import SourceUnreachable
from pusher.paths.names import PARTS, long_path

_Pattern = re.Pattern[str]


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
        if not _any(self._included, name, relative) or _any(self._excluded, name, relative):
            return False
        if self.startswith and not name.startswith(self.startswith):
            return False
        if self.contains and not any(text in name for text in self.contains):
            return False
        low, high = self._times
        return low <= mtime_ns and (high is None or mtime_ns <= high)

    @cached_property
    def _included(self) -> tuple[list[_Pattern], list[_Pattern]]:
        return _compiled(self.include)

    @cached_property
    def _excluded(self) -> tuple[list[_Pattern], list[_Pattern]]:
        return _compiled(self.exclude)

    @cached_property
    def _times(self) -> tuple[int, int | None]:
        low = -(1 << 62) if self.not_before is None else int(self.not_before.timestamp() * 10**9)
        return low, None if self.not_after is None else int(self.not_after.timestamp() * 10**9)


def _compiled(patterns: Sequence[str]) -> tuple[list[_Pattern], list[_Pattern]]:
    """Those of names, and those of paths."""
    of_names = [re.compile(translate(each), re.IGNORECASE) for each in patterns if "/" not in each]
    of_paths = [re.compile(translate(each.lstrip("/")), re.IGNORECASE) for each in patterns if "/" in each]
    return of_names, of_paths


def _any(patterns: tuple[list[_Pattern], list[_Pattern]], name: str, relative: str) -> bool:
    of_names, of_paths = patterns
    return any(each.match(name) for each in of_names) or any(each.match(relative) for each in of_paths)


def _unheard(_folder: str, _reason: str) -> None:
    pass


def scan(root: Path, choice: Choice, unread: Callable[[str, str], None] = _unheard) -> Iterator[LocalFile]:
    """Every regular file below `root` that suits, folder by folder; links are not followed. `unread` is told of each
    folder that cannot be looked into, and why.

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
                raise SourceUnreachable(f"the folder {root} cannot be read: {error.strerror}; see from") from error
            if not isinstance(error, FileNotFoundError):
                unread(folder, error.strerror or str(error))
            continue
        below = []
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if choice.subdirs and path.lower() != PARTS:
                    below.append(path)
            elif entry.is_file(follow_symlinks=False):
                yield from _suiting(entry, path, choice)
        folders += reversed(below)


def _suiting(entry: os.DirEntry[str], path: str, choice: Choice) -> Iterator[LocalFile]:
    try:
        state = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # meanwhile it went
        return
    if choice.suits(path, state.st_mtime_ns):
        yield LocalFile(path, state.st_size, state.st_mtime_ns)
