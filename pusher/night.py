"""When a location is to be compared with the other side: once a night, when nobody is likely to wait for either."""

from __future__ import annotations

import datetime as dt
from hashlib import blake2b

from pusher.config import Location, Settings
from pusher.ledger import Ledger
from pusher.verdicts import Verdicts

_BEGINS, _SPREAD, _ENDS = dt.timedelta(hours=1), dt.timedelta(hours=3), dt.timedelta(hours=5)
_REST = dt.timedelta(hours=20)
_MISSED = dt.timedelta(hours=36)  # a site that is off at night is not left out


def is_due(now: dt.datetime, last: str | None, first: str | None, place: float) -> bool:
    """`now`: aware, in the site's own time. `last`: when the last one was, `first`: since when the location is served,
    both ISO 8601 in UTC. `place`: where in the night it begins, from 0 to 1, lest all sites call central at once."""
    since = last or first
    if since is None:
        return False
    age = now - dt.datetime.fromisoformat(since)
    if age > _MISSED or age < -_MISSED:  # or a clock was wrong
        return True
    clock = now - now.replace(hour=0, minute=0, second=0, microsecond=0)
    return (last is None or age > _REST) and _BEGINS + _SPREAD * place <= clock < _ENDS


def is_night(settings: Settings, location: Location, ledger: Ledger) -> bool:
    """Whether it is time for the location's comparison."""
    last, first = Verdicts(ledger, location.name).last_of_all(), ledger.first_run(location.name)
    return is_due(dt.datetime.now().astimezone(), last, first, _place(settings.general.site, location.name))


def _place(site: str, location: str) -> float:
    return int.from_bytes(blake2b(f"{site}/{location}".encode(), digest_size=2).digest()) / 65536
