"""Finds or makes the central row of each entity, and of each row known by its origin, and tells its id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pusher.central.identity import IdentityMap, Known, key_text
from pusher.central.rows import Key, Target, is_numbered
from pusher.wire.fingerprint import canonical, row_hashes
from pusher.wire.messages import Conflict, Refusal, Resolved
from pusher.wire.tables import RowSet


@dataclass(kw_only=True)
class Resolution:
    """The rows of one request on their way; call it under the table's lock.

    Then two sites that bring the same row at the same moment get the same one.
    `local_keys`: the site's primary key of each row. `key`: the natural key, () if there is none.
    """

    target: Target
    site: str
    rows: RowSet
    local_keys: list[Key]
    key: tuple[str, ...]
    agree: tuple[str, ...] = ()

    keys: list[Key | None] = field(init=False)
    refused: dict[int, str] = field(init=False)
    conflicts: list[Conflict] = field(default_factory=list, init=False)
    created: int = field(default=0, init=False)
    updated: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._bound, self.refused = self.target.parameters(self.rows)
        self._columns = self.target.columns(self.rows.names)
        self._hashes = [digest.hex() for digest in row_hashes(self._columns, self.rows)]
        self._local = [key_text(key) for key in self.local_keys]
        self._map = IdentityMap(self.target.connection, self.site, self.target.table.name)
        self._known = self._map.known(self._local)
        self._notes: dict[str, Known] = {}
        self._primary_key = self.target.table.primary_key or self.key
        self._read_names = self.rows.names + tuple(name for name in self._primary_key if name not in self.rows.names)
        self.keys = [None] * len(self.rows)

    def run(self) -> Resolution:
        storable = [i for i in range(len(self.rows)) if i not in self.refused]
        natural = [i for i in storable if self._has_natural_key(i)]
        self._by_natural_key(natural)
        rest = [i for i in storable if not self._has_natural_key(i)]
        if is_numbered(self.target.table):
            self._by_origin(rest)
        else:
            reason = f"{', '.join(self.key)} is NULL, so nothing tells this row from another"
            self.refused |= dict.fromkeys(rest, reason)
        self._map.note(self._known, self._notes)
        return self

    def answer(self) -> Resolved:
        refused = [Refusal(index=i, reason=reason) for i, reason in sorted(self.refused.items())]
        return Resolved(
            keys=self.keys, created=self.created, updated=self.updated, conflicts=self.conflicts, refused=refused
        )

    def _has_natural_key(self, index: int) -> bool:
        return bool(self.key) and all(self.rows.column(name)[index] is not None for name in self.key)

    # --- rows known by their natural key

    def _by_natural_key(self, indexes: list[int]) -> None:
        bound = self._bound_values(self.key, indexes)
        existing = self.target.find(self._read_names, self.key, bound) if indexes else None
        there = self._canonical_keys(existing) if existing else []
        place = {key: at for at, key in enumerate(there)}
        missing: dict[tuple[bytes, ...], list[int]] = {}
        found: dict[int, int] = {}
        for i, key in zip(indexes, self._canonical_keys(self.rows.take(indexes)), strict=True):
            if key in place:
                found[i] = place[key]
            else:
                missing.setdefault(key, []).append(i)
        if existing:
            self._meet(existing, found)
        for first, *twins in self._create(list(missing.values())):
            for twin in twins:  # two rows of the site with one natural key are one row
                self._map_to(twin, self.keys[first], owns=True)

    def _create(self, groups: list[list[int]]) -> list[list[int]]:
        """Inserts the first row of each group; returns the groups that are now there."""
        firsts = [group[0] for group in groups]
        refused = self._insert(firsts)
        for position, reason in refused.items():
            self._meet_or_refuse(firsts[position], reason)
        return [group for group in groups if self.keys[group[0]] is not None]

    def _meet_or_refuse(self, index: int, reason: str) -> None:
        """Central's collation may hold two keys for equal that we do not: then that row is the one."""
        existing = self.target.find(self._read_names, self.key, self._bound_values(self.key, [index]))
        if len(existing) == 1:
            self._meet(existing, {index: 0})
        else:
            self.refused[index] = reason

    def _meet(self, existing: RowSet, found: dict[int, int]) -> None:
        """Each row `i` is there already as row `found[i]` of `existing`: is it the same, and whose word counts?"""
        central_keys = existing.tuples(self._primary_key)
        compared = RowSet(names=self.rows.names, columns=[existing.column(name) for name in self.rows.names])
        hashes = [digest.hex() for digest in row_hashes(self._columns, compared)]
        differing = [i for i, at in found.items() if hashes[at] != self._hashes[i]]
        owners = self._map.owners(key_text(central_keys[found[i]]) for i in differing)
        updates = []
        for i, at in found.items():
            owns = bool(self._known.get(self._local[i]) and self._known[self._local[i]].owns)
            if i in differing:
                owner = owners.get(key_text(central_keys[at]))
                if self._disagree(i, compared, at):
                    self._conflict("agree", owner, i, compared, at)
                    continue
                if self._said_before(i):
                    pass  # central's row was changed there since, and this site has nothing new to say
                elif owner in (None, self.site):
                    updates.append((i, central_keys[at]))
                    owns = True
                else:
                    self._conflict("owned", owner, i, compared, at)
            self._map_to(i, central_keys[at], owns=owns)
        self._update(updates)

    def _said_before(self, index: int) -> bool:
        known = self._known.get(self._local[index])
        return known is not None and known.row_hash == self._hashes[index]

    def _disagree(self, index: int, compared: RowSet, at: int) -> bool:
        return any(
            canonical(column, [self.rows.column(column.name)[index]])
            != canonical(column, [compared.column(column.name)[at]])
            for column in self.target.columns(self.agree)
        )

    def _conflict(self, kind: str, owner: str | None, index: int, compared: RowSet, at: int) -> None:
        here, central = {}, {}
        for name, ours, theirs in zip(self.rows.names, self.rows.columns, compared.columns, strict=True):
            if ours[index] != theirs[at] or name in self.key:
                here[name], central[name] = ours[index], theirs[at]
        self.conflicts.append(Conflict(index=index, kind=kind, owner=owner, here=here, central=central))

    # --- rows known by (site, local primary key)

    def _by_origin(self, indexes: list[int]) -> None:
        known = {i: self._known[self._local[i]].key() for i in indexes if self._local[i] in self._known}
        existing = self.target.find(self._read_names, self._primary_key, list(known.values())) if known else None
        there = {key: at for at, key in enumerate(existing.tuples(self._primary_key))} if existing else {}
        compared = (
            RowSet(names=self.rows.names, columns=[existing.column(n) for n in self.rows.names]) if existing else None
        )
        hashes = [digest.hex() for digest in row_hashes(self._columns, compared)] if compared else []
        updates = []
        for i, key in known.items():
            if key in there:
                self._map_to(i, key, owns=True)
                if hashes[there[key]] != self._hashes[i]:
                    updates.append((i, key))
        self._update(updates)
        lost = [i for i, key in known.items() if key not in there]  # somebody deleted it at central
        new = lost + [i for i in indexes if i not in known]
        for position, reason in self._insert(new).items():
            self.refused[new[position]] = reason

    # --- writing

    def _insert(self, indexes: list[int]) -> dict[int, str]:
        """Adds the rows at `indexes`; returns the reason for each position in it that was refused."""
        if not indexes:
            return {}
        rows = [self._bound[i] for i in indexes]
        names = self.rows.names
        unsent = [name for name in self._primary_key if name not in names]
        if unsent:
            numbers = self.target.number(len(indexes))
            refused = self.target.insert(
                (*names, *unsent), [row + number for row, number in zip(rows, numbers, strict=True)]
            )
            central_keys = numbers
        else:
            refused = self.target.insert(names, rows)
            central_keys = self.rows.take(indexes).tuples(self._primary_key)
        for position, i in enumerate(indexes):
            if position not in refused:
                self._map_to(i, central_keys[position], owns=True)
                self.created += 1
        return refused

    def _update(self, updates: list[tuple[int, Key]]) -> None:
        names = self.rows.names
        unsent = [place for place, name in enumerate(self._primary_key) if name not in names]
        rows = [self._bound[i] + tuple(key[place] for place in unsent) for i, key in updates]
        refused = self.target.update(self._read_names, self._primary_key, rows)
        for position, reason in refused.items():
            self.refused[updates[position][0]] = reason
        self.updated += len(updates) - len(refused)

    def _map_to(self, index: int, central_key: Key | None, *, owns: bool) -> None:
        assert central_key is not None
        self.keys[index] = central_key
        self._notes[self._local[index]] = Known(
            central_key=key_text(central_key), row_hash=self._hashes[index], owns=owns
        )

    def _bound_values(self, names: tuple[str, ...], indexes: Iterable[int]) -> list[Key]:
        places = [self.rows.names.index(name) for name in names]
        return [tuple(self._bound[i][place] for place in places) for i in indexes]

    def _canonical_keys(self, rows: RowSet) -> list[tuple[bytes, ...]]:
        encoded: list[Any] = [canonical(column, rows.column(column.name)) for column in self.target.columns(self.key)]
        return list(zip(*encoded, strict=True))
