"""Hears how runs ended and has what is due sent: once for a command, or for as long as a daemon runs."""

from __future__ import annotations

import datetime as dt
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pusher.alerts.causes import silence, unverified
from pusher.alerts.decide import due, failing, heard, keep, observe
from pusher.alerts.delivery import deliver
from pusher.alerts.memory import advance
from pusher.alerts.state import Message, State
from pusher.alerts.words import UNCOMPARED
from pusher.config import AlertsSettings, Location, Settings
from pusher.errors import PusherError
from pusher.job import Outcome
from pusher.ledger import Ledger
from pusher.log import event
from pusher.verdicts import Verdicts

log = logging.getLogger(__name__)

_BOUND_SECONDS = 20
_TICK_SECONDS = 15.0
_GROUP_SECONDS = 2.0  # what ends within it is told in one message
_STOP_SECONDS = 2.0
_GRACE_SECONDS = 900  # after the start of a daemon silence is none yet: its runs have only begun

Clock = Callable[[], dt.datetime]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """`at`: when, in local time."""

    at: dt.datetime
    outcomes: Sequence[Outcome] = ()


def local_now() -> dt.datetime:
    return dt.datetime.now().astimezone()


def hear(settings: Settings, outcomes: Sequence[Outcome], *, clock: Clock = local_now) -> None:
    """For a command that has run its locations and ends. Sends what is due, but does not wait for long: what does not
    get away waits for the next command. Never raises: a run is no worse for an alert that fails."""
    if settings.alerts is None:
        return
    told = Heard(at=clock(), outcomes=outcomes)
    # A thread that nobody waits for in the end: a mail server may take its time over each line.
    thread = threading.Thread(target=_attempt, args=(settings, [told], clock), name="alerts", daemon=True)
    thread.start()
    thread.join(_BOUND_SECONDS)
    if thread.is_alive():
        log.warning(event("alerts_slow", seconds=_BOUND_SECONDS))


def _attempt(settings: Settings, told: Sequence[Heard], clock: Clock) -> None:
    try:
        step(settings, told, clock, awake=[outcome.location for each in told for outcome in each.outcomes])
    except PusherError as error:
        log.error(event("alerts_failed", error=error))
    except Exception:
        log.exception("alerts_failed")


def step(settings: Settings, told: Sequence[Heard], clock: Clock, awake: Collection[str]) -> None:
    """Takes in what was heard and sends what is due. `awake`: the locations whose silence would mean something."""
    rules = settings.alerts
    if rules is None:
        return
    watched = [location for location in settings.locations if location.on]
    with Ledger(settings.general.state) as ledger:

        def decide(state: State) -> tuple[list[Message], State]:
            now = clock()
            for each in told:
                for outcome in each.outcomes:
                    state = heard(state, each.at, rules, outcome)
            state = keep(state, now, {location.name for location in watched})
            verified = {location.name: Verdicts(ledger, location.name).last_of_all() for location in watched}
            for location in watched:
                state = _look(state, now, rules, location, verified[location.name], location.name in awake)
            return due(state, now, rules, verified)

        advance(ledger, rules.ways, clock(), decide)
        deliver(ledger, rules, settings.general.site, clock)


def _look(
    state: State, now: dt.datetime, rules: AlertsSettings, location: Location, verified: str | None, awake: bool
) -> State:
    """At what no run says: that there is none, or that none was compared. Of one that fails it goes without saying."""
    if location.name in failing(state):
        return state
    name, tally, limit = location.name, state.tallies[location.name], rules.silent_after_seconds
    if awake or limit is None:
        found = silence(name, tally.last_good, tally.first, limit, now) if limit else []
        state = observe(state, now, rules, name, found, lambda cause: cause.what == "silent")
    limit = None if location.kind in UNCOMPARED else rules.unverified_after_seconds
    last = dt.datetime.fromisoformat(verified) if verified else None
    late = unverified(name, location.kind, last, tally.first, limit, now) if limit else []
    return observe(state, now, rules, name, late, lambda cause: cause.what == "unverified")


class Ticking:
    """A thread that calls `step` with what it heard, and from time to time with nothing, whatever comes of it."""

    def __init__(self, step: Callable[[Sequence[Heard]], None], *, tick_seconds: float = _TICK_SECONDS) -> None:
        self._step = step
        self._tick_seconds = tick_seconds
        self._heard: queue.SimpleQueue[Heard | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hear(self, outcomes: Sequence[Outcome]) -> None:
        """Returns at once."""
        self._heard.put(Heard(at=local_now(), outcomes=outcomes))

    def stop(self) -> None:
        """Ends it behind what it has heard; does not wait for a mail server, which the next start calls again."""
        self._heard.put(None)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        going = True
        while going:
            told, going = self._gather()
            try:
                self._step(told)
            except PusherError as error:
                log.error(event("alerts_failed", error=error))
            except Exception:
                log.exception("alerts_failed")

    def _gather(self) -> tuple[list[Heard], bool]:
        """What is heard, and whether to go on: waits for the next thing, and a little for those close behind it."""
        told: list[Heard] = []
        until = time.monotonic() + self._tick_seconds
        while (left := until - time.monotonic()) > 0:
            try:
                each = self._heard.get(timeout=left)
            except queue.Empty:
                break
            if each is None:
                return told, False
            told.append(each)
            until = min(until, time.monotonic() + _GROUP_SECONDS)
        return told, True


class Watch(Ticking):
    """The alerts of a daemon. `settings`: gives the present ones."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        super().__init__(self._look)
        self._settings = settings
        self._awake: set[str] = set()
        self._began = time.monotonic()

    def _look(self, told: Sequence[Heard]) -> None:
        settings = self._settings()
        self._awake |= {outcome.location for each in told for outcome in each.outcomes}
        if time.monotonic() - self._began > _GRACE_SECONDS:
            self._awake |= {location.name for location in settings.locations}
        step(settings, told, local_now, self._awake)
