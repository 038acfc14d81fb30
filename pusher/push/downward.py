"""Brings entities that only central has down to the site: `direction = both`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pusher.central.rows import Target
from pusher.job import Outcome
from pusher.push.identity import IdentityMap
from pusher.push.source import Source
from pusher.schema.plan import TablePlan
from pusher.transport.central import Central
from pusher.wire import PROTOCOL
from pusher.wire.batch import unpack
from pusher.wire.fingerprint import canonical
from pusher.wire.messages import EntityQuery
from pusher.wire.tables import RowSet

Key = tuple[Any, ...]


class Downward:
    """Adds to the site's entities what others have brought to central; changes and deletes nothing there.

    A parent's id at central becomes the site's own; so the parent has to come down too, or be there.
    """

    def __init__(self, outcome: Outcome, site: str, source: Source, central: Central, identities: IdentityMap) -> None:
        self._outcome = outcome
        self._site = site
        self._source = source
        self._central = central
        self._identities = identities

    def fetch(self, table: TablePlan, digest: str | None) -> str:
        """Brings down what is missing of one entity; returns the digest of what central has.

        `digest`: of the answer before, so that nothing travels when nothing changed.
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
            digest=digest,
        )
        answer = self._central.entities(query)
        if answer.rows is not None:
            here = RowSet(names=table.sent, columns=unpack(answer.rows).columns)
            self._add_missing(table, here)
        return answer.digest

    def _add_missing(self, table: TablePlan, rows: RowSet) -> None:
        entry = self._outcome.table(table.name, table.role)
        rows, unmapped = self._with_local_parents(table, rows)
        if unmapped:
            entry.notes.append(f"{unmapped} rows of central refer to what the site does not have, and stay there")
        with self._source.writing() as connection:
            target = Target(connection=connection, dialect=self._source.dialect, table=table.local)
            bound, refused = target.parameters(rows)
            present = target.find(table.key, table.key, _complete_keys(bound, rows, table.key))
            known = set(_canonical_keys(table, present))
            missing = [
                i
                for i, key in enumerate(_canonical_keys(table, rows))
                if i not in refused and key not in known and all(rows.column(name)[i] is not None for name in table.key)
            ]
            faults = target.insert(table.sent, [bound[i] for i in missing])
        entry.created_here += len(missing) - len(faults)
        reasons = [*refused.values(), *faults.values()]
        entry.notes += [f"a row of central does not fit here: {reason}" for reason in dict.fromkeys(reasons)]

    def _with_local_parents(self, table: TablePlan, rows: RowSet) -> tuple[RowSet, int]:
        """Central's ids in foreign keys become the site's; rows whose parent is not here are left out and counted."""
        lost: set[int] = set()
        for link in table.links:
            local: Mapping[Key, Key] = self._identities.local_keys(link)
            columns: list[Key] = []
            for i, key in enumerate(rows.tuples(link.columns)):
                if None not in key and key not in local:
                    lost.add(i)
                columns.append(local.get(key, key))
            for name, values in zip(link.columns, zip(*columns, strict=True), strict=False):
                rows = rows.with_column(name, list(values))
        return rows.take([i for i in range(len(rows)) if i not in lost]), len(lost)


def _complete_keys(bound: list[Key], rows: RowSet, names: tuple[str, ...]) -> list[Key]:
    places = [rows.names.index(name) for name in names]
    keys = [tuple(row[place] for place in places) for row in bound]
    return [key for key in keys if None not in key]


def _canonical_keys(table: TablePlan, rows: RowSet) -> list[tuple[bytes, ...]]:
    encoded = [canonical(table.local.column(name), rows.column(name)) for name in table.key]
    return list(zip(*encoded, strict=True))
