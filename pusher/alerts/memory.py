"""Where alerts remember and wait: the state and the outbox in the ledger."""

from __future__ import annotations

import datetime as dt
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from pusher.alerts.state import Message, State
from pusher.ledger import Ledger
from pusher.log import event

log = logging.getLogger(__name__)

_MOST_WAITING = 1000  # of one way; the oldest give way
_FIRST_RETRY_SECONDS = 60
_LAST_RETRY_SECONDS = 3600
_ADD = "insert into alert_outbox (way, made, content, next_try) values (?, ?, ?, ?)"
_WAITING = "select id, way, content, attempts, next_try, fault from alert_outbox order by id"
_POSTPONE = "update alert_outbox set attempts = attempts + 1, next_try = ?, fault = ? where id = ?"
_DROP = """
delete from alert_outbox where way = ?1 and id <= (
    select id from alert_outbox where way = ?1 order by id desc limit 1 offset ?2
)
"""

Decide = Callable[[State], tuple[list[Message], State]]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A message that a way has not taken yet. `fault`: why not, when it was last tried."""

    id: int
    way: str
    message: Message
    attempts: int
    next_try: dt.datetime
    fault: str | None

    def is_due(self, now: dt.datetime) -> bool:
        """Also if it waits for longer than any does, since a clock was wrong then."""
        return not 0 < (self.next_try - now).total_seconds() <= _LAST_RETRY_SECONDS


def read_state(ledger: Ledger) -> State:
    rows = ledger.read("select content from alert_state")
    return msgspec.json.decode(rows[0][0], type=State) if rows else State()


def advance(ledger: Ledger, ways: tuple[str, ...], now: dt.datetime, decide: Decide) -> int:
    """Has `decide` make of the state messages and a new one, and keeps both in one transaction: so nothing is told
    twice, nor lost, wherever the process ends. Returns how many messages there are."""
    with ledger.change() as db:
        before = read_state(ledger)
        messages, after = decide(before)
        if after != before:
            db.execute("insert or replace into alert_state values (1, ?)", (msgspec.json.encode(after),))
        for way in ways:
            for message in messages:
                db.execute(_ADD, (way, _text(message.made), msgspec.json.encode(message), _text(now)))
            _bound(db, way)
    return len(messages)


def _bound(db: sqlite3.Connection, way: str) -> None:
    dropped = db.execute(_DROP, (way, _MOST_WAITING)).rowcount
    if dropped > 0:
        log.error(event("alerts_dropped", way=way, messages=dropped))


def waiting(ledger: Ledger) -> list[Waiting]:
    """The oldest first."""
    return [
        Waiting(
            id=number,
            way=way,
            message=msgspec.json.decode(content, type=Message),
            attempts=attempts,
            next_try=dt.datetime.fromisoformat(next_try),
            fault=fault,
        )
        for number, way, content, attempts, next_try, fault in ledger.read(_WAITING)
    ]


def forget(ledger: Ledger, number: int) -> None:
    """It has been taken."""
    with ledger.change() as db:
        db.execute("delete from alert_outbox where id = ?", (number,))


def postpone(ledger: Ledger, each: Waiting, now: dt.datetime, fault: str) -> float:
    """It was not taken, and is tried again after so many seconds."""
    seconds = min(_FIRST_RETRY_SECONDS * 2.0 ** min(each.attempts, 10), _LAST_RETRY_SECONDS)
    with ledger.change() as db:
        db.execute(_POSTPONE, (_text(now + dt.timedelta(seconds=seconds)), fault, each.id))
    return seconds


def _text(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds")
