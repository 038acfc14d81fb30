"""What `plan` and `status` show: tables and locations as plain values, for a table on a screen or for JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pusher.config import Location, Settings, load
from pusher.errors import PusherError, Unreachable
from pusher.filelist import FILES, FileList
from pusher.held import Quarantine
from pusher.ledger import Checkpoint, Ledger
from pusher.push.horizon import horizon
from pusher.push.source import Source, moment_of, open_source
from pusher.schema.guess import Role
from pusher.schema.plan import Plan, TablePlan, make_plan
from pusher.verdicts import Verdicts
from pusher.wire.batch import pack_cursor
from pusher.wire.tables import Schema, Table


@dataclass(frozen=True, kw_only=True)
class TableView:
    """One table of a plan. `key` is empty for the origin key; `why` gives the reason of each choice."""

    table: str
    role: str
    key: tuple[str, ...] = ()
    cursor: str | None = None
    parents: tuple[str, ...] = ()
    pending: int | None = None
    only_here: tuple[str, ...] = ()
    only_central: tuple[str, ...] = ()
    stopped: str | None = None
    why: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """`lag_seconds`: how far the checkpoint is behind the newest row of the site. `verified`: when it was last compared
    with central, and `verdict` what was found."""

    table: str
    role: str
    checkpoint: str | None = None
    pending: int | None = None
    lag_seconds: float | None = None
    held: int = 0
    verified: str | None = None
    verdict: str | None = None
    stopped: str | None = None


@dataclass(frozen=True, kw_only=True)
class LocationView:
    location: str
    on: bool
    lastupdate: str | None
    last_run: str | None
    last_success: str | None
    error: str | None
    tables: list[TableStatus] = field(default_factory=list)


def table_views(path: Path, name: str | None) -> list[TableView]:
    """The plan of one location, by default the first that is switched on, as it would be followed now.

    Raises what `PushJob.meet` raises.
    """
    # What speaks to central, which `location_views` does without.
    from pusher.daemon import chosen
    from pusher.push.pusher import PushJob
    from pusher.transport.reach import reach

    settings = load(path)
    location = chosen(settings, [name] if name else [], "push")[0]
    with (
        open_source(settings) as source,
        Ledger(settings.general.state) as ledger,
        reach(location) as central,
    ):
        meeting = PushJob(settings, location, source, central, ledger).meet()
        checkpoints = ledger.checkpoints(location.name)
        return [_table_view(table, source, checkpoints) for table in meeting.plan.tables]


def _table_view(table: TablePlan, source: Source, checkpoints: Mapping[str, Checkpoint]) -> TableView:
    working = table.role is not Role.IGNORE and not table.stopped
    why = [f"{table.role}, because {table.role_reason}"]
    if table.key_reason:
        why.append(f"key {', '.join(table.key) or 'origin'}: {table.key_reason}")
    if working:
        why += table.notes
    if working and table.only_here:
        why.append(f"not sent, since central has no such column: {', '.join(table.only_here)}")
    if working and table.only_central:
        why.append(f"left to central, since the site has no such column: {', '.join(table.only_central)}")
    return TableView(
        table=table.name,
        role=table.role.value,
        key=table.key,
        cursor=table.cursor,
        parents=tuple(dict.fromkeys(link.parent for link in table.links)),
        pending=_pending(table, source, checkpoints) if working and table.role is Role.STREAM else None,
        only_here=table.only_here,
        only_central=table.only_central,
        stopped=table.stopped,
        why=tuple(why),
    )


def _pending(table: TablePlan, source: Source, checkpoints: Mapping[str, Checkpoint]) -> int:
    """How many rows the next cycle would send; those that a wrong clock dated in the future do not count."""
    checkpoint = checkpoints.get(table.name)
    return source.count(table, checkpoint.cursor if checkpoint else None, horizon(source, table).ahead)


def location_views(path: Path) -> list[LocationView]:
    """Every location as the site itself knows it; central is not asked."""
    settings = load(path)
    with Ledger(settings.general.state) as ledger:
        return [_location_view(settings, location, ledger) for location in settings.locations]


def _location_view(settings: Settings, location: Location, ledger: Ledger) -> LocationView:
    last, success = ledger.last_run(location.name), ledger.last_run(location.name, successful=True)
    error = last.outcome.get("error") if last else None
    tables: list[TableStatus] = []
    schema = ledger.location(location.name).schema if location.kind == "push" else None
    if location.files:
        tables = [_files_status(location.name, ledger)]
    elif location.export:
        tables = _scale_statuses(location.name, ledger)
    elif location.imports and location.on:
        try:
            tables = [_import_status(settings, location, ledger)]
        except PusherError as reason:
            error = str(reason)
    elif location.on and schema:
        try:
            with open_source(settings) as source:
                tables = _table_statuses(settings, location.name, schema, source, ledger)
        except Unreachable as reason:
            error = str(reason)
    return LocationView(
        location=location.name,
        on=location.on,
        lastupdate=location.lastupdate,
        last_run=last.started if last else None,
        last_success=success.started if success else None,
        error=error,
        tables=tables,
    )


def _files_status(location: str, ledger: Ledger) -> TableStatus:
    """All files of a location together. `checkpoint`: when the last one arrived."""
    arrived, count = FileList(ledger, location).last_arrived()
    verdict = Verdicts(ledger, location).of_tables().get(FILES)
    return TableStatus(
        table=f"{count:,} files",
        role="files",
        checkpoint=arrived,
        held=Quarantine(ledger, location).counts().get(FILES, 0),
        verified=verdict.verified if verdict else None,
        verdict=verdict.verdict if verdict else None,
    )


def _scale_statuses(location: str, ledger: Ledger) -> list[TableStatus]:
    """`checkpoint`: the benchmark. `pending`: rows that are archived and still on the web server."""
    from pusher.export.register import Register

    register, held = Register(ledger, location), Quarantine(ledger, location).counts()
    benchmarks, counts = register.benchmarks(), register.counts()
    return [
        TableStatus(
            table=scale,
            role="scale",
            checkpoint=str(benchmarks[scale]) if scale in benchmarks else None,
            pending=counts[scale][1] if scale in counts else None,
            held=held.get(scale, 0),
        )
        for scale in register.scales()
    ]


def _import_status(settings: Settings, location: Location, ledger: Ledger) -> TableStatus:
    """`checkpoint`: when the last run of a file ended. `pending`: files in the storage's root."""
    from pusher.datacenter.desk import Desk

    desk = Desk(settings, location)
    ended = next((run.ended for run in desk.runs() if run.ended), None)
    return TableStatus(
        table=desk.settings.processor,
        role="import",
        checkpoint=ended.isoformat(sep=" ", timespec="seconds") if ended else None,
        pending=len(desk.center.pending_files()),
        held=sum(Quarantine(ledger, location.name).counts().values()),
    )


