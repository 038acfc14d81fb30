"""The list of a location's files as an operator sees and sets it; the destination is not asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pusher.config import Location, Settings, load
from pusher.errors import ConfigError, UsageError
from pusher.filelist import Code, Entry, FileList
from pusher.ledger import Ledger
from pusher.paths.choice import Choice, scan


def listed(config: Path, name: str) -> list[Entry]:
    """Raises UsageError if there is no such location, ConfigError if it is of another kind."""
    settings, location = _location(config, name)
    with Ledger(settings.general.state) as ledger:
        entries = FileList(ledger, location.name).entries()
    return [entries[path] for path in sorted(entries)]


def set_lock(config: Path, name: str, patterns: Sequence[str], *, locked: bool, dry_run: bool = False) -> list[str]:
    """Locks or unlocks the files of these paths, or of all that match; returns which changed.

    A path that is nowhere yet can be locked, too; a pattern must match something: else UsageError, and nothing changes.
    """
    settings, location = _location(config, name)
    assert location.files
    with Ledger(settings.general.state) as ledger:
        filelist = FileList(ledger, location.name)
        entries = filelist.entries()
        here = {file.path for file in scan(location.files.source, location.files.choice)}
        found: set[str] = set()
        for pattern in patterns:
            suiting = _matching(pattern, here | entries.keys())
            if not suiting and (not locked or set("*?[") & set(pattern)):
                raise UsageError(f"no file of {name} is called {pattern}; pusher files list {name} shows those known")
            found |= suiting or {pattern}
        changed = sorted(path for path in found if (_code(entries, path) is Code.NEVER) is not locked)
        if not dry_run:
            filelist.set_code(changed, Code.NEVER if locked else Code.IF_CHANGED)
    return changed


def _matching(pattern: str, paths: set[str]) -> set[str]:
    """A pattern that holds a `/` is of paths, another of names, as with `include`."""
    if pattern in paths:
        return {pattern}
    choice = replace(Choice(), include=(pattern,))
    return {path for path in paths if choice.suits(path, 0)}


def _code(entries: dict[str, Entry], path: str) -> Code:
    entry = entries.get(path)
    return entry.code if entry else Code.IF_CHANGED


def _location(config: Path, name: str) -> tuple[Settings, Location]:
    settings = load(config)
    location = settings.location(name)
    if location.files is None:
        raise ConfigError([f"[{name}] is no location of files; its kind is {location.kind}"])
    return settings, location
