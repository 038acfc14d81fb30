"""Sends what triggers noted: rows changed anywhere in their table, and rows that are no more.

What counts is how a row is now. So of each row that was noted the site's database is asked, and whatever else happened
to it meanwhile is noted for the next cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pusher.changed import Change, ChangedRows
from pusher.config import Settings
from pusher.errors import SchemaMismatch
from pusher.job import Outcome
from pusher.ledger import Ledger
from pusher.push.again import find_again
from pusher.push.identity import IdentityMap
from pusher.push.mapping import Key, key_text
from pusher.push.outbox import Outbox
from pusher.push.position import Position
from pusher.push.removal import Removal
from pusher.push.source import Source
from pusher.push.streams import Streams
from pusher.schema.guess import Role
from pusher.schema.plan import Plan, TablePlan
from pusher.transport.central import Central
from pusher.wire.batch import Cursor, unpack_cursor
from pusher.wire.blocks import edge
from pusher.wire.tables import RowSet

_AT_ONCE = 1000


class Captured:
    """The changes of one location's captured tables, in one cycle."""

    def __init__(
        self,
        *,
        outcome: Outcome,
        settings: Settings,
        plan: Plan,
        source: Source,
        central: Central,
        ledger: Ledger,
        identities: IdentityMap,
        streams: Streams,
    ) -> None:
        self._outcome = outcome
        self._settings = settings
        self._tables = [table for table in plan.working if table.captured]
        self._source = source
        self._removal = Removal(settings.general.site, outcome.location, central, ledger)
        self._ledger = ledger
        self._identities = identities
        self._streams = streams
        self._changed = ChangedRows(ledger, outcome.location)

    def begin(self) -> None:
        """Takes over what was noted at the site, and has central delete what is gone of streams, children first.

        Before anything is sent, since another row may have what was unique to one that is gone.
        """
        if not self._tables:
            return
        locations = [each.name for each in self._settings.locations if each.kind == "push"]
        for name, why in Outbox(self._source, self._ledger).collect(self._tables, locations).items():
            self._note(name, why)
        self._remove(role=Role.STREAM)

    def send(self, position: Position, before: Cursor | None) -> None:
        """Sends the changed rows of a stream, but for those that went in their turn, since they lie behind `before`."""
        table = position.table
        if not table.captured:
            return
        for changes in self._waiting(table):
            rows = find_again(self._source, table, list(dict.fromkeys(change.local for change in changes)))
            rows = rows.take(_not_in_turn(position, before, rows))
            if len(rows):
                self._streams.send_rows(position, rows)
            self._changed.done(each.id for each in changes if not each.removed)

    def finish(self) -> None:
        """Has central delete what is gone of entities, and what could not be deleted before its children."""
        for table in self._tables:
            if table.role is Role.ENTITY:  # what changed was sent with all others
                self._changed.done([each.id for some in self._waiting(table) for each in some if not each.removed])
        self._remove(role=None)

    def _waiting(self, table: TablePlan) -> Iterator[list[Change]]:
        after = 0
        while changes := self._changed.waiting(table.name, after, _AT_ONCE):
            yield changes
            after = changes[-1].id

    def _remove(self, role: Role | None) -> None:
        for table in reversed(self._tables):
            if role not in (None, table.role):
                continue
            try:
                for changes in self._waiting(table):
                    self._remove_some(table, [each for each in changes if each.removed])
            except SchemaMismatch as reason:  # of this table alone: its words wait
                self._note(table.name, str(reason))

    def _remove_some(self, table: TablePlan, changes: Sequence[Change]) -> None:
        """A row is gone if the site has none with the same natural key, letter by letter, or else the same identity."""
        wanted = {change.id: change.natural if table.key else change.local for change in changes}
        here = self._present(table, wanted.values(), table.key or table.identity)
        gone = [change for change in changes if wanted[change.id] not in here]
        keys = self._as_at_central(table, gone) if table.key else {each.id: each.local_key for each in gone}
        lost: list[str] = []
        if table.key and table.role is Role.ENTITY:
            there = self._present(table, [change.local for change in changes], table.identity)
            lost = [change.local_key for change in changes if change.local not in there]
        found = self._removal.remove(table, list(keys.values()), table.key, lost)
        done = [each for each in changes if keys.get(each.id) not in found.refused]
        self._changed.done(each.id for each in done)
        entry = self._outcome.table(table.name, table.role)
        entry.removed += found.removed
        for reason in sorted(set(found.refused.values())):
            self._note(table.name, f"a row that is gone here cannot be deleted at central yet: {reason}")

    def _present(self, table: TablePlan, keys: Iterable[Key], by: tuple[str, ...]) -> set[Key]:
        return set(find_again(self._source, table, list(dict.fromkeys(keys)), by).tuples(by))

    def _as_at_central(self, table: TablePlan, gone: Sequence[Change]) -> dict[int, str]:
        """The natural keys with central's ids; a row whose parent central does not know never was there."""
        absent: list[Any] = [None] * len(gone)
        names = tuple(dict.fromkeys(table.key + tuple(name for link in table.links for name in link.columns)))
        keys = RowSet.of(table.key, [each.natural for each in gone])
        rows = RowSet(names=names, columns=[keys.column(name) if name in table.key else absent for name in names])
        mapped = self._identities.translate_known(table, rows)
        central = mapped.rows.tuples(table.key)
        return {each.id: key_text(central[i]) for i, each in enumerate(gone) if i not in mapped.missing}

    def _note(self, table: str, note: str) -> None:
        role = next((each.role for each in self._tables if each.name == table), "")
        notes = self._outcome.table(table, role).notes
        if note not in notes:
            notes.append(note)


def _not_in_turn(position: Position, before: Cursor | None, rows: RowSet) -> list[int]:
    """The rows that do not lie between where the stream stood and where it stands."""
    table = position.table
    assert table.cursor is not None
    kind = table.local.column(table.cursor).kind

    def moment(cursor: Cursor | None) -> Any:
        return edge(kind, unpack_cursor(cursor)[0]) if cursor else None

    low, high = moment(before), moment(position.cursor)
    last = unpack_cursor(position.cursor)[1:] if position.cursor else ()

    def went(value: Any, key: tuple[Any, ...]) -> bool:
        try:
            if high is None or (low is not None and not low < value):
                return False
            return bool(value < high or (value == high and key == last))
        except TypeError:  # SQLite takes anything for a date
            return False

    values = [edge(kind, value) for value in rows.column(table.cursor)]
    return [i for i, key in enumerate(rows.tuples(table.order[1:])) if not went(values[i], key)]