def _table_statuses(
    settings: Settings, location: str, schema: bytes, source: Source, ledger: Ledger
) -> list[TableStatus]:
    central = Schema(dialect="", tables=msgspec.json.decode(schema, type=tuple[Table, ...]))
    plan: Plan = make_plan(source.schema(), central, settings.tables)
    checkpoints, held = ledger.checkpoints(location), Quarantine(ledger, location).counts()
    verdicts = Verdicts(ledger, location).of_tables()
    found = []
    for table in plan.working + plan.stopped:
        verdict = verdicts.get(table.name)
        checkpoint = checkpoints.get(table.name)
        cursor = checkpoint.cursor if checkpoint else None
        stream = table.role is Role.STREAM and not table.stopped
        moment = moment_of(table, cursor) if stream and cursor else None
        found.append(
            TableStatus(
                table=table.name,
                role=table.role.value,
                checkpoint=moment or (str(cursor[0]) if cursor else None),
                pending=_pending(table, source, checkpoints) if stream else None,
                lag_seconds=_lag_seconds(_newest(table, source) if stream else None, moment),
                held=held.get(table.name, 0),
                verified=verdict.verified if verdict else None,
                verdict=verdict.verdict if verdict else None,
                stopped=table.stopped,
            )
        )
    return found


def _newest(table: TablePlan, source: Source) -> str | None:
    ends = source.ends(table)
    return moment_of(table, pack_cursor(ends[1:])) if ends else None


def _lag_seconds(newest: str | None, moment: str | None) -> float | None:
    try:
        if newest is None or moment is None:
            return None
        return (dt.datetime.fromisoformat(newest) - dt.datetime.fromisoformat(moment)).total_seconds()
    except ValueError:
        return None  # a date that no calendar knows
