"""`pusher verify`: does central have what was sent, location by location, and if not, have it sent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pusher.config import Location, Settings, load
from pusher.config_keys import Fault, marker
from pusher.daemon import chosen
from pusher.errors import PusherError, UsageError
from pusher.job import Progress
from pusher.ledger import Ledger
from pusher.push.pusher import PushJob
from pusher.push.source import open_source
from pusher.push.verdict import TableVerdict
from pusher.push.verify import Period
from pusher.transport.reach import reach


@dataclass(kw_only=True)
class LocationVerdict:
    """`repaired`: rows of the first comparison that were sent again; the tables are then those of the second."""

    location: str
    tables: list[TableVerdict] = field(default_factory=list)
    repaired: int = 0
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
    repair: bool = False,
) -> list[LocationVerdict]:
    """Compares each location's central with the site's database, one after the other.

    `tables`: only these. `since`, `until`: only rows of streams from this moment on, and before that one, as
    `lastupdate` is written. `repair`: send what central lacks or has otherwise, and compare again; the caller holds the
    state folder then. Raises ConfigError or UsageError; what befalls a location is in its verdict.
    """
    settings = load(path)
    period = _moment("--since", since), _moment("--until", until)
    return [_verify(settings, location, tables, period, progress, repair) for location in chosen(settings, names)]


def _moment(option: str, text: str | None) -> str | None:
    try:
        moment = marker(text or "")
    except Fault as fault:
        raise UsageError(f"{option}: {fault}") from None
    return moment.replace(" ", "T") if moment else None


def _verify(
    settings: Settings, location: Location, tables: Sequence[str], period: Period, progress: Progress, repair: bool
) -> LocationVerdict:
    verdict = LocationVerdict(location=location.name)
    try:
        with (
            open_source(settings) as source,
            Ledger(settings.general.state) as ledger,
            reach(location) as central,
        ):
            job = PushJob(settings, location, source, central, ledger)
            known = {table.name for table in source.schema().tables}
            if unknown := [name for name in tables if name not in known]:
                raise UsageError(f"the site's database has no table {', '.join(unknown)}")
            if repair:
                _push(job, progress)
            verdict.tables = job.verify(tables, progress, period)
            lacking = sum(len(each.missing) + len(each.different) for each in verdict.tables)
            if repair and lacking:
                job.send_again(verdict.tables)
                _push(job, progress)
                verdict.tables = job.verify(tables, progress, period)
                verdict.repaired = lacking - sum(len(each.missing) + len(each.different) for each in verdict.tables)
            verdict.bytes_sent, verdict.bytes_received = central.bytes_sent, central.bytes_received
    except UsageError:
        raise
    except PusherError as error:
        verdict.error, verdict.exit_code = str(error), error.exit_code
    if verdict.exit_code == 0 and any(each.verdict != "equal" for each in verdict.tables):
        verdict.exit_code = 1
    return verdict


def _push(job: PushJob, progress: Progress) -> None:
    outcome = job.run(progress)
    if outcome.error:
        raise PusherError(outcome.error)
