"""Whose the rows of a stream are that are known by their key: what another site has written is not overwritten.

To note an owner for each row would cost as much as to store it. So rows belong by scope: all that have the same
foreign keys in their key, such as the readings of one node, are of the site that first pushed one of them; without a
foreign key in its key, the whole table is one scope. Only what a site has in the scope of another is noted row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import sqlalchemy as sa

from models import bookkeeping
from pusher.central.rows import Key, Target
from pusher.central.sites import insert_new
from pusher.wire.fingerprint import row_hashes
from pusher.wire.tables import RowSet

_CHUNK = 500


class Lock(Enum):
    """How rows are kept as they are: against whoever would change them, or against whoever would even read them so."""

    NONE = 0
    SHARE = 1
    UPDATE = 2


@dataclass(frozen=True, kw_only=True)
class Scope:
    site: str
    shared: bool


@dataclass(kw_only=True)
class Ownership:
    """The rows of one batch, sorted by whose they are; call it within the batch's transaction.

    `foreign`: the owner of each row that another site has otherwise. `same`: rows that another site has just like
    this. All others are this site's to write, and `note` has to be told which of them were stored.
    """

    target: Target
    site: str
    key: tuple[str, ...]
    rows: RowSet
    bound: Sequence[Key]

    foreign: dict[int, str] = field(default_factory=dict, init=False)
    same: set[int] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._table = self.target.table.name
        self._guests: dict[int, tuple[str, str]] = {}  # new rows in the scope of another site: hash of the key, scope
        distinct = _distinct_scopes(self.target, self.key, self.rows)
        self._homes = self._claimed(distinct)
        if distinct == _own(self._homes, self.site):
            return
        scopes = _scopes(self.target, self.key, self.rows)
        doubtful = [
            i for i, scope in enumerate(scopes) if self._homes[scope].shared or self._homes[scope].site != self.site
        ]
        self._sort(doubtful, scopes)

    def note(self, stored: Iterable[int]) -> None:
        """Notes as this site's those of the stored rows that lie in the scope of another one."""
        if not self._guests:
            return
        guests = dict(self._guests[i] for i in stored if i in self._guests)
        if not guests:
            return
        rows, scopes = bookkeeping.row, bookkeeping.scope
        place = {"table_name": self._table, "site": self.site}
        self.target.connection.execute(sa.insert(rows), [place | {"row_key": key} for key in guests])
        for chunk in _chunks(sorted(set(guests.values()))):
            mine = (scopes.c.table_name == self._table, scopes.c.scope.in_(chunk))
            self.target.connection.execute(sa.update(scopes).where(*mine).values(shared=True))

    def _claimed(self, scopes: set[str]) -> dict[str, Scope]:
        """Whose the scopes are; what was nobody's is this site's from now on. They stay locked with the transaction.

        Those that are this site's alone are locked as by any number of its batches at once.
        """
        own = _own(_homes(self.target, scopes), self.site)
        homes = _homes(self.target, own, Lock.SHARE) | _homes(self.target, scopes - own, Lock.UPDATE)
        unclaimed = sorted(scopes - homes.keys())
        mine: dict[str, object] = {"table_name": self._table, "site": self.site, "shared": False}
        insert_new(self.target.connection, bookkeeping.scope, [mine | {"scope": scope} for scope in unclaimed])
        return homes | _homes(self.target, set(unclaimed), Lock.UPDATE)

    def _sort(self, doubtful: list[int], scopes: list[str]) -> None:
        part = self.rows.take(doubtful)
        hashed = dict(zip(doubtful, key_hashes(self.target, self.key, part), strict=True))
        owners = _owners(self.target, set(hashed.values()))
        in_question = {}
        for i in doubtful:
            home = self._homes[scopes[i]].site
            owner = owners.get(hashed[i], home)
            if owner != self.site:
                in_question[i] = owner
                if hashed[i] not in owners:
                    self._guests[i] = hashed[i], scopes[i]
        there = self._there(list(in_question))
        own = dict(zip(in_question, self._hashes(self.rows.take(list(in_question))), strict=True))
        for i, owner in in_question.items():
            if hashed[i] not in there:
                if i not in self._guests:  # the owner's row has been deleted at central since
                    self.foreign[i] = owner
            elif there[hashed[i]] == own[i]:
                self.same.add(i)
            else:
                self.foreign[i] = owner
        for i in self.same | self.foreign.keys():
            self._guests.pop(i, None)

    def _there(self, indexes: list[int]) -> dict[str, bytes]:
        """The rows that central has with the keys of these: hash of the key → hash of the row."""
        places = [self.rows.names.index(name) for name in self.key]
        bound = [tuple(self.bound[i][place] for place in places) for i in indexes]
        existing = self.target.find(self.rows.names, self.key, bound)
        keys = key_hashes(self.target, self.key, existing)
        return dict(zip(keys, self._hashes(existing), strict=True))

    def _hashes(self, rows: RowSet) -> list[bytes]:
        return row_hashes(self.target.columns(rows.names), rows)


