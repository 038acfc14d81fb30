"""In which state a site is, and what a usual day of a sensor is: decisions that need no database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from pusher.central.coverage import judged, sensor_columns
from pusher.central.status import (
    SiteFacts,
    State,
    TableFacts,
    Verified,
    late_after,
    missing_days,
    states,
    usual_interval,
    verdict_line,
    worst_first,
)
from pusher.rest.rendering import ago, sparkline
from pusher.rest.session import local_path
from pusher.wire.tables import Column, Kind, Reference, Table

NOW = dt.datetime(2026, 3, 10, 12)
MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)


def site(name: str = "north", *, contact: dt.timedelta = MINUTE, data: dt.timedelta = MINUTE) -> SiteFacts:
    return SiteFacts(
        name=name,
        first_contact=NOW - 30 * DAY,
        last_contact=NOW - contact,
        tables={"Reading": TableFacts(name="Reading", updated=NOW, newest=NOW - data)},
    )


def verified(verdict: str) -> Verified:
    return Verified(
        verified=NOW,
        deep=False,
        verdict=verdict,
        missing=1,
        different=0,
        only_central=0,
        passed=NOW - DAY,
        passed_deep=None,
    )


def held(found: SiteFacts) -> None:
    found.tables["Reading"].held = 1


def differs(found: SiteFacts) -> None:
    found.tables["Reading"].verified = verified("different")


def lacks_a_day(found: SiteFacts) -> None:
    found.tables["Reading"].days = {(NOW - n * DAY).date(): 5 for n in (0, 1, 3, 4)}


def has_no_data(found: SiteFacts) -> None:
    found.tables["Reading"].newest = None


def is_silent(found: SiteFacts) -> None:
    found.last_contact = NOW - 31 * MINUTE


def never_called(found: SiteFacts) -> None:
    found.last_contact = None


@pytest.mark.parametrize(
    ("trouble", "state"),
    [
        (held, State.HELD),
        (differs, State.GAPS),
        (lacks_a_day, State.GAPS),
        (has_no_data, State.STALE),
        (is_silent, State.LATE),
        (never_called, State.NEVER),
    ],
)
def test_each_trouble_has_its_state(trouble: Callable[[SiteFacts], None], state: State) -> None:
    found = site()
    assert states(found, NOW) == [State.CURRENT]
    trouble(found)
    assert states(found, NOW) == [state]


def test_all_troubles_are_told_the_worst_first() -> None:
    found = site(contact=3 * DAY, data=3 * DAY)
    held(found)
    assert states(found, NOW) == [State.LATE, State.HELD, State.STALE]


def test_a_comparison_that_was_stopped_is_no_proof() -> None:
    found = site()
    found.tables["Reading"].verified = verified("stopped")
    assert states(found, NOW) == [State.GAPS]
    found.tables["Reading"].verified = verified("equal")
    assert states(found, NOW) == [State.CURRENT] and found.passed == NOW - DAY


@pytest.mark.parametrize(("every", "late"), [(1, 30), (10, 30), (15, 45), (1440, 3 * 1440)])
def test_late_is_measured_by_the_usual_interval(every: int, late: int) -> None:
    found = site(contact=(late + 1) * MINUTE, data=MINUTE)
    found.batches = [(NOW - n * every * MINUTE - MINUTE / 10 * k, 5) for n in range(20) for k in range(3)]
    assert late_after(found) == pytest.approx(late * MINUTE, abs=MINUTE)
    assert State.LATE in states(found, NOW)
    found.last_contact = NOW - (late - 2) * MINUTE
    assert State.LATE not in states(found, NOW)


def test_without_two_contacts_there_is_no_interval() -> None:
    assert usual_interval([]) is None
    assert usual_interval([(NOW, 1), (NOW - MINUTE / 2, 1)]) is None


def test_a_table_that_seldom_has_rows_has_no_gaps() -> None:
    days = [(NOW - n * DAY).date() for n in range(14)]
    assert missing_days({days[0]: 3, days[13]: 2}) == []
    assert missing_days({}) == [] and missing_days({days[0]: 1}) == []
    assert missing_days({day: 1 for day in days if day not in (days[3], days[4])}) == [days[4], days[3]]


def test_a_day_before_the_first_or_behind_the_last_is_no_gap() -> None:
    assert missing_days({(NOW - n * DAY).date(): 1 for n in (5, 6, 7)}) == []


def test_the_verdict_is_one_line() -> None:
    current, late, gaps = [State.CURRENT], [State.LATE, State.HELD], [State.GAPS]
    assert verdict_line([*[current] * 12, late, gaps]) == "12 of 14 sites current, 1 late, 1 with gaps"
    assert verdict_line([current, current]) == "All 2 sites current"
    assert verdict_line([current]) == "The only site is current"
    assert verdict_line([late]) == "0 of 1 site current, 1 late"
    assert verdict_line([]) == "No site yet"


def test_the_worst_stand_first() -> None:
    late, ill = site("late", contact=DAY), site("b-ill")
    held(ill)
    found = worst_first([site("b"), site("a"), ill, late], NOW)
    assert [each.name for each, _ in found] == ["late", "b-ill", "a", "b"]


def test_what_waits_is_unknown_if_one_stream_did_not_count_it() -> None:
    found = site()
    found.tables["Reading"].pending, found.tables["Reading"].reported = 4, NOW
    found.tables["Node"] = TableFacts(name="Node", reported=NOW)  # an entity, which never counts
    assert found.pending == 4
    found.tables["State"] = TableFacts(name="State", reported=NOW, updated=NOW)
    assert found.pending is None


# --- coverage ---


def test_a_usual_day_is_the_median_of_whole_days() -> None:
    today = NOW.date()
    counts = {today - n * DAY: rows for n, rows in enumerate([3, 100, 100, 96, 60, 10, 0, 40])}
    row = judged((1,), {day: rows for day, rows in counts.items() if rows}, today - 9 * DAY, today)
    assert row.expected == 96
    assert [day.level for day in reversed(row.days)] == [
        "today", "full", "full", "full", "most", "some", "gap", "most", "before", "before",
    ]  # fmt: skip
    assert row.gaps == [(today - 6 * DAY, today - 4 * DAY)]


def test_a_sensor_that_fell_silent_has_a_gap_up_to_yesterday() -> None:
    today = NOW.date()
    row = judged((1,), {today - 5 * DAY: 9, today - 4 * DAY: 10}, today - 6 * DAY, today)
    assert row.gaps == [(today - 3 * DAY, today)]


def test_sensors_are_told_apart_by_foreign_keys() -> None:
    def table(key: tuple[str, ...], *foreign: str) -> Table:
        names = dict.fromkeys([*key, *foreign])
        return Table(
            name="t",
            columns=tuple(Column(name=name, kind=Kind.INTEGER) for name in names),
            primary_key=key,
            references=tuple(Reference(columns=(name,), parent="p", parent_columns=("id",)) for name in foreign),
        )

    assert sensor_columns(table(("time", "nodeId", "type"), "type", "nodeId", "place")) == ("nodeId", "type")
    assert sensor_columns(table(("id",), "place", "nodeId")) == ("place",)
    assert sensor_columns(table(("id",))) == ()


# --- what pages say ---


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (42, "42 s ago"),
        (180, "3 min ago"),
        (9 * 3600, "9 h ago"),
        (86400 * 3, "3 days ago"),
        (-300, "in 5 min"),
    ],
)
def test_times_are_told_in_words(seconds: int, words: str) -> None:
    assert ago(NOW - dt.timedelta(seconds=seconds), NOW) == words


def test_a_sparkline_draws_the_last_day_only() -> None:
    drawn = sparkline([(NOW - MINUTE, 60), (NOW - 25 * 60 * MINUTE, 1000), (NOW + MINUTE, 7)], NOW)
    assert (drawn["rows"], drawn["most"], len(drawn["bars"])) == (60, "2.0", 1)
    assert sparkline([], NOW)["bars"] == []


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/sites/a?b=c", "/sites/a?b=c"),
        (None, "/"),
        ("", "/"),
        ("https://example.org/", "/"),
        ("//example.org", "/"),
        ("/\\example.org", "/"),
        ("/%09/example.org", "/%09/example.org"),
        ("/\t/example.org", "/"),
        ("javascript:alert(1)", "/"),
        ("/login?next=/", "/"),
    ],
)
def test_a_login_leads_to_local_pages_only(given: str | None, path: str) -> None:
    assert local_path(given) == path
