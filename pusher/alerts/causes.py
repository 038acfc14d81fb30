"""Which causes there are: of one run's outcome, of silence, and of what was not compared for long."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from pusher.alerts.state import Cause, What
from pusher.alerts.words import duration, one_line, shown
from pusher.job import Outcome

_UNREACHABLE = 3  # the exit code of what is worth trying again


def causes_of(outcome: Outcome) -> list[Cause]:
    """The whole location's first. Of one that fails what befell its tables is left out: it may well be the same."""
    whole = list(_of_whole(outcome))
    if any(cause.is_root for cause in whole):
        return whole
    return whole + list(_of_tables(outcome))


def _of_whole(outcome: Outcome) -> Iterator[Cause]:
    name, error = outcome.location, outcome.error
    if error is not None:
        what: What = "unreachable" if outcome.exit_code == _UNREACHABLE else "failed"
        yield Cause(scope=name, what=what, text=one_line(error))
    for each in outcome.break_downs:
        if each.table is None and (error is None or (each.what != "request" and each.text != error)):
            yield Cause(scope=name, what=each.what, text=one_line(each.text))


def _of_tables(outcome: Outcome) -> Iterator[Cause]:
    name = outcome.location
    for each in outcome.break_downs:
        if each.table is not None:
            text = one_line(each.text.removeprefix(f"{each.table}: "))
            yield Cause(scope=name, table=each.table, what=each.what, text=text)
    told = {each.text for each in outcome.break_downs}
    for entry in outcome.tables:
        if entry.stopped and entry.stopped not in told:
            yield Cause(scope=name, table=entry.table, what="stopped", text=f"is stopped: {one_line(entry.stopped)}")
        if entry.held:
            yield _held(name, entry.table, entry.held, "row")
    if outcome.files and outcome.files.held:
        yield _held(name, "", outcome.files.held, "file")


def _held(location: str, table: str, count: int, unit: str) -> Cause:
    amount = f"{count:,} {unit}s are" if count > 1 else f"a {unit} is"
    text = f"{amount} held; pusher held list {location} tells why"
    return Cause(scope=location, table=table, what="held", text=text, count=count)


def silence(
    location: str, last_good: dt.datetime | None, first: dt.datetime, seconds: float, now: dt.datetime
) -> list[Cause]:
    """Of a location without a run that ended well for so many seconds; it is watched since `first`."""
    quiet_seconds = (now - (last_good or first)).total_seconds()
    if quiet_seconds <= seconds:
        return []
    ago = f"since {shown(last_good, now)}" if last_good else f"yet, and is watched since {shown(first, now)}"
    text = f"no run has ended well {ago} ({duration(quiet_seconds)}); pusher status tells more"
    return [Cause(scope=location, what="silent", text=text)]


def unverified(
    location: str, kind: str, verified: dt.datetime | None, first: dt.datetime, seconds: float, now: dt.datetime
) -> list[Cause]:
    """Of a location whose sides were last compared so many seconds ago, or never in that time."""
    if (now - (verified or first)).total_seconds() <= seconds:
        return []
    command = "files check" if kind == "files" else "verify"
    ago = duration((now - (verified or first)).total_seconds())
    text = f"not verified for {ago}; run pusher {command} {location}, or set reconcile = daily"
    return [Cause(scope=location, what="unverified", text=text)]


def unheard(site: str, last_contact: dt.datetime, seconds: float, now: dt.datetime) -> list[Cause]:
    """Of a site that has not called central for so many seconds."""
    away_seconds = (now - last_contact).total_seconds()
    if away_seconds <= seconds:
        return []
    text = f"site {site} has not reported since {shown(last_contact, now)} ({duration(away_seconds)})"
    return [Cause(scope=site, what="unheard", text=text)]
