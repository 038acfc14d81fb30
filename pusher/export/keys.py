"""Private keys for sealed fields: written once, found by a file's or a location's name, tried on what is archived."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pusher.config import ExportSettings, Location
from pusher.disk import sync_folder
from pusher.errors import UsageError
from pusher.export.csvfile import flat
from pusher.export.pool import Pool
from pusher.export.rawfile import RawRow, read_rows
from pusher.export.sealing import CannotOpen, Opener, opener_for

_PRIVATE = 0o600
_LONGEST_FILE = 1 << 16
_FIELDS_OF_A_SCALE = 20  # the newest: RSA takes its time, and a key fits or does not


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One scale's newest day: how many of its newest sealed fields opened, how many did not, and why the first did
    not."""

    scale: str
    day: str
    opened: int
    sealed: int
    reason: str | None


def write_key(path: Path, text: str) -> None:
    """For its owner alone to read, on the disk before this returns; never over a file. Raises UsageError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    except FileExistsError:
        raise UsageError(
            f"{path} exists already; name another file: a key that is lost opens nothing any more"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; name a file in a folder that is there") from error
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(handle)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise UsageError(f"cannot write {path}: {error.strerror}; free some room") from error


def opener_in(path: Path) -> Opener:
    """Raises UsageError, and ConfigError if the file holds no key."""
    try:
        with path.open("rb") as file:
            return opener_for(file.read(_LONGEST_FILE).decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no text"
        raise UsageError(f"cannot read {path}: {reason}") from None


def opener_of(location: Location) -> Opener:
    """Raises UsageError if it has no key, ConfigError if that is none."""
    key = _export_of(location).key
    if key is None:
        raise UsageError(f'location "{location.name}" has no key; add key = file:PATH to [{location.name}]')
    return opener_for(key.reveal())


def try_key(location: Location) -> Iterator[Trial]:
    """The location's key on the newest day of each scale, where fields are sealed. Raises what opener_of raises, and
    ArchiveDamaged."""
    settings, opener = _export_of(location), opener_of(location)
    pool = Pool(settings.pool, location.name)
    for scale in pool.raw_scales():
        day = pool.raw_days(scale)[-1]
        rows = reversed(list(read_rows(pool.raw_file(scale, day))))
        texts = list(islice(_sealed_texts(settings, rows), _FIELDS_OF_A_SCALE))
        if texts:
            yield _trial(scale, day.isoformat(), opener, texts)


def _sealed_texts(settings: ExportSettings, rows: Iterable[RawRow]) -> Iterator[str]:
    for row in rows:
        yield from (text for name, text in flat(row.values).items() if text and settings.is_sealed(name))


def _trial(scale: str, day: str, opener: Opener, texts: Sequence[str]) -> Trial:
    reasons = []
    for text in texts:
        try:
            opener.open(text)
        except CannotOpen as error:
            reasons.append(str(error))
    opened = len(texts) - len(reasons)
    return Trial(scale=scale, day=day, opened=opened, sealed=len(reasons), reason=reasons[0] if reasons else None)


def _export_of(location: Location) -> ExportSettings:
    if location.export is None:
        raise UsageError(f'location "{location.name}" is of kind {location.kind}; this is for export')
    return location.export
