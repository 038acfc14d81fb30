"""Sends a message as JSON to an address that takes it."""

from __future__ import annotations

from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import msgspec
import urllib3

import pusher
from pusher.alerts.state import Item, Message
from pusher.alerts.words import body, headline
from pusher.config import AlertsSettings
from pusher.errors import AccessRefused, PusherError, Unreachable
from pusher.transport.answers import cause
from pusher.transport.proxy import pool_for

_TIMEOUT = urllib3.Timeout(connect=10, read=15)


def document(message: Message, site: str, number: int) -> dict[str, Any]:
    """`id` is the same if the message comes twice."""
    first = message.items[0] if message.items else None
    times = [item.since for item in message.items]
    downtimes = [item.seconds for item in message.items if item.kind == "end" and item.seconds is not None]
    return {
        "id": f"{site}-{message.made:%Y%m%d%H%M%S}-{number}",
        "site": site,
        "kind": message.kind,
        "cause": first.cause if first else None,
        "title": headline(message),
        "text": body(message),
        "made": message.made,
        "since": min(times) if times else None,
        "downtime_seconds": max(downtimes) if downtimes else None,
        "items": [_entry(item) for item in message.items],
        "totals": [
            {
                "location": total.scope,
                "runs": total.tally.runs,
                "failed": total.tally.failed,
                "sent": total.tally.sent,
                "held": total.tally.held,
                "verified": total.verified,
            }
            for total in message.totals
        ],
    }


def _entry(item: Item) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "cause": item.cause,
        "location": item.scope,
        "table": item.table or None,
        "what": item.what,
        "text": item.text,
        "since": item.since,
        "over": item.over,
        "downtime_seconds": item.seconds,
        "times": item.times,
    }


def send(message: Message, settings: AlertsSettings, site: str, number: int) -> None:
    """Returns when it was taken: any answer of 2xx. Raises Unreachable, AccessRefused or PusherError."""
    status = _request("POST", settings, msgspec.json.encode(document(message, site, number)))
    if status in (401, 403, 404):
        raise AccessRefused(f"{_name(settings)} refuses: HTTP {status}; correct webhook in [alerts]")
    if 300 <= status < 400:  # not followed: whoever is behind it must not learn what is told
        raise PusherError(f"{_name(settings)} points elsewhere: HTTP {status}; write the address itself as webhook")
    if not 200 <= status < 300:
        raise Unreachable(f"{_name(settings)} does not take it: HTTP {status}")


def answers(settings: AlertsSettings) -> int:
    """Asks without sending anything; the HTTP status. Raises Unreachable."""
    return _request("HEAD", settings, None)


def _request(method: str, settings: AlertsSettings, content: bytes | None) -> int:
    url = settings.webhook.reveal() if settings.webhook else ""
    headers = {"User-Agent": f"pusher/{pusher.__version__}", "Content-Type": "application/json"}
    cafile = str(settings.cafile) if settings.cafile else None
    try:
        with pool_for(url, cert_reqs="CERT_REQUIRED", ca_certs=cafile) as pool:
            answer = pool.request(
                method,
                url,
                body=content,
                headers=headers,
                timeout=_TIMEOUT,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            with closing(answer):
                return answer.status
    except (urllib3.exceptions.HTTPError, OSError) as error:
        reason = cause(error).replace(url, "")
        raise Unreachable(f"{_name(settings)} cannot be reached: {reason}; is webhook in [alerts] right?") from None


def _name(settings: AlertsSettings) -> str:
    """Its host alone: the rest of the address may be all that keeps strangers out."""
    return f"the webhook at {urlsplit(settings.webhook.reveal() if settings.webhook else '').hostname}"
