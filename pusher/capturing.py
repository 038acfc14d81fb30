"""What the commands `capture` show and do: triggers and outboxes of the tables whose changes are captured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import sqlalchemy as sa

from pusher.config import Settings, load
from pusher.config_keys import guess
from pusher.errors import PusherError, UsageError
from pusher.ledger import Ledger
from pusher.push.outbox import count_waiting, needed, waiting, what_is_installed
from pusher.push.source import Source, open_source
from pusher.schema.engine import first_line
from pusher.schema.guess import Role
from pusher.schema.outboxes import State
from pusher.schema.plan import TablePlan, make_plan
from pusher.wire.tables import Kind, Schema, Table

_TEXTS = (Kind.TEXT, Kind.JSON)


@dataclass(frozen=True, kw_only=True)
class CaptureView:
    """One table. `waiting`: rows in its outbox, None if there is none. `sql`: what `install` would run; empty, for
    the reason in `note`, if it cannot be captured."""

    table: str
    configured: bool
    state: str
    waiting: int | None
    columns: tuple[str, ...]
    sql: tuple[str, ...]
    note: str | None = None

    @property
    def at_fault(self) -> bool:
        """Whether it is not captured, or not as it is now, though it is to be."""
        return self.configured and self.state != State.INSTALLED


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is done with one table: `lock`, and then `sql`, if `must_be_empty` only while no row is in its outbox."""

    table: str
    lock: tuple[str, ...] = ()
    sql: tuple[str, ...]
    must_be_empty: bool = False

    @property
    def statements(self) -> tuple[str, ...]:
        return self.lock + self.sql


@contextmanager
def open_captures(path: Path) -> Iterator[Captures]:
    """Raises what `load`, `open_source` and `Ledger` raise."""
    settings = load(path)
    with open_source(settings) as source:
        yield Captures(settings, source)


