"""The nightly comparison of a files job: what it finds missing or damaged, the next run mends."""

from __future__ import annotations

import logging

from pusher.config import Location, Settings
from pusher.errors import PusherError
from pusher.filelist import FILES
from pusher.files.checking import State, check
from pusher.files.job import FilesJob
from pusher.job import Outcome
from pusher.ledger import Ledger
from pusher.log import event
from pusher.night import is_night
from pusher.verdicts import Verdicts

log = logging.getLogger(__name__)

EQUAL = "equal"
_TO_MEND = (State.MISSING, State.DAMAGED)


def check_nightly(settings: Settings, location: Location, job: FilesJob, ledger: Ledger, outcome: Outcome) -> bool:
    """Compares if it is time to, and adds to the outcome of the run before. Returns whether there is something to
    mend."""
    if location.reconcile == "off" or outcome.error is not None or not is_night(settings, location, ledger):
        return False
    deep = location.reconcile == "deep"
    try:
        found = check(job, deep=deep)
    except PusherError as error:
        outcome.error, outcome.exit_code = f"check: {error}", error.exit_code
        return False
    mend = {state: found.counts[state] for state in _TO_MEND if state in found.counts}
    shown = ", ".join(f"{count} {state}" for state, count in mend.items())
    Verdicts(ledger, location.name).note({FILES: (deep, shown or EQUAL)}, whole=True)
    log.info(event("files_checked", location=location.name, **{state.name.lower(): n for state, n in mend.items()}))
    return bool(mend)
