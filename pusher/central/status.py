"""In which state a site is: the decisions, made from what central noted of it, and every threshold they use.

docs/status-pages.md says the same in words; change both.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from statistics import median

LATE_AT_LEAST = dt.timedelta(minutes=30)
LATE_INTERVALS = 3  # a site is late after so many of its usual intervals without a contact
STALE_AT_LEAST = dt.timedelta(hours=24)  # long enough for a site whose times are local ones
GAP_DAYS = 14
SKEW_SECONDS = 60  # by which a clock is wrong
SAME_CONTACT = dt.timedelta(seconds=60)  # batches of one cycle follow each other sooner than that
_DAILY_PART = 0.5  # of the days within its data a table must have rows for an empty one to be a gap
_EQUAL = "equal"


class State(StrEnum):
    """In order, the worst first."""

    LATE = "late"
    GAPS = "gaps"
    HELD = "held"
    STALE = "stale"
    NEVER = "never"
    CURRENT = "current"


_WORST_FIRST = list(State)
WORDS = {
    State.LATE: "late",
    State.GAPS: "with gaps",
    State.HELD: "with held rows",
    State.STALE: "without new data",
    State.NEVER: "never seen",
    State.CURRENT: "current",
}


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What the last comparison of one table found."""

    verified: dt.datetime
    deep: bool
    verdict: str
    missing: int
    different: int
    only_central: int
    passed: dt.datetime | None
    passed_deep: dt.datetime | None


@dataclass(kw_only=True)
class TableFacts:
    """What central noted of one table of one site. `newest`: the time of its newest row. `days`: rows of the last days
    that have any, and 1 where their number is in doubt."""

    name: str
    rows_total: int = 0
    newest: dt.datetime | None = None
    updated: dt.datetime | None = None
    sent: int | None = None
    held: int = 0
    pending: int | None = None
    reported: dt.datetime | None = None
    verified: Verified | None = None
    days: dict[dt.date, int] = field(default_factory=dict)

    @property
    def gaps(self) -> list[dt.date]:
        return missing_days(self.days)

    @property
    def differs(self) -> bool:
        return self.verified is not None and self.verified.verdict != _EQUAL


@dataclass(frozen=True, kw_only=True)
class Event:
    kind: str
    detail: str
    happened: dt.datetime


@dataclass(kw_only=True)
class SiteFacts:
    """What central noted of one site; `first_contact` is None if only a token of it is known."""

    name: str
    first_contact: dt.datetime | None = None
    last_contact: dt.datetime | None = None
    hostname: str | None = None
    agent_version: str | None = None
    skew_seconds: float | None = None
    tables: dict[str, TableFacts] = field(default_factory=dict)
    batches: list[tuple[dt.datetime, int]] = field(default_factory=list)  # when, and of how many rows
    event: Event | None = None

    @property
    def newest(self) -> dt.datetime | None:
        return max((table.newest for table in self.tables.values() if table.newest), default=None)

    @property
    def held(self) -> int:
        return sum(table.held for table in self.tables.values())

    @property
    def pending(self) -> int | None:
        """None if a stream of it did not count what waits."""
        counted = [table.pending for table in self.tables.values() if table.reported and table.updated]
        return sum(each or 0 for each in counted) if counted and None not in counted else None

    @property
    def passed(self) -> dt.datetime | None:
        """Since when at the latest all tables that were ever compared are known to be equal."""
        found = [table.verified.passed for table in self.tables.values() if table.verified]
        times = [each for each in found if each]
        return min(times) if times and len(times) == len(found) else None

    @property
    def clock_is_wrong(self) -> bool:
        return self.skew_seconds is not None and abs(self.skew_seconds) > SKEW_SECONDS


def usual_interval(batches: Iterable[tuple[dt.datetime, int]]) -> dt.timedelta | None:
    """The median time between contacts, None if there were not two."""
    moments = sorted({moment for moment, _ in batches})
    between = [after - before for before, after in pairwise(moments) if after - before >= SAME_CONTACT]
    return dt.timedelta(seconds=median(each.total_seconds() for each in between)) if between else None


def late_after(site: SiteFacts) -> dt.timedelta:
    interval = usual_interval(site.batches)
    return max(LATE_AT_LEAST, LATE_INTERVALS * interval) if interval else LATE_AT_LEAST


def stale_after(site: SiteFacts) -> dt.timedelta:
    return max(STALE_AT_LEAST, late_after(site))


def missing_days(days: Mapping[dt.date, int]) -> list[dt.date]:
    """The days without rows between the first and the last that have some, of a table that has rows on most days."""
    filled = sorted(day for day, rows in days.items() if rows)
    if len(filled) < 2:
        return []
    span = (filled[-1] - filled[0]).days + 1
    if len(filled) < _DAILY_PART * span:
        return []
    return sorted({filled[0] + dt.timedelta(days=n) for n in range(span)} - set(filled))


def states(site: SiteFacts, now: dt.datetime) -> list[State]:
    """All that is wrong with a site, the worst first; or that nothing is."""
    if site.last_contact is None:
        return [State.NEVER]
    newest = site.newest
    wrong = {
        State.LATE: now - site.last_contact > late_after(site),
        State.GAPS: any(table.differs or table.gaps for table in site.tables.values()),
        State.HELD: site.held > 0,
        State.STALE: newest is None or now - newest > stale_after(site),
    }
    return [state for state in _WORST_FIRST if wrong.get(state)] or [State.CURRENT]


def worst_first(sites: Iterable[SiteFacts], now: dt.datetime) -> list[tuple[SiteFacts, list[State]]]:
    judged = [(site, states(site, now)) for site in sites]
    return sorted(judged, key=lambda each: (_WORST_FIRST.index(each[1][0]), -len(each[1]), each[0].name))


def verdict_line(found: Iterable[Sequence[State]]) -> str:
    """`12 of 14 sites current, 1 late, 1 with gaps`: each site counts once, for the worst."""
    counts = Counter(each[0] for each in found)
    total = counts.total()
    if not total:
        return "No site yet"
    if counts[State.CURRENT] == total:
        return "The only site is current" if total == 1 else f"All {total} sites current"
    rest = [f"{counts[state]} {WORDS[state]}" for state in _WORST_FIRST if state is not State.CURRENT and counts[state]]
    return ", ".join([f"{counts[State.CURRENT]} of {total} site{'s' * (total > 1)} current", *rest])
