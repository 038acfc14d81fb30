"""The work of one push cycle, table by table, parents first."""

from __future__ import annotations

import datetime as dt

from pusher.config import Settings
from pusher.entity_notes import EntityNotes
from pusher.errors import MappingConflict, SchemaMismatch
from pusher.held import HeldRow, Kind
from pusher.job import Outcome, Progress
from pusher.ledger import Ledger
from pusher.push.again import find_again
from pusher.push.captured import Captured
from pusher.push.downward import Downward
from pusher.push.faults import quarantine_of
from pusher.push.identity import IdentityMap
from pusher.push.late import LateRows
from pusher.push.mapping import local_key
from pusher.push.marker import Marker
from pusher.push.position import Position
from pusher.push.source import Source
from pusher.push.streams import Streams
from pusher.schema.guess import Role
from pusher.schema.plan import Plan, TablePlan
from pusher.transport.central import Central

_RETRY_EVERY = dt.timedelta(days=1)
_RETRIES = 1000  # held rows of one table at once


class Cycle:
    """Sends what a plan asks for, each stream from its position on.

    `since`: what ended before this moment is not sent for its own sake; None: all is.
    """

    def __init__(
        self,
        *,
        outcome: Outcome,
        settings: Settings,
        epoch: str,
        since: str | None,
        plan: Plan,
        positions: dict[str, Position],
        source: Source,
        central: Central,
        ledger: Ledger,
        progress: Progress,
    ) -> None:
        site = settings.general.site
        self._outcome = outcome
        self._plan = plan
        self._positions = positions
        self._since = since
        self._ledger = ledger
        self._entity_notes = EntityNotes(ledger, outcome.location)
        self._marker = Marker(settings.path, outcome.location, ledger)
        self._identities = IdentityMap(outcome, site, plan, source, central, ledger)
        self._downward = Downward(outcome, site, source, central, self._identities)
        self._source = source
        self._quarantine = quarantine_of(ledger, outcome.location, plan)
        self._held_before = set(self._quarantine.counts())
        self._streams = Streams(
            outcome=outcome,
            site=site,
            epoch=epoch,
            batch_rows=settings.general.pushlimit,
            source=source,
            central=central,
            ledger=ledger,
            identities=self._identities,
            progress=progress,
            acknowledged=lambda: self._marker.follow(positions.values()),
        )
        self._captured = Captured(
            outcome=outcome,
            settings=settings,
            plan=plan,
            source=source,
            central=central,
            ledger=ledger,
            identities=self._identities,
            streams=self._streams,
        )
        self._late = LateRows(outcome.location, source, ledger, self._streams, settings.general.pushlimit)

    def run(self) -> None:
        """A table that cannot go on stops alone, and with it what refers to it; what else is raised ends the cycle."""
        stopped = {table.name for table in self._plan.stopped}
        try:
            self._captured.begin()
            for table in self._plan.working:
                entry = self._outcome.table(table.name, table.role)
                parent = next((link.parent for link in table.links if link.parent in stopped), None)
                try:
                    if parent:
                        raise SchemaMismatch(f"it refers to {parent}, which is stopped")
                    self._send(table)
                    self._retry_held(table)
                except (SchemaMismatch, MappingConflict) as reason:
                    entry.stopped = str(reason)
                    stopped.add(table.name)
            self._identities.finish()
            self._captured.finish()
        finally:
            self._keep_held()
            self._marker.follow(self._positions.values(), at_once=True)

    def _send(self, table: TablePlan) -> None:
        if table.role is Role.STREAM:
            self._send_stream(self._positions[table.name])
            return
        if table.direction == "both":
            self._identities.forms.renew(table)
        self._identities.send_entities(table, self._since)
        if table.direction == "both":
            digest = self._downward.fetch(table, self._entity_notes.digest(table.name))
            self._entity_notes.note_digest(table.name, digest)

    def _send_stream(self, position: Position) -> None:
        before = position.cursor
        if not position.drained:
            self._streams.send(position)
        self._captured.send(position, before)
        if position.in_blocks:
            self._late.send(position)

    def _retry_held(self, table: TablePlan) -> None:
        """Tries held rows again: all that somebody asked for, and some that wait for a parent or waited for a day."""
        if table.name not in self._held_before:
            return
        tried: set[int] = set()
        while asked := self._quarantine.asked(table.name, max(tried, default=0), _RETRIES):
            self._try_again(table, asked)
            self._quarantine.release_tried(table.name)
            tried.update(row.id for row in asked)
        yesterday = (dt.datetime.now(dt.UTC) - _RETRY_EVERY).isoformat(timespec="seconds")
        due = self._quarantine.due(table.name, yesterday, _RETRIES)
        if left := [row for row in due if row.id not in tried]:
            self._try_again(table, left)

    def _try_again(self, table: TablePlan, held: list[HeldRow]) -> None:
        width = len(table.identity)
        sought = {row.local_key: row.key for row in held if len(row.key) == width}  # the operator may name another key
        rows = find_again(self._source, table, list(sought.values()))
        there = {local_key(table, rows, i) for i in range(len(rows))}
        if table.role is Role.STREAM:
            self._streams.send_rows(self._positions[table.name], rows)
        else:
            lacking = {row.local_key for row in held if row.kind is Kind.LACKING}
            for insist in (False, True):
                keys = [sought[key] for key in there if key in sought and (key in lacking) == insist]
                self._identities.send_again(table, keys, insist=insist)
            self._hold(table)
        # A key with a NULL in it finds no row, though there may be one.
        gone = [key for key, values in sought.items() if key not in there and None not in values]
        if gone:
            self._quarantine.release(table.name, gone)
            entry = self._outcome.table(table.name, table.role)
            entry.gone += len(gone)
            note = "held rows are no longer in the site's database, and are held no longer"
            entry.notes = [each for each in entry.notes if not each.endswith(note)] + [f"{entry.gone} {note}"]

    def _keep_held(self) -> None:
        for table in self._plan.working:
            self._hold(table)
        counts = self._quarantine.counts()
        for table in self._plan.tables:
            if table.name in counts:
                self._outcome.table(table.name, table.role).held = counts[table.name]

    def _hold(self, table: TablePlan) -> None:
        held = self._identities.take_held(table.name)
        if held:
            self._quarantine.hold(table.name, held, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
