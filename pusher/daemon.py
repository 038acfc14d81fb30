"""Runs the jobs of a configuration: each location once, or each at its own pace, one instance a state folder."""

from __future__ import annotations

import datetime as dt
import fcntl
import logging
import os
import queue
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from pusher.config import Location, Settings, load
from pusher.errors import AlreadyRunning, ConfigError, PusherError, UsageError
from pusher.job import Outcome, Progress
from pusher.ledger import Ledger, prepare_state
from pusher.log import event
from pusher.nightly import reconcile
from pusher.notify import ServiceManager
from pusher.push.pusher import PushJob
from pusher.push.source import open_source
from pusher.schedule import Schedule
from pusher.transport.central import Traffic
from pusher.transport.reach import reach

log = logging.getLogger(__name__)

_STOP_SECONDS = 7  # systemd and an impatient operator wait longer
_TICK_SECONDS = 0.2
_READ_AGAIN_SECONDS = 60  # a secret may have changed in a file of its own, a fault may be mended
_STUCK_SECONDS = 1800


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


def cycle(path: Path, names: Sequence[str], progress: Progress, *, force: bool = False) -> list[Outcome]:
    """Reads the configuration afresh and runs every location once, side by side: one that is down holds up none.

    `force`: also where a side is suddenly empty. Raises ConfigError or UsageError; what befalls a location is in its
    outcome.
    """
    settings = load(path)
    locations = chosen(settings, names)
    with ThreadPoolExecutor(max_workers=len(locations), thread_name_prefix="location") as pool:
        return list(pool.map(lambda location: _run(settings, location, progress, force=force), locations))


def _unheeded(_: Traffic) -> None:
    pass


def _run(
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
        with open_source(settings) as source, reach(location) as central:
            reached(central)
            job = PushJob(settings, location, source, central, ledger, force=force)
            outcome = job.run(progress)
            reconcile(settings, location, job, source, central, ledger, progress, outcome)
            outcome.bytes_sent, outcome.bytes_received = central.bytes_sent, central.bytes_received
            return outcome
    except PusherError as error:
        return Outcome(
            location=location.name,
            kind=location.kind,
            seconds=time.monotonic() - began,
            error=str(error),
            exit_code=error.exit_code,
            retry_after_seconds=error.retry_after_seconds,
        )


class _Signals:
    """SIGTERM and SIGINT end a run at the next batch, or after a while wherever it stands; SIGHUP calls all locations.

    Whatever is cut short is repeated by the next run and does no harm. The handlers set plain flags: they
    interrupt this very thread, so taking a lock there that it holds would stop both for ever.
    """

    def __init__(self, exit_code: int) -> None:
        self.stop = False
        self._call = False
        self._exit_code = exit_code
        handlers = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            signal.SIGHUP: self._on_call,
            signal.SIGALRM: self._on_end,
        }
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def _on_stop(self, _number: int, _frame: object) -> None:
        self.stop = True
        signal.alarm(_STOP_SECONDS)

    def _on_call(self, _number: int, _frame: object) -> None:
        self._call = True

    def _on_end(self, _number: int, _frame: object) -> None:
        os._exit(self._exit_code)

    def take_call(self) -> bool:
        """Whether SIGHUP came since this was last asked."""
        called, self._call = self._call, False
        return called


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


def run_once(path: Path, names: Sequence[str], progress: Progress, *, force: bool = False) -> list[Outcome]:
    """One cycle, which a signal ends early. Raises what `cycle` raises."""
    return cycle(path, names, _UntilStopped(progress, _Signals(PusherError.exit_code)), force=force)


def run_forever(path: Path, names: Sequence[str], progress: Progress, ended: Callable[[list[Outcome]], None]) -> None:
    """Every location at its own pace, until SIGTERM or SIGINT; SIGHUP starts all of them at once.

    The caller holds the state folder. `ended` is told of each run of a location. Raises ConfigError at the beginning,
    and no more from then on.
    """
    _Daemon(path, names, progress, ended).run()


