"""Runs the jobs of a configuration: each location once, or each at its own pace, one instance a state folder."""

from __future__ import annotations

import logging
import os
import queue
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pusher.alerts.hearing import Watch, hear
from pusher.config import Location, Settings, load, with_scales
from pusher.errors import ConfigError, PusherError, UsageError
from pusher.job import Outcome, Progress
from pusher.log import event
from pusher.notify import ServiceManager
from pusher.runs import run_location
from pusher.schedule import Schedule
from pusher.transport.central import Traffic
from pusher.watching import Watches

log = logging.getLogger(__name__)

_STOP_SECONDS = 7  # systemd and an impatient operator wait longer
_TICK_SECONDS = 0.2
_READ_AGAIN_SECONDS = 60  # a secret may have changed in a file of its own, a fault may be mended
_STUCK_SECONDS = 1800


def chosen(settings: Settings, names: Sequence[str], kind: str | None = None) -> list[Location]:
    """The locations called `names`, or all that are switched on; of one kind, if it is given.

    Raises UsageError if one is unknown, off or of another kind, ConfigError if there is nothing to do.
    """
    if names:
        locations = [settings.location(name) for name in dict.fromkeys(names)]
        for location in locations:
            if not location.on:
                raise UsageError(f'location "{location.name}" is switched off; set {location.name} = 1 in [locations]')
            if kind not in (None, location.kind):
                raise UsageError(f'location "{location.name}" is of kind {location.kind}; this is for {kind}')
        return locations
    locations = [location for location in settings.locations if location.on and kind in (None, location.kind)]
    if kind and not locations:
        raise ConfigError([f"{settings.path}: no location of kind {kind} is switched on; see [locations]"])
    if not locations:
        raise ConfigError([f"{settings.path}: [locations] switches nothing on; set one of them to 1"])
    return locations


def cycle(path: Path, names: Sequence[str], progress: Progress, *, force: bool = False) -> list[Outcome]:
    """Reads the configuration afresh and runs every location once, side by side: one that is down holds up none.

    `force`: also where a side is suddenly empty. Raises ConfigError or UsageError; what befalls a location is in its
    outcome.
    """
    return _run_side_by_side(load(path), names, progress, force=force)


def _run_side_by_side(settings: Settings, names: Sequence[str], progress: Progress, *, force: bool) -> list[Outcome]:
    locations = chosen(settings, names)
    with ThreadPoolExecutor(max_workers=len(locations), thread_name_prefix="location") as pool:
        return list(pool.map(lambda location: run_location(settings, location, progress, force=force), locations))


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


def run_once(
    path: Path, names: Sequence[str], progress: Progress, *, force: bool = False, scales: Sequence[str] | None = None
) -> list[Outcome]:
    """One cycle, which a signal ends early, and the alerts that come of it. `scales`: only those to export from, and
    of them these, or what their sections say if it is empty. Raises what `cycle` raises."""
    settings, signals = load(path), _Signals(PusherError.exit_code)
    if scales is not None:
        names = [location.name for location in chosen(settings, names, "export")]
        settings = with_scales(settings, scales)
    outcomes = _run_side_by_side(settings, names, _UntilStopped(progress, signals), force=force)
    if not signals.stop:
        hear(settings, outcomes)
    return outcomes


def run_forever(
    path: Path,
    names: Sequence[str],
    progress: Progress,
    ended: Callable[[list[Outcome]], None],
    max_runs: int | None = None,
) -> None:
    """Every location at its own pace, until SIGTERM or SIGINT; SIGHUP starts all of them at once.

    The caller holds the state folder. `ended` is told of each run of a location. It is over when each location had
    `max_runs` runs. Raises ConfigError at the beginning, and no more from then on.
    """
    _Daemon(path, names, progress, ended, max_runs).run()


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
        self,
        path: Path,
        names: Sequence[str],
        progress: Progress,
        ended: Callable[[list[Outcome]], None],
        max_runs: int | None,
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
        self._max_runs = max_runs
        self._runs: Counter[str] = Counter()
        self._watches = Watches()
        self._alerts = Watch(lambda: self._settings)

    def run(self) -> None:
        self._alerts.start()
        self._manager.ready()
        while not self._signals.stop and not self._is_over():
            with self._surviving():
                self._begin_due(time.monotonic())
            with self._surviving():
                self._take_ending()
            now = time.monotonic()
            self._manager.status(self._schedule.shown())
            if not self._any_stuck(now):
                self._manager.alive(now)
        self._manager.stopping()
        self._watches.keep([])
        while self._running:
            with self._surviving():
                self._take_ending()
        self._alerts.stop()

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
        for name, settle_seconds in self._watches.woken():
            self._schedule.wake(name, now + settle_seconds)
        for name in self._schedule.due(now):
            if self._max_runs is None or self._runs[name] < self._max_runs:
                self._begin(name, now)

    def _is_over(self) -> bool:
        """Whether every location had all the runs it is to have."""
        if self._max_runs is None or self._running or not self._schedule.names:
            return False
        return all(self._runs[name] >= self._max_runs for name in self._schedule.names)

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
        self._watches.keep([location for location in settings.locations if location.name in on])
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
        self._runs[name] += 1
        self._running[name] = run

    def _work(self, settings: Settings, name: str, run: Run) -> None:
        outcome = None
        try:
            outcome = run_location(settings, settings.location(name), run, run.reached)
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
        if not self._signals.stop or (outcome and outcome.error is None):  # what a signal ended is no fault
            self._alerts.hear([outcome or self._broken(name)])
        if outcome:
            self._ended([outcome])

    def _broken(self, name: str) -> Outcome:
        """Of a run that a fault of pusher's own ended."""
        kind = next((each.kind for each in self._settings.locations if each.name == name), "")
        return Outcome(location=name, kind=kind, error="the run broke off; the log tells why", exit_code=1)

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
