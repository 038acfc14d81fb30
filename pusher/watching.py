"""Hears from the system of new and changed files, for locations with watch = yes."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from pusher.config import Location

_STEP_MS, _DEBOUNCE_MS = 50, 200
_AGAIN_SECONDS = 5.0


@dataclass
class _Watch:
    source: Path
    settle_seconds: float
    subdirs: bool
    stop: threading.Event = field(default_factory=threading.Event)
    seen: threading.Event = field(default_factory=threading.Event)

    def begin(self, name: str) -> None:
        threading.Thread(target=self._run, name=f"watch-{name}", daemon=True).start()

    def _run(self) -> None:
        from watchfiles import watch  # an extra, which most sites do without

        while not self.stop.is_set():
            try:
                for _ in watch(
                    self.source,
                    stop_event=self.stop,
                    step=_STEP_MS,
                    debounce=_DEBOUNCE_MS,
                    recursive=self.subdirs,
                    raise_interrupt=False,
                ):
                    self.seen.set()
            except OSError:  # the folder is not there: the run says so, and it may come
                self.stop.wait(_AGAIN_SECONDS)


class Watches:
    """One thread a folder that is watched."""

    def __init__(self) -> None:
        self._watches: dict[str, _Watch] = {}

    def keep(self, locations: Collection[Location]) -> None:
        """From now on the folders of these locations are watched, as far as they want it, and no others."""
        wanted = {each.name: found for each in locations if (found := _watched(each))}
        for name, watch in list(self._watches.items()):
            if wanted.get(name) != (watch.source, watch.settle_seconds, watch.subdirs):
                watch.stop.set()
                del self._watches[name]
        for name, folder in wanted.items():
            if name not in self._watches:
                self._watches[name] = _Watch(*folder)
                self._watches[name].begin(name)

    def woken(self) -> list[tuple[str, float]]:
        """The locations in whose folder something happened since this was last asked, each with how long a file is to
        be left alone."""
        found = []
        for name, watch in self._watches.items():
            if watch.seen.is_set():
                watch.seen.clear()
                found.append((name, watch.settle_seconds))
        return found


def _watched(location: Location) -> tuple[Path, float, bool] | None:
    """The folder, how long a file in it is to be left alone, and whether folders in it count."""
    files, imports = location.files, location.imports
    if files and files.watch:
        return files.source, files.settle_seconds, files.choice.subdirs
    if imports and imports.watch:
        return imports.storage, imports.settle_seconds, False
    return None