class Run:
    """A run of a location under way: passes its progress on, and tells for how long it has been still."""

    def __init__(self, progress: Progress, now: float) -> None:
        self._progress = progress
        self._steps = 0
        self._traffic: Traffic | None = None
        self._signs = 0
        self._seen_at = now

    def expect(self, table: str, rows: int) -> None:
        self._steps += 1
        self._progress.expect(table, rows)

    def advance(self, table: str, rows: int) -> None:
        self._steps += 1
        self._progress.advance(table, rows)

    def reached(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def still_seconds(self, now: float) -> float:
        """Since when there was neither a step nor a message to or from central, as far as this was asked."""
        traffic = self._traffic
        signs = self._steps + (traffic.bytes_sent + traffic.bytes_received if traffic else 0)
        if signs != self._signs:
            self._signs, self._seen_at = signs, now
        return now - self._seen_at


class _Daemon:
    """The main thread starts runs, each a thread of its own, and hears of their ends; nothing here waits for a side."""

    def __init__(
        self, path: Path, names: Sequence[str], progress: Progress, ended: Callable[[list[Outcome]], None]
    ) -> None:
        self._path = path
        self._names = names
        self._ended = ended
        self._signals = _Signals(0)
        self._progress = _UntilStopped(progress, self._signals)
        self._manager = ServiceManager()
        self._schedule = Schedule(random.random)
        self._endings: queue.SimpleQueue[tuple[str, Outcome | None]] = queue.SimpleQueue()
        self._running: dict[str, Run] = {}
        self._stuck: set[str] = set()
        self._settings = load(path)
        self._seen: tuple[int, ...] = ()
        self._read_at = 0.0
        self._paused_until = 0.0

    def run(self) -> None:
        self._manager.ready()
        while not self._signals.stop:
            with self._surviving():
                self._begin_due(time.monotonic())
            with self._surviving():
                self._take_ending()
            now = time.monotonic()
            self._manager.status(self._schedule.shown())
            if not self._any_stuck(now):
                self._manager.alive(now)
        self._manager.stopping()
        while self._running:
            with self._surviving():
                self._take_ending()

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Whatever happens, a site keeps its daemon: it is logged, and tried again before long."""
        try:
            yield
        except PusherError as error:  # an operator may be in the middle of an edit
            log.error(event("cycle_failed", error=error))
        except Exception:
            log.exception("cycle_failed")
        else:
            return
        self._paused_until = time.monotonic() + _READ_AGAIN_SECONDS

    def _begin_due(self, now: float) -> None:
        called, seen = self._signals.take_call(), _signature(self._path)
        if called:
            self._schedule.call_all(now)
        changed = seen != self._seen
        self._seen = seen
        if now < self._paused_until and not called and not changed:
            return
        if called or changed or now >= self._read_at or self._schedule.due(now):
            self._read(now)
        for name in self._schedule.due(now):
            self._begin(name, now)

    def _read(self, now: float) -> None:
        settings = load(self._path)
        if settings.general.state != self._settings.general.state:
            raise ConfigError([f"{settings.path}: state has changed, and the old folder is in use; restart pusher"])
        wanted = self._names or [location.name for location in settings.locations]
        on = [location.name for location in settings.locations if location.on and location.name in wanted]
        if not on:
            chosen(settings, self._names)  # says what is wrong
        if _without_markers(settings) != _without_markers(self._settings):
            self._schedule.call_failing(now)
        self._settings = settings
        self._schedule.keep(on, now)
        self._read_at = now + _READ_AGAIN_SECONDS
        self._paused_until = now

    def _begin(self, name: str, now: float) -> None:
        run = Run(self._progress, now)
        # A daemon thread: should the main thread fail, the process must end, to be started again.
        thread = threading.Thread(
            target=self._work, args=(self._settings, name, run), name=f"location-{name}", daemon=True
        )
        thread.start()
        self._schedule.begin(name)
        self._running[name] = run

    def _work(self, settings: Settings, name: str, run: Run) -> None:
        outcome = None
        try:
            outcome = _run(settings, settings.location(name), run, run.reached)
        except PusherError as error:
            log.error(event("cycle_failed", location=name, error=error))
        except Exception:
            log.exception(event("cycle_failed", location=name))
        finally:
            self._endings.put((name, outcome))

    def _take_ending(self) -> None:
        """Waits for one, but not for long."""
        try:
            name, outcome = self._endings.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            return
        del self._running[name]
        wait = self._schedule.end(name, outcome, self._settings.general.synctime_minutes * 60, time.monotonic())
        if (outcome is None or outcome.error) and not self._signals.stop:
            what = "location_stopped" if self._schedule.is_halted(name) else "location_backs_off"
            log.warning(event(what, location=name, seconds=round(wait, 2)))
        if outcome:
            self._ended([outcome])

    def _any_stuck(self, now: float) -> bool:
        stuck = {name for name, run in self._running.items() if run.still_seconds(now) > _STUCK_SECONDS}
        for name in stuck - self._stuck:
            log.error(event("location_stuck", location=name, minutes=_STUCK_SECONDS // 60))
        self._stuck = stuck
        return bool(stuck)


def _signature(path: Path) -> tuple[int, ...]:
    """Another one if the file may have changed."""
    try:
        state = path.stat()
    except OSError:
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _without_markers(settings: Settings) -> Settings:
    """All that only an operator changes: pusher itself writes `lastupdate`."""
    return replace(settings, locations=tuple(replace(each, lastupdate=None) for each in settings.locations))
