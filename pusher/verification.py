"""`pusher verify`: does central have what was sent, location by location, and if not, have it sent again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pusher.config import Location, Settings, load
from pusher.config_keys import Fault, marker
from pusher.daemon import chosen
from pusher.errors import PusherError, UsageError
from pusher.job import Progress
from pusher.ledger import Ledger
from pusher.push.pusher import PushJob
from pusher.push.reconcile import Reconciled, Reconciliation, Wanted
from pusher.push.source import open_source
from pusher.push.verdict import EQUAL
from pusher.transport.reach import reach


class LocationVerdict(Reconciled, kw_only=True):
    """What was found at one location, or why it could not be compared."""

    location: str
    bytes_sent: int = 0
    bytes_received: int = 0
    error: str | None = None
    exit_code: int = 0


def verify(
    path: Path,
    names: Sequence[str],
    tables: Sequence[str],
    progress: Progress,
    *,
    since: str | None = None,
    until: str | None = None,
    deep: bool = False,
    repair: bool = False,
    force: bool = False,
) -> list[LocationVerdict]:
    """Compares each location's central with the site's database, one after the other.

    `tables`: only these. `since`, `until`: only rows of streams from this moment on, and before that one, as
    `lastupdate` is written. `deep`: read every row of both sides, not only what both noted. `repair`: send what
    central lacks or has otherwise, delete what the configuration wants deleted, and compare again; the caller holds the
    state folder then. `force`: although a side is suddenly empty, or much is to be deleted. Raises ConfigError or
    UsageError; what befalls a location is in its verdict.
    """
    settings = load(path)
    period = _moment("--since", since), _moment("--until", until)
    wanted = Wanted(tables=tables, period=period, deep=deep, repair=repair, force=force)
    return [_verify(settings, location, wanted, progress) for location in chosen(settings, names, "push")]


def _moment(option: str, text: str | None) -> str | None:
    try:
        moment = marker(text or "")
    except Fault as fault:
        raise UsageError(f"{option}: {fault}") from None
    return moment.replace(" ", "T") if moment else None


def _verify(settings: Settings, location: Location, wanted: Wanted, progress: Progress) -> LocationVerdict:
    verdict = LocationVerdict(location=location.name)
    try:
        with (
            open_source(settings) as source,
            Ledger(settings.general.state) as ledger,
            reach(location) as central,
        ):
            job = PushJob(settings, location, source, central, ledger, force=wanted.force)
            both = Reconciliation(settings, job, source, central, ledger)
            known = {table.name for table in source.schema().tables}
            if unknown := [name for name in wanted.tables if name not in known]:
                raise UsageError(f"the site's database has no table {', '.join(unknown)}")
            found = both.run(wanted, progress)
            verdict.tables, verdict.repaired = found.tables, found.repaired
            verdict.deleted, verdict.notes = found.deleted, found.notes
            verdict.bytes_sent, verdict.bytes_received = central.bytes_sent, central.bytes_received
    except UsageError:
        raise
    except PusherError as error:
        verdict.error, verdict.exit_code = str(error), error.exit_code
    if verdict.exit_code == 0 and any(each.verdict != EQUAL for each in verdict.tables):
        verdict.exit_code = 1
    return verdict
