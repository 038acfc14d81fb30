"""The work of one push cycle, table by table, parents first."""

from __future__ import annotations

import datetime as dt

from pusher.config import Settings
from pusher.errors import MappingConflict, SchemaMismatch
from pusher.job import Outcome, Progress
from pusher.ledger import Ledger
from pusher.push.downward import Downward
from pusher.push.identity import IdentityMap
from pusher.push.marker import Marker
from pusher.push.source import Source
from pusher.push.streams import Position, Streams
from pusher.schema.guess import Role
from pusher.schema.plan import Plan, TablePlan
from pusher.transport.central import Central


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
                except (SchemaMismatch, MappingConflict) as reason:
                    entry.stopped = str(reason)
                    stopped.add(table.name)
            self._identities.finish()
        finally:
            self._keep_held()
            self._marker.follow(self._positions.values(), at_once=True)

    def _send(self, table: TablePlan) -> None:
        if table.role is Role.STREAM:
            if not self._positions[table.name].drained:
                self._streams.send(self._positions[table.name])
            return
        self._identities.send_entities(table, self._since)
        if table.direction == "both":
            digest = self._downward.fetch(table, self._digests.get(table.name))
            if self._outcome.table(table.name, table.role).created_here:
                self._identities.send_entities(table, self._since)  # to learn their ids at central
            self._ledger.note_digest(self._outcome.location, table.name, digest)

    def _keep_held(self) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        for table in self._plan.working:
            held = self._identities.take_held(table.name)
            if held:
                self._ledger.hold(self._outcome.location, table.name, held, now)
                self._outcome.table(table.name, table.role).held += len(held)
