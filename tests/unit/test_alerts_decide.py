"""Which messages there are, and when: every rule of docs/alerts.md, with a clock that the test moves."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.alerts.causes import silence, unheard, unverified
from pusher.alerts.decide import due, heard, is_quiet, keep, observe
from pusher.alerts.state import Cause, Message, State
from pusher.alerts.words import body, duration, headline, one_line, shown, subject
from pusher.config import AlertsSettings
from pusher.job import BreakDown, FileCounts, Outcome, TableOutcome

_ZONE = dt.timezone(dt.timedelta(hours=1))
_DAY = dt.datetime(2026, 11, 26, tzinfo=_ZONE)
_RULES = AlertsSettings(mail_to=("lab@example.org",))
_REFUSED = "central refuses"


def clock(text: str, days: int = 0) -> dt.datetime:
    hours, minutes = map(int, text.split(":"))
    return _DAY + dt.timedelta(days=days, hours=hours, minutes=minutes)


def good(location: str = "central", *tables: TableOutcome, notices: Sequence[str] = ()) -> Outcome:
    return Outcome(location=location, kind="push", tables=list(tables), notices=list(notices))


def down(location: str = "central", text: str = "cannot be reached", code: int = 3) -> Outcome:
    return Outcome(location=location, kind="push", error=text, exit_code=code)


def stopped(table: str) -> TableOutcome:
    return TableOutcome(table=table, role="stream", stopped="no such table at central")


def held(table: str, rows: int) -> TableOutcome:
    return TableOutcome(table=table, role="stream", held=rows)


class Site:
    """What a site remembers, and what it said: `run` is told of outcomes, `at` only of the time."""

    def __init__(self, rules: AlertsSettings = _RULES, *locations: str) -> None:
        self.rules = rules
        self.state = State()
        self.watched = dict.fromkeys(locations or ("central",))

    def run(self, moment: str | dt.datetime, *outcomes: Outcome) -> list[str]:
        return [f"{each.kind}: {headline(each)}" for each in self.messages(moment, *outcomes)]

    def messages(self, moment: str | dt.datetime, *outcomes: Outcome) -> list[Message]:
        now = clock(moment) if isinstance(moment, str) else moment
        for outcome in outcomes:
            self.state = heard(self.state, now, self.rules, outcome)
        self.state = keep(self.state, now, self.watched.keys())
        found, self.state = due(self.state, now, self.rules, self.watched)
        self.state = msgspec.json.decode(msgspec.json.encode(self.state), type=State)  # as the ledger keeps it
        return found


def test_one_message_when_it_begins_and_one_when_it_is_over() -> None:
    site = Site()
    assert site.run("10:00", good()) == []
    assert site.run("10:10", down()) == ["begin: central: cannot be reached"]
    assert site.run("10:20", down()) == []
    assert site.run("12:15", good()) == ["end: over after 2 hours 5 minutes: central: cannot be reached"]
    assert site.run("12:25", good()) == []


def test_other_words_are_no_other_cause() -> None:
    site = Site()
    assert len(site.run("10:00", down(text="timed out"))) == 1
    assert site.run("11:30", down(text="connection refused")) == []


def test_refused_is_another_cause_than_unreachable() -> None:
    site = Site()
    site.run("10:00", down())
    assert site.run("10:10", down(text=_REFUSED, code=2)) == [
        f"begin: central: {_REFUSED}",
        "end: over after 10 minutes: central: cannot be reached",
    ]


def test_at_most_one_an_hour_however_often_it_comes_and_goes() -> None:
    site, said = Site(), []
    for minute in range(0, 180, 10):
        moment = f"{10 + minute // 60}:{minute % 60:02}"
        said += [(moment, text) for text in site.run(moment, down() if minute % 20 == 0 else good())]
    assert said == [
        ("10:00", "begin: central: cannot be reached"),
        ("10:10", "end: over after 10 minutes: central: cannot be reached"),
        ("11:00", "begin: central: cannot be reached"),
        ("11:10", "end: over after 10 minutes: central: cannot be reached"),
        ("12:00", "begin: central: cannot be reached"),
        ("12:10", "end: over after 10 minutes: central: cannot be reached"),
    ]


def test_what_lasts_is_told_when_the_hour_is_over_with_how_often_it_came_before() -> None:
    site = Site()
    for moment, outcome in (("10:00", down()), ("10:05", good()), ("10:10", down()), ("10:15", good())):
        site.run(moment, outcome)
    assert site.run("10:20", down()) == []
    assert site.run("10:59") == []
    (message,) = site.messages("11:00")
    assert body(message) == (
        "central: cannot be reached. Since 10:20. Before, it came and went once without a message.\n"
    )
    assert site.run("11:30", good()) == ["end: over after 1 hour 10 minutes: central: cannot be reached"]


def test_what_was_never_told_is_not_over_either() -> None:
    site = Site(replace(_RULES, after_seconds=900))
    assert site.run("10:00", down()) == []
    assert site.run("10:14") == []
    assert site.run("10:14", good()) == []
    assert site.run("10:20", down()) == []
    assert site.run("10:35") == ["begin: central: cannot be reached"]


def test_after_is_for_what_mends_itself() -> None:
    site = Site(replace(_RULES, after_seconds=900))
    assert site.run("10:00", down(text=_REFUSED, code=2)) == [f"begin: central: {_REFUSED}"]


def test_a_location_that_is_down_mutes_its_tables() -> None:
    site = Site()
    broken = down()
    broken.tables, broken.break_downs = [stopped("Reading")], [BreakDown(what="request", text="no answer", table="DD")]
    assert site.run("10:00", broken) == ["begin: central: cannot be reached"]
    assert site.run("10:10", good("central", stopped("Reading"))) == [
        "begin: central, Reading: is stopped: no such table at central",
        "end: over after 10 minutes: central: cannot be reached",
    ]
    assert site.run("11:20", down()) == ["begin: central: cannot be reached"]  # and Reading is not over
    assert site.run("11:30", good()) == ["end: 2 faults are over: central"]


def test_a_table_that_waits_for_its_hour_stays_silent_while_its_location_is_down() -> None:
    site = Site()
    site.run("10:00", good("central", stopped("Reading")))
    site.run("10:10", good())
    site.run("10:20", good("central", stopped("Reading")))
    site.run("10:30", down())
    assert site.run("11:10") == []
    site.run("11:20", good())
    assert site.run("12:30", good("central", stopped("Reading"))) == [
        "begin: central, Reading: is stopped: no such table at central"
    ]


def test_what_begins_in_one_run_is_one_message() -> None:
    site = Site()
    (message,) = site.messages("10:00", good("central", stopped("Reading"), held("House", 1), held("Node", 2500)))
    assert headline(message) == "3 faults: central"
    assert body(message).splitlines() == [
        "central, Reading: is stopped: no such table at central. Since 10:00.",
        "central, House: a row is held; pusher held list central tells why. Since 10:00.",
        "central, Node: 2,500 rows are held; pusher held list central tells why. Since 10:00.",
    ]


def test_a_message_lists_so_many_and_counts_the_rest() -> None:
    (message,) = Site().messages("10:00", good("central", *(stopped(f"t{n}") for n in range(30))))
    assert len(body(message).splitlines()) == 21 and body(message).endswith("and 10 more: pusher alerts list\n")
    assert len(message.items) == 30


def test_one_message_if_every_location_fails() -> None:
    site = Site(_RULES, "central", "lab")
    (message,) = site.messages("10:00", down(), down("lab"))
    assert headline(message) == "every location fails"
    assert body(message).startswith("every location fails.\ncentral: cannot be reached.")
    assert site.run("10:30", good(), good("lab")) == ["end: 2 faults are over: central, lab"]
    assert Site(_RULES, "central", "lab").run("10:00", down(), good("lab")) == ["begin: central: cannot be reached"]
    assert Site().run("10:00", down()) == ["begin: central: cannot be reached"]  # every one, but it is the only one


def test_with_after_locations_that_fail_one_after_the_other_are_one_message() -> None:
    site = Site(replace(_RULES, after_seconds=900), "central", "lab")
    assert site.run("10:00", down()) == []
    assert site.run("10:10", down("lab")) == []
    assert site.run("10:15") == ["begin: every location fails"]
    assert site.run("10:25") == []


def test_held_is_told_again_when_there_is_twice_as_much() -> None:
    site = Site()
    assert len(site.run("10:00", good("central", held("House", 10)))) == 1
    assert site.run("11:30", good("central", held("House", 19))) == []
    assert site.run("11:40", good("central", held("House", 20))) == [
        "begin: central, House: 20 rows are held; pusher held list central tells why"
    ]
    assert site.run("12:00", good("central", held("House", 90))) == []  # within the hour
    assert len(site.run("12:40", good("central", held("House", 90)))) == 1
    assert site.run("13:00", good()) == [
        "end: over after 3 hours: central, House: 90 rows are held; pusher held list central tells why"
    ]


def test_files_that_are_held() -> None:
    outcome = Outcome(location="pc", kind="files", files=FileCounts(held=2))
    assert Site(_RULES, "pc").run("10:00", outcome) == ["begin: pc: 2 files are held; pusher held list pc tells why"]


def test_break_downs_of_the_whole_and_of_a_scale() -> None:
    site = Site(_RULES, "mt")
    outcome = Outcome(location="mt", kind="export", exit_code=1)
    outcome.break_downs = [
        BreakDown(what="delete", text="12 rows could not be deleted", table="DASS21"),
        BreakDown(what="write", text="the disk is full"),
    ]
    (message,) = site.messages("10:00", outcome)
    assert [item.cause for item in message.items] == ["mt/write", "mt/DASS21/delete"]
    assert site.run("10:05", outcome) == []
    scale = TableOutcome(table="DASS21", role="scale")
    assert site.run("10:10", Outcome(location="mt", kind="export", tables=[scale])) == ["end: 2 faults are over: mt"]


def test_an_error_and_its_break_down_are_one_cause() -> None:
    outcome = replace(down("mt"), break_downs=[BreakDown(what="request", text="the server cannot be reached")])
    assert Site(_RULES, "mt").run("10:00", outcome) == ["begin: mt: cannot be reached"]
    outcome = replace(down("mt", "the disk is full", 1), break_downs=[BreakDown(what="write", text="the disk is full")])
    assert Site(_RULES, "mt").run("10:00", outcome) == ["begin: mt: the disk is full"]
    outcome = replace(down("mt"), break_downs=[BreakDown(what="write", text="the disk is full")])
    assert Site(_RULES, "mt").run("10:00", outcome) == ["begin: 2 faults: mt"]


def test_a_failed_request_for_the_whole_mutes_the_scales() -> None:
    outcome = Outcome(location="mt", kind="export", tables=[held("DD", 1)], exit_code=3)
    outcome.break_downs = [BreakDown(what="request", text="no list"), BreakDown(what="request", text="x", table="DD")]
    assert Site(_RULES, "mt").run("10:00", outcome) == ["begin: mt: no list"]


def test_a_scale_that_was_not_asked_for_is_not_over() -> None:
    site = Site(_RULES, "mt")
    scale, other = TableOutcome(table="DD", role="scale"), TableOutcome(table="OA", role="scale")
    outcome = Outcome(location="mt", kind="export", tables=[scale, other])
    outcome.break_downs = [BreakDown(what="delete", text="DD: 2 rows could not be deleted", table="DD")]
    assert site.run("10:00", outcome) == ["begin: mt, DD: 2 rows could not be deleted"]
    assert site.run("10:05", Outcome(location="mt", kind="export", tables=[other])) == []
    assert len(site.run("10:10", Outcome(location="mt", kind="export", tables=[scale, other]))) == 1


def test_what_stops_a_scale_is_said_once() -> None:
    scale = TableOutcome(table="DD", role="scale", stopped="the answer is no JSON")
    outcome = Outcome(location="mt", kind="export", tables=[scale])
    outcome.break_downs = [BreakDown(what="request", text="the answer is no JSON", table="DD")]
    assert Site(_RULES, "mt").run("10:00", outcome) == ["begin: mt, DD: the answer is no JSON"]


def test_notices_are_told_once() -> None:
    site = Site()
    assert site.run("10:00", good(notices=["benchMark.json is new"])) == ["notice: central: benchMark.json is new"]
    assert site.run("10:05", good(notices=["benchMark.json is new"])) == []
    assert site.run("11:05", good(notices=["benchMark.json is new"])) == ["notice: central: benchMark.json is new"]


# --- quiet hours ----------------------------------------------------------------------------------------------------

_QUIET = replace(_RULES, quiet=(dt.time(22), dt.time(6)))


@pytest.mark.parametrize(
    ("moment", "quiet"), [("21:59", False), ("22:00", True), ("00:00", True), ("05:59", True), ("06:00", False)]
)
def test_quiet_hours_go_over_midnight(moment: str, quiet: bool) -> None:
    assert is_quiet(clock(moment), _QUIET) == quiet
    assert not is_quiet(clock(moment), _RULES)
    by_day = replace(_RULES, quiet=(dt.time(6), dt.time(22)))
    assert is_quiet(clock(moment), by_day) != quiet


def test_messages_wait_for_the_end_of_quiet_hours_and_are_one() -> None:
    site = Site(_QUIET, "central", "lab", "pc", "mt")
    assert site.run("21:00", down("mt")) == ["begin: mt: cannot be reached"]
    for moment, outcome in (
        (clock("23:00"), down()),  # begins and stays
        (clock("1:00", 1), down("lab")),  # comes and goes, twice
        (clock("1:10", 1), good("lab")),
        (clock("2:00", 1), down("lab")),
        (clock("2:20", 1), good("lab")),
        (clock("3:00", 1), good("mt", notices=["a new file"])),  # begun before, over within
        (clock("5:59", 1), down()),
    ):
        assert site.run(moment, outcome) == []
    (message,) = site.messages(clock("6:00", 1))
    assert subject(message, "house") == ("pusher house: during quiet hours: 1 open, 1 over, 1 came and went, 1 to know")
    assert body(message).splitlines() == [
        "central: cannot be reached. Since 2026-11-26 23:00.",
        "mt: is over: from 2026-11-26 21:00 to 03:00, 6 hours. It was: cannot be reached",
        "lab: came and went 2 times, from 01:00 to 02:20, 30 minutes in all. It was: cannot be reached",
        "mt: a new file",
    ]
    assert site.run(clock("6:10", 1), good("mt", notices=["a new file"])) == []
    assert site.run(clock("6:20", 1), good()) == ["end: over after 7 hours 20 minutes: central: cannot be reached"]


def test_what_is_shorter_than_after_is_no_word_in_quiet_hours_either() -> None:
    site = Site(replace(_QUIET, after_seconds=900))
    for moment, outcome in (("23:00", down()), ("23:10", good())):
        site.run(moment, outcome)
    assert site.run(clock("6:00", 1)) == []


def test_what_came_and_went_before_quiet_hours_is_none_of_theirs() -> None:
    site = Site(_QUIET)
    for moment, outcome in (
        ("21:00", down()),
        ("21:10", good()),
        ("21:40", down()),
        ("21:50", good()),
        ("22:00", good()),
    ):
        site.run(moment, outcome)
    assert site.run(clock("6:00", 1)) == []


def test_a_fault_told_before_goes_on_over_a_gap_that_nobody_was_told_of() -> None:
    site = Site(_QUIET)
    site.run("21:00", down())
    site.run("23:00", good())
    site.run("23:10", down())
    assert site.run(clock("6:00", 1)) == []
    assert site.run(clock("7:00", 1), good()) == ["end: over after 10 hours: central: cannot be reached"]


# --- the digest -----------------------------------------------------------------------------------------------------

_DIGEST = replace(_RULES, digest=dt.time(7, 30))


def test_a_digest_once_a_day_with_what_is_open_and_what_ended() -> None:
    site = Site(_DIGEST, "central", "lab")
    site.watched["central"] = "2026-11-26T23:30:00+00:00"
    site.run("8:00", down("lab"))
    site.run("9:00", down())
    site.run("9:30", good("central", TableOutcome(table="Reading", role="stream", sent=4000)))
    site.run("9:40", good("central", TableOutcome(table="Reading", role="stream", sent=1000, held=3)))
    assert site.run(clock("7:29", 1)) == []
    (message,) = site.messages(clock("7:31", 1))
    assert message.kind == "digest" and headline(message) == "summary: 2 open, 1 over"
    assert body(message).splitlines() == [
        "lab: cannot be reached. Since 2026-11-26 08:00.",
        "central, Reading: 3 rows are held; pusher held list central tells why. Since 2026-11-26 09:40.",
        "central: is over: from 2026-11-26 09:00 to 2026-11-26 09:30, 30 minutes. It was: cannot be reached",
        "central: 5,000 rows sent, 3 held, 3 runs (1 failed), last verified 00:30",
        "lab: 0 rows sent, 0 held, 1 run (1 failed), last verified never",
    ]
    assert site.run(clock("8:00", 1)) == []
    (again,) = site.messages(clock("7:30", 2))
    assert headline(again) == "summary: 2 open"  # the reminder, a day later


def test_a_digest_names_the_root_alone_too() -> None:
    site = Site(_DIGEST)
    site.run("8:00", good("central", stopped("Reading"), held("House", 7)))
    broken = down()
    broken.tables = [stopped("Node")]
    site.run("9:00", broken)
    (message,) = site.messages(clock("7:30", 1))
    assert body(message).splitlines() == [
        "central: cannot be reached. Since 2026-11-26 09:00.",
        "central: 0 rows sent, 7 held, 2 runs (1 failed), last verified never",
    ]
    assert site.state.tallies["central"].last_good == clock("8:00")
    site.run(clock("8:00", 1), good())
    (message,) = site.messages(clock("7:30", 2))
    assert [item.where for item in message.items] == ["central, Reading", "central, House", "central"]


def test_a_digest_that_has_nothing_to_say_is_none() -> None:
    site = Site(_DIGEST)
    site.run("8:00", good())
    assert site.run(clock("7:30", 1), good()) == []
    site.run(clock("8:00", 1), good("central", TableOutcome(table="Reading", role="stream", sent=1)))
    assert site.run(clock("7:30", 2)) == ["digest: summary: all is well"]
    assert site.run(clock("7:30", 3)) == []


def test_the_first_digest_is_at_its_time_whenever_the_site_begins() -> None:
    before = Site(_DIGEST)
    assert before.run("7:00", down()) == ["begin: central: cannot be reached"]
    assert before.run("7:30") == ["digest: summary: 1 open"]
    behind = Site(_DIGEST)
    assert behind.run("12:00", down()) == ["begin: central: cannot be reached"]
    assert behind.run("23:59") == []


def test_a_digest_that_was_missed_comes_late_and_one_in_quiet_hours_at_their_end() -> None:
    site = Site(replace(_DIGEST, quiet=(dt.time(7), dt.time(9))))
    site.run("6:00", down())
    assert site.run("7:30") == []
    assert site.run("9:00") == ["digest: summary: 1 open"]
    assert site.run(clock("18:00", 3)) == ["digest: summary: 1 open"]


# --- silence, and what is not watched -------------------------------------------------------------------------------


def test_a_location_without_a_good_run_is_silent() -> None:
    first = clock("0:00")
    assert silence("central", None, first, 86400, clock("0:00", 1)) == []
    (cause,) = silence("central", None, first, 86400, clock("0:01", 1))
    assert cause.text.startswith("no run has ended well yet, and is watched since 2026-11-26 00:00 (1 day)")
    assert silence("central", clock("12:00"), first, 86400, clock("0:01", 1)) == []
    (cause,) = silence("central", clock("12:00"), first, 86400, clock("12:30", 1))
    assert cause.text.startswith("no run has ended well since 2026-11-26 12:00 (1 day)")


def test_a_location_that_is_known_to_be_down_is_not_said_to_be_silent_too() -> None:
    site = Site()
    site.run("10:00", down())
    quiet = Cause(scope="central", what="silent", text="no run has ended well")
    site.state = observe(site.state, clock("12:00"), _RULES, "central", [quiet], lambda cause: cause.what == "silent")
    assert site.run("12:00") == []
    assert site.run("12:10", good()) == [  # the run says nothing of silence, the next look does
        "begin: central: no run has ended well",
        "end: over after 2 hours 10 minutes: central: cannot be reached",
    ]


def test_what_was_not_verified_for_long() -> None:
    week = 7 * 86400.0
    now = clock("10:00", 8)
    assert unverified("central", "push", clock("10:00", 1), clock("0:00"), week, now) == []
    (cause,) = unverified("central", "push", clock("9:00", 1), clock("0:00"), week, now)
    assert cause.text == "not verified for 7 days 1 hour; run pusher verify central, or set reconcile = daily"
    (cause,) = unverified("pc", "files", None, clock("0:00"), week, now)
    assert "run pusher files check pc," in cause.text


def test_a_site_that_does_not_call_central() -> None:
    assert unheard("house-37", clock("10:00"), 86400, clock("10:00", 1)) == []
    (cause,) = unheard("house-37", clock("10:00"), 86400, clock("12:00", 1))
    assert cause.text == "site house-37 has not reported since 2026-11-26 10:00 (1 day 2 hours)" and cause.is_root


def test_what_is_switched_off_ends_what_was_told_and_forgets_the_rest() -> None:
    site = Site(_RULES, "central", "lab")
    site.run("10:00", down("lab"), good("central"))
    site.run("10:10", good("lab"))
    site.run("10:20", down("lab"), down("central"))
    del site.watched["central"]
    (message,) = site.messages("10:30")
    assert message.kind == "end"
    assert body(message) == (
        "central: is no longer watched: from 10:20 to 10:30, 10 minutes. It was: cannot be reached\n"
    )
    del site.watched["lab"]
    assert site.run("12:00") == [] and not [each for each in site.state.known.values() if each.over is None]


def test_what_is_long_over_is_forgotten() -> None:
    site = Site()
    site.run("10:00", down())
    site.run("10:10", good())
    site.run("10:30")
    assert site.state.known
    site.run("11:30")
    assert not site.state.known


def test_what_is_remembered_is_bounded() -> None:
    site = Site(replace(_QUIET, digest=dt.time(7)))
    names = [f"t{n}" for n in range(300)]
    site.run("23:00", good("central", *map(stopped, names), notices=names))
    site.run("23:10", good())
    assert (len(site.state.notices), len(site.state.ended)) == (50, 200)
    site = Site()
    site.run("10:00", down())
    site.run("10:10", good())
    assert site.state.ended == ()  # there is no digest to tell of it


def test_a_clock_that_was_ahead_silences_nothing() -> None:
    site = Site()
    site.run(clock("10:00", 300), down())
    site.run(clock("10:10", 300), good())
    assert site.run("10:00", down()) == ["begin: central: cannot be reached"]
    assert site.run("10:30", good()) == ["end: over after 30 minutes: central: cannot be reached"]


# --- whatever happens -----------------------------------------------------------------------------------------------

_RUN = st.sampled_from(["good", "down", "refused", "stopped", "nothing"])
_STEPS = st.lists(st.tuples(st.integers(1, 90), st.sampled_from(["central", "lab"]), _RUN), max_size=60)


def _run_of(name: str, what: str) -> list[Outcome]:
    found = {
        "good": good(name),
        "down": down(name),
        "refused": down(name, _REFUSED, 2),
        "stopped": good(name, stopped("Reading")),
    }
    return [found[what]] if what in found else []


@given(_STEPS, st.sampled_from([0.0, 900.0]), st.booleans())
def test_in_any_order_of_events(steps: Sequence[tuple[int, str, str]], after_seconds: float, quiet: bool) -> None:
    rules = replace(_RULES, after_seconds=after_seconds, quiet=_QUIET.quiet if quiet else None)
    site = Site(rules, "central", "lab")
    moment, told, begun = clock("9:00"), set[str](), dict[str, dt.datetime]()
    for minutes, name, what in steps:
        moment += dt.timedelta(minutes=minutes)
        messages = site.messages(moment, *_run_of(name, what))
        assert not (messages and is_quiet(moment, rules))
        open_ = {key: each for key, each in site.state.known.items() if each.over is None}
        for item in (item for message in messages for item in message.items if item.kind in ("begin", "end")):
            assert (item.cause in open_) == (item.kind == "begin")
            assert (item.cause in told) == (item.kind == "end")
            if item.kind == "begin":
                assert item.cause not in begun or moment - begun[item.cause] >= dt.timedelta(hours=1)
                begun[item.cause] = moment
            told ^= {item.cause}
        failing = {each.cause.scope for each in open_.values() if each.cause.is_root}
        for key, each in open_.items():
            muted = each.cause.scope in failing and not each.cause.is_root
            young = each.cause.may_wait and (moment - each.since).total_seconds() < after_seconds
            late = key in begun and moment - begun[key] < dt.timedelta(hours=1)
            assert key in told or muted or young or late or is_quiet(moment, rules)


# --- the document ---------------------------------------------------------------------------------------------------

_DOCUMENT = Path(__file__).parents[2] / "docs/alerts.md"
_UNREACHABLE = "central at https://c.example/rest/ cannot be reached: Connection refused; is resturl right?"
_TOKEN = "central at https://c.example/rest/ refuses: the token is not accepted"


def _outcomes_of_the_day(clock: str, day: int) -> tuple[Outcome, Outcome]:
    """What runs at that time bring, as docs/alerts.md has it. Of the lab, too."""

    def within(begin: str, end: str) -> bool:
        return day == 0 and begin <= clock < end

    tables = [stopped("House"), stopped("Node")] if within("12:00", "13:10") else []
    if within("12:00", "13:10"):
        tables.append(held("Reading", 70 if clock >= "13:00" else 40))
    central, lab = good("central", *tables), good("lab")
    if within("08:00", "10:05") or within("10:20", "10:30") or within("15:00", "16:00") or clock >= "23:00" or day:
        central = down(text=_UNREACHABLE)
    if within("11:00", "11:05") or within("11:10", "11:15") or within("11:20", "11:25"):
        lab = down("lab", _TOKEN, 2)
    if within("15:00", "16:00"):
        lab = down("lab", _UNREACHABLE)
    if day == 1 and "01:00" <= clock < "01:30":
        lab.break_downs = [BreakDown(what="write", text="No space left on device")]
    return central, lab


def test_the_day_in_the_document_is_as_it_says() -> None:
    rules = replace(_DIGEST, quiet=_QUIET.quiet, after_seconds=900)
    site, said = Site(rules, "central", "lab"), []
    for minute in range(7 * 60 + 45, 32 * 60, 5):
        moment = clock("0:00") + dt.timedelta(minutes=minute)
        outcomes = _outcomes_of_the_day(f"{moment:%H:%M}", minute // 1440)
        said += [(f"{moment:%H:%M}", subject(each, "house-37")) for each in site.messages(moment, *outcomes)]
    written = []
    for line in _DOCUMENT.read_text().splitlines():
        if row := re.match(r"\| (\d\d:\d\d).*\| (?:(\d\d:\d\d): )?`(pusher house-37: [^`]*)`", line):
            written.append((row[2] or row[1], row[3]))
    assert len(written) == len(said) == 10
    for (when, text), (wanted_when, wanted) in zip(said, written, strict=True):
        pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
        assert when == wanted_when and re.fullmatch(pattern, text), (when, text)


# --- the words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "less than a second"),
        (0.4, "less than a second"),
        (1, "1 second"),
        (59.6, "1 minute"),
        (65, "1 minute 5 seconds"),
        (3600, "1 hour"),
        (3605, "1 hour"),
        (7500, "2 hours 5 minutes"),
        (86400 * 3 + 7200, "3 days 2 hours"),
    ],
)
def test_a_length_of_time_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_no_text_can_forge_a_header_or_fill_a_screen() -> None:
    assert one_line("down\r\nBcc: all@example.org\x1b[2J\u2028end") == "down Bcc: all@example.org [2J end"
    (message,) = Site().messages("10:00", down(text="x\r\nBcc: y\n" + "z" * 10_000))
    assert len(subject(message, "house")) == 120 and "\n" not in subject(message, "house")
    assert len(body(message)) < 600


def test_a_moment_of_another_day_has_its_date() -> None:
    assert shown(clock("9:05"), clock("23:00")) == "09:05"
    assert shown(dt.datetime(2026, 11, 25, 23, 30, tzinfo=dt.UTC), clock("10:00")) == "00:30"
    assert shown(clock("9:05", -1), clock("10:00")) == "2026-11-25 09:05"
