"""The work of one push cycle, table by table, parents first."""

from __future__ import annotations

import datetime as dt

import msgspec

from pusher.config import Settings
from pusher.errors import MappingConflict, SchemaMismatch
from pusher.held import Quarantine
from pusher.job import Outcome, Progress
from pusher.ledger import Ledger
from pusher.push.downward import Downward
from pusher.push.identity import IdentityMap, local_key
from pusher.push.late import LateRows
from pusher.push.marker import Marker
from pusher.push.source import Source
from pusher.push.streams import Position, Streams
from pusher.schema.guess import Role
from pusher.schema.plan import Plan, TablePlan
from pusher.transport.central import Central
from pusher.wire.batch import unpack_cursor

_RETRY_EVERY = dt.timedelta(days=1)
_RETRIES = 1000  # held rows of one table in one cycle


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
        self._digests = ledger.digests(outcome.location)
        self._marker = Marker(settings.path, outcome.location, ledger)
        self._identities = IdentityMap(outcome, site, plan, source, central, ledger)
        self._downward = Downward(outcome, site, source, central, self._identities)
        self._source = source
        self._quarantine = Quarantine(ledger, outcome.location)
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
        self._late = LateRows(outcome.location, source, ledger, self._streams, settings.general.pushlimit)

    def run(self) -> None:
        """A table that cannot go on stops alone, and with it what refers to it; what else is raised ends the cycle."""
        stopped = {table.name for table in self._plan.stopped}
        try:
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
        finally:
            self._keep_held()
            self._marker.follow(self._positions.values(), at_once=True)

    def _send(self, table: TablePlan) -> None:
        if table.role is Role.STREAM:
            self._send_stream(self._positions[table.name])
            return
        self._identities.send_entities(table, self._since)
        if table.direction == "both":
            digest = self._downward.fetch(table, self._digests.get(table.name))
            if self._outcome.table(table.name, table.role).created_here:
                self._identities.send_entities(table, self._since)  # to learn their ids at central
            self._ledger.note_digest(self._outcome.location, table.name, digest)

    def _send_stream(self, position: Position) -> None:
        if not position.drained:
            self._streams.send(position)
        if position.in_blocks:
            self._late.send(position)

    def _retry_held(self, table: TablePlan) -> None:
        """Tries held rows again that somebody asked for, that wait for a parent, or that waited for a day."""
        if table.name not in self._held_before:
            return
        yesterday = (dt.datetime.now(dt.UTC) - _RETRY_EVERY).isoformat(timespec="seconds")
        due = self._quarantine.due(table.name, yesterday, _RETRIES)
        keys = [unpack_cursor(msgspec.json.decode(row.local_key)) for row in due]
        if not keys:
            return
        if table.role is Role.STREAM:
            rows = self._source.by_key(table, table.identity, keys)
            self._streams.send_rows(self._positions[table.name], rows)
        else:
            rows = self._identities.send_again(table, keys)
        there = {local_key(table, rows, i) for i in range(len(rows))}
        gone = [row.local_key for row in due if row.local_key not in there]
        if gone:
            note = f"{len(gone)} held rows are no longer in the site's database, and are held no longer"
            self._outcome.table(table.name, table.role).notes.append(note)
            self._quarantine.release(table.name, gone)

    def _keep_held(self) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        for table in self._plan.working:
            held = self._identities.take_held(table.name)
            if held:
                self._quarantine.hold(table.name, held, now)
        counts = self._quarantine.counts()
        for table in self._plan.tables:
            if table.name in counts:
                self._outcome.table(table.name, table.role).held = counts[table.name]
