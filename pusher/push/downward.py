"""Brings down to the site what others have added to or changed in entities at central: `direction = both`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from pusher.central.rows import Target
from pusher.errors import MappingConflict
from pusher.job import Outcome
from pusher.push.agreed import sent_hashes
from pusher.push.faults import told
from pusher.push.identity import IdentityMap
from pusher.push.mapping import Key
from pusher.push.source import Source
from pusher.schema.plan import TablePlan
from pusher.schema.reading import Raw, Select, raw_table, read
from pusher.transport.central import Central
from pusher.wire import PROTOCOL
from pusher.wire.batch import unpack, unpack_cursor
from pusher.wire.fingerprint import canonical
from pusher.wire.messages import Conflict, EntityQuery, EntityRows
from pusher.wire.tables import RowSet

_AT_ONCE = 500


class _Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of central as they came. `here`: the same with the site's ids in their foreign keys. `keys`: what central
    holds in the columns of the site's identity. `lost`: those that refer to what the site does not have."""

    table: TablePlan
    there: RowSet
    here: RowSet
    keys: list[Key]
    versions: list[int]
    lost: set[int]


class _Pass(msgspec.Struct, kw_only=True):
    """One go at what arrived. `unmet`: rows that the site has under the same natural key, but central does not know
    it. `reasons`: what keeps the rest from coming down."""

    created: list[tuple[Key, int]]
    unmet: list[Key]
    changed: int
    reasons: list[str]


