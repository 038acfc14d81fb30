"""When each location's turn is, with a clock and chances that the test sets."""

from __future__ import annotations

import pytest

from pusher.job import Outcome
from pusher.schedule import HALT_SECONDS, Schedule

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
WELL = Outcome(location="central", kind="push")
HELD = Outcome(location="central", kind="push", exit_code=1)
AWAY = Outcome(location="central", kind="push", exit_code=3, error="away")
REFUSED = Outcome(location="central", kind="push", exit_code=2, error="the token is not accepted")
BUSY = Outcome(location="central", kind="push", exit_code=3, error="busy", retry_after_seconds=120)


def schedule(*names: str, chance: float = 1.0) -> Schedule:
    made = Schedule(lambda: chance)
    made.keep(names or ("central",), 0)
    return made


def run(turns: Schedule, outcome: Outcome | None, now: float = 0, synctime: float = 10 * MINUTE) -> float:
    turns.begin("central")
    return turns.end("central", outcome, synctime, now)


def test_all_begin_at_once_and_none_twice() -> None:
    turns = schedule("central", "lab")
    assert turns.due(0) == ["central", "lab"]
    turns.begin("central")
    assert turns.due(1e9) == ["lab"]


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 9 * MINUTE), (0.5, 10 * MINUTE), (1.0, 11 * MINUTE)])
@pytest.mark.parametrize("outcome", [WELL, HELD])
def test_after_synctime_more_or_less_it_is_due_again(chance: float, wait: float, outcome: Outcome) -> None:
    turns = schedule(chance=chance)
    assert run(turns, outcome, now=100) == pytest.approx(wait)
    assert turns.due(100 + wait - 1) == []
    assert turns.due(100 + wait + 1) == ["central"]


@pytest.mark.parametrize("outcome", [AWAY, None])
def test_waits_double_up_to_an_hour_and_begin_anew_after_a_success(outcome: Outcome | None) -> None:
    turns = schedule()
    waits = [run(turns, outcome) for _ in range(100)]
    assert waits[:8] == [30, 60, 120, 240, 480, 960, 1920, HOUR]
    assert set(waits[8:]) == {HOUR}
    run(turns, WELL)
    assert run(turns, outcome) == 30


def test_the_first_retry_is_not_later_than_the_next_cycle_would_have_been() -> None:
    turns = schedule()
    assert [run(turns, AWAY, synctime=6) for _ in range(3)] == [6, 12, 24]


def test_half_of_a_wait_is_chance() -> None:
    assert run(schedule(chance=0), AWAY) == 15


def test_central_may_ask_for_a_longer_wait() -> None:
    assert run(schedule(chance=0), BUSY) == 120
    assert run(schedule(chance=1), BUSY) == pytest.approx(132)
    turns = schedule(chance=0)
    for _ in range(6):
        run(turns, AWAY)
    assert run(turns, BUSY) == 960  # its own wait is longer by now
    for absurd in (1e12, float("inf")):
        outcome = Outcome(location="central", kind="push", exit_code=3, error="", retry_after_seconds=absurd)
        assert run(schedule(chance=0), outcome) == DAY


def test_one_that_is_refused_is_left_alone_for_long() -> None:
    turns = schedule()
    assert run(turns, REFUSED) == HALT_SECONDS == HOUR
    assert turns.is_halted("central") and not turns.due(HOUR - 1) and turns.due(HOUR)
    turns.begin("central")
    assert run(turns, WELL) == 11 * MINUTE
    assert not turns.is_halted("central")


@pytest.mark.parametrize("outcome", [AWAY, BUSY, REFUSED, None])
def test_a_new_configuration_calls_those_that_fail(outcome: Outcome | None) -> None:
    turns = schedule()
    run(turns, outcome)
    turns.call_failing(1)
    assert turns.due(1) == ["central"] and not turns.is_halted("central")
    assert run(turns, AWAY) == 30


def test_a_new_configuration_leaves_the_others_in_peace() -> None:
    turns = schedule()
    run(turns, WELL)
    turns.call_failing(1)
    assert turns.due(1) == []


@pytest.mark.parametrize(("outcome", "wait"), [(AWAY, 0), (REFUSED, 0), (WELL, 11 * MINUTE)])
def test_what_failed_with_the_configuration_of_before_is_tried_with_the_new_one(outcome: Outcome, wait: float) -> None:
    turns = schedule()
    turns.begin("central")
    turns.call_failing(1)
    assert turns.end("central", outcome, 10 * MINUTE, 2) == wait


@pytest.mark.parametrize("outcome", [WELL, AWAY, REFUSED])
def test_a_call_reaches_all(outcome: Outcome) -> None:
    turns = schedule("central", "lab")
    run(turns, outcome)
    turns.begin("lab")
    turns.call_all(1)
    assert turns.due(1) == ["central"]
    lab = Outcome(location="lab", kind="push")
    assert turns.end("lab", lab, 10 * MINUTE, 2) == 0
    assert turns.due(2) == ["central", "lab"]
    turns.begin("lab")
    assert turns.end("lab", lab, 10 * MINUTE, 2) == 11 * MINUTE


def test_locations_come_and_go() -> None:
    turns = schedule("central", "lab")
    run(turns, WELL)
    turns.begin("lab")
    turns.keep(("office",), 5)
    assert turns.due(5) == ["office"]
    turns.keep(("office", "lab"), 6)
    assert turns.due(6) == ["office"]  # lab still runs
    turns.keep(("central", "office"), 7)
    assert turns.due(7) == ["central", "office"]  # it is as one never seen before
    assert turns.end("lab", Outcome(location="lab", kind="push"), 10 * MINUTE, 8) == 0
    assert turns.due(1e9) == ["central", "office"]


def test_it_says_what_each_does() -> None:
    turns = schedule("central", "lab", "office")
    run(turns, AWAY)
    assert turns.shown() == "central tries again, failures: 1, lab waits, office waits"
    run(turns, REFUSED)
    turns.begin("lab")
    assert turns.shown().startswith("central is stopped: it is refused, or its configuration is wrong, lab is pushing,")
