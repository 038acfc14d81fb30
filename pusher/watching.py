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
        wanted = {each.name: each.files for each in locations if each.files and each.files.watch}
        for name, watch in list(self._watches.items()):
            files = wanted.get(name)
            if files is None or (files.source, files.settle_seconds) != (watch.source, watch.settle_seconds):
                watch.stop.set()
                del self._watches[name]
        for name, files in wanted.items():
            if name not in self._watches:
                self._watches[name] = _Watch(files.source, files.settle_seconds, files.choice.subdirs)
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
