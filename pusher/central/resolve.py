"""Finds or makes the central row of each entity, and of each row known by its origin, and tells its id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pusher.central.authors import authors
from pusher.central.identity import IdentityMap, Known, key_text
from pusher.central.rows import Key, Target, is_numbered
from pusher.central.versions import Version, Versions
from pusher.wire.batch import pack_cursor
from pusher.wire.fingerprint import canonical, row_hashes
from pusher.wire.messages import Conflict, Refusal, Resolved
from pusher.wire.tables import Kind, RowSet

_OVER_REST = ""  # in place of a local key


class MustWrite(Exception):
    """Rows have to be added or changed, which takes the table's lock."""


@dataclass(kw_only=True)
class Resolution:
    """The rows of one request on their way; call it under the table's lock, or have it look only.

    Then two sites that bring the same row at the same moment get the same one. `looks_only`: raise MustWrite before
    any row of the table is added or changed.
    `local_keys`: the site's primary key of each row. `key`: the natural key, () if there is none. `versions`: see
    Resolve; with them any site may write any row, if it knows what it undoes.
    """

    target: Target
    site: str
    rows: RowSet
    local_keys: list[Key]
    key: tuple[str, ...]
    agree: tuple[str, ...] = ()
    insist: bool = False
    versions: list[int] | None = None
    looks_only: bool = False

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
        self._owned: dict[str, tuple[str, str]] = {}  # in this request: central key → (site, local key)
        self._primary_key = self.target.table.primary_key or self.key
        self._read_names = self.rows.names + tuple(name for name in self._primary_key if name not in self.rows.names)
        self.keys = [None] * len(self.rows)
        self._versions = None if self.versions is None else Versions(self.target, self._primary_key)
        self._now: dict[str, Version] = {}  # by central key
        self._written: list[Key] = []

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
        if self._versions is not None:
            self._now |= self._versions.wrote(self.site, self._written)
        return self

    def answer(self, resolved: int) -> Resolved:
        """`resolved`: how many requests of the site were answered, this one included."""
        refused = [Refusal(index=i, reason=reason) for i, reason in sorted(self.refused.items())]
        return Resolved(
            keys=[None if key is None else pack_cursor(key) for key in self.keys],
            created=self.created,
            updated=self.updated,
            conflicts=self.conflicts,
            refused=refused,
            resolved=resolved,
            versions=None if self.versions is None else [self._version_of(key) for key in self.keys],
        )

    def _version_of(self, key: Key | None) -> int:
        now = None if key is None else self._now.get(key_text(key))
        return now.number if now else 0

    def _has_natural_key(self, index: int) -> bool:
        return bool(self.key) and all(self.rows.column(name)[index] is not None for name in self.key)

    # --- rows known by their natural key

    def _by_natural_key(self, indexes: list[int]) -> None:
        groups: dict[Key, list[int]] = {}
        for i, key in zip(indexes, self._canonical(self.key, self.rows.take(indexes)), strict=True):
            groups.setdefault(key, []).append(i)
        firsts = {key: group[0] for key, group in groups.items()}
        wanted = self._bound_values(self.key, firsts.values())
        if self._versions is not None:
            self._versions.lock(self.key, wanted)
        existing = self.target.find(self._read_names, self.key, wanted)
        place = {key: at for at, key in enumerate(self._canonical(self.key, existing))}
        self._meet(existing, {i: place[key] for key, i in firsts.items() if key in place}, same_key=True)
        missing = [i for key, i in firsts.items() if key not in place]
        nameless = self._nameless(missing)
        self._by_origin(sorted(nameless))
        self._create([i for i in missing if i not in nameless])
        for first, *twins in groups.values():
            for twin in twins:
                self._join(twin, first)

    def _nameless(self, indexes: list[int]) -> set[int]:
        """Those that central has by their origin, their natural key having been NULL until now."""
        known = self._known_keys(indexes)
        existing = self._find(list(known.values()))
        unnamed = {
            key
            for key, values in zip(existing.tuples(self._primary_key), existing.tuples(self.key), strict=True)
            if None in values
        }
        return {i for i, key in known.items() if key in unnamed}

    def _create(self, indexes: list[int]) -> None:
        """Adds rows. Central's collation may hold two keys for equal that we do not: then that row is the one."""
        for position, reason in self._insert(indexes).items():
            i = indexes[position]
            existing = self.target.find(self._read_names, self.key, self._bound_values(self.key, [i]))
            if len(existing) == 1:
                self._meet(existing, {i: 0}, same_key=False)
            else:
                self.refused[i] = reason

    def _join(self, twin: int, first: int) -> None:
        """Two rows of the site with one natural key are one row; if they differ, the first one's word stands."""
        key = self.keys[first]
        if key is None:
            if first in self.refused:
                self.refused[twin] = self.refused[first]
            return
        if self._hashes[twin] != self._hashes[first]:
            self._conflict("owned", self.site, twin, self.rows, first)
        self.keys[twin] = key
        if self._local[twin] != self._local[first]:
            self._map_to(twin, key, owns=False)

    def _meet(self, existing: RowSet, found: dict[int, int], *, same_key: bool) -> None:
        """Each row `i` is there already as row `found[i]` of `existing`: is it the same, and whose word counts?

        `same_key`: not only central's collation says that it is the same row.
        """
        central_keys = existing.tuples(self._primary_key)
        compared = RowSet(names=self.rows.names, columns=[existing.column(name) for name in self.rows.names])
        hashes = [digest.hex() for digest in row_hashes(self._columns, compared)]
        differing = {i for i, at in found.items() if hashes[at] != self._hashes[i]}
        owners = self._owners([central_keys[found[i]] for i in differing])
        self._look([central_keys[at] for at in found.values()])
        updates = []
        for i, at in found.items():
            known = self._known.get(self._local[i])
            owns = known is not None and known.owns
            if i in differing:
                owned_by = owners.get(key_text(central_keys[at]), set())
                owner = min((site for site, _ in owned_by), default=None)
                if self._disagree(i, compared, at):
                    self._conflict("agree", owner, i, compared, at)
                    continue
                if self._versions is not None:
                    if self._weigh(i, central_keys[at], compared, at, owner):
                        updates.append((i, central_keys[at]))
                        owns = owns or not owned_by
                elif known is not None and known.row_hash == self._hashes[i] and not self.insist:
                    # Nothing new to say: central's row was changed there since, or is another's all along.
                    if owner is not None and not owns:
                        self._conflict("owned", owner, i, compared, at)
                elif self._may_write(i, owned_by, same_key):
                    updates.append((i, central_keys[at]))
                    owns = True
                else:
                    self._conflict("owned", owner, i, compared, at)
            self._map_to(i, central_keys[at], owns=owns)
        self._update(updates)

    def _owners(self, central_keys: Iterable[Key]) -> dict[str, set[tuple[str, str]]]:
        texts = [key_text(key) for key in central_keys]
        owners = self._map.owners(texts)
        for text, site in authors(self.target, texts).items():
            owners.setdefault(text, set()).add((site, _OVER_REST))
        for text in texts:
            if text in self._owned:
                owners.setdefault(text, set()).add(self._owned[text])
        return owners

    def _may_write(self, index: int, owners: set[tuple[str, str]], same_key: bool) -> bool:
        """A site may number its rows afresh, so with the same key any of its rows may; but one row is no other."""
        mine = (self.site, self._local[index])
        return not owners or mine in owners or (same_key and self.site in {site for site, _ in owners})

    def _disagree(self, index: int, compared: RowSet, at: int) -> bool:
        return any(
            canonical(column, [self.rows.column(column.name)[index]])
            != canonical(column, [compared.column(column.name)[at]])
            for column in self.target.columns(self.agree)
        )

    def _look(self, central_keys: list[Key]) -> None:
        if self._versions is not None:
            self._now |= self._versions.look(central_keys)

    def _weigh(self, index: int, central_key: Key, compared: RowSet, at: int, owner: str | None) -> bool:
        """Of a row that goes both ways and differs: is it to be written? If not, the site is told why."""
        assert self.versions is not None
        now, known = self._now[key_text(central_key)], self._known.get(self._local[index])
        agreed = self.versions[index]
        if agreed < 0:
            return False
        if known is None or known.central_key != key_text(central_key):
            agreed, known = 0, None
        (there,) = row_hashes(self._columns, compared.take([at]))
        said = known is not None and now.number == 1 and known.row_hash == there.hex()
        if agreed == now.number or now.site == self.site or said:
            return True  # nobody else has changed it
        whose = now.site or (owner if now.number == 1 else None)
        self._conflict("changed" if agreed or self.insist else "met", whose, index, compared, at)
        return False

    def _conflict(self, kind: str, owner: str | None, index: int, compared: RowSet, at: int) -> None:
        here, central = {}, {}
        for name, ours, theirs in zip(self.rows.names, self.rows.columns, compared.columns, strict=True):
            if ours[index] != theirs[at] or name in self.key:
                here[name], central[name] = pack_cursor((ours[index], theirs[at]))
        self.conflicts.append(Conflict(index=index, kind=kind, owner=owner, here=here, central=central))

    # --- rows known by (site, local primary key)

    def _by_origin(self, indexes: list[int]) -> None:
        known = self._known_keys(indexes)
        existing = self._find(list(known.values()))
        compared = RowSet(names=self.rows.names, columns=[existing.column(name) for name in self.rows.names])
        hashes = [digest.hex() for digest in row_hashes(self._columns, compared)]
        there = {key: at for at, key in enumerate(existing.tuples(self._primary_key))}
        self._look(list(there))
        updates = []
        for i, key in known.items():
            if key in there:
                at = there[key]
                self._map_to(i, key, owns=True)
                if hashes[at] != self._hashes[i] and (
                    self._versions is None or self._weigh(i, key, compared, at, None)
                ):
                    updates.append((i, key))
        self._update(updates)
        # Known but not there: somebody deleted it at central.
        new = [i for i in indexes if known.get(i) not in there]
        for position, reason in self._insert(new).items():
            self.refused[new[position]] = reason

    def _known_keys(self, indexes: Iterable[int]) -> dict[int, Key]:
        """Central's keys of the rows that this site sent before."""
        known = {i: self._known[self._local[i]].key() for i in indexes if self._local[i] in self._known}
        return {i: key for i, key in known.items() if key is not None}

    def _find(self, keys: list[Key]) -> RowSet:
        return self.target.find(self._read_names, self._primary_key, self._bind(keys))

    def _bind(self, keys: list[Key]) -> list[Key]:
        return self.target.parameters(RowSet.of(self._primary_key, keys))[0]

    # --- writing

    def _insert(self, indexes: list[int]) -> dict[int, str]:
        """Adds the rows at `indexes`; returns the reason for each position in it that was refused."""
        if not indexes:
            return {}
        if self.looks_only:
            raise MustWrite
        plain, names, bound = self.rows.take(indexes), self.rows.names, [self._bound[i] for i in indexes]
        unsent = [column.name for column in self.target.columns(self._primary_key) if column.name not in names]
        number = next((name for name in unsent if self.target.table.column(name).numbered), None)
        if number:
            plain = self._numbered(plain, number)
            names, numbers = (*names, number), plain.column(number)
            bound = [(*row, value) for row, value in zip(bound, numbers, strict=True)]
        refused = self.target.insert(names, bound)
        stored = [position for position in range(len(indexes)) if position not in refused]
        for position, key in zip(stored, self._stored_keys(plain.take(stored), number), strict=True):
            if key is None:
                refused[position] = "central changed its key while storing it"
                continue
            self._map_to(indexes[position], key, owns=True)
            self._written.append(key)
            self.created += 1
        return refused

    def _numbered(self, plain: RowSet, name: str) -> RowSet:
        """With a number for each row that never was another row's, not even one's that was deleted since."""
        numbers = [number for (number,) in self.target.number(len(plain))]
        while True:
            plain = plain.with_column(name, numbers)
            if self.target.dialect == "postgresql" or not set(self._primary_key) <= set(plain.names):
                return plain
            keys = [key_text(key) for key in plain.tuples(self._primary_key)]
            given = self._map.given(keys)
            if not given:
                return plain
            last = max(number for number, key in zip(numbers, keys, strict=True) if key in given)
            numbers = list(range(last + 1, last + 1 + len(numbers)))

    def _stored_keys(self, plain: RowSet, number: str | None) -> list[Key | None]:
        """The primary keys of rows just added, as central spells them."""
        columns = self.target.columns(self._primary_key)
        if all(c.name in plain.names and c.kind in (Kind.INTEGER, Kind.TEXT) and not c.padded for c in columns):
            return list(plain.tuples(self._primary_key))
        by = (number,) if number else self.key
        bound, _ = self.target.parameters(RowSet(names=by, columns=[plain.column(name) for name in by]))
        there = self.target.find(tuple(dict.fromkeys(by + self._primary_key)), by, bound)
        stored = dict(zip(self._canonical(by, there), there.tuples(self._primary_key), strict=True))
        return [stored.get(key) for key in self._canonical(by, plain)]

    def _update(self, updates: list[tuple[int, Key]]) -> None:
        if not updates:
            return
        if self.looks_only:
            raise MustWrite
        unsent = [place for place, name in enumerate(self._primary_key) if name not in self.rows.names]
        keys = self._bind([key for _, key in updates])
        rows = [
            self._bound[i] + tuple(key[place] for place in unsent) for (i, _), key in zip(updates, keys, strict=True)
        ]
        refused = self.target.update(self._read_names, self._primary_key, rows)
        for position, reason in refused.items():
            i = updates[position][0]
            self.refused[i] = reason
            self._notes[self._local[i]] = replace(self._notes[self._local[i]], row_hash="")  # it has still to be said
        self._written += [key for position, (_, key) in enumerate(updates) if position not in refused]
        self.updated += len(updates) - len(refused)

    def _map_to(self, index: int, central_key: Key, *, owns: bool) -> None:
        self.keys[index] = central_key
        local, central = self._local[index], key_text(central_key)
        self._notes[local] = Known(central_key=central, row_hash=self._hashes[index], owns=owns)
        if owns:
            self._owned.setdefault(central, (self.site, local))

    def _bound_values(self, names: tuple[str, ...], indexes: Iterable[int]) -> list[Key]:
        places = [self.rows.names.index(name) for name in names]
        return [tuple(self._bound[i][place] for place in places) for i in indexes]

    def _canonical(self, names: tuple[str, ...], rows: RowSet) -> list[tuple[bytes, ...]]:
        encoded: list[Any] = [canonical(column, rows.column(column.name)) for column in self.target.columns(names)]
        return list(zip(*encoded, strict=True))
