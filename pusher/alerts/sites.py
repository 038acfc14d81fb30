"""At central: watches that every site still calls."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pusher.alerts.causes import unheard
from pusher.alerts.decide import due, keep, observe
from pusher.alerts.delivery import deliver
from pusher.alerts.hearing import Clock, Heard, Ticking, local_now
from pusher.alerts.memory import advance
from pusher.alerts.state import Message, State
from pusher.central.sites import last_contacts
from pusher.config import Settings, load_alerts
from pusher.errors import ConfigError
from pusher.instance import only_instance
from pusher.ledger import Ledger
from pusher.schema.engine import opened

_TICK_SECONDS = 60.0
_GRACE_SECONDS = 3600.0  # a central that was away is not called by all sites at once: some wait for so long


@contextmanager
def watching_sites(path: Path, url: str) -> Iterator[None]:
    """While the service of the database `url` runs, in this process or others, tells of sites that stop reporting.

    Raises ConfigError if the file at `path` is at fault, AlreadyRunning if another process does the same.
    """
    settings = load_site_alerts(path)
    began = time.monotonic()

    def look(_: Sequence[Heard]) -> None:
        limit = settings.alerts.silent_after_seconds if settings.alerts else None
        if time.monotonic() - began >= min(_GRACE_SECONDS, limit or 0.0):
            with opened(url) as engine:
                contacts = last_contacts(engine)
            look_at_sites(settings, contacts, local_now)

    with only_instance(settings.general.state):
        watch = Ticking(look, tick_seconds=_TICK_SECONDS)
        watch.start()
        try:
            yield
        finally:
            watch.stop()


def load_site_alerts(path: Path) -> Settings:
    """Raises ConfigError."""
    settings = load_alerts(path)
    alerts = settings.alerts
    if alerts and alerts.silent_after_seconds is None:
        raise ConfigError([f"{path}: [alerts] silent_after is missing; add silent_after = 1 day"])
    if alerts and alerts.unverified_after_seconds is not None:
        raise ConfigError([f"{path}: [alerts] unverified_after is for a site's own file; remove it here"])
    return settings


def look_at_sites(settings: Settings, contacts: Mapping[str, dt.datetime], clock: Clock) -> None:
    """`contacts`: when each site last called, aware."""
    rules = settings.alerts
    limit = rules.silent_after_seconds if rules else None
    if rules is None or limit is None:
        return

    def decide(state: State) -> tuple[list[Message], State]:
        now = clock()
        state = keep(state, now, contacts.keys())
        for site, last in contacts.items():
            state = observe(state, now, rules, site, unheard(site, last, limit, now), lambda _: True)
        return due(state, now, rules, dict.fromkeys(contacts))

    with Ledger(settings.general.state) as ledger:
        advance(ledger, rules.ways, clock(), decide)
        deliver(ledger, rules, settings.general.site, clock)
