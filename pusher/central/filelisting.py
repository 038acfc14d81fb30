"""Lists the files of a site in order, so many at a time, however many there are."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from heapq import nsmallest
from itertools import islice
from pathlib import Path

from pusher.central.beneath import open_folder, state_of
from pusher.paths.names import fault_of
from pusher.wire.files import FoundFile, Listed

_Suits = Callable[[str, bool], bool]  # by the name, and whether it is a folder


def found(name: str, state: os.stat_result) -> FoundFile:
    return FoundFile(name=name, size=state.st_size, modified=state.st_mtime_ns // 10**9)


def listing(root: Path, site: str, after: Sequence[str], limit: int) -> Listed:
    """At most `limit` files that come after the one which `after`, folders first, leads to, or from the first one on.

    The order is that of the names, each folder with all that it holds where its own name stands.
    """
    files = list(islice(_walk(root, site, (), after, limit + 1), limit + 1))
    return Listed(files=files[:limit], after=files[limit - 1].name if len(files) > limit else None)


def _walk(root: Path, site: str, path: tuple[str, ...], after: Sequence[str], at_once: int) -> Iterator[FoundFile]:
    first = after[0] if after else ""
    for last, state in _entries(root, (site, *path), first, at_once):
        name = "/".join((*path, last))
        if fault_of(name, windows=False):  # nobody could ask for it, and none of ours has it
            continue
        if stat.S_ISDIR(state.st_mode):
            yield from _walk(root, site, (*path, last), after[1:] if last == first else (), at_once)
        elif stat.S_ISREG(state.st_mode):
            yield found(name, state)


def _entries(root: Path, path: tuple[str, ...], first: str, at_once: int) -> Iterator[tuple[str, os.stat_result]]:
    """What a folder holds, in order, from `first` on: that itself only as a folder, since it may hold more."""
    some = _some(root, path, lambda name, is_folder: name > first or (is_folder and name == first), at_once)
    while some:
        yield from some
        some = _some(root, path, _behind(some[-1][0]), at_once) if len(some) == at_once else []


def _behind(last: str) -> _Suits:
    return lambda name, _: name > last


def _some(root: Path, path: tuple[str, ...], suits: _Suits, at_once: int) -> list[tuple[str, os.stat_result]]:
    """The first `at_once` of them: a folder may hold millions."""
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        open_folder(root, path) as folder,
        os.scandir(folder) as entries,
    ):
        names = nsmallest(
            at_once, (each.name for each in entries if suits(each.name, each.is_dir(follow_symlinks=False)))
        )
        return [(name, state) for name in names if (state := state_of(folder, name))]
    return []