class Captures:
    """The tables of a site as they are planned for its locations, and what of change capture is there."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._settings = settings
        self._source = source
        self._plans = _plans(settings, source)
        self._configured = [name for name, own in settings.tables.items() if own.capture == "triggers"]
        self._look()

    def _look(self) -> None:
        self._installed = what_is_installed(self._source, self._plans)

    def views(self, tables: Sequence[str]) -> list[CaptureView]:
        """Of these tables, else of all that are to be captured or are. Raises UsageError if one is neither."""
        known = sorted({*self._configured, *self._installed.tables()})
        if unknown := [name for name in tables if name not in known]:
            raise self._not_configured(unknown[0])
        return [self._view(name) for name in dict.fromkeys(tables or known)]

    def to_install(self, tables: Sequence[str]) -> list[Step]:
        """For these tables, else for all that are to be captured.

        Raises UsageError if one is not to be captured, PusherError if it cannot be, or if its outbox has to be made
        anew and rows wait in it.
        """
        if not (tables or self._configured):
            raise UsageError(f"no table is to be captured; add capture = triggers to its section in {self._path}")
        for name in tables:
            if name not in self._configured:
                raise self._not_configured(name)
        return [self._install(name) for name in dict.fromkeys(tables or self._configured)]

    def to_remove(self, tables: Sequence[str], *, force: bool) -> list[Step]:
        """For these tables, else for all of which anything is there.

        Raises UsageError if nothing is there of one, PusherError if rows wait in an outbox, unless `force`.
        """
        there = self._installed.tables()
        for name in tables:
            if name not in there:
                raise UsageError(f"table {name}: no change capture is installed; pusher capture show shows all")
        steps = [self._remove(name, force=force) for name in dict.fromkeys(tables or there)]
        for step in steps:
            if step.must_be_empty:
                _refuse_waiting(step.table, waiting(self._source, step.table), removing=True)
        return steps

    def run(self, steps: Sequence[Step], *, removing: bool = False) -> None:
        """Raises PusherError if the database refuses a statement, or rows came to wait meanwhile."""
        for step in steps:
            with self._source.writing() as connection:
                if self._source.dialect == "mariadb":
                    connection.detach()  # locks of tables last as long as the connection
                _execute(connection, step, step.lock)
                if step.must_be_empty:
                    _refuse_waiting(step.table, count_waiting(connection, step.table), removing=removing)
                _execute(connection, step, step.sql)
        self._look()

    # ---

    @property
    def _path(self) -> Path:
        return self._settings.path

    def _not_configured(self, table: str) -> UsageError:
        if table not in self._plans:
            return UsageError(f"the site has no table {table}{guess(table, self._plans)}")
        return UsageError(
            f"table {table} is not to be captured; add capture = triggers to [table {table}] in {self._path}"
        )

    def _view(self, table: str) -> CaptureView:
        found, columns = self._installed, self._needed(table)
        configured = table in self._configured
        try:
            sql, note = self._install(table, refuse=False).statements if configured else (), None
        except PusherError as reason:
            sql, note = (), str(reason)
        return CaptureView(
            table=table,
            configured=configured,
            state=found.state(table, columns).value,
            waiting=waiting(self._source, table) if found.has_outbox(table) else None,
            columns=tuple(found.kept(table)) or columns,
            sql=sql,
            note=note if configured else "not to be captured any more: pusher capture remove removes it",
        )

    def _needed(self, table: str) -> tuple[str, ...]:
        return needed(plan for plan in self._plans.get(table, ()) if plan.role is not Role.IGNORE and not plan.stopped)

    def _install(self, table: str, *, refuse: bool = True) -> Step:
        found, columns = self._installed, self._needed(table)
        if not columns:
            raise PusherError(f"table {table} cannot be captured: {self._why_not(table)}")
        local = self._plans[table][0].local
        texts = {column.name for column in local.columns if column.kind in _TEXTS}
        capture = found.capture(table, columns, texts)
        renew = [*capture.lock(outbox=False), *capture.drop_triggers(), *capture.create_triggers(), *capture.unlock()]
        if found.has_outbox(table) and found.fits(table, columns):
            return Step(table=table, sql=tuple(renew))
        if not found.has_outbox(table):
            return Step(table=table, sql=(capture.create_outbox(), *renew))
        if refuse:
            self._refuse_anew(table, columns)
        clear = [*capture.drop_triggers(), capture.drop_outbox(), *capture.unlock()]
        return Step(
            table=table,
            lock=tuple(capture.lock(outbox=True)),
            sql=(*clear, capture.create_outbox(), *renew),
            must_be_empty=True,
        )

    def _refuse_anew(self, table: str, columns: Sequence[str]) -> None:
        rows = waiting(self._source, table)
        if rows and not set(columns) <= self._installed.kept(table).keys():
            raise PusherError(
                f"table {table}: {rows:,} changes wait in its outbox, which lacks columns of its key now; give them up "
                f"with pusher capture remove {table} --force, install again, and run pusher verify --repair"
            )
        _refuse_waiting(table, rows, removing=False)

    def _why_not(self, table: str) -> str:
        plans = self._plans.get(table)
        if not plans:
            return "the site has no such table"
        return plans[0].stopped or "it is not pushed"

    def _remove(self, table: str, *, force: bool) -> Step:
        found = self._installed
        capture, has_outbox = found.capture(table, ()), found.has_outbox(table)
        locked = table in found.columns
        return Step(
            table=table,
            lock=tuple(capture.lock(outbox=has_outbox)) if locked else (),
            sql=(*capture.drop_triggers(), capture.drop_outbox(), *capture.unlock()),
            must_be_empty=has_outbox and not force,
        )


def _plans(settings: Settings, source: Source) -> dict[str, list[TablePlan]]:
    """Each table as it is planned for every location, as central's tables were when that last met it.

    Before the first meeting central is taken to have the site's own tables.
    """
    local = source.schema()
    known: list[Schema] = []
    with Ledger(settings.general.state) as ledger:
        for location in (each for each in settings.locations if each.kind == "push"):
            schema = ledger.location(location.name).schema if location.on else None
            if schema:
                known.append(Schema(dialect="", tables=msgspec.json.decode(schema, type=tuple[Table, ...])))
    plans: dict[str, list[TablePlan]] = {}
    for central in known or [local]:
        for plan in make_plan(local, central, settings.tables).tables:
            plans.setdefault(plan.name, []).append(plan)
    return plans


def _refuse_waiting(table: str, rows: int, *, removing: bool) -> None:
    if not rows:
        return
    what = f"table {table}: {rows:,} changes wait in its outbox"
    if removing:
        raise PusherError(f"{what}; run pusher run --once first, or give them up with --force")
    raise PusherError(f"{what}, which has to be made anew for other columns; run pusher run --once first")


def _execute(connection: sa.Connection, step: Step, statements: Sequence[str]) -> None:
    for statement in statements:
        try:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        except sa.exc.DBAPIError as error:
            if error.connection_invalidated or error.orig is None:
                raise
            begun = statement.splitlines()[0]
            raise PusherError(f"table {step.table}: {first_line(error.orig)}; refused was: {begun}") from error
