"""Sends entities, and the parents that rows refer to, so that central gives them ids."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from pusher.errors import MappingConflict, SchemaMismatch
from pusher.held import Fault, Kind
from pusher.job import Outcome
from pusher.ledger import Ledger
from pusher.push.agreed import Agreed, sent_hashes
from pusher.push.faults import Faults, goes_both_ways, told
from pusher.push.forms import Forms
from pusher.push.mapping import (
    Key,
    KnownKeys,
    Mapped,
    joined,
    local_key,
    missing_parent,
    wire_rows,
)
from pusher.push.source import Source
from pusher.schema.plan import Link, Plan, TablePlan, may_be_null
from pusher.transport.central import Central
from pusher.wire import PROTOCOL
from pusher.wire.batch import pack, pack_cursor, unpack_cursor
from pusher.wire.messages import MAX_ENTITIES, Resolve, Resolved
from pusher.wire.tables import RowSet

# A tree is sent generation by generation as long as it is not deeper than this; then it is cheaper to send
# all the rest with NULL for a parent, and once more with the parent.
_GENERATIONS = 20

Mark = tuple[str, tuple[str, ...], Key]  # a row: its table, and what some of its columns hold


class IdentityMap:
    """The ids that central gave to this site's rows, as far as this cycle needs them.

    They outlive the cycle in the ledger, so that an entity that did not change is not sent again.
    """

    def __init__(
        self, outcome: Outcome, site: str, plan: Plan, source: Source, central: Central, ledger: Ledger
    ) -> None:
        self._outcome = outcome
        self._location = outcome.location
        self._site = site
        self._plan = plan
        self._source = source
        self._central = central
        self._known = KnownKeys()
        self.agreed = Agreed(ledger, self._location)
        self._referred = {table.name: {table.identity} for table in plan.working}
        for link in (link for table in plan.working for link in table.links):
            self._referred[link.parent].add(link.parent_columns)
        self._under_way: set[Mark] = set()
        self._failed: set[Mark] = set()  # in this cycle: not to be tried for each row that refers to it
        self._ended: set[Mark] = set()
        self._unfinished: list[tuple[TablePlan, RowSet]] = []
        self._insisting = False
        self._faults = Faults(ledger, self._location, plan)
        self.forms = Forms(self._location, source, ledger, self._known, self.agreed)
        for table in plan.working:
            self._known.learn(table.name, table.identity, self.agreed.load(table.name))

    # --- what a cycle asks for

    def send_entities(self, table: TablePlan, since: str | None) -> None:
        """Sends the rows of an entity that are active and new, or that changed since they were sent.

        `since`: a row that ended before this moment is not active. Raises MappingConflict.
        """
        known = self.agreed.hashes(table)
        left = 0
        for rows in self._source.entities(table):
            active = self._active(table, rows, since)
            local = rows.tuples(table.identity)
            chosen = [i for i, key in enumerate(local) if active[i] or key in known]
            left += len(rows) - len(chosen)
            self._send(table, rows.take(chosen))
        note = f"{left} rows ended before {since}: they are sent only when others refer to them"
        notes = self._outcome.table(table.name, table.role).notes
        if left and note not in notes:
            notes.append(note)

    def translate(self, table: TablePlan, rows: RowSet) -> Mapped:
        """Puts central's ids into the foreign keys of rows, sending parents that central has not seen."""
        mapped = self._known.translate(table, rows)
        if mapped.missing:
            self._send_parents(table, rows.take(sorted(mapped.missing)), deferred=True)
            mapped = self._known.translate(table, rows)
        return mapped

    def translate_known(self, table: TablePlan, rows: RowSet) -> Mapped:
        """The same as far as ids are known, without asking central for more."""
        return self._known.translate(table, rows)

    def is_known(self, table: TablePlan, rows: RowSet) -> list[bool]:
        """Which rows of an entity central has given an id."""
        known = self._known.of(table.name, table.identity)
        return [key in known for key in rows.tuples(table.identity)]

    def finish(self) -> None:
        """Sends the rows again that went with a NULL because their parent had no central id yet."""
        while self._unfinished:
            table, rows = self._unfinished.pop(0)
            try:
                self._send(table, rows, completing=True)
            except (SchemaMismatch, MappingConflict) as reason:
                self._outcome.table(table.name, table.role).stopped = str(reason)

    def local_keys(self, link: Link) -> dict[Key, Key]:
        """Central's values of a link's parent columns → the site's own, as far as they are known."""
        return {central: local for local, central in self._known.of(link.parent, link.parent_columns).items()}

    def send_again(self, table: TablePlan, keys: Sequence[Key], *, insist: bool) -> RowSet:
        """Sends the rows with these keys once more, though nothing of them changed; returns those that there are.

        `insist`: so that central's are overwritten, should they have been changed there.
        """
        rows = self._source.by_key(table, table.identity, keys)
        if insist or not goes_both_ways(table):  # else a row that is as both sides had it would undo central's change
            self.agreed.doubt(table, rows.tuples(table.identity))
        self._failed -= self._marks(table, rows)
        self._insisting = insist
        try:
            self._send(table, rows)
        finally:
            self._insisting = False
        return rows

    def take_held(self, table: str) -> list[Fault]:
        """The rows of `table` that could not be mapped or were refused since the last call."""
        return self._faults.take(table)

    # --- rows that come down

    def local_rows(self, table: TablePlan) -> dict[Key, list[Key]]:
        """The site's rows by what central holds in the columns of their identity."""
        found: dict[Key, list[Key]] = {}
        for local, central in self._known.of(table.name, table.identity).items():
            found.setdefault(central, []).append(local)
        return found

    def hashes(self, table: TablePlan, rows: RowSet) -> list[str]:
        """Of rows of the site as they would be sent; empty where central does not know what a row refers to."""
        mapped = self._known.translate(table, rows)
        hashes = sent_hashes(table, mapped.rows)
        return ["" if i in mapped.missing else each for i, each in enumerate(hashes)]

    def adopt(self, table: TablePlan, local: RowSet, there: RowSet, versions: list[int]) -> None:
        """Tells central which rows of the site those of its own have become that just came down."""
        for at in range(0, len(local), MAX_ENTITIES):
            part = list(range(at, min(at + MAX_ENTITIES, len(local))))
            came = [versions[i] for i in part]
            self._resolve_part(table, local.take(part), there.take(part), final=True, came=came)

    def _active(self, table: TablePlan, rows: RowSet, since: str | None) -> list[bool]:
        """A row that ended is not, nor is what belongs to it by a foreign key that must be filled."""
        moment = (since or "").replace(" ", "T")
        ends = rows.column(table.active_until) if table.active_until else [None] * len(rows)
        active = [end is None or str(end) >= moment[: len(str(end))] for end in ends]
        for link in table.links:
            if link.parent == table.name or may_be_null(table, link):
                continue
            keys = self._known.link_keys(link, rows)
            active = [
                on and (link.parent, link.parent_columns, key) not in self._ended
                for on, key in zip(active, keys, strict=True)
            ]
        known = self.agreed.hashes(table)
        left = [i for i, key in enumerate(rows.tuples(table.identity)) if not active[i] and key not in known]
        self._ended |= self._marks(table, rows.take(left))
        return active

    # --- parents

    def _send_parents(self, table: TablePlan, rows: RowSet, *, deferred: bool) -> None:
        """Sends what `rows` refer to and central has not seen; behind a deferred link only if `deferred`."""
        for link in table.links:
            if (deferred or not link.deferred) and (wanted := self._wanted(link, rows)):
                self._send(self._plan.table(link.parent), self._read_parents(link, wanted))

    def _wanted(self, link: Link, rows: RowSet) -> set[Key]:
        marks = {(link.parent, link.parent_columns, key) for key in self._known.unknown(link, rows)}
        return {key for _, _, key in marks - self._under_way - self._failed}

    def _read_parents(self, link: Link, wanted: set[Key]) -> RowSet:
        """The rows that `wanted` names, and their own ancestors with them, but for those that are being sent."""
        parent = self._plan.table(link.parent)
        own = [each for each in parent.links if each.parent == parent.name]
        generation = self._read(link, wanted)
        found = [generation]
        there = set(generation.tuples(parent.identity))
        while own and len(generation):
            more = joined(self._read(each, self._wanted(each, generation)) for each in own)
            fresh = {key: i for i, key in enumerate(more.tuples(parent.identity)) if key not in there}
            generation = more.take(list(fresh.values()))
            found.append(generation)
            there |= fresh.keys()
        rows = joined(found)
        keys = rows.tuples(parent.identity)
        return rows.take(
            [i for i, key in enumerate(keys) if (parent.name, parent.identity, key) not in self._under_way]
        )

    def _read(self, link: Link, keys: set[Key]) -> RowSet:
        """The parents with these keys; a key that no row has is not looked for again."""
        parent = self._plan.table(link.parent)
        rows = self._source.by_key(parent, link.parent_columns, list(keys))
        present = set(rows.tuples(link.parent_columns))
        absent = keys - present
        for key in list(absent) if present - keys else ():
            alike = self._source.by_key(parent, link.parent_columns, [key]).tuples(link.parent_columns)
            if len(alike) == 1:
                self._known.alias(link, key, alike[0])
                absent.remove(key)
        self._failed |= {(link.parent, link.parent_columns, key) for key in absent}
        return rows

    # --- sending

    def _send(self, table: TablePlan, rows: RowSet, *, completing: bool = False) -> None:
        """Sends those of `rows` that are new or changed, and before them what they refer to.

        Where rows wait for each other, some go with a NULL, and `finish` sends them again, `completing` them.
        """
        marks = self._marks(table, rows)
        self._under_way |= marks
        try:
            self._send_parents(table, rows, deferred=completing)
            rows = rows.take(self._changed(table, rows))
            for generation in count():
                if not len(rows):
                    return
                mapped = self._known.translate(table, rows)
                ready = [i for i in range(len(rows)) if i not in mapped.missing]
                opened: list[int] = []
                if not completing and (not ready or generation >= _GENERATIONS):
                    opened = self._opened(table, rows, mapped)
                if not (ready or opened):
                    self._hold_all(table, rows, mapped)
                    return
                self._resolve(table, rows.take(ready), mapped.rows.take(ready), final=True)
                self._resolve(table, rows.take(opened), mapped.rows.take(opened), final=False)
                gone = {*ready, *opened}
                self._under_way -= self._marks(table, rows.take(sorted(gone)))
                rows = rows.take([i for i in range(len(rows)) if i not in gone])
        finally:
            self._under_way -= marks

    def _opened(self, table: TablePlan, rows: RowSet, mapped: Mapped) -> list[int]:
        """The rows that may go before their parents, because these are on their way and central takes a NULL."""
        children: dict[Mark, list[int]] = {}
        stuck = []
        for i, links in mapped.missing.items():
            marks = [self._parent_mark(link, rows, i) for link in links]
            for mark in marks:
                children.setdefault(mark, []).append(i)
            if not all(map(self._comes, links, marks)) or not all(may_be_null(table, link) for link in links):
                stuck.append(i)
        opened = mapped.missing.keys() - stuck
        while stuck:  # and with it what waits for it
            for mark in self._marks(table, rows.take([stuck.pop()])):
                left = opened.intersection(children.get(mark, ()))
                opened -= left
                stuck += left
        return sorted(opened)

    def _parent_mark(self, link: Link, rows: RowSet, index: int) -> Mark:
        (key,) = self._known.link_keys(link, rows.take([index]))
        return link.parent, link.parent_columns, key

    def _comes(self, link: Link, parent: Mark) -> bool:
        return link.deferred or parent in self._under_way

    def _marks(self, table: TablePlan, rows: RowSet) -> set[Mark]:
        return {(table.name, columns, key) for columns in self._referred[table.name] for key in rows.tuples(columns)}

    def _changed(self, table: TablePlan, rows: RowSet) -> list[int]:
        """The rows that central does not have like this. Of the others, what refers to them is told."""
        central = self._known.of(table.name, table.identity)
        names = tuple(table.central_names.get(name, name) for name in table.identity)
        left = list(range(len(rows)))
        while True:
            part = rows.take(left)
            mapped = self._known.translate(table, part)
            keys = part.tuples(table.identity)
            hashes = sent_hashes(table, mapped.rows)
            same = [at for at in range(len(part)) if self.agreed.is_same(table, keys[at], hashes[at])]
            same = [at for at in same if at not in mapped.missing]
            self._learn(table, part.take(same), mapped.rows.take(same), names, [central[keys[at]] for at in same])
            gone = set(same)
            left = [i for at, i in enumerate(left) if at not in gone]
            if not (same and mapped.missing):  # else what was missing may have been among the same
                return left

    def _hold_all(self, table: TablePlan, rows: RowSet, mapped: Mapped) -> None:
        for i, links in mapped.missing.items():
            reason = missing_parent(rows, i, links)
            fixed = [link for link in links if not may_be_null(table, link)]
            if any(self._comes(link, self._parent_mark(link, rows, i)) for link in fixed):
                columns = ", ".join(name for link in fixed for name in link.columns)
                reason += f", or waits for this row, and central takes no NULL for {columns} meanwhile"
            self._hold(table, rows, i, reason, Kind.PARENT)

    def _hold(self, table: TablePlan, rows: RowSet, index: int, reason: str, kind: Kind) -> None:
        self._faults.hold(table, local_key(table, rows, index), reason, kind)
        if kind is not Kind.CONFLICT:
            self._failed |= self._marks(table, rows.take([index]))

    def _resolve(self, table: TablePlan, local: RowSet, mapped: RowSet, *, final: bool) -> None:
        if len(local) and not final:
            self._unfinished.append((table, local))
        for at in range(0, len(local), MAX_ENTITIES):
            part = list(range(at, min(at + MAX_ENTITIES, len(local))))
            self._resolve_part(table, local.take(part), mapped.take(part), final)

    def _resolve_part(
        self, table: TablePlan, local: RowSet, mapped: RowSet, final: bool, came: list[int] | None = None
    ) -> None:
        """`came`: the versions of rows that have just come down."""
        outcome = self._outcome.table(table.name, table.role)
        answer = self._central.resolve(
            Resolve(
                protocol=PROTOCOL,
                site=self._site,
                table=table.central_name,
                key=table.to_central(table.key),
                agree=table.to_central(table.agree),
                local_keys=[pack_cursor(key) for key in local.tuples(table.identity)],
                rows=pack(tuple(table.local.column(name).kind for name in table.sent), wire_rows(table, mapped)),
                insist=self._insisting,
                versions=self.agreed.to_send(table, local.tuples(table.identity), came=came is not None),
            )
        )
        outcome.sent += len(local) if came is None else 0
        outcome.created += answer.created
        outcome.updated += answer.updated
        outcome.stored += sum(key is not None for key in answer.keys) if came is None else 0
        keys = [None if key is None else unpack_cursor(key) for key in answer.keys]
        refused = {each.index for each in answer.refused}
        hashes = sent_hashes(table, mapped) if came is None else self.hashes(table, local)
        undone = [conflict.index for conflict in answer.conflicts if conflict.kind == "changed"]
        unsaid = refused.union(undone if final else range(len(local)))
        said = ["" if i in unsaid else each for i, each in enumerate(hashes)]
        noted = self._note(table, local, mapped, keys, said)
        self._hold_conflicts(table, local, answer)  # first, since what is agreed on is in conflict no longer
        self.agreed.note_answer(table, noted, answer, came)
        done = [i for i, key in enumerate(keys) if key is not None and i not in refused]
        self._failed -= self._marks(table, local.take(done))
        in_conflict = {conflict.index for conflict in answer.conflicts}
        self._faults.release(table, [local_key(table, local, i) for i in done if i not in in_conflict])
        for refusal in answer.refused:
            self._hold(table, local, refusal.index, refusal.reason, Kind.REFUSED)
        fatal = [conflict for conflict in answer.conflicts if conflict.kind == "agree"]
        if fatal:
            raise MappingConflict("; ".join(told(table, conflict) for conflict in fatal))
        self._resolve(table, local.take(undone), mapped.take(undone), final=final)

    def _hold_conflicts(self, table: TablePlan, local: RowSet, answer: Resolved) -> None:
        for conflict in answer.conflicts:
            if conflict.kind != "agree":
                self._outcome.table(table.name, table.role).notes.append(told(table, conflict))
                self._hold(table, local, conflict.index, told(table, conflict), Kind.CONFLICT)

    def _note(
        self, table: TablePlan, local: RowSet, mapped: RowSet, keys: Sequence[Key | None], said: list[str]
    ) -> list[tuple[int, Key, Key, str]]:
        """Remembers the ids that central gave; returns what to keep of them, as `Agreed.note_answer` wants it.

        `said`: the hash of each row as central has it; empty while something of it is still to come.
        """
        assert table.central is not None
        done = [i for i, key in enumerate(keys) if key is not None]
        rows, sent = local.take(done), mapped.take(done)
        names = table.central.primary_key or table.to_central(table.key)
        self._learn(table, rows, sent, names, [key for key in keys if key is not None])
        central = self._known.of(table.name, table.identity)
        return [(i, key, central[key], said[i]) for i, key in zip(done, rows.tuples(table.identity), strict=True)]

    def _learn(
        self, table: TablePlan, local: RowSet, sent: RowSet, names: tuple[str, ...], keys: Sequence[Key]
    ) -> None:
        """Notes central's ids of rows. `names`: the columns of central that `keys` hold; the others are as sent."""
        place = {name: at for at, name in enumerate(names)}
        for columns in self._referred[table.name]:
            values = [
                [key[place[there]] for key in keys]
                if (there := table.central_names.get(name, name)) in place
                else sent.column(name)
                for name in columns
            ]
            pairs = zip(local.tuples(columns), zip(*values, strict=True), strict=True)
            self._known.learn(table.name, columns, pairs)
