"""One run of one location, whatever its kind: opens both sides, runs the job, notes what came of it."""

from __future__ import annotations

import datetime as dt
import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import msgspec

from pusher.config import Location, Settings
from pusher.errors import PusherError, Unreachable, WriteFailed
from pusher.job import BreakDown, Outcome, Progress
from pusher.ledger import Ledger
from pusher.log import event
from pusher.transport.central import Traffic

log = logging.getLogger(__name__)


def _unheeded(_: Traffic) -> None:
    pass


def run_location(
    settings: Settings,
    location: Location,
    progress: Progress,
    reached: Callable[[Traffic], None] = _unheeded,
    *,
    force: bool = False,
) -> Outcome:
    """`reached` is told of central once there is a way to it."""
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    with Ledger(settings.general.state) as ledger:
        outcome = _attempt(settings, location, ledger, progress, reached, force)
        _note_break_downs(outcome)
        try:
            ledger.note_run(location.name, started, outcome.seconds, msgspec.json.encode(outcome), outcome.exit_code)
        except PusherError as error:
            _log(location.name, BreakDown(what="write", text=str(error)))
            raise
    level = logging.INFO if outcome.exit_code == 0 else logging.WARNING
    log.log(
        level,
        event(
            "cycle_ended",
            location=outcome.location,
            sent=outcome.sent,
            held=outcome.held,
            bytes=outcome.bytes_sent,
            seconds=round(outcome.seconds, 2),
            error=outcome.error,
        ),
    )
    return outcome


def _note_break_downs(outcome: Outcome) -> None:
    """A side that cannot be reached is one for every kind of job, if the job has not said so itself."""
    told = any(each.what == "request" for each in outcome.break_downs)
    if outcome.error is not None and outcome.exit_code == Unreachable.exit_code and not told:
        outcome.break_downs.append(BreakDown(what="request", text=outcome.error))
    for each in outcome.break_downs:
        _log(outcome.location, each)


def _log(location: str, found: BreakDown) -> None:
    log.critical(event("break_down", location=location, what=found.what, table=found.table, reason=found.text))


def _attempt(
    settings: Settings,
    location: Location,
    ledger: Ledger,
    progress: Progress,
    reached: Callable[[Traffic], None],
    force: bool,
) -> Outcome:
    """What came of the job, or why there was no way to either side."""
    began = time.monotonic()
    try:
        if location.files:
            return _send_files(settings, location, ledger, progress)
        if location.export:
            return _export(settings, location, ledger, progress)
        if location.imports:
            return _import(settings, location, ledger, progress)
        return _push(settings, location, ledger, progress, reached, force)
    except PusherError as error:
        return Outcome(
            location=location.name,
            kind=location.kind,
            seconds=time.monotonic() - began,
            error=str(error),
            exit_code=error.exit_code,
            retry_after_seconds=error.retry_after_seconds,
            break_downs=[BreakDown(what="write", text=str(error))] if _is_of_a_disk(error) else [],
        )


def _is_of_a_disk(error: PusherError) -> bool:
    return isinstance(error, WriteFailed) or isinstance(error.__cause__, sqlite3.OperationalError)


def _push(
    settings: Settings,
    location: Location,
    ledger: Ledger,
    progress: Progress,
    reached: Callable[[Traffic], None],
    force: bool,
) -> Outcome:
    from pusher.nightly import reconcile  # each kind of job loads what it needs alone
    from pusher.push.pusher import PushJob
    from pusher.push.source import open_source
    from pusher.transport.reach import reach

    with open_source(settings) as source, reach(location) as central:
        reached(central)
        job = PushJob(settings, location, source, central, ledger, force=force)
        outcome = job.run(progress)
        reconcile(settings, location, job, source, central, ledger, progress, outcome)
        outcome.bytes_sent, outcome.bytes_received = central.bytes_sent, central.bytes_received
        return outcome


def _send_files(settings: Settings, location: Location, ledger: Ledger, progress: Progress) -> Outcome:
    from pusher.files.job import FilesJob
    from pusher.files.nightly import check_nightly
    from pusher.files.opening import open_destination

    with open_destination(settings, location) as destination:
        job = FilesJob(settings, location, destination, ledger)
        outcome = job.run(progress)
        if check_nightly(settings, location, job, ledger, outcome):
            mended = job.run(progress)
            mended.notes[:0] = outcome.notes
            return mended
        return outcome


def _export(settings: Settings, location: Location, ledger: Ledger, progress: Progress) -> Outcome:
    from pusher.export.job import ExportJob
    from pusher.export.webserver import WebServer

    with closing(WebServer(location)) as server:
        return ExportJob(settings, location, server, ledger).run(progress)


def _import(settings: Settings, location: Location, ledger: Ledger, progress: Progress) -> Outcome:
    from pusher.datacenter.job import ImportJob

    return ImportJob(settings, location, ledger).run(progress)
