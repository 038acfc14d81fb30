"""Runs the jobs of a configuration: one cycle, or a cycle every `synctime` minutes, one instance a state folder."""

from __future__ import annotations

import datetime as dt
import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pusher.config import Location, Settings, load
from pusher.errors import AlreadyRunning, ConfigError, PusherError, UsageError
from pusher.job import Outcome, Progress
from pusher.ledger import Ledger, prepare_state
from pusher.log import event
from pusher.push.pusher import PushJob
from pusher.push.source import Source, open_source
from pusher.transport.reach import reach

log = logging.getLogger(__name__)

_STOP_SECONDS = 7  # systemd and an impatient operator wait longer
_TICK_SECONDS = 0.2


@contextmanager
def only_instance(state: Path) -> Iterator[None]:
    """Holds the state folder for this process; the system lets go of it however the process ends.

    Raises AlreadyRunning, naming the other process; ConfigError if the folder cannot be used.
    """
    prepare_state(state)
    try:
        handle = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError([f"{state / 'lock'} cannot be used: {error.strerror}; remove it, or correct it"]) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(f"another pusher (process {other}) uses {state}") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def chosen(settings: Settings, names: Sequence[str]) -> list[Location]:
    """The locations called `names`, or all that are switched on.

    Raises UsageError if one is unknown or off, ConfigError if there is nothing to do.
    """
    if names:
        locations = [settings.location(name) for name in dict.fromkeys(names)]
        for location in locations:
            if not location.on:
                raise UsageError(f'location "{location.name}" is switched off; set {location.name} = 1 in [locations]')
        return locations
    locations = [location for location in settings.locations if location.on]
    if not locations:
        raise ConfigError([f"{settings.path}: [locations] switches nothing on; set one of them to 1"])
    return locations


def cycle(path: Path, names: Sequence[str], progress: Progress) -> list[Outcome]:
    """Reads the configuration afresh and runs every location once, side by side: one that is down holds up none.

    Raises ConfigError or UsageError; what befalls a location is in its outcome.
    """
    settings = load(path)
    locations = chosen(settings, names)
    with (
        open_source(settings) as source,
        ThreadPoolExecutor(max_workers=len(locations), thread_name_prefix="location") as pool,
    ):
        return list(pool.map(lambda location: _run(settings, location, source, progress), locations))


def _run(settings: Settings, location: Location, source: Source, progress: Progress) -> Outcome:
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    with Ledger(settings.general.state) as ledger:
        outcome = _attempt(settings, location, source, ledger, progress)
        ledger.note_run(location.name, started, outcome.seconds, msgspec.json.encode(outcome), outcome.exit_code)
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


def _attempt(settings: Settings, location: Location, source: Source, ledger: Ledger, progress: Progress) -> Outcome:
    """What came of the job, or why there was no way to central."""
    began = time.monotonic()
    try:
        with reach(location) as central:
            outcome = PushJob(settings, location, source, central, ledger).run(progress)
            outcome.bytes_sent, outcome.bytes_received = central.bytes_sent, central.bytes_received
            return outcome
    except PusherError as error:
        seconds = time.monotonic() - began
        return Outcome(
            location=location.name, kind=location.kind, seconds=seconds, error=str(error), exit_code=error.exit_code
        )


class _Signals:
    """SIGTERM and SIGINT end a run at the next batch, or after a while wherever it stands; SIGHUP wakes a sleeper.

    Whatever is cut short is repeated by the next run and does no harm. The handlers set plain flags: they
    interrupt this very thread, so taking a lock there that it holds would stop both for ever.
    """

    def __init__(self, exit_code: int) -> None:
        self.stop = False
        self._wake = False
        self._exit_code = exit_code
        handlers = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            signal.SIGHUP: self._on_wake,
            signal.SIGALRM: self._on_end,
        }
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def _on_stop(self, _number: int, _frame: object) -> None:
        self.stop = True
        signal.alarm(_STOP_SECONDS)

    def _on_wake(self, _number: int, _frame: object) -> None:
        self._wake = True

    def _on_end(self, _number: int, _frame: object) -> None:
        os._exit(self._exit_code)

    def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not (self.stop or self._wake) and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _TICK_SECONDS))
        self._wake = False


class _UntilStopped:
    """Passes progress on, and ends the run behind an acknowledged batch when a signal came."""

    def __init__(self, progress: Progress, signals: _Signals) -> None:
        self._progress = progress
        self._signals = signals

    def expect(self, table: str, rows: int) -> None:
        self._progress.expect(table, rows)

    def advance(self, table: str, rows: int) -> None:
        self._progress.advance(table, rows)
        if self._signals.stop:
            raise PusherError("stopped by a signal; the next run goes on from here")


def run_once(path: Path, names: Sequence[str], progress: Progress) -> list[Outcome]:
    """One cycle, which a signal ends early. Raises what `cycle` raises."""
    return cycle(path, names, _UntilStopped(progress, _Signals(PusherError.exit_code)))


def run_forever(path: Path, names: Sequence[str], progress: Progress, ended: Callable[[list[Outcome]], None]) -> None:
    """A cycle, then sleep, until SIGTERM or SIGINT. SIGHUP starts a cycle at once."""
    signals = _Signals(0)
    while not signals.stop:
        minutes = 1.0
        try:
            ended(cycle(path, names, _UntilStopped(progress, signals)))
            minutes = load(path).general.synctime_minutes
        except PusherError as error:  # an operator may be in the middle of an edit: the next cycle reads again
            log.error(event("cycle_failed", error=error))
        except Exception:  # a fault of pusher's own must not leave a site without its daemon
            log.exception("cycle_failed")
        signals.sleep(minutes * 60)
