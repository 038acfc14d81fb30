"""The locations that clerks import files of on central's pages, and the runs that this process has under way."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.exceptions import HTTPException

from pusher.config import Settings
from pusher.datacenter.desk import Desk
from pusher.datacenter.outcome import Choice, Imported
from pusher.datacenter.storage import DataCenterFile
from pusher.datacenter.work import Work
from pusher.errors import AlreadyRunning, ConfigError, PusherError
from pusher.log import event

log = logging.getLogger(__name__)

Then = Callable[[Imported | PusherError], None]


class Started:
    """A run in a thread of its own, which ends with the process: what it leaves undone the next run completes.

    `total`, `taken`: rows, as far as they are known. `error`: why it ended, None if it is well.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = self.taken = 0
        self.error: PusherError | None = None
        self.ended = threading.Event()

    def expect(self, _name: str, rows: int) -> None:
        self.total, self.taken = rows, 0

    def advance(self, _name: str, rows: int) -> None:
        self.taken += rows


class Imports:
    """Raises ConfigError if the settings have no location to import from, WriteFailed or FileRefused if a storage
    cannot be used."""

    def __init__(self, settings: Settings) -> None:
        found = [each for each in settings.locations if each.on and each.imports]
        if not found:
            raise ConfigError([f"{settings.path}: no location with kind = import is switched on; add one"])
        self.desks = {each.name: Desk(settings, each) for each in found}
        self.rehearsal = asyncio.Semaphore(1)  # a dry run holds what it changes until it has changed it back
        self._started: dict[str, Started] = {}
        self._lock = threading.Lock()

    def desk(self, location: str) -> Desk:
        """Raises 404 if there is none."""
        try:
            return self.desks[location]
        except KeyError:
            raise HTTPException(404, f"no location {location} is here to import from") from None

    def start(self, location: str, name: str, choice: Choice, then: Then) -> Started:
        """Runs a file, and tells `then` in the same thread what came of it. Raises AlreadyRunning."""
        started = Started(name)
        with self._lock:
            before = self._started.get(location)
            if before and not before.ended.is_set():
                raise AlreadyRunning(f"{location} is importing {before.name}; wait until that is done")
            self._started[location] = started
        desk = self.desks[location]
        thread = threading.Thread(target=_run, args=(desk, started, choice, then), name=f"import {name}", daemon=True)
        thread.start()
        return started

    def started(self, location: str, name: str) -> Started | None:
        """What this process last began there, if it is of this file."""
        started = self._started.get(location)
        return started if started and started.name == name else None


def _run(desk: Desk, started: Started, choice: Choice, then: Then) -> None:
    try:
        outcome: Imported | PusherError = desk.run(started.name, choice, started)
    except PusherError as error:
        outcome = started.error = error
    except Exception:
        log.exception(event("import_failed", location=desk.location, file=started.name))
        outcome = started.error = PusherError("central failed on this run; its log says why")
    try:
        then(outcome)
    except PusherError as error:
        log.error(event("import_not_noted", location=desk.location, file=started.name, error=str(error)))
    finally:
        started.ended.set()


@dataclass(frozen=True, kw_only=True)
class Doing:
    """`busy`: somebody works on the storage now, be it this process, another one or a command. `undone`: the file whose
    run broke off, None if there is none."""

    busy: bool
    undone: str | None = None


def doing(desk: Desk) -> Doing:
    try:
        with desk.center.locked(), Work.found(desk.center) as work:
            return Doing(busy=False, undone=work.order.name if work else None)
    except AlreadyRunning:
        return Doing(busy=True)


def line_count(file: DataCenterFile) -> int:
    """Counted once, as long as the file stays as it is."""
    return _counted(file.path, file.bytes, file.modified)


@lru_cache(maxsize=1000)
def _counted(path: Path, _bytes: int, _modified: float) -> int:
    return DataCenterFile(path).lines
