"""Tells systemd how the daemon is, over the socket that it names in the environment; without one, tells nobody."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from pusher.log import event

log = logging.getLogger(__name__)

_SEND_SECONDS = 1
_PINGS_AN_INTERVAL = 3


class ServiceManager:
    """What systemd hears of this process (sd_notify). A message that it does not take is no reason to stop."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._ping_seconds = _ping_seconds(environ)
        self._pinged_at: float | None = None
        self._status = ""

    def ready(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=ends behind the batches under way")

    def status(self, text: str) -> None:
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def alive(self, now: float) -> None:
        """Resets the watchdog, if there is one and it is time to."""
        if self._ping_seconds and (self._pinged_at is None or now - self._pinged_at >= self._ping_seconds):
            self._pinged_at = now
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.sendto(text.encode(), self._address)
        except OSError as error:
            log.debug(event("notify_failed", error=error))


def _ping_seconds(environ: Mapping[str, str]) -> float | None:
    """How often the watchdog wants a sign of life, None if it wants none of this process."""
    interval = environ.get("WATCHDOG_USEC", "")
    if (
        not interval.isdecimal()
        or int(interval) == 0
        or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid())
    ):
        return None
    return int(interval) / 1e6 / _PINGS_AN_INTERVAL
