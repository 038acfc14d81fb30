"""`reconcile = daily`: once a night, when nobody is likely to wait for either side, a location compares and repairs."""

from __future__ import annotations

import logging

from pusher.config import Location, Settings
from pusher.errors import PusherError
from pusher.job import Outcome, Progress
from pusher.ledger import Ledger
from pusher.log import event
from pusher.night import is_night
from pusher.push.pusher import PushJob
from pusher.push.reconcile import Reconciliation, Wanted
from pusher.push.source import Source
from pusher.push.verdict import EQUAL
from pusher.transport.central import Central

log = logging.getLogger(__name__)


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
    if location.reconcile == "off" or outcome.error is not None or not is_night(settings, location, ledger):
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
        text = f"not equal at both sides: {names}; pusher verify {location.name} tells more"
        outcome.notes.append(text)
        outcome.notices.append(text)
        outcome.exit_code = outcome.exit_code or 1
    log.info(event("reconciled", location=location.name, repaired=found.repaired, different=len(differing)))
