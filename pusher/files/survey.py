"""Looks at the source and the ledger, and asks the destination, to tell what a run has to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from pusher.config import FilesSettings
from pusher.filelist import Entry
from pusher.files.decide import Need, OnChange, Refuse, Step, decide, name_of, need_of
from pusher.files.destination import Destination
from pusher.paths.choice import LocalFile, scan
from pusher.paths.names import fault_of, folded

_NAMES_AT_ONCE = 1000


@dataclass(kw_only=True)
class Survey:
    """`files`: all that suit. `due`: those to look up at the destination, each with its name there. `refused`: those
    whose name cannot be. `unread`: folders that could not be looked into."""

    files: list[LocalFile] = field(default_factory=list)
    due: list[tuple[LocalFile, str]] = field(default_factory=list)
    refused: list[Refuse] = field(default_factory=list)
    needs: Counter[Need] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Here:
    """The side that is read: the site, the location and its settings."""

    site: str
    location: str
    settings: FilesSettings

    @property
    def on_change(self) -> OnChange:
        return OnChange(self.settings.on_change)

    def name(self, file: LocalFile) -> str:
        """What a file is called at the destination."""
        renaming = self.settings.renaming
        if renaming is None:
            return file.path
        return renaming.apply(file.path, mtime_ns=file.mtime_ns, size=file.size, site=self.site, location=self.location)

    def scan(self, unread: list[str]) -> Iterator[LocalFile]:
        """Every file that suits. Raises SourceUnreachable."""
        return scan(
            self.settings.source,
            self.settings.choice,
            lambda folder, reason: unread.append(f"{Path(self.settings.source, folder)} cannot be read: {reason}"),
        )


def survey(here: Here, entries: dict[str, Entry], destination: Destination, now: float) -> Survey:
    """What is due. `now`: in seconds since 1970. Raises SourceUnreachable."""
    found = Survey()
    found.files = list(here.scan(found.unread))
    taken = _taken(found.files, entries, destination)
    for file in found.files:
        entry = entries.get(file.path)
        settled = _is_settled(here, file, now)
        need = need_of(file, entry, settled=settled, on_change=here.on_change)
        found.needs[need] += 1
        if need is not Need.DUE:
            continue
        name = name_of(file, entry, here.name(file), here.on_change)
        reason = fault_of(name, windows=destination.windows)
        other = taken.setdefault(folded(name, folds_case=destination.folds_case), file.path)
        if reason is None and other != file.path:
            reason = f"{other} has the same name there, {name}; rename one of them, or use rename or exclude"
        if reason is None:
            found.due.append((file, name))
        else:
            found.refused.append(Refuse(file=file, name=name, reason=reason))
    return found


def _taken(files: Iterable[LocalFile], entries: dict[str, Entry], destination: Destination) -> dict[str, str]:
    """Under which names files have arrived that are still here: a file that was moved here may take its name along."""
    here = {file.path for file in files}
    return {
        folded(entry.destination, folds_case=destination.folds_case): path
        for path, entry in entries.items()
        if entry.destination is not None and entry.arrived is not None and path in here
    }


def _is_settled(here: Here, file: LocalFile, now: float) -> bool:
    """By the file's own time, or, where that is in the future, by when the system last saw it change."""
    changed = file.mtime_ns / 1e9
    if changed > now:
        try:
            changed = Path(here.settings.source, file.path).lstat().st_ctime
        except OSError:
            return False
    return now - changed >= here.settings.settle_seconds


def steps(due: Sequence[tuple[LocalFile, str]], entries: dict[str, Entry], destination: Destination) -> Iterator[Step]:
    """What to do with each file that is due. Raises what the destination raises."""
    for some in _some_of(due):
        found = destination.find([name for _, name in some])
        for file, name in some:
            yield decide(file, entries.get(file.path), name, found.get(name))


def _some_of(due: Sequence[tuple[LocalFile, str]]) -> Iterator[list[tuple[LocalFile, str]]]:
    left = iter(due)
    while some := list(islice(left, _NAMES_AT_ONCE)):
        yield some
