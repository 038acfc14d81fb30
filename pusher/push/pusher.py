"""One push cycle of one location: hello, plan, entities, streams, report."""

from __future__ import annotations

import datetime as dt
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

import pusher
from pusher.config import Location, Settings
from pusher.errors import PusherError
from pusher.job import Outcome, Progress
from pusher.ledger import Checkpoint, Ledger, LocationState
from pusher.push.cycle import Cycle
from pusher.push.emptiness import emptied_here, refuse_emptied_central, refuse_emptied_site
from pusher.push.own_schema import own_schema
from pusher.push.position import Position, position_of
from pusher.push.source import Source
from pusher.push.start import Start, decide
from pusher.schema.guess import Role
from pusher.schema.plan import Plan, make_plan
from pusher.transport.central import Central
from pusher.wire import PROTOCOL
from pusher.wire.messages import Hello, Report, TableReport, Welcome
from pusher.wire.tables import Schema, Table

_TICK_SECONDS = 0.2
_SKEW_WORTH_A_WORD_SECONDS = 60


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """What both sides know of each other after the hello."""

    welcome: Welcome
    tables: tuple[Table, ...]
    state: LocationState
    plan: Plan


class PushJob:
    """Pushes the site's database to one location."""

    def __init__(
        self,
        settings: Settings,
        location: Location,
        source: Source,
        central: Central,
        ledger: Ledger,
        *,
        force: bool = False,
    ) -> None:
        """`force`: goes on although a side is suddenly empty."""
        self.location = location.name
        self._force = force
        self._settings = settings
        self._config = location
        self._source = source
        self._central = central
        self._ledger = ledger
        self._emptied: list[str] = []

    def meet(self) -> Meeting:
        """Says hello and makes the plan; changes nothing but what both sides know of each other."""
        state = self._ledger.location(self.location)
        hello = Hello(
            protocol=PROTOCOL,
            site=self._settings.general.site,
            epoch=state.epoch,
            agent_version=pusher.__version__,
            hostname=socket.gethostname(),
            clock=dt.datetime.now(dt.UTC).isoformat(),
            schema_hash=state.schema_hash,
        )
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="hello") as line:
            answer = line.submit(self._central.hello, hello)
            schema = own_schema(self._source, self._ledger)  # which takes both sides about as long
            welcome = answer.result()
        tables = welcome.tables
        if tables is None:
            tables = msgspec.json.decode(state.schema or b"[]", type=tuple[Table, ...])
        plan = make_plan(schema, Schema(dialect=welcome.dialect, tables=tables), self._settings.tables)
        return Meeting(welcome=welcome, tables=tables, state=state, plan=plan)

    def run(self, progress: Progress) -> Outcome:
        outcome = Outcome(location=self.location, kind="push")
        began = time.monotonic()
        try:
            self._run(outcome, progress)
        except PusherError as error:
            outcome.error = str(error)
            outcome.exit_code = error.exit_code
            outcome.retry_after_seconds = error.retry_after_seconds
        if outcome.exit_code == 0 and any(table.held or table.stopped for table in outcome.tables):
            outcome.exit_code = 1
        outcome.seconds = time.monotonic() - began
        return outcome

    def _run(self, outcome: Outcome, progress: Progress) -> None:
        meeting = self.meet()
        outcome.clock_skew_seconds = skew_seconds(meeting.welcome)
        if abs(outcome.clock_skew_seconds) > _SKEW_WORTH_A_WORD_SECONDS:
            outcome.notes.append(f"the clocks differ by {outcome.clock_skew_seconds:.0f} s")
        for stopped in meeting.plan.stopped:
            outcome.table(stopped.name, stopped.role).stopped = stopped.stopped
        positions, since = self._begin(meeting, outcome)
        self._ledger.know_central(
            self.location,
            meeting.welcome.instance,
            meeting.welcome.schema_hash,
            msgspec.json.encode(meeting.tables),
        )
        state = self._ledger.location(self.location)
        self._await_settled(positions, progress)
        for name, position in positions.items():
            pending = self._source.count(position.table, position.cursor, position.horizon.upto)
            position.drained = pending == 0
            progress.expect(name, pending)
        Cycle(
            outcome=outcome,
            settings=self._settings,
            epoch=state.epoch,
            since=since,
            plan=meeting.plan,
            positions=positions,
            source=self._source,
            central=self._central,
            ledger=self._ledger,
            progress=progress,
        ).run()
        # Not before: central's ids were needed to tell it which children are gone with them.
        self._ledger.forget_rows(self.location, self._emptied)
        self._report(outcome, positions)

    def _begin(self, meeting: Meeting, outcome: Outcome) -> tuple[dict[str, Position], str | None]:
        """The positions to go on from, noted in the ledger before anything is sent.

        With them the moment since which central is known to have all entities, None if there is none.
        """
        streams = [table for table in meeting.plan.working if table.role is Role.STREAM]
        here = self._accept_emptied_site(meeting.plan)
        start = decide(
            streams,
            here=here,
            state=meeting.state,
            lastupdate=self._config.lastupdate,
            welcome=meeting.welcome,
            from_moment=self._source.from_moment,
        )
        outcome.notes += start.notes
        if not start.start_over and meeting.welcome.emptied:
            if not self._force:
                refuse_emptied_central(meeting.plan, meeting.welcome)
            start = Start(start_over=True)
        if start.start_over:
            self._ledger.start_over(self.location)
        if start.forget_identities:
            self._ledger.forget_identities(self.location)
        epoch = self._ledger.location(self.location).epoch
        positions, beginnings = {}, {}
        for table in streams:
            there = meeting.welcome.checkpoints.get(table.central_name)
            beginnings[table.name] = beginning = Checkpoint(
                cursor=start.cursors.get(table.name),
                sequence=there.sequence if there and there.epoch == epoch else 0,
                floor=start.floors.get(table.name),
            )
            before = here[table.name].cursor if table.name in here else None
            positions[table.name] = position = position_of(self._source, table, beginning)
            position.moved = beginning.cursor not in (beginning.floor, before)
        self._ledger.begin_from(self.location, beginnings, self._config.lastupdate)
        for name, position in positions.items():
            self._ledger.note_block_form(self.location, name, position.form)
        return positions, None if start.forget_identities else self._config.lastupdate

    def _accept_emptied_site(self, plan: Plan) -> dict[str, Checkpoint]:
        """The checkpoints; where the site is suddenly empty, none any more if that is meant to be so."""
        here = self._ledger.checkpoints(self.location)
        emptied = emptied_here(self.location, plan, self._source, self._ledger, here)
        if not self._force:
            refuse_emptied_site(emptied)
        entities = {table.name for table in plan.tables if table.role is Role.ENTITY}
        self._ledger.forget_rows(self.location, [name for name in emptied if name not in entities])
        self._emptied = [name for name in emptied if name in entities]
        return self._ledger.checkpoints(self.location) if emptied else here

    def _await_settled(self, positions: Mapping[str, Position], progress: Progress) -> None:
        """Waits, some seconds at most, until no row can come any more that is older than the newest ones."""
        until = time.monotonic() + max((each.horizon.wait_seconds for each in positions.values()), default=0.0)
        while (left := until - time.monotonic()) > 0:
            progress.advance(next(iter(positions)), 0)  # which ends the run if a signal came
            time.sleep(min(left, _TICK_SECONDS))

    # --- the end

    def _report(self, outcome: Outcome, positions: dict[str, Position]) -> None:
        for name, position in positions.items():
            outcome.table(name, Role.STREAM).pending = 0 if position.drained else None
        tables = {
            entry.table: TableReport(sent=entry.sent, held=entry.held, pending=entry.pending)
            for entry in outcome.tables
        }
        last = self._ledger.last_run(self.location)
        error = last.outcome.get("error") if last else None
        self._central.report(
            Report(
                protocol=PROTOCOL,
                site=self._settings.general.site,
                hostname=socket.gethostname(),
                agent_version=pusher.__version__,
                localtime=dt.datetime.now().astimezone().replace(tzinfo=None).isoformat(),
                tables=tables,
                failure=f"{last.started}: {error}" if last and error else None,
            )
        )


def skew_seconds(welcome: Welcome) -> float:
    """How far the site's clock is ahead of central's."""
    central = dt.datetime.fromisoformat(welcome.clock).replace(tzinfo=dt.UTC)
    return (dt.datetime.now(dt.UTC) - central).total_seconds()
