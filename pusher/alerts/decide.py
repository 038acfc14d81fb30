"""Decides which messages are due: from what is remembered, what was seen and the time to messages and a new memory.

docs/alerts.md says the same in words; change both.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from pusher.alerts.causes import causes_of
from pusher.alerts.state import Cause, Item, Known, Message, Notice, State, Tally, Total
from pusher.alerts.words import one_line
from pusher.config import AlertsSettings
from pusher.job import Outcome

_MOST_NOTICES = 50
_MOST_ENDED = 200
_ROOTS = ("unreachable", "failed", "request")
_OF_A_RUN = (*_ROOTS, "delete", "write", "stopped", "held")
_GROWN = 2  # what is held is worth another message when there is so many times as much

# --- what was seen --------------------------------------------------------------------------------------------------


def heard(state: State, now: dt.datetime, rules: AlertsSettings, outcome: Outcome) -> State:
    """After a run. One that failed says nothing of its tables, so what was wrong with them stays as it is."""
    causes = causes_of(outcome)
    failed = any(cause.is_root for cause in causes)
    state = observe(state, now, rules, outcome.location, causes, lambda cause: _was_looked_at(cause, outcome, failed))
    state = _noted(state, now, rules, outcome)
    old = state.tallies.get(outcome.location, Tally(first=now))
    tally = replace(
        old,
        kind=outcome.kind,
        last_good=old.last_good if failed else now,
        runs=old.runs + 1,
        failed=old.failed + failed,
        sent=old.sent + outcome.sent,
        held=old.held if failed else outcome.held,
    )
    return replace(state, tallies=state.tallies | {outcome.location: tally})


def _was_looked_at(cause: Cause, outcome: Outcome, failed: bool) -> bool:
    if not cause.table:
        return cause.what in (_ROOTS if failed else _OF_A_RUN)
    asked = outcome.kind != "export" or any(
        entry.table == cause.table for entry in outcome.tables
    )  # or of other scales
    return not failed and asked and cause.what in _OF_A_RUN


def observe(
    state: State,
    now: dt.datetime,
    rules: AlertsSettings,
    scope: str,
    seen: Collection[Cause],
    looked_at: Callable[[Cause], bool],
) -> State:
    """`seen` is wrong now; of `scope` what else was wrong, and was looked at, is over."""
    known = dict(state.known)
    ended: list[Item] = []
    present = {cause.key: cause for cause in seen}
    for key, old in state.known.items():
        if old.cause.scope == scope and old.over is None and key not in present and looked_at(old.cause):
            known[key] = _gone(old, now, rules)
            if known[key].told or known[key].untold > old.untold:
                ended.append(_ended(replace(known[key], untold=0)))
    for key, cause in present.items():
        known[key] = _present(known.get(key), cause, now)
    return replace(state, known=known, ended=(*state.ended, *ended)[-_MOST_ENDED:] if rules.digest else ())


def _present(old: Known | None, cause: Cause, now: dt.datetime) -> Known:
    if old is None:
        return Known(cause=cause, since=now)
    if old.over is None or old.told:  # nobody was told of a gap, so it was none
        return replace(old, cause=cause, over=None, withdrawn=False)
    return replace(old, cause=cause, since=now, over=None, withdrawn=False)


def _gone(old: Known, now: dt.datetime, rules: AlertsSettings) -> Known:
    if old.told or _is_young(old, now, rules):
        return replace(old, over=now)
    return replace(
        old,
        over=now,
        untold=old.untold + 1,
        untold_since=old.untold_since or old.since,
        untold_seconds=old.untold_seconds + _seconds(old.since, now),
    )


def keep(state: State, now: dt.datetime, scopes: Collection[str]) -> State:
    """From now on these are watched and no others: what was wrong with another is over with that."""
    known = {
        key: each if each.over or each.cause.scope in scopes else replace(each, over=now, withdrawn=True)
        for key, each in state.known.items()
    }
    first = {scope: state.tallies.get(scope, Tally(first=now)) for scope in scopes}
    return replace(state, known=known, tallies=first)


def _noted(state: State, now: dt.datetime, rules: AlertsSettings, outcome: Outcome) -> State:
    kept = [each for each in state.notices if not each.told or _is_recent(each.at, now, rules)]
    known = {(each.scope, each.text) for each in kept}
    for text in dict.fromkeys(one_line(each) for each in outcome.notices):
        if (outcome.location, text) not in known:
            kept.append(Notice(scope=outcome.location, text=text, at=now))
    return replace(state, notices=tuple(kept[-_MOST_NOTICES:]))


# --- what is due ----------------------------------------------------------------------------------------------------


def due(
    state: State, now: dt.datetime, rules: AlertsSettings, watched: Mapping[str, str | None]
) -> tuple[list[Message], State]:
    """The messages to send now. `now`: aware, in local time. `watched`: the scopes, and when each was last
    verified."""
    if is_quiet(now, rules):
        return [], state if state.quiet_since else replace(state, quiet_since=now)
    begins = _beginning(state, now, rules)
    ends = [each for each in state.known.values() if each.told and each.over]
    brief = [each for each in state.known.values() if _is_brief(each, state.quiet_since)]
    notices = [each for each in state.notices if not each.told]
    everywhere = any(each.cause.is_root for each in begins) and 1 < len(watched) <= len(failing(state) & watched.keys())
    groups = {
        "begin": [_item(each) for each in begins],
        "end": [_ended(each) for each in ends],
        "brief": [_brief(each) for each in brief],
        "notice": [Item(kind="notice", scope=each.scope, text=each.text, since=each.at) for each in notices],
    }
    messages = _messages(groups, now, everywhere, quiet_ended=state.quiet_since is not None)
    state = _after(state, now, rules, begins, ends, brief)
    digest, state = _digest(state, now, rules, watched)
    return messages + digest, state


def _messages(
    groups: Mapping[str, Sequence[Item]], now: dt.datetime, everywhere: bool, *, quiet_ended: bool
) -> list[Message]:
    """One for what begins, one for what is over, one of notices; all in one behind quiet hours."""
    if quiet_ended:
        items = tuple(item for group in groups.values() for item in group)
        return [Message(kind="quiet", made=now, items=items)] if items else []
    found = []
    if groups["begin"]:
        found.append(Message(kind="begin", made=now, items=tuple(groups["begin"]), everywhere=everywhere))
    if groups["end"]:
        found.append(Message(kind="end", made=now, items=tuple(groups["end"])))
    if groups["notice"]:
        found.append(Message(kind="notice", made=now, items=tuple(groups["notice"])))
    return found


def _beginning(state: State, now: dt.datetime, rules: AlertsSettings) -> list[Known]:
    """What is to be told now; with a scope that fails, all others that fail, too, however short."""
    mute = failing(state)
    open_ = [each for each in state.known.values() if each.over is None and not _was_told_lately(each, now, rules)]
    open_ = [each for each in open_ if each.cause.stands_alone or each.cause.scope not in mute]
    open_ = [each for each in open_ if not each.told or each.cause.count >= _GROWN * max(each.told_count, 1)]
    begins = [each for each in open_ if not _is_young(each, now, rules)]
    if any(each.cause.is_root for each in begins):
        begins = [each for each in open_ if each in begins or each.cause.is_root]
    return begins


def _after(
    state: State,
    now: dt.datetime,
    rules: AlertsSettings,
    begins: Iterable[Known],
    ends: Iterable[Known],
    brief: Iterable[Known],
) -> State:
    """The memory when all this is on its way. What is over is forgotten when it might be told again."""
    known = dict(state.known)
    for each in begins:
        told = replace(each, told=True, told_at=now, told_count=each.cause.count)
        known[each.cause.key] = replace(told, untold=0, untold_since=None, untold_seconds=0.0)
    for each in ends:
        known[each.cause.key] = replace(each, told=False)
    for each in brief:
        known[each.cause.key] = replace(each, untold=0, untold_since=None, untold_seconds=0.0)
    return replace(
        state,
        known={key: each for key, each in known.items() if each.over is None or _was_told_lately(each, now, rules)},
        notices=tuple(each if each.told else replace(each, told=True, at=now) for each in state.notices),
        quiet_since=None,
    )


def _digest(
    state: State, now: dt.datetime, rules: AlertsSettings, watched: Mapping[str, str | None]
) -> tuple[list[Message], State]:
    """Once a day, and not if there is nothing to say: nothing open, over, sent or held."""
    if rules.digest is None:
        return [], state
    today = now.date() if now.time() >= rules.digest else now.date() - dt.timedelta(days=1)
    if state.digest_day is None or state.digest_day >= today:
        return [], state if state.digest_day == today else replace(state, digest_day=today)
    mute = failing(state)
    open_ = [each for each in state.known.values() if each.over is None]
    open_ = [each for each in open_ if each.cause.stands_alone or each.cause.scope not in mute]
    items = (*(_item(each) for each in open_), *state.ended)
    totals = tuple(
        Total(scope=scope, tally=tally, verified=watched.get(scope)) for scope, tally in state.tallies.items()
    )
    fresh = {scope: replace(tally, runs=0, failed=0, sent=0) for scope, tally in state.tallies.items()}
    state = replace(state, digest_day=today, ended=(), tallies=fresh)
    if not items and not any(total.tally.sent or total.tally.held for total in totals):
        return [], state
    ran = tuple(total for total in totals if total.tally.runs)
    return [Message(kind="digest", made=now, items=items, totals=ran)], state


# --- the rules, one by one ------------------------------------------------------------------------------------------


def is_quiet(now: dt.datetime, rules: AlertsSettings) -> bool:
    if rules.quiet is None:
        return False
    begin, end = rules.quiet
    time = now.time()
    return begin <= time < end if begin < end else time >= begin or time < end


def failing(state: State) -> set[str]:
    return {each.cause.scope for each in state.known.values() if each.cause.is_root and each.over is None}


def _is_young(known: Known, now: dt.datetime, rules: AlertsSettings) -> bool:
    return known.cause.may_wait and _seconds(known.since, now) < rules.after_seconds


def _was_told_lately(known: Known, now: dt.datetime, rules: AlertsSettings) -> bool:
    return known.told_at is not None and _is_recent(known.told_at, now, rules)


def _is_recent(moment: dt.datetime, now: dt.datetime, rules: AlertsSettings) -> bool:
    """Within `min_interval`; a moment to come is none, since a clock was wrong then."""
    return 0 <= (now - moment).total_seconds() < rules.min_interval_seconds


def _is_brief(known: Known, quiet_since: dt.datetime | None) -> bool:
    return bool(quiet_since and known.over and not known.told and known.untold and known.over >= quiet_since)


def _seconds(since: dt.datetime, until: dt.datetime) -> float:
    return max((until - since).total_seconds(), 0.0)


def _item(known: Known) -> Item:
    cause = known.cause
    return Item(
        kind="begin",
        scope=cause.scope,
        table=cause.table,
        what=cause.what,
        cause=cause.key,
        text=cause.text,
        since=known.since,
        times=known.untold,
    )


def _ended(known: Known) -> Item:
    over = known.over or known.since
    seconds = _seconds(known.since, over)
    return replace(_item(known), kind="end", over=over, seconds=seconds, withdrawn=known.withdrawn)


def _brief(known: Known) -> Item:
    since = known.untold_since or known.since
    return replace(_item(known), kind="brief", since=since, over=known.over, seconds=known.untold_seconds)
