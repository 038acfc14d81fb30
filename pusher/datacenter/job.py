"""The import job of one location: one run imports every file of the storage that is new or mended."""

from __future__ import annotations

import datetime as dt
import logging
import os
import time
from collections.abc import Callable

import msgspec

from pusher.config import Location, Settings
from pusher.datacenter.csvform import digest_of
from pusher.datacenter.desk import Desk
from pusher.datacenter.importing import Importer
from pusher.datacenter.names import stem_of
from pusher.datacenter.outcome import Imported
from pusher.datacenter.storage import FOLDERS, DataCenter, DataCenterFile
from pusher.errors import FileRefused, PusherError, UsageError
from pusher.held import Fault, Kind, Quarantine
from pusher.job import NoProgress, Outcome, Progress, TableOutcome
from pusher.ledger import Ledger
from pusher.log import event

log = logging.getLogger(__name__)

ROLE = "import"
_SHOWN_REASONS = 3
_NOBODY_WATCHES = NoProgress()


class ImportJob:
    """`clock`: seconds since 1970."""

    def __init__(
        self, settings: Settings, location: Location, ledger: Ledger, clock: Callable[[], float] = time.time
    ) -> None:
        """Raises ConfigError if the location is of another kind, WriteFailed or FileRefused if its storage cannot be
        used."""
        self.location = location.name
        self._desk = Desk(settings, location)
        self._table = self._desk.settings.processor
        self._quarantine = Quarantine(ledger, location.name)
        self._clock = clock

    def run(self, progress: Progress = _NOBODY_WATCHES) -> Outcome:
        """What ended it early is in the outcome."""
        began = time.monotonic()
        outcome = Outcome(location=self.location, kind="import")
        entry = outcome.table(self._table, ROLE)
        try:
            self._run(entry, progress, outcome)
        except PusherError as error:
            outcome.error, outcome.exit_code = str(error), error.exit_code
        entry.held = sum(self._quarantine.counts().values())
        if outcome.held:
            outcome.exit_code = outcome.exit_code or 1
        outcome.seconds = time.monotonic() - began
        return outcome

    def _run(self, entry: TableOutcome, progress: Progress, outcome: Outcome) -> None:
        with self._desk.working() as importer:
            done = importer.finish(progress)
            if done:
                self._take_in(done, entry)
            for file in self._desk.center.pending_files():
                self._attempt(file, importer, entry, progress)
            self._hold_strangers()
            self._release_gone()

    def _is_still(self, file: DataCenterFile) -> bool:
        """Nobody seems to write to it any more."""
        return abs(self._clock() - file.modified) >= self._desk.settings.settle_seconds

    def _attempt(self, file: DataCenterFile, importer: Importer, entry: TableOutcome, progress: Progress) -> None:
        """One file holds up no other."""
        try:
            if not self._is_still(file):
                entry.pending = (entry.pending or 0) + 1
            elif self._is_wanted(file):
                done = importer.run(file.name, self._desk.choice_for(file.name), progress)
                self._release(file.name)
                self._take_in(done, entry)
        except (FileRefused, UsageError) as refusal:
            self._hold(file.name, str(refusal))

    def _is_wanted(self, file: DataCenterFile) -> bool:
        """Not what waits to be mended, which is held. Raises FileRefused for what was imported before."""
        if any(row.key == (file.name,) for row in self._quarantine.asked(self._table, 0, -1)):
            return True
        if stem_of(file.name)[2]:
            left = self._desk.left_by(file)
            # The run that left it was one by hand, or ended before it could say so.
            if left and not any(row.key == (file.name,) for row in self._quarantine.rows(self._table)):
                self._hold_refused(left)
            return left is None
        self._desk.refuse_imported(digest_of(file.path), file.name)
        return True

    def _take_in(self, done: Imported, entry: TableOutcome) -> None:
        tally = done.tally
        entry.sent += tally.done
        entry.stored += tally.done
        entry.created += tally.created
        entry.updated += tally.updated
        entry.removed += tally.removed
        self._hold_refused(done)
        refused = f", {tally.refused:,} refused and now in {done.pending}" if done.pending else ""
        entry.notes.append(f"{done.name}, {done.mode}: {tally.done:,} rows{refused}")

    def _hold_refused(self, done: Imported) -> None:
        if done.pending:
            tally = done.tally
            reasons = "; ".join(f"{count:,} x {reason}" for reason, count in most_frequent(tally.reasons))
            self._hold(done.pending, f"{tally.refused:,} rows refused: {reasons}; mend them in this file")

    def _hold(self, name: str, reason: str) -> None:
        known = {row.key[0]: row.reason for row in self._quarantine.rows(self._table)}
        if known.get(name) != reason:
            log.warning(event("import_held", location=self.location, file=name, reason=reason))
        fault = Fault(local_key=_key(name), reason=reason, kind=Kind.IMPORT)
        self._quarantine.hold(self._table, [fault], _now())

    def _release(self, name: str) -> None:
        self._quarantine.release(self._table, [_key(name)])

    def _hold_strangers(self) -> None:
        """What is in the root and no CSV file is nothing that a clerk may take for imported."""
        for name in strangers(self._desk.center):
            self._hold(name, f"{name} is not a CSV file, or has a name that none can have; save it as NAME.csv")

    def _release_gone(self) -> None:
        """What is no longer in the root waits for nobody."""
        center = self._desk.center
        there = {file.name for file in center.pending_files()} | set(strangers(center))
        for row in self._quarantine.rows():
            if row.key[0] not in there:
                self._quarantine.release(row.table, [row.local_key])


def strangers(center: DataCenter) -> list[str]:
    """What is in the root beside CSV files and the folders of the storage; nothing hidden."""
    known = {*FOLDERS, *(file.name for file in center.pending_files())}
    return sorted(
        entry.name for entry in os.scandir(center.storage) if entry.name not in known and entry.name[0] != "."
    )


def most_frequent(reasons: dict[str, int]) -> list[tuple[str, int]]:
    """The three that befell most rows."""
    return sorted(reasons.items(), key=lambda each: -each[1])[:_SHOWN_REASONS]


def _key(name: str) -> str:
    return msgspec.json.encode([name]).decode()


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
