"""`lastupdate`: the moment up to which everything has arrived, as the operator sees it and may set it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pusher.config import read_lastupdate, write_lastupdate
from pusher.ledger import Ledger
from pusher.push.position import Position
from pusher.push.source import moment_of

_WRITE_EVERY_SECONDS = 1.0


def marker_of(positions: Iterable[Position]) -> str | None:
    """Everything before this moment is at central; None while some stream has not begun.

    A stream that has nothing left to send holds nothing up.
    """
    begun = [(position, moment_of(position.table, position.cursor)) for position in positions if position.cursor]
    moments = [(position, moment) for position, moment in begun if moment is not None]
    waiting = [moment for position, moment in moments if not position.drained]
    if any(not position.cursor and not position.drained for position in positions):
        return None
    if waiting:
        return min(waiting)
    return max((moment for _, moment in moments), default=None)


class Marker:
    """Keeps `lastupdate` of one location up with its streams.

    Written at most once a second and at the end; never over an operator's edit made in the meantime.
    """

    def __init__(self, path: Path, location: str, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._location = location
        self._ledger = ledger
        self._clock = clock
        self._written_at = -_WRITE_EVERY_SECONDS
        self._written = ledger.location(location).marker

    def follow(self, positions: Iterable[Position], *, at_once: bool = False) -> None:
        if not at_once and self._clock() - self._written_at < _WRITE_EVERY_SECONDS:
            return
        moment = marker_of(list(positions))
        text = moment.replace("T", " ") if moment else None
        if text == self._written or read_lastupdate(self._path, self._location) != self._written:
            return
        # First the ledger: should the power fail in between, the file reads as an edit back to what it says.
        self._ledger.write_marker(self._location, text)
        write_lastupdate(self._path, self._location, text)
        self._written = text
        self._written_at = self._clock()
