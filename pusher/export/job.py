"""The export job of one location: one run archives what is new, decodes it, and deletes what is proven archived."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Sequence

import msgspec

from pusher.config import ExportSettings, Location, Settings
from pusher.config_export import is_scale_name
from pusher.disk import replace
from pusher.errors import ConfigError, ProtocolError, PusherError, SourceUnreachable, WriteFailed
from pusher.export.active import ActiveFile, ActiveFiles, State
from pusher.export.archive import Archive
from pusher.export.clearing import Clearing
from pusher.export.intake import Intake
from pusher.export.pool import BENCHMARKS, STUDY, Pool
from pusher.export.register import Register
from pusher.export.webserver import Scale, WebServer
from pusher.held import Quarantine
from pusher.job import BreakDown, NoProgress, Outcome, Progress, TableOutcome
from pusher.ledger import Ledger
from pusher.log import event

log = logging.getLogger(__name__)

_NONE = b"{}\n"
SCALE = "scale"  # the role of its tables
_NOBODY_WATCHES = NoProgress()
_UNREACHED_SCALES = 2  # in a row: then it is the server


def now_utc() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class ExportJob:
    """`clock`: aware."""

    def __init__(
        self,
        settings: Settings,
        location: Location,
        server: WebServer,
        ledger: Ledger,
        clock: Callable[[], dt.datetime] = now_utc,
    ) -> None:
        """Raises ConfigError if the location is of another kind, or its key is none."""
        if location.export is None:
            raise ConfigError([f"[{location.name}] is no location to export from; its kind is {location.kind}"])
        self.location = location.name
        self._settings: ExportSettings = location.export
        self._server = server
        self._pool = Pool(location.export.pool, location.name)
        self._register = Register(ledger, location.name)
        self._quarantine = Quarantine(ledger, location.name)
        self._archive = Archive(self._pool, self._register, clock)
        self._active = ActiveFiles(self._pool, location.export, self._register, self._quarantine, clock())
        self._intake = Intake(location.export, server, self._archive, self._register, clock)
        self._clearing = Clearing(server, self._archive, self._register, self._quarantine, clock)

    def run(self, progress: Progress = _NOBODY_WATCHES) -> Outcome:
        """What ended it early is in the outcome."""
        began = time.monotonic()
        outcome = Outcome(location=self.location, kind="export")
        try:
            self._run(progress, outcome)
        except PusherError as error:
            outcome.error, outcome.exit_code = str(error), error.exit_code
            outcome.retry_after_seconds = error.retry_after_seconds
        held = self._quarantine.counts()
        for entry in outcome.tables:
            entry.held = held.get(entry.table, 0)
        if outcome.held or outcome.break_downs or any(entry.stopped for entry in outcome.tables):
            outcome.exit_code = outcome.exit_code or 1
        outcome.seconds = time.monotonic() - began
        return outcome

    def _run(self, progress: Progress, outcome: Outcome) -> None:
        self._pool.create()
        self._pool.sweep()
        known = bool(self._register.benchmarks())
        unreached = 0
        try:
            for scale in self._chosen(self._server.scales(), outcome):
                fault = self._attempt(scale, progress, outcome)
                unreached = unreached + 1 if isinstance(fault, SourceUnreachable) else 0
                if fault and unreached == _UNREACHED_SCALES:
                    raise fault
        finally:
            self._write_benchmarks(outcome, known=known)

    def _chosen(self, there: Sequence[Scale], outcome: Outcome) -> list[Scale]:
        """The scales to export, and with those that do not change the study itself."""
        for scale in there:
            if not is_scale_name(scale.name) or scale.name == STUDY:
                outcome.table(
                    ascii(scale.name[:100]), SCALE
                ).stopped = "no file can have this name; have the scale renamed on the server"
        usable = [scale for scale in there if is_scale_name(scale.name) and scale.name != STUDY]
        usable.append(Scale(name=STUDY, size=0, deleteable=False))
        wanted = self._settings.scales
        if wanted == ("all",):
            return usable
        if wanted == ("deleteable",):
            return [scale for scale in usable if scale.deleteable]
        if wanted == ("static",):
            return [scale for scale in usable if not scale.deleteable or self._clearing.is_forbidden(scale.name)]
        for name in sorted(set(wanted) - {scale.name for scale in usable}):
            outcome.table(name, SCALE).stopped = "the server has no such scale; correct scales"
        return [scale for scale in usable if scale.name in wanted]

    def _attempt(self, scale: Scale, progress: Progress, outcome: Outcome) -> PusherError | None:
        """One scale holds up no other. Returns what befell it."""
        entry = outcome.table(scale.name, SCALE)
        try:
            self._take(scale, entry, progress, outcome)
            return None
        except (ProtocolError, SourceUnreachable) as error:
            outcome.break_downs.append(BreakDown(what="request", text=str(error), table=scale.name))
            fault: PusherError = error
        except WriteFailed as error:
            outcome.break_downs.append(BreakDown(what="write", text=str(error), table=scale.name))
            fault = error
        entry.stopped = str(fault)
        return fault

    def _take(self, scale: Scale, entry: TableOutcome, progress: Progress, outcome: Outcome) -> None:
        progress.expect(scale.name, scale.size)
        self._archive.take_in(scale.name)
        taken = self._intake.rows(scale) if scale.deleteable else self._intake.snapshot(scale)
        entry.sent = entry.stored = taken.fresh
        if taken.note:
            outcome.notes.append(taken.note)
        progress.advance(scale.name, len(taken.there))
        unwritten = self._decode(scale.name, entry)
        if scale.deleteable:
            if self._settings.delete:
                self._clearing.clear(scale.name, taken, entry, outcome, progress)
            entry.pending = len(self._register.still_there(scale.name))
        if unwritten:
            raise unwritten

    def _decode(self, scale: str, entry: TableOutcome) -> WriteFailed | None:
        """What cannot be written is no reason to leave answers where they are exposed: they are archived."""
        try:
            for file in self.decode(scale):
                if file.state is State.LEFT:
                    entry.notes.append(f"{file.day}: left as it is, since the key does not open what it shows")
                elif file.sealed and self._settings.key is None:
                    entry.notes.append(f"{file.day}: {file.sealed:,} fields are sealed, and there is no key")
        except WriteFailed as error:
            return error
        return None

    def decode(self, scale: str) -> list[ActiveFile]:
        """Has the active files of a scale show what is archived; those that were not up to date. Raises WriteFailed."""
        found = [self._active.bring_up(scale, day, file) for day, file in sorted(self._register.files(scale).items())]
        return [file for file in found if file.state is not State.CURRENT]

    def _write_benchmarks(self, outcome: Outcome, *, known: bool) -> None:
        """The readable copy. `known`: whether the ledger had any before."""
        benchmarks = self._register.benchmarks()
        path = self._pool.benchmarks
        before = path.read_bytes() if path.exists() else None
        content = msgspec.json.format(msgspec.json.encode(benchmarks), indent=2) + b"\n"
        if content == before and (known or not benchmarks):
            return
        try:
            replace(path, content)
        except WriteFailed as error:
            outcome.break_downs.append(BreakDown(what="write", text=str(error)))
            return
        if before is None or (not known and before != _NONE):
            log.warning(event("benchmarks_created", location=self.location, file=BENCHMARKS))
            why = "there was none" if before is None else "the ledger had none; they are those of the raw files"
            outcome.notices.append(f"{BENCHMARKS} was written: {why}")
