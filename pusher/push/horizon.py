"""Up to where a stream is read: not what is being written at this moment, nor what lies in the future."""

from __future__ import annotations

import datetime as dt

import msgspec

from pusher.push.source import Source, moment_of
from pusher.schema.keyset import Before
from pusher.schema.plan import TablePlan
from pusher.wire.batch import pack_cursor
from pusher.wire.tables import Kind

_TEN_MINUTES = dt.timedelta(minutes=10)
_SECOND = dt.timedelta(seconds=1)
_LONGEST_WAIT = dt.timedelta(seconds=10)


class Horizon(msgspec.Struct, frozen=True, kw_only=True):
    """`upto`: the reading in order ends here, and begins after `wait_seconds`, when no older row can follow any more.

    `ahead`: from here on rows are dated in the future, which a clock that was wrong left behind; a checkpoint there
    would leave out all that comes until then. None: there is no such place.
    """

    upto: Before | None = None
    ahead: Before | None = None
    wait_seconds: float = 0.0


def horizon(source: Source, plan: TablePlan) -> Horizon:
    """Where a stream ends now. Its times may be in UTC or in the site's own: the later of the two is now."""
    assert plan.cursor is not None
    clocks = [dt.datetime.now(dt.UTC).replace(tzinfo=None), dt.datetime.now()]
    length = dt.timedelta(days=1) if plan.local.column(plan.cursor).kind is Kind.DATE else _TEN_MINUTES
    now = max(clocks)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    ahead = _before(source, plan, day + ((now - day) // length + 1) * length)
    if ahead is None:
        return Horizon()
    fresh = _clock_of_newest(source, plan, clocks)
    if fresh is None:
        return Horizon(upto=ahead, ahead=ahead)
    settle = dt.timedelta(seconds=plan.settle_seconds)
    if settle > _LONGEST_WAIT:
        return Horizon(upto=_before(source, plan, fresh - settle), ahead=ahead)
    end = fresh.replace(microsecond=0) + _SECOND
    return Horizon(upto=_before(source, plan, end), ahead=ahead, wait_seconds=(end + settle - fresh).total_seconds())


def _clock_of_newest(source: Source, plan: TablePlan, clocks: list[dt.datetime]) -> dt.datetime | None:
    """By which clock the newest row of a stream has not settled yet; None if it has."""
    ends = source.ends(plan) if plan.settle_seconds else None
    newest = moment_of(plan, pack_cursor(ends[1:])) if ends else None
    if newest is None:
        return None
    age = dt.datetime.fromisoformat(newest)
    return next((now for now in clocks if abs(age - now).total_seconds() < plan.settle_seconds), None)


def _before(source: Source, plan: TablePlan, moment: dt.datetime) -> Before | None:
    bound = source.from_moment(plan, moment.isoformat(timespec="seconds"))
    return Before(bound[0]) if bound else None
