"""Looks whether files can go from a location's folder to its destination, without sending any."""

from __future__ import annotations

from collections.abc import Iterator

from pusher.config import Location, Settings
from pusher.files.destination import Destination
from pusher.files.job import FilesJob
from pusher.ledger import Ledger

_PART = "probe"


def probe(settings: Settings, location: Location, destination: Destination, ledger: Ledger) -> Iterator[str]:
    """What was found, a line each. Raises what source and destination raise."""
    job = FilesJob(settings, location, destination, ledger)
    unread: list[str] = []
    files = list(job.here.scan(unread))
    size = sum(file.size for file in files)
    yield f"{len(files):,} files of {size:,} bytes suit in {job.here.settings.source}"
    yield from unread
    destination.append(_PART, 0, [b"pusher was here"])
    destination.discard(_PART)
    yield f"{job.here.settings.to.text} can be written to"
