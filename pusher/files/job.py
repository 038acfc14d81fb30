"""The files job of one location: one run sends what is due, and notes what arrived and what could not."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from pusher.config import Location, Settings
from pusher.errors import ConfigError, FileRefused, PusherError
from pusher.filelist import FILES, Arrival, FileList
from pusher.files.decide import Compare, Copy, Need, Refuse, Step
from pusher.files.destination import Destination
from pusher.files.reading import Reader, StillChanging
from pusher.files.sending import Sender, arrival
from pusher.files.survey import Here, Survey, steps, survey
from pusher.held import Fault, HeldRow, Kind, Quarantine
from pusher.job import FileCounts, NoProgress, Outcome, Progress
from pusher.ledger import Ledger
from pusher.log import event

log = logging.getLogger(__name__)

_NOTED_AT_ONCE = 500
_NOBODY_WATCHES = NoProgress()
_AGAIN_LEAST_SECONDS, _AGAIN_MOST_SECONDS = 60.0, 6 * 3600.0


class FilesJob:
    """`destination` is open, for this location alone. `clock`: seconds since 1970."""

    def __init__(
        self,
        settings: Settings,
        location: Location,
        destination: Destination,
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ConfigError if the location is of another kind."""
        if location.files is None:
            raise ConfigError([f"[{location.name}] is no location of files; its kind is {location.kind}"])
        self.location = location.name
        self.here = Here(site=settings.general.site, location=location.name, settings=location.files)
        self.destination = destination
        self.filelist = FileList(ledger, location.name)
        self._quarantine = Quarantine(ledger, location.name)
        self._clock = clock

    def run(self, progress: Progress = _NOBODY_WATCHES) -> Outcome:
        """Sends what is due. What ended it early is in the outcome."""
        began = time.monotonic()
        counts = FileCounts()
        outcome = Outcome(location=self.location, kind="files", files=counts)
        try:
            self._run(progress, outcome, counts)
        except PusherError as error:
            outcome.error, outcome.exit_code = str(error), error.exit_code
            outcome.retry_after_seconds = error.retry_after_seconds
        counts.held = len(self._quarantine.rows(FILES))
        if counts.held or outcome.notes:
            outcome.exit_code = outcome.exit_code or 1
        outcome.seconds = time.monotonic() - began
        return outcome

    def planned(self) -> list[Step]:
        """What a run would do now, without doing it. Raises what source and destination raise."""
        entries = self.filelist.entries()
        found = survey(self.here, entries, self.destination, self._clock())
        return [*found.refused, *steps(found.due, entries, self.destination)]

    def _run(self, progress: Progress, outcome: Outcome, counts: FileCounts) -> None:
        entries = self.filelist.entries()
        found = survey(self.here, entries, self.destination, self._clock())
        outcome.notes += found.unread
        _count(found, counts)
        held = {path_of(row): row for row in self._quarantine.rows(FILES)}
        if held and not found.unread:
            counts.gone = self._release(held.keys() - {shown(file.path) for file in found.files})
        due = [(file, name) for file, name in found.due if self._is_tried(held.get(file.path))]
        counts.waiting += len(found.due) - len(due)
        self._hold([(refuse.file.path, refuse.reason) for refuse in found.refused])
        decided = steps(due, entries, self.destination)
        copies = list(self._compared(decided, counts))
        sender = Sender(self.here.settings.source, self.destination, self.filelist, _reporter(progress, self.location))
        progress.expect(_label(self.location), -(-sum(copy.file.size for copy in copies) // 1024))
        sizes = {copy.file.path: copy.file.size for copy in copies}
        try:
            sender.send(copies)
        finally:
            done = sender.done
            counts.copied = len(done.arrived)
            counts.bytes = sum(sizes[path] for path in done.arrived)
            counts.waiting += len(done.changing)
            self._release(held.keys() & set(done.arrived))
            self._hold(done.refused)
        outcome.bytes_sent = counts.bytes

    def _compared(self, decided: Iterator[Step], counts: FileCounts) -> Iterator[Copy]:
        """The files to send: those that are there already are noted instead, and those with a stranger in their place
        are held."""
        compares: list[Compare] = []
        refused: list[Refuse] = []
        for step in decided:
            if isinstance(step, Copy):
                yield step
            elif isinstance(step, Refuse):
                refused.append(step)
            else:
                compares.append(step)
        for compare, same in self.same(compares, counts):
            if same:
                counts.same += 1
            elif isinstance(compare.otherwise, Copy):
                yield compare.otherwise
            else:
                refused.append(compare.otherwise)
        self._hold([(refuse.file.path, refuse.reason) for refuse in refused])

    def same(self, compares: Sequence[Compare], counts: FileCounts) -> Iterator[tuple[Compare, bool]]:
        """Whether each is there already, to the last bit: then it is noted as arrived."""
        there = self.destination.digests([compare.name for compare in compares])
        found: list[Arrival] = []
        for compare, (name, digest) in zip(compares, there, strict=True):
            try:
                sha256 = Reader(self.here.settings.source, compare.file).digest()
            except StillChanging:
                counts.waiting += 1
                continue
            except FileRefused as refused:
                self._hold([(compare.file.path, str(refused))])
                continue
            if digest == sha256:
                found.append(arrival(compare.file, name, sha256, compare.there_modified))
            if len(found) == _NOTED_AT_ONCE:
                self.note_there(found)
                found.clear()
            yield compare, digest == sha256
        if found:
            self.note_there(found)

    def note_there(self, found: Sequence[Arrival]) -> None:
        """Files that are at the destination already."""
        self.filelist.note_arrived(found)
        self._release({each.path for each in found})

    def _is_tried(self, row: HeldRow | None) -> bool:
        """A file that is held is tried again after as long as it has been held, but not too often, nor too seldom."""
        if row is None or row.retry:
            return True
        since, tried = (dt.datetime.fromisoformat(text).timestamp() for text in (row.since, row.tried))
        pause = min(max(tried - since, _AGAIN_LEAST_SECONDS), _AGAIN_MOST_SECONDS)
        return not 0 <= self._clock() - tried < pause  # not before `tried` either: then a clock was wrong

    def _hold(self, refused: Sequence[tuple[str, str]]) -> None:
        if not refused:
            return
        now = dt.datetime.fromtimestamp(self._clock(), dt.UTC).isoformat(timespec="seconds")
        for path, reason in refused:
            log.warning(event("file_held", location=self.location, file=shown(path), reason=reason))
        faults = [Fault(local_key=_key(path), reason=reason, kind=Kind.FILE) for path, reason in refused]
        self._quarantine.hold(FILES, faults, now)

    def _release(self, paths: set[str]) -> int:
        if paths:
            self._quarantine.release(FILES, [_key(path) for path in paths])
        return len(paths)


def _count(found: Survey, counts: FileCounts) -> None:
    counts.unchanged = found.needs[Need.DONE]
    counts.waiting = found.needs[Need.SETTLING]
    counts.locked = found.needs[Need.LOCKED]
    counts.kept = found.needs[Need.UNWANTED]


def _label(location: str) -> str:
    return f"{location}, kB"


def _reporter(progress: Progress, location: str) -> Callable[[int], None]:
    """Passes bytes on as whole kilobytes."""
    total = 0

    def sent(size: int) -> None:
        nonlocal total
        before, total = total, total + size
        progress.advance(_label(location), total // 1024 - before // 1024)

    return sent


def shown(path: str) -> str:
    """A path as it can be printed and kept, whatever its bytes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _key(path: str) -> str:
    return msgspec.json.encode([shown(path)]).decode()


def path_of(row: HeldRow) -> str:
    return str(row.key[0])
