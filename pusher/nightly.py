"""`reconcile = daily`: once a night, when nobody is likely to wait for either side, a location compares and repairs."""

from __future__ import annotations

import datetime as dt
import logging
from hashlib import blake2b

from pusher.config import Location, Settings
from pusher.errors import PusherError
from pusher.job import Outcome, Progress
from pusher.ledger import Ledger
from pusher.log import event
from pusher.push.pusher import PushJob
from pusher.push.reconcile import Reconciliation, Wanted
from pusher.push.source import Source
from pusher.push.verdict import EQUAL
from pusher.transport.central import Central
from pusher.verdicts import Verdicts

log = logging.getLogger(__name__)

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


def reconcile(
    settings: Settings,
    location: Location,
    job: PushJob,
    source: Source,
    central: Central,
    ledger: Ledger,
    progress: Progress,
    outcome: Outcome,
) -> None:
    """Compares and repairs if it is time to, and adds to the outcome of the cycle before what came of it."""
    last, first = Verdicts(ledger, location.name).last_of_all(), ledger.first_run(location.name)
    if location.reconcile == "off" or outcome.error is not None:
        return
    if not is_due(dt.datetime.now().astimezone(), last, first, _place(settings.general.site, location.name)):
        return
    both = Reconciliation(settings, job, source, central, ledger)
    try:
        found = both.run(Wanted(deep=location.reconcile == "deep", repair=True, pushed=True), progress)
    except PusherError as error:
        outcome.error, outcome.exit_code = f"reconciliation: {error}", error.exit_code
        return
    differing = [each.table for each in found.tables if each.verdict != EQUAL]
    outcome.notes += found.notes
    if found.repaired or found.deleted:
        outcome.notes.append(f"reconciled: {found.repaired} rows sent again, {found.deleted} deleted at central")
    if differing:
        names = ", ".join(differing)
        outcome.notes.append(f"not equal at both sides: {names}; pusher verify {location.name} tells more")
        outcome.exit_code = outcome.exit_code or 1
    log.info(event("reconciled", location=location.name, repaired=found.repaired, different=len(differing)))


def _place(site: str, location: str) -> float:
    return int.from_bytes(blake2b(f"{site}/{location}".encode(), digest_size=2).digest()) / 65536
