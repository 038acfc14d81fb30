"""What `pusher alerts` shows: open causes and waiting messages; and what it sends as a test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from pusher.alerts.delivery import send_by
from pusher.alerts.memory import read_state, waiting
from pusher.alerts.state import Message
from pusher.alerts.words import headline
from pusher.config import AlertsSettings, Settings
from pusher.errors import PusherError
from pusher.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class OpenCause:
    """`told`: when the message that it began was made, which may still wait; None if there is none yet, or something
    else fails that says enough."""

    cause: str
    text: str
    since: dt.datetime
    told: dt.datetime | None


@dataclass(frozen=True, kw_only=True)
class WaitingMessage:
    """`fault`: why it was not taken when it was last tried."""

    way: str
    kind: str
    title: str
    made: dt.datetime
    attempts: int
    next_try: dt.datetime
    fault: str | None


@dataclass(frozen=True, kw_only=True)
class Listed:
    causes: list[OpenCause]
    outbox: list[WaitingMessage]


def listed(settings: Settings) -> Listed:
    with Ledger(settings.general.state) as ledger:
        known, messages = read_state(ledger).known.values(), waiting(ledger)
    causes = [
        OpenCause(
            cause=each.cause.key, text=each.cause.text, since=each.since, told=each.told_at if each.told else None
        )
        for each in known
        if each.over is None
    ]
    outbox = [
        WaitingMessage(
            way=each.way,
            kind=each.message.kind,
            title=headline(each.message),
            made=each.message.made,
            attempts=each.attempts,
            next_try=each.next_try,
            fault=each.fault,
        )
        for each in messages
    ]
    return Listed(causes=sorted(causes, key=lambda each: each.since), outbox=outbox)


def send_test(alerts: AlertsSettings, site: str, now: dt.datetime) -> Iterator[tuple[str, PusherError | None]]:
    """Of each way whether it took a message, None, or why not."""
    for way in alerts.ways:
        try:
            send_by(way, Message(kind="test", made=now), alerts, site)
        except PusherError as error:
            yield way, error
        else:
            yield way, None
