"""What the commands `held` show and do: held rows as plain values, read and changed through the site's ledger."""

from __future__ import annotations

import datetime as dt
import logging
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from pusher.config import Location, Settings, load
from pusher.daemon import chosen, run_once
from pusher.errors import AlreadyRunning, PusherError
from pusher.held import HeldList, HeldRow, Kind, Selection
from pusher.instance import call_holder, only_instance
from pusher.job import Progress
from pusher.ledger import Ledger
from pusher.log import event
from pusher.push.again import find_again
from pusher.push.source import Source, open_source
from pusher.schema.plan import Plan, TablePlan, make_plan
from pusher.wire.tables import Schema, Table

log = logging.getLogger(__name__)

_WHAT_TO_DO = {
    Kind.REFUSED: "Central's database does not take the row as it is: mend the row at the site, or at central what the "
    "reason names (a column too short or NOT NULL, a parent that was deleted)",
    Kind.CONFLICT: "Central has another row under this key and does not overwrite it: agree with its owner whose row "
    "it is, and change or delete the other. Where the reason says which row stands, both sides have it already: "
    "look, and release it",
    Kind.LACKING: "Central lacks the row or has it otherwise, as verify found: every cycle sends it again",
    Kind.FILE: "The file cannot go where it should: do what the reason says. It is tried again after as long "
    "as it has been held; `pusher files lock` has it left alone",
    Kind.SEALED: "The key does not open this field, so the CSV file has (sealed) in its place: write the right key "
    "into the location's section; pusher key test tries it, pusher decode decodes again",
    Kind.DELETE: "The web server keeps rows that are archived and should be gone: do what the reason says. Failed "
    "deletes are tried at every run; where the server forbids them, once somebody says pusher held retry",
    Kind.IMPORT: "Clerks' rows wait in this file of the storage: mend in it what its last column tells, or what the "
    "reason names, save it under the same name, and the next run takes it",
    Kind.PARENT: "What the row refers to is missing at the site, or held itself: add or mend it; every cycle tries the "
    "row again by itself",
}

# Of what is no table's row.
_COLUMNS = {
    **{Kind.FILE: ("path",), Kind.SEALED: ("id", "field")},
    **{Kind.DELETE: ("rows",), Kind.IMPORT: ("file",)},
}


@dataclass(frozen=True, kw_only=True)
class HeldView:
    """A held row. `columns`: the names of what `key` holds, empty if the site's database could not be asked."""

    id: int
    location: str
    table: str
    columns: tuple[str, ...]
    key: tuple[Any, ...]
    kind: str
    reason: str
    since: str
    tried: str
    retry: bool

    @property
    def shown_key(self) -> str:
        texts = ["NULL" if value is None else str(value) for value in self.key]
        if self.columns:
            texts = [f"{name} = {text}" for name, text in zip(self.columns, texts, strict=True)]
        return ", ".join(texts)


