"""When each location's turn is: every `synctime`, later and later while it fails, at once when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from pusher.job import Outcome

HALT_SECONDS = 3600
_FIRST_RETRY_SECONDS = 30
_LAST_RETRY_SECONDS = 3600
_LONGEST_ASKED_SECONDS = 86400
_REFUSED = 2  # the exit code of what no retry mends: wrong configuration, token or host key


@dataclass(kw_only=True)
class _Turn:
    """`again`: go on at once when this run ends; `again_if_failed`: only if it ends badly.
    `woken_at`: when to go on at the latest if it ends well."""

    due: float
    running: bool = False
    failures: int = 0
    halted: bool = False
    again: bool = False
    again_if_failed: bool = False
    woken_at: float | None = None

    def call(self, now: float) -> None:
        self.due, self.failures, self.halted = now, 0, False


class Schedule:
    """The turns of all locations. `now` is any clock's seconds; `draw` gives chances from 0 to 1, so that the sites of
    a central that was away do not all come back in the same second."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._turns: dict[str, _Turn] = {}
        self._names: Collection[str] = ()

    @property
    def names(self) -> Collection[str]:
        return self._names

    def keep(self, names: Collection[str], now: float) -> None:
        """From now on these locations and no others; a new one is due at once, one that runs may end in peace."""
        self._names = names
        for name in [name for name, turn in self._turns.items() if name not in names and not turn.running]:
            del self._turns[name]
        for name in names:
            self._turns.setdefault(name, _Turn(due=now))

    def due(self, now: float) -> list[str]:
        """The locations to begin now; none that still runs."""
        return [name for name in self._names if not self._turns[name].running and self._turns[name].due <= now]

    def begin(self, name: str) -> None:
        turn = self._turns[name]
        turn.running, turn.again, turn.again_if_failed = True, False, False

    def end(self, name: str, outcome: Outcome | None, synctime_seconds: float, now: float) -> float:
        """Notes what came of a run, None being a fault of pusher's own; returns the seconds until the next one."""
        turn = self._turns[name]
        turn.running = False
        failed = outcome is None or outcome.error is not None
        if name not in self._names:
            del self._turns[name]
            return 0.0
        if turn.again or (failed and turn.again_if_failed):
            turn.call(now)
            return 0.0
        turn.failures = turn.failures + 1 if failed else 0
        turn.halted = failed and outcome is not None and outcome.exit_code == _REFUSED
        wait = self._wait(turn, synctime_seconds)
        if outcome is not None and outcome.retry_after_seconds is not None:
            asked = min(outcome.retry_after_seconds, _LONGEST_ASKED_SECONDS)
            wait = max(wait, asked * (1 + self._draw() / 10))
        if turn.woken_at is not None and not failed:
            wait = min(wait, max(turn.woken_at - now, 0.0))
        turn.woken_at = None
        turn.due = now + wait
        return wait

    def _wait(self, turn: _Turn, synctime_seconds: float) -> float:
        if turn.halted:
            return HALT_SECONDS
        if not turn.failures:
            return synctime_seconds * (0.9 + self._draw() / 5)
        doublings = min(turn.failures - 1, 40)
        longest = min(_FIRST_RETRY_SECONDS, synctime_seconds) * 2.0**doublings
        return min(longest, _LAST_RETRY_SECONDS) * (0.5 + self._draw() / 2)

    def call_all(self, now: float) -> None:
        """Every location is due; one that runs is so again when it ends."""
        for turn in self._turns.values():
            turn.call(now)
            turn.again = True

    def wake(self, name: str, at: float) -> None:
        """There is work for a location: it is due then at the latest, but for one that fails and waits."""
        turn = self._turns.get(name)
        if turn is None or turn.failures:
            return
        if turn.running:
            turn.woken_at = at if turn.woken_at is None else min(turn.woken_at, at)
        else:
            turn.due = min(turn.due, at)

    def call_failing(self, now: float) -> None:
        """Every location that fails is due, since what it failed for may be mended."""
        for turn in self._turns.values():
            turn.again_if_failed = True
            if turn.failures:
                turn.call(now)

    def shown(self) -> str:
        """What each location does, in a line for `systemctl status`."""
        return ", ".join(f"{name} {_doing(self._turns[name])}" for name in self._names)

    def is_halted(self, name: str) -> bool:
        return name in self._turns and self._turns[name].halted


def _doing(turn: _Turn) -> str:
    if turn.running:
        return "is pushing"
    if turn.halted:
        return "is stopped: it is refused, or its configuration is wrong"
    return f"tries again, failures: {turn.failures}" if turn.failures else "waits"
