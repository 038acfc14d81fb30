"""When a location compares both sides by itself: once a night, each site at its own minute."""

from __future__ import annotations

import datetime as dt

import pytest

from pusher.night import is_due

_ZONE = dt.timezone(dt.timedelta(hours=9))


def at(day: int, hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, 1, day, hour, minute, tzinfo=_ZONE)


def utc(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat()


@pytest.mark.parametrize(("place", "begins"), [(0.0, at(9, 1)), (0.5, at(9, 2, 30)), (0.999, at(9, 3, 59))])
def test_in_the_night_at_its_own_minute(place: float, begins: dt.datetime) -> None:
    last = utc(at(8, 2))
    assert not is_due(begins - dt.timedelta(minutes=2), last, None, place)
    assert is_due(begins + dt.timedelta(minutes=2), last, None, place)
    assert is_due(at(9, 4, 59), last, None, place)
    assert not is_due(at(9, 5), last, None, place) and not is_due(at(9, 14), last, None, place)


def test_not_twice_in_one_night() -> None:
    assert not is_due(at(9, 4, 50), utc(at(9, 1, 5)), utc(at(1, 0)), 0.0)


def test_a_site_that_is_off_at_night_is_not_left_out() -> None:
    assert not is_due(at(9, 13), utc(at(8, 2)), None, 0.0)
    assert is_due(at(9, 15), utc(at(8, 2)), None, 0.0)


def test_a_clock_that_was_wrong_does_not_hold_it_up() -> None:
    assert is_due(at(9, 13), utc(at(9, 13) + dt.timedelta(days=300)), None, 0.0)


def test_the_first_one_waits_for_a_night_but_not_for_ever() -> None:
    assert not is_due(at(9, 13), None, None, 0.0) and not is_due(at(9, 13), None, utc(at(9, 12)), 0.0)
    assert is_due(at(9, 1, 30), None, utc(at(9, 0)), 0.0)
    assert is_due(at(10, 13), None, utc(at(9, 0)), 0.0)
