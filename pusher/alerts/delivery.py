"""Brings the messages of the outbox on their way, and looks whether that would work."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator

from pusher.alerts.memory import forget, postpone, waiting
from pusher.alerts.state import Message
from pusher.config import AlertsSettings
from pusher.errors import PusherError
from pusher.ledger import Ledger
from pusher.log import event

log = logging.getLogger(__name__)


def deliver(ledger: Ledger, settings: AlertsSettings, site: str, clock: Callable[[], dt.datetime]) -> int:
    """Sends what is due, by each way in its order, and returns how many were taken. One that is not taken holds up its
    way alone. A message is forgotten only when it was taken, so one may come twice, and none is lost."""
    taken, done = 0, dict.fromkeys(settings.ways, False)
    for each in waiting(ledger):
        if done.get(each.way, True):
            continue
        now = clock()
        if not each.is_due(now):
            done[each.way] = True
            continue
        try:
            send_by(each.way, each.message, settings, site, each.id)
        except PusherError as error:
            done[each.way] = True
            seconds = postpone(ledger, each, now, str(error))
            log.warning(event("alert_undelivered", way=each.way, seconds=seconds, error=error))
        else:
            forget(ledger, each.id)
            log.info(event("alert_sent", way=each.way, kind=each.message.kind, causes=len(each.message.items)))
            taken += 1
    return taken


def send_by(way: str, message: Message, settings: AlertsSettings, site: str, number: int = 0) -> None:
    """Raises PusherError if it was not taken."""
    if way == "mail":
        from pusher.alerts.mail import send  # only a site that mails needs it
    else:
        from pusher.alerts.webhook import send
    send(message, settings, site, number)


def look(settings: AlertsSettings) -> Iterator[tuple[str, str | PusherError]]:
    """Of each way what answers there, without sending anything, or why it would not work."""
    for way in settings.ways:
        try:
            yield way, _look(way, settings)
        except PusherError as error:
            yield way, error


def _look(way: str, settings: AlertsSettings) -> str:
    if way == "mail":
        from pusher.alerts.mail import signed_in

        with signed_in(settings) as server:
            server.noop()
        host, port = settings.smtp or ("", 0)
        login = f" and takes the login of {settings.smtp_user}" if settings.smtp_user else ""
        return f"the mail server {host}:{port} answers{login}"
    from pusher.alerts.webhook import answers

    return f"the webhook answers with HTTP {answers(settings)}; pusher alerts test sends one there"