@dataclass(frozen=True, kw_only=True)
class HeldDetail:
    """`values`: what the row holds at the site now; None if it could not be read, for the reason in `note`."""

    row: HeldView
    values: dict[str, Any] | None
    note: str | None
    what_to_do: str


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What came of a retry: how many rows were asked for, arrived, are no longer at the site, and are held still.

    `running`: another pusher runs and tries them; `process`: its number, if it could be told to do so at once.
    """

    asked: int
    arrived: int = 0
    gone: int = 0
    held: list[HeldView] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    running: bool = False
    process: int | None = None
    exit_code: int = 0


def held_views(path: Path, selection: Selection, limit: int = -1) -> tuple[int, list[HeldView]]:
    """How many rows suit, and the first of them. Raises UsageError if a location is not known."""
    settings = load(path)
    with Ledger(settings.general.state) as ledger:
        held = HeldList(ledger)
        _check_locations(settings, held, selection)
        return held.count(selection), _views(settings, ledger, held.rows(selection, limit=limit))


def held_detail(path: Path, number: int) -> HeldDetail:
    """Raises UsageError if nothing is held under this number."""
    settings, selection = load(path), Selection(ids=(number,))
    with Ledger(settings.general.state) as ledger:
        held = HeldList(ledger)
        held.check_known([number], selection)
        (row,) = held.rows(selection)
        (view,) = _views(settings, ledger, [row])
        try:
            values, note = _values(settings, ledger, row)
        except PusherError as error:
            values, note = None, str(error)
    return HeldDetail(row=view, values=values, note=note, what_to_do=_WHAT_TO_DO[row.kind])


def retry(path: Path, selection: Selection, progress: Progress) -> Retried:
    """Tries rows again in a cycle of their locations, or has the pusher do so that runs already.

    Raises UsageError if a number or location is not known, or a location is switched off: then nothing changes.
    """
    settings = load(path)
    state = settings.general.state
    with Ledger(state) as ledger:
        held = HeldList(ledger)
        _check_locations(settings, held, selection)
        held.check_known(selection.ids or (), selection)
        names = held.locations(selection)
        if not names:
            return Retried(asked=0)
        chosen(settings, names)
        held.ask_retry(selection)
        # Also what was asked for before, since the cycle tries that too.
        asked = held.rows(Selection(locations=tuple(names), asked=True))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of another `held retry`, before the cycle listens for it
        try:
            with only_instance(state):
                outcomes = run_once(path, names, progress)
        except AlreadyRunning:
            return Retried(asked=len(asked), running=True, process=call_holder(state))
        still = _views(settings, ledger, held.rows(Selection(ids=tuple(row.id for row in asked))))
    gone = min(sum(table.gone for outcome in outcomes for table in outcome.tables), len(asked) - len(still))
    failed = [outcome for outcome in outcomes if outcome.error]
    return Retried(
        asked=len(asked),
        arrived=len(asked) - len(still) - gone,
        gone=gone,
        held=still,
        errors={outcome.location: outcome.error or "" for outcome in failed},
        exit_code=max([*(outcome.exit_code for outcome in failed), int(bool(still))]),
    )


def to_release(path: Path, ids: Sequence[int]) -> list[HeldView]:
    """The rows with these numbers. Raises UsageError if nothing is held under one of them."""
    settings, selection = load(path), Selection(ids=tuple(ids))
    with Ledger(settings.general.state) as ledger:
        HeldList(ledger).check_known(ids, selection)
        return _views(settings, ledger, HeldList(ledger).rows(selection))


def release(path: Path, ids: Sequence[int]) -> int:
    """Gives rows up, each with a line in the log; returns how many. Raises UsageError as `to_release` does."""
    with Ledger(load(path).general.state) as ledger:
        rows = HeldList(ledger).give_up(ids)
    for row in rows:
        given_up = {"id": row.id, "location": row.location, "table": row.table, "key": row.local_key, "kind": row.kind}
        log.warning(event("held_row_given_up", **given_up, since=row.since))
    return len(rows)


# ---


def _check_locations(settings: Settings, held: HeldList, selection: Selection) -> None:
    """One that was taken out of the configuration may still have rows that are held."""
    for name in set(selection.locations or ()) - set(held.locations(Selection())):
        settings.location(name)


def _views(settings: Settings, ledger: Ledger, rows: Sequence[HeldRow]) -> list[HeldView]:
    columns: dict[tuple[str, str], tuple[str, ...]] = {}
    of_tables = {row.location for row in rows if row.kind not in _COLUMNS}
    if of_tables:
        with suppress(PusherError), open_source(settings) as source:
            for location in of_tables:
                plan = _plan(settings, ledger, location, source)
                columns |= {(location, table.name): table.identity for table in plan.tables}
    return [_view(row, columns) for row in rows]


def _view(row: HeldRow, columns: Mapping[tuple[str, str], tuple[str, ...]]) -> HeldView:
    names = _COLUMNS.get(row.kind) or columns.get((row.location, row.table), ())
    return HeldView(
        id=row.id,
        location=row.location,
        table=row.table,
        columns=names if len(names) == len(row.key) else (),
        key=row.key,
        kind=row.kind.value,
        reason=row.reason,
        since=row.since,
        tried=row.tried,
        retry=row.retry,
    )


def _plan(settings: Settings, ledger: Ledger, location: str, source: Source) -> Plan:
    """As central's tables were when the location last met it."""
    schema = ledger.location(location).schema or b"[]"
    central = Schema(dialect="", tables=msgspec.json.decode(schema, type=tuple[Table, ...]))
    return make_plan(source.schema(), central, settings.tables)


def _values(settings: Settings, ledger: Ledger, row: HeldRow) -> tuple[dict[str, Any] | None, str | None]:
    if row.kind is Kind.FILE:
        return _file_facts(settings.location(row.location), str(row.key[0]))
    if row.kind in (Kind.SEALED, Kind.DELETE):
        return _pool_facts(settings.location(row.location))
    if row.kind is Kind.IMPORT:
        return _storage_facts(settings.location(row.location))
    with open_source(settings) as source:
        plan = _plan(settings, ledger, row.location, source)
        table: TablePlan | None = next((each for each in plan.tables if each.name == row.table), None)
        if table is None:
            return None, f"the site has no table {row.table} any more"
        if not table.identity or len(table.identity) != len(row.key):
            return None, "the rows of its table have another key now, so it cannot be found"
        found = find_again(source, table, [row.key])
    keys = found.tuples(table.identity)
    if row.key not in keys:
        return None, "the row is no longer in the site's database; the next try ends its being held"
    at = keys.index(row.key)
    return {name: found.column(name)[at] for name in found.names}, None


def _file_facts(location: Location, path: str) -> tuple[dict[str, Any] | None, str | None]:
    if location.files is None:
        return None, f"[{location.name}] is no longer of kind files"
    try:
        state = (location.files.source / path).lstat()
    except OSError as error:
        return None, f"{location.files.source / path}: {error.strerror}"
    changed = dt.datetime.fromtimestamp(state.st_mtime, dt.UTC).isoformat(timespec="seconds")
    return {"folder": str(location.files.source), "bytes": state.st_size, "changed": changed}, None


def _pool_facts(location: Location) -> tuple[dict[str, Any] | None, str | None]:
    """Where to look; what a participant answered is not for a screen."""
    if location.export is None:
        return None, f"[{location.name}] is no longer of kind export"
    return {"web server": location.export.url, "data pool": str(location.export.pool / location.name)}, None


def _storage_facts(location: Location) -> tuple[dict[str, Any] | None, str | None]:
    if location.imports is None:
        return None, f"[{location.name}] is no longer of kind import"
    return {"storage": str(location.imports.storage)}, None
