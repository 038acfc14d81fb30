"""What is done with a data pool without its web server: decode what waits, and make active files anew."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

from pusher.config import Location, Settings
from pusher.errors import ConfigError, UsageError
from pusher.export.active import ActiveFile, ActiveFiles
from pusher.export.archive import Archive
from pusher.export.job import now_utc
from pusher.export.pool import Pool
from pusher.export.register import Register
from pusher.held import Quarantine
from pusher.instance import only_instance
from pusher.job import Progress
from pusher.ledger import Ledger


class Recovery:
    """`pool`: of one location, which no other pusher uses now."""

    def __init__(self, pool: Pool, register: Register, archive: Archive, active: ActiveFiles) -> None:
        self.pool = pool
        self._register = register
        self._archive = archive
        self._active = active

    def decode(self, scale: str | None, progress: Progress) -> Iterator[ActiveFile]:
        """Has the active files show what is archived, and tries again what could not be decrypted, if there is another
        key. Raises UsageError, ArchiveDamaged, WriteFailed."""
        for name in self._scales(scale):
            self._archive.take_in(name)
            files = sorted(self._register.files(name).items())
            progress.expect(name, len(files))
            for day, file in files:
                yield self._active.bring_up(name, day, file)
                progress.advance(name, 1)

    def make_anew(self, scale: str | None, day: dt.date | None, progress: Progress) -> Iterator[ActiveFile]:
        """Every active file, or those of a scale or a day, from the raw files alone. Raises as `decode` does."""
        found = False
        for name in self._scales(scale):
            self._archive.take_in(name)
            files = [(each, file) for each, file in sorted(self._register.files(name).items()) if day in (None, each)]
            progress.expect(name, len(files))
            for each, file in files:
                found = True
                yield self._active.make_anew(name, each, file)
                progress.advance(name, 1)
        if day and not found:
            raise UsageError(f"no raw file of {day} in {self.pool.raw}")

    def _scales(self, scale: str | None) -> list[str]:
        there = self.pool.raw_scales()
        if scale is not None and scale not in there:
            known = ", ".join(there) or "none"
            raise UsageError(f"no raw file of a scale {scale} in {self.pool.raw}; there are: {known}")
        return [scale] if scale else there


@contextmanager
def open_recovery(settings: Settings, location: Location) -> Iterator[Recovery]:
    """Raises ConfigError if the location is of another kind or its key is none, AlreadyRunning."""
    if location.export is None:
        raise ConfigError([f"[{location.name}] is no location to export from; its kind is {location.kind}"])
    pool = Pool(location.export.pool, location.name)
    pool.create()
    with only_instance(settings.general.state), Ledger(settings.general.state) as ledger:
        register = Register(ledger, location.name)
        active = ActiveFiles(pool, location.export, register, Quarantine(ledger, location.name), now_utc())
        yield Recovery(pool, register, Archive(pool, register, now_utc), active)
