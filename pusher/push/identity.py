"""Maps the site's ids to central's: sends entities, learns their central ids, translates foreign keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pusher.errors import MappingConflict
from pusher.job import Outcome
from pusher.ledger import Ledger
from pusher.push.source import Source
from pusher.schema.plan import Link, Plan, TablePlan, may_be_null
from pusher.transport.central import Central
from pusher.wire import PROTOCOL
from pusher.wire.batch import pack
from pusher.wire.fingerprint import row_hashes
from pusher.wire.messages import MAX_ENTITIES, Conflict, Resolve
from pusher.wire.tables import RowSet

Key = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """Rows with central's ids in their foreign keys; `missing[i]`: the links of row i whose parent has none."""

    rows: RowSet
    missing: dict[int, list[Link]]


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
        self._ledger = ledger
        self._keys: dict[tuple[str, tuple[str, ...]], dict[Key, Key]] = {}
        self._hashes: dict[str, dict[Key, str]] = {}
        self._referred = {(link.parent, link.parent_columns) for table in plan.working for link in table.links}
        self._under_way: set[tuple[str, Key]] = set()
        self._unfinished: list[tuple[TablePlan, RowSet]] = []
        self._held: dict[str, list[tuple[str, str]]] = {}
        for table in plan.working:
            self._load(table)

    def _load(self, table: TablePlan) -> None:
        keys = self._keys.setdefault((table.name, table.identity), {})
        hashes = self._hashes.setdefault(table.name, {})
        for local_key, (central_key, row_hash) in self._ledger.identities(self._location, table.name).items():
            local = tuple(msgspec.json.decode(local_key))
            keys[local] = tuple(msgspec.json.decode(central_key))
            hashes[local] = row_hash

    # --- entities

    def send_entities(self, table: TablePlan, since: str | None) -> None:
        """Sends the rows of an entity that are active and new, or that changed since they were sent.

        `since`: a row that ended before this moment is not active. Raises MappingConflict.
        """
        known = self._hashes[table.name]
        for rows in self._source.entities(table):
            local = rows.tuples(table.identity)
            hashes = self._local_hashes(table, rows)
            active = self._active(table, rows, since)
            changed = [i for i, key in enumerate(local) if (key in known or active[i]) and known.get(key) != hashes[i]]
            self._send(table, rows.take(changed))

    def finish(self) -> None:
        """Sends the rows again that went with a NULL because their parent had no central id yet."""
        while self._unfinished:
            table, rows = self._unfinished.pop()
            self._send(table, rows)

    def local_keys(self, link: Link) -> dict[Key, Key]:
        """Central's values of a link's parent columns → the site's own, as far as they are known."""
        return {central: local for local, central in self._keys.get((link.parent, link.parent_columns), {}).items()}

    def take_held(self, table: str) -> list[tuple[str, str]]:
        """The rows of `table` that could not be mapped or were refused since the last call: (local key, reason)."""
        return self._held.pop(table, [])

    def _active(self, table: TablePlan, rows: RowSet, since: str | None) -> list[bool]:
        ends = rows.column(table.active_until) if table.active_until else [None] * len(rows)
        active = [end is None or since is None or str(end) >= since for end in ends]
        for link in table.links:
            parent = self._plan.table(link.parent)
            if parent.name == table.name or parent.active_until is None:
                continue  # what belongs to a house that has ended is itself no longer active
            keys = self._keys.get((link.parent, link.parent_columns), {})
            active = [
                on and (None in key or key in keys) for on, key in zip(active, rows.tuples(link.columns), strict=True)
            ]
        return active

    def _local_hashes(self, table: TablePlan, rows: RowSet) -> list[str]:
        sent = RowSet(names=table.sent, columns=[rows.column(name) for name in table.sent])
        return [digest.hex() for digest in row_hashes((table.local.column(name) for name in table.sent), sent)]

    # --- translating

    def translate(self, table: TablePlan, rows: RowSet) -> Mapped:
        """Puts central's ids into the foreign keys of rows, sending parents that central has not seen."""
        missing: dict[int, list[Link]] = {}
        mapped = rows
        for link in table.links:
            keys = rows.tuples(link.columns)
            distinct = {key for key in set(keys) if None not in key}
            known = self._keys.setdefault((link.parent, link.parent_columns), {})
            if unknown := distinct - known.keys():
                self._ensure(link, unknown)
            central = {key: known.get(key, (None,) * len(key)) for key in distinct}
            for name, values in zip(
                link.columns, zip(*(central.get(key, key) for key in keys), strict=True), strict=True
            ):
                mapped = mapped.with_column(name, list(values))
            if unknown := distinct - known.keys():
                for i, key in enumerate(keys):
                    if key in unknown:
                        missing.setdefault(i, []).append(link)
        return Mapped(rows=mapped, missing=missing)

    def _ensure(self, link: Link, keys: set[Key]) -> None:
        """Sends the parents whose `link.parent_columns` hold one of `keys`, and their own ancestors with them."""
        parent = self._plan.table(link.parent)
        wanted = [key for key in keys if (parent.name, key) not in self._under_way]
        if not wanted:
            return
        rows = self._source.by_key(parent, link.parent_columns, wanted)
        for own in (each for each in parent.links if each.parent == parent.name):
            rows = self._with_ancestors(parent, own, rows)
        self._send(parent, rows)

    def _with_ancestors(self, table: TablePlan, link: Link, rows: RowSet) -> RowSet:
        known = self._keys.get((table.name, link.parent_columns), {})
        while True:
            here = set(rows.tuples(link.parent_columns))
            beyond = {
                key for key in rows.tuples(link.columns) if None not in key and key not in here and key not in known
            }
            more = self._source.by_key(table, link.parent_columns, list(beyond)) if beyond else None
            if not more:
                return rows
            columns = [own + new for own, new in zip(rows.columns, more.columns, strict=True)]
            rows = RowSet(names=rows.names, columns=columns)

    # --- sending

    def _send(self, table: TablePlan, rows: RowSet) -> None:
        """Sends rows level by level: a row goes when all it refers to has a central id."""
        marks = {(table.name, key) for key in rows.tuples(table.identity)} - self._under_way
        self._under_way |= marks
        try:
            while len(rows):
                mapped = self.translate(table, rows)
                ready = [i for i in range(len(rows)) if i not in mapped.missing]
                if not ready:
                    self._open_circle(table, rows, mapped)
                    return
                self._resolve(table, rows.take(ready), mapped.rows.take(ready))
                rows = rows.take(sorted(mapped.missing))
        finally:
            self._under_way -= marks

    def _open_circle(self, table: TablePlan, rows: RowSet, mapped: Mapped) -> None:
        """Nothing can go first. Rows that wait for each other go with NULL now and again later; others are held."""
        waiting: list[int] = []
        lost: list[int] = []
        for i in range(len(rows)):
            circular = all(
                (link.parent, rows.take([i]).tuples(link.columns)[0]) in self._under_way and may_be_null(table, link)
                for link in mapped.missing[i]
            )
            (waiting if circular else lost).append(i)
        for i in lost:
            self.hold(table, rows, i, missing_parent(rows, i, mapped.missing[i]))
        if waiting:
            self._unfinished.append((table, rows.take(waiting)))
            self._resolve(table, rows.take(waiting), mapped.rows.take(waiting), final=False)

    def hold(self, table: TablePlan, rows: RowSet, index: int, reason: str) -> None:
        self._held.setdefault(table.name, []).append((local_key(table, rows, index), reason))

    def _resolve(self, table: TablePlan, local: RowSet, mapped: RowSet, *, final: bool = True) -> None:
        for at in range(0, len(local), MAX_ENTITIES):
            part = list(range(at, min(at + MAX_ENTITIES, len(local))))
            self._resolve_part(table, local.take(part), mapped.take(part), final)

    def _resolve_part(self, table: TablePlan, local: RowSet, mapped: RowSet, final: bool) -> None:
        outcome = self._outcome.table(table.name, table.role)
        sent = wire_rows(table, mapped)
        local_keys = local.tuples(table.identity)
        answer = self._central.resolve(
            Resolve(
                protocol=PROTOCOL,
                site=self._site,
                table=table.central_name,
                key=table.to_central(table.key),
                agree=table.to_central(table.agree),
                local_keys=local_keys,
                rows=pack(tuple(table.local.column(name).kind for name in table.sent), sent),
            )
        )
        outcome.sent += len(local)
        outcome.created += answer.created
        outcome.updated += answer.updated
        outcome.stored += sum(key is not None for key in answer.keys)
        self._note(table, local, mapped, answer.keys, {each.index for each in answer.refused}, final)
        for refusal in answer.refused:
            self.hold(table, local, refusal.index, refusal.reason)
        fatal = [conflict for conflict in answer.conflicts if conflict.kind == "agree"]
        if fatal:
            raise MappingConflict("; ".join(_describe(table, conflict) for conflict in fatal))
        outcome.notes += [_describe(table, conflict) for conflict in answer.conflicts]

    def _note(
        self,
        table: TablePlan,
        local: RowSet,
        mapped: RowSet,
        keys: Sequence[Key | None],
        refused: set[int],
        final: bool,
    ) -> None:
        hashes = self._local_hashes(table, local)
        noted = []
        done = [(i, key) for i, key in enumerate(keys) if key is not None]
        for parent, columns in self._referred | {(table.name, table.identity)}:
            if parent != table.name:
                continue
            place = self._keys.setdefault((parent, columns), {})
            here = local.tuples(columns)
            for i, key in done:
                place[here[i]] = self._central_values(table, columns, key, mapped, i)
        identities = local.tuples(table.identity)
        for i, _ in done:
            # Not noted as sent while something of the row is still to come.
            hash_ = hashes[i] if final and i not in refused else ""
            self._hashes[table.name][identities[i]] = hash_
            noted.append(
                (key_text(identities[i]), key_text(self._keys[table.name, table.identity][identities[i]]), hash_)
            )
        self._ledger.note_identities(self._location, table.name, noted)

    def _central_values(self, table: TablePlan, columns: tuple[str, ...], key: Key, mapped: RowSet, row: int) -> Key:
        """Central's values of `columns`: from its primary key, or as they were sent."""
        assert table.central is not None
        by_name = dict(zip(table.central.primary_key or table.to_central(table.key), key, strict=True))
        return tuple(
            by_name[table.central_names[name]] if table.central_names.get(name) in by_name else mapped.column(name)[row]
            for name in columns
        )


def wire_rows(table: TablePlan, mapped: RowSet) -> RowSet:
    """The columns that travel, under central's names."""
    return RowSet(names=table.to_central(table.sent), columns=[mapped.column(name) for name in table.sent])


def key_text(key: Iterable[Any]) -> str:
    return msgspec.json.encode(list(key), enc_hook=bytes.hex).decode()


def local_key(table: TablePlan, rows: RowSet, index: int) -> str:
    return key_text(rows.column(name)[index] for name in table.identity)


def missing_parent(rows: RowSet, index: int, links: Iterable[Link]) -> str:
    parts = []
    for link in links:
        values = ", ".join(f"{name} = {rows.column(name)[index]}" for name in link.columns)
        parts.append(f"{values} refers to a {link.parent} that is missing or held itself")
    return "; ".join(parts)


def _describe(table: TablePlan, conflict: Conflict) -> str:
    here = ", ".join(f"{name} = {value!r}" for name, value in conflict.here.items())
    there = ", ".join(f"{name} = {value!r}" for name, value in conflict.central.items())
    if conflict.kind == "agree":
        return f"{table.name} must agree on both sides: here {here}; at central {there}"
    return f"{table.name} is left as site {conflict.owner} has it: here {here}; at central {there}"