class Downward:
    """Adds to the site's entities, and changes in them, what others have brought to central; deletes nothing there.

    A row that changed at the site as well is left alone until it has been sent: then one of both has come last.
    A parent's id at central becomes the site's own; so the parent has to come down too, or be there.
    """

    def __init__(self, outcome: Outcome, site: str, source: Source, central: Central, identities: IdentityMap) -> None:
        self._outcome = outcome
        self._site = site
        self._source = source
        self._central = central
        self._identities = identities

    def fetch(self, table: TablePlan, digest: str | None) -> str:
        """Brings down what the site lacks of one entity; returns the digest of what central has.

        `digest`: of the answer before, so that nothing travels when nothing changed. Empty when not all could come.
        """
        entry = self._outcome.table(table.name, table.role)
        if not table.key:
            entry.notes.append("direction = both needs a natural key, and this table has none: nothing comes down")
            return ""
        query = EntityQuery(
            protocol=PROTOCOL,
            site=self._site,
            table=table.central_name,
            names=table.to_central(table.sent),
            digest=None if self._identities.agreed.lags(table) else digest,
            key=table.to_central(table.key),
        )
        answer = self._central.entities(query)
        if answer.rows is None:
            return answer.digest
        sent_up: set[Key] = set()
        while True:
            done = self._bring(self._arrived(table, answer))
            entry.created_here += len(done.created)
            entry.updated_here += done.changed
            unmet = [key for key in done.unmet if key not in sent_up]
            sent_up.update(unmet)
            if unmet:
                self._identities.send_again(table, unmet, insist=False)
            # What has just got an id here may be a parent, and what has been sent may have to come down.
            if not unmet and not (done.created and done.reasons):
                break
        entry.notes += done.reasons
        return "" if done.reasons else answer.digest

    def _arrived(self, table: TablePlan, answer: EntityRows) -> _Arrived:
        assert answer.rows is not None and table.central is not None
        there = RowSet(names=table.sent, columns=unpack(answer.rows).columns)
        here, lost = there, set()
        for link in table.links:
            local: Mapping[Key, Key] = self._identities.local_keys(link)
            columns: list[Key] = []
            for i, key in enumerate(there.tuples(link.columns)):
                if None not in key and key not in local:
                    lost.add(i)
                columns.append(local.get(key, key))
            for name, values in zip(link.columns, zip(*columns, strict=True), strict=False):
                here = here.with_column(name, list(values))
        names = table.central.primary_key or table.to_central(table.key)
        keys = RowSet.of(names, [unpack_cursor(key) for key in answer.keys])
        identity = [table.central_names.get(name, name) for name in table.identity]
        columns_of_keys = [
            keys.column(name) if name in names else there.column(mine) if mine in table.sent else [None] * len(there)
            for name, mine in zip(identity, table.identity, strict=True)
        ]
        return _Arrived(
            table=table,
            there=there,
            here=here,
            keys=list(zip(*columns_of_keys, strict=True)),
            versions=answer.versions or [0] * len(there),
            lost=lost,
        )

    def _bring(self, arrived: _Arrived) -> _Pass:
        table, agreed = arrived.table, self._identities.agreed
        done = _Pass(created=[], unmet=[], changed=0, reasons=[])
        known = self._identities.local_rows(table)
        present = {key for page in self._source.entities(table) for key in page.tuples(table.identity)}
        fresh: list[int] = []
        behind: dict[Key, int] = {}
        twins = lost = 0
        for i, key in enumerate(arrived.keys):
            mine = [each for each in known.get(key, ()) if each in present]
            if len(mine) == 1 and agreed.version(table, mine[0]) == arrived.versions[i]:
                continue
            if len(mine) > 1:
                twins += any(agreed.version(table, each) != arrived.versions[i] for each in mine)
            elif i in arrived.lost:
                lost += 1
            elif mine:
                behind[mine[0]] = i
            elif all(arrived.here.column(name)[i] is not None for name in table.key):
                fresh.append(i)
        if lost:
            done.reasons.append(f"{lost} rows of central refer to what the site does not have, and stay there")
        if twins:
            done.reasons.append(f"{twins} rows of central are several rows here, which stay as they are")
        with self._source.writing() as connection:
            target = Target(connection=connection, dialect=self._source.dialect, table=table.local)
            added = self._add(target, arrived, fresh, done)
            settled = self._overwrite(target, arrived, behind, done)
        # The ledger is another database: noted before, a row that was not committed would be taken for changed here.
        if settled:
            agreed.note(table, settled)
        if done.created:
            places = [i for _, i in done.created]
            self._identities.adopt(table, added, arrived.there.take(places), [arrived.versions[i] for i in places])
        return done

    def _add(self, target: Target, arrived: _Arrived, fresh: list[int], done: _Pass) -> RowSet:
        """Adds rows that the site does not have; returns them as it has them now."""
        table = arrived.table
        rows = arrived.here.take(fresh)
        bound, refused = target.parameters(rows)
        keys = _canonical_keys(table, rows)
        sought = _bound_keys([row for i, row in enumerate(bound) if i not in refused], rows.names, table.key)
        there = target.find(_names(table), table.key, sought)
        found = set(_canonical_keys(table, there))
        place = {key: i for i, key in enumerate(keys) if key not in found and i not in refused}
        done.unmet = _traceable(table, there)
        missing = list(place.values())
        names = _writable(table, rows.names)
        faults = target.insert(names, _bound_keys([bound[i] for i in missing], rows.names, names))
        _tell(done, [*refused.values(), *faults.values()])
        new = [bound[i] for at, i in enumerate(missing) if at not in faults]
        added = target.find(_names(table), table.key, _bound_keys(new, rows.names, table.key))
        pairs = zip(added.tuples(table.identity), _canonical_keys(table, added), strict=True)
        kept = [(at, key, place[natural]) for at, (key, natural) in enumerate(pairs) if natural in place]
        done.created = [(key, fresh[i]) for _, key, i in kept]
        return added.take([at for at, _, _ in kept])

    def _overwrite(
        self, target: Target, arrived: _Arrived, behind: Mapping[Key, int], done: _Pass
    ) -> list[tuple[Key, str, int]]:
        """Overwrites rows that are still as both sides had them; returns what is the same on both sides now."""
        table, agreed = arrived.table, self._identities.agreed
        theirs = sent_hashes(table, arrived.there)
        settled: list[tuple[Key, str, int]] = []
        writes: list[Key] = []
        rows = _locked(target, table, list(behind))
        _check_agreement(arrived, rows, [behind[key] for key in rows.tuples(table.identity)])
        for key, mine in zip(rows.tuples(table.identity), self._identities.hashes(table, rows), strict=True):
            i = behind[key]
            if mine == theirs[i]:
                settled.append((key, mine, arrived.versions[i]))
            elif mine and agreed.hashes(table).get(key) == mine:
                writes.append(key)
        if unsent := len(behind) - len(settled) - len(writes):
            done.reasons.append(f"{unsent} rows were changed here as well as at central, and have to be sent first")
        fixed = table.local.primary_key or table.identity
        others = tuple(name for name in _writable(table, table.sent) if name not in fixed + table.identity)
        values = arrived.here.take([behind[key] for key in writes])
        values = RowSet(
            names=table.identity + others,
            columns=RowSet.of(table.identity, writes).columns + [values.column(name) for name in others],
        )
        bound, refused = target.parameters(values)
        fitting = [at for at in range(len(writes)) if at not in refused]
        faults = target.update(values.names, table.identity, [bound[at] for at in fitting])
        _tell(done, [*refused.values(), *faults.values()])
        written = [writes[at] for place, at in enumerate(fitting) if place not in faults]
        now = _locked(target, table, written)  # a column may hold less here than at central
        pairs = zip(now.tuples(table.identity), self._identities.hashes(table, now), strict=True)
        settled += [(key, mine, arrived.versions[behind[key]]) for key, mine in pairs]
        done.changed = len(written)
        return settled


