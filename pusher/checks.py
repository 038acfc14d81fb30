"""`pusher check`: one finding after the other, each saying what was looked at and what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pusher.config import Location, Settings, load
from pusher.daemon import chosen
from pusher.errors import PusherError
from pusher.ledger import Ledger
from pusher.push.outbox import uncaptured
from pusher.push.pusher import PushJob, skew_seconds
from pusher.push.source import Source, open_source
from pusher.schema.guess import Role
from pusher.schema.plan import unknown_tables
from pusher.transport.reach import reach

_SKEW_WORTH_A_WORD_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`exit_code` is 0 if all is well, else what the command ends with."""

    what: str
    detail: str
    exit_code: int = 0


def run_checks(path: Path, names: Sequence[str], *, accept_host_keys: bool = False) -> Iterator[Finding]:
    """Looks at configuration, state folder, local database, and each location; goes on after a fault where it can.

    `accept_host_keys`: an SSH host that is not known yet is trusted from now on.
    """
    try:
        settings = load(path)
        locations = chosen(settings, names)
    except PusherError as error:
        yield from _faults("configuration", error)
        return
    yield Finding(what="configuration", detail=f"{path}: site {settings.general.site}, {len(locations)} locations on")
    faults = list(_check_state(settings.general.state))
    yield from faults or [Finding(what="state folder", detail=str(settings.general.state))]
    yield from _check_alerts(settings)
    for location in [each for each in locations if each.files and not faults]:
        yield from _check_files(settings, location, accept_host_keys)
    for location in [each for each in locations if each.export and not faults]:
        yield from _check_export(location)
    for location in [each for each in locations if each.imports]:
        yield from _check_import(settings, location)
    pushed = [location for location in locations if location.kind == "push"]
    if not pushed:
        return
    try:
        with open_source(settings) as source:
            yield from _check_database(path, settings, source)
            for location in [] if faults else pushed:
                yield from _check_location(settings, location, source, accept_host_keys)
    except PusherError as error:
        yield from _faults("local database", error)


def _check_state(state: Path) -> Iterator[Finding]:
    try:
        Ledger(state).close()
    except PusherError as error:
        yield from _faults("state folder", error)


def _check_alerts(settings: Settings) -> Iterator[Finding]:
    if settings.alerts is None:
        return
    from pusher.alerts.delivery import look  # and the ways that it needs

    for _, found in look(settings.alerts):
        if isinstance(found, PusherError):
            yield from _faults("alerts", found)
        else:
            yield Finding(what="alerts", detail=found)


def _check_database(path: Path, settings: Settings, source: Source) -> Iterator[Finding]:
    schema = source.schema()
    yield Finding(what="local database", detail=f"{len(schema.tables)} tables in {source.dialect}")
    for fault in unknown_tables(schema, settings.tables):
        yield Finding(what="configuration", detail=f"{path}: {fault}", exit_code=2)


def _check_location(
    settings: Settings, location: Location, source: Source, accept_host_keys: bool
) -> Iterator[Finding]:
    hosts: list[str] = []
    try:
        with (
            Ledger(settings.general.state) as ledger,
            reach(location, accept_host_keys=accept_host_keys, note=hosts.append) as central,
        ):
            meeting = PushJob(settings, location, source, central, ledger).meet()
    except PusherError as error:
        yield from _hosts(location, hosts)
        yield from _faults(location.name, error)
        return
    yield from _hosts(location, hosts)
    plan = meeting.plan
    central_name = location.resturl or "central's database"
    yield Finding(what=location.name, detail=f"{central_name} answers as pusher {meeting.welcome.version}")
    skew = skew_seconds(meeting.welcome)
    slow = f"the clocks differ by {skew:.0f} s; set the site's clock"
    yield Finding(what=location.name, detail=slow if abs(skew) > _SKEW_WORTH_A_WORD_SECONDS else "the clocks agree")
    for table in plan.stopped:
        remedy = "" if table.central else f"; make it there, or write role = ignore in [table {table.name}]"
        yield Finding(what=location.name, detail=f"table {table.name}: {table.stopped}{remedy}", exit_code=1)
    for table in plan.working:
        if table.only_here:
            columns = ", ".join(table.only_here)
            yield Finding(what=location.name, detail=f"table {table.name}: central has no column {columns}: not sent")
    for name, remedy in uncaptured(source, plan.working).items():
        yield Finding(what=location.name, detail=f"table {name}: {remedy}", exit_code=1)
    ignored = [table.name for table in plan.tables if table.role is Role.IGNORE]
    detail = f"{len(plan.working)} tables are pushed"
    yield Finding(what=location.name, detail=detail + (f", left alone: {', '.join(ignored)}" if ignored else ""))


def _check_files(settings: Settings, location: Location, accept_host_keys: bool) -> Iterator[Finding]:
    from pusher.files.opening import open_destination  # and what a job of this kind needs
    from pusher.files.probing import probe

    hosts: list[str] = []
    findings: list[str] = []
    fault: PusherError | None = None
    try:
        with (
            Ledger(settings.general.state) as ledger,
            open_destination(settings, location, accept_host_keys=accept_host_keys, note=hosts.append) as destination,
        ):
            findings = list(probe(settings, location, destination, ledger))
    except PusherError as error:
        fault = error
    yield from _hosts(location, hosts)
    for text in findings:
        yield Finding(what=location.name, detail=text)
    if fault:
        yield from _faults(location.name, fault)


def _check_export(location: Location) -> Iterator[Finding]:
    from pusher.export.probing import probe  # and what a job of this kind needs

    try:
        for text in probe(location):
            yield Finding(what=location.name, detail=text)
    except PusherError as error:
        yield from _faults(location.name, error)


def _check_import(settings: Settings, location: Location) -> Iterator[Finding]:
    from pusher.datacenter.probing import probe  # and what a job of this kind needs

    try:
        for text in probe(settings, location):
            yield Finding(what=location.name, detail=text)
    except PusherError as error:
        yield from _faults(location.name, error)


def _hosts(location: Location, texts: Sequence[str]) -> Iterator[Finding]:
    for text in texts:
        yield Finding(what=location.name, detail=f"SSH host {text}")


def _faults(what: str, error: PusherError) -> Iterator[Finding]:
    for line in str(error).splitlines():
        yield Finding(what=what, detail=line, exit_code=error.exit_code)