def is_undisputed(target: Target, site: str, key: tuple[str, ...], rows: RowSet) -> bool:
    """Whether all rows lie in scopes that are this site's, and nobody else's."""
    scopes = _distinct_scopes(target, key, rows)
    return _own(_homes(target, scopes), site) == scopes


def forget_guests(target: Target, site: str, key: tuple[str, ...], rows: RowSet) -> None:
    """Rows that are no more are nobody's."""
    hashes = key_hashes(target, key, rows)
    for chunk in _chunks(sorted(set(hashes))):
        mine = (bookkeeping.row.c.table_name == target.table.name, bookkeeping.row.c.site == site)
        target.connection.execute(sa.delete(bookkeeping.row).where(*mine, bookkeeping.row.c.row_key.in_(chunk)))


def belong(target: Target, site: str, key: tuple[str, ...], rows: RowSet) -> list[bool]:
    """Which of the rows, all of them central's, are those of `site`."""
    scopes = _scopes(target, key, rows)
    homes = _homes(target, set(scopes))
    mine = [scope in homes and homes[scope].site == site for scope in scopes]
    doubtful = [i for i, scope in enumerate(scopes) if scope in homes and (homes[scope].shared or not mine[i])]
    if doubtful:
        hashed = key_hashes(target, key, rows.take(doubtful))
        owners = _owners(target, set(hashed))
        for i, each in zip(doubtful, hashed, strict=True):
            mine[i] = owners.get(each, homes[scopes[i]].site) == site
    return mine


def whose(target: Target, key: tuple[str, ...], rows: RowSet) -> list[str | None]:
    """The site that each of the rows belongs to, whether central has it or not; None if its scope is nobody's."""
    scopes = _scopes(target, key, rows)
    homes = _homes(target, set(scopes))
    hashed = key_hashes(target, key, rows) if homes else [""] * len(scopes)
    owners = _owners(target, set(hashed)) if any(home.shared for home in homes.values()) else {}
    both = zip(scopes, hashed, strict=True)
    return [owners.get(each, homes[scope].site) if scope in homes else None for scope, each in both]


def key_hashes(target: Target, key: tuple[str, ...], rows: RowSet) -> list[str]:
    keys = RowSet(names=key, columns=[rows.column(name) for name in key])
    return [digest.hex() for digest in row_hashes(target.columns(key), keys)]


def _scopes(target: Target, key: tuple[str, ...], rows: RowSet) -> list[str]:
    """The scope of each row."""
    names = _scoping(target, key)
    if not names:
        return [""] * len(rows)
    keys = rows.tuples(names)
    known = _scopes_of(target, names, set(keys))
    return [known[each] for each in keys]


def _distinct_scopes(target: Target, key: tuple[str, ...], rows: RowSet) -> set[str]:
    names = _scoping(target, key)
    return set(_scopes_of(target, names, set(rows.tuples(names))).values()) if names else {""}


def _scoping(target: Target, key: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a key by which rows fall into scopes."""
    referring = {name for reference in target.table.references for name in reference.columns}
    return tuple(name for name in key if name in referring)


def _scopes_of(target: Target, names: tuple[str, ...], keys: set[Key]) -> dict[Key, str]:
    distinct = list(keys)
    return dict(zip(distinct, key_hashes(target, names, RowSet.of(names, distinct)), strict=True))


def _homes(target: Target, scopes: set[str], lock: Lock = Lock.NONE) -> dict[str, Scope]:
    """To whom scopes belong, as far as they are somebody's. `lock`: until the transaction ends."""
    table = bookkeeping.scope
    found = {}
    for chunk in _chunks(sorted(scopes)):
        query = sa.select(table.c.scope, table.c.site, table.c.shared).where(
            table.c.table_name == target.table.name, table.c.scope.in_(chunk)
        )
        for scope, site, shared in target.connection.execute(
            query if lock is Lock.NONE else query.with_for_update(read=lock is Lock.SHARE)
        ):
            found[scope] = Scope(site=site, shared=shared)
    return found


def _own(homes: Mapping[str, Scope], site: str) -> set[str]:
    """The scopes that are this site's, and in which nobody else has a row."""
    return {scope for scope, home in homes.items() if home == Scope(site=site, shared=False)}


def _owners(target: Target, keys: set[str]) -> dict[str, str]:
    """To whom single rows belong, by the hash of their key."""
    table = bookkeeping.row
    found: dict[str, str] = {}
    for chunk in _chunks(sorted(keys)):
        query = sa.select(table.c.row_key, table.c.site).where(
            table.c.table_name == target.table.name, table.c.row_key.in_(chunk)
        )
        for key, site in target.connection.execute(query):
            found[key] = site
    return found


def _chunks(items: list[str]) -> Iterable[list[str]]:
    return (items[at : at + _CHUNK] for at in range(0, len(items), _CHUNK))