def _check_agreement(arrived: _Arrived, rows: RowSet, places: list[int]) -> None:
    """Raises MappingConflict where central changed what must be the same on both sides."""
    for name in arrived.table.agree:
        column = arrived.table.local.column(name)
        here, there = rows.column(name), [arrived.here.column(name)[i] for i in places]
        for at, (mine, theirs) in enumerate(zip(canonical(column, here), canonical(column, there), strict=True)):
            if mine != theirs:
                key = dict(zip(arrived.table.identity, rows.tuples(arrived.table.identity)[at], strict=True))
                conflict = Conflict(
                    index=at, kind="agree", owner=None, here=key | {name: here[at]}, central=key | {name: there[at]}
                )
                raise MappingConflict(told(arrived.table, conflict))


def _tell(done: _Pass, reasons: Iterable[str]) -> None:
    done.reasons += [f"a row of central does not fit here: {reason}" for reason in dict.fromkeys(reasons)]


def _names(table: TablePlan) -> tuple[str, ...]:
    return tuple(dict.fromkeys(table.sent + table.identity))


def _writable(table: TablePlan, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if not table.local.column(name).generated)


def _traceable(table: TablePlan, rows: RowSet) -> list[Key]:
    """Their keys, if central's rows can be found again by them."""
    named = all(name in table.central_names for name in table.identity)
    return rows.tuples(table.identity) if named else []


def _locked(target: Target, table: TablePlan, keys: Sequence[Key]) -> RowSet:
    """The rows with these identities, which nobody changes until the transaction ends."""
    bound, _ = target.parameters(RowSet.of(table.identity, list(keys)))
    source = raw_table(table.local)
    columns = [source.c[name] for name in table.identity]
    found = RowSet.of(_names(table), [])
    for at in range(0, len(bound), _AT_ONCE):
        chunk = bound[at : at + _AT_ONCE]
        wanted: sa.ColumnElement[bool] = sa.tuple_(*columns, types=[Raw()] * len(columns)).in_(chunk)
        if len(columns) == 1:
            wanted = columns[0].in_([key[0] for key in chunk])

        def narrow(select: Select, wanted: sa.ColumnElement[bool] = wanted) -> Select:
            return select.where(wanted).with_for_update()

        part = read(target.connection, target.dialect, table.local, _names(table), narrow)
        for column, more in zip(found.columns, part.columns, strict=True):
            column += more
    return found


def _bound_keys(bound: Sequence[Key], names: tuple[str, ...], wanted: tuple[str, ...]) -> list[Key]:
    """Of rows to bind the values of some columns."""
    places = [names.index(name) for name in wanted]
    return [tuple(row[place] for place in places) for row in bound]


def _canonical_keys(table: TablePlan, rows: RowSet) -> list[tuple[bytes, ...]]:
    encoded = [canonical(table.local.column(name), rows.column(name)) for name in table.key]
    return list(zip(*encoded, strict=True))
