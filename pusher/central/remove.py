"""Deletes rows of central that their site has deleted: each is written to the tombstones in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pusher.central.authors import authors
from pusher.central.blocks import BlockNotes
from pusher.central.identity import IdentityMap, key_text
from pusher.central.owners import belong, forget_guests
from pusher.central.rows import Key, Target, can_upsert
from pusher.central.sites import lock
from pusher.central.tombstones import bury
from pusher.errors import ProtocolError
from pusher.wire.batch import unpack_cursor
from pusher.wire.fingerprint import canonical
from pusher.wire.messages import Refusal, Remove, Removed
from pusher.wire.tables import RowSet


class Removal:
    """What becomes of one message; call it within one transaction."""

    def __init__(self, target: Target, request: Remove) -> None:
        self._target = target
        self._request = request
        table = target.table
        self._names = tuple(column.name for column in table.columns)
        self._primary_key = table.primary_key or request.key
        self._owned = not request.mapped and can_upsert(target.dialect, table, self._names, request.key)
        self._map = IdentityMap(target.connection, request.site, table.name)

    def run(self) -> Removed:
        lock(self._target.connection, self._target.table.name)
        rows, places, kept = self._by_key() if self._request.key else self._by_map()
        by = self._primary_key
        bound, _ = self._target.parameters(RowSet(names=by, columns=[rows.column(name) for name in by]))
        refused = self._target.delete(by, bound)
        gone = [i for i in range(len(rows)) if i not in refused]
        self._bury(rows.take(gone), [self._request.keys[places[i]] for i in gone])
        refusals = [Refusal(index=places[i], reason=reason) for i, reason in refused.items()]
        return Removed(removed=len(gone), kept=kept, refused=sorted(refusals, key=lambda each: each.index))

    def _by_key(self) -> tuple[RowSet, list[int], int]:
        """The rows that are there and nobody else's, the place of each one's key in the request, and how many stay."""
        key = self._request.key
        keys = RowSet.of(key, [self._values(text) for text in self._request.keys])
        bound, _ = self._target.parameters(keys)
        rows = self._target.find(self._names, key, bound)
        place = {each: i for i, each in enumerate(self._canonical(keys))}
        found = self._canonical(RowSet(names=key, columns=[rows.column(name) for name in key]))
        chosen = [i for i in range(len(rows)) if found[i] in place]
        rows = rows.take(chosen)
        mine = belong(self._target, self._request.site, key, rows) if self._owned else self._known_alone(rows)
        own = [i for i in range(len(rows)) if mine[i]]
        return rows.take(own), [place[found[chosen[i]]] for i in own], len(rows) - len(own)

    def _known_alone(self, rows: RowSet) -> list[bool]:
        """Which rows no other site knows or has made; of the others this one no longer says that it has them."""
        keys = [key_text(key) for key in rows.tuples(self._primary_key)]
        sites, makers = self._map.knowing(keys), authors(self._target, keys)
        mine = {self._request.site}
        alone = [{*sites.get(key, ()), *({makers[key]} if key in makers else ())} <= mine for key in keys]
        self._map.forget_central(key for key, is_mine in zip(keys, alone, strict=True) if not is_mine)
        return alone

    def _by_map(self) -> tuple[RowSet, list[int], int]:
        """The same; a row that anybody knows by another key stays, and is no longer this one's."""
        texts = [key_text(self._values(text)) for text in self._request.keys]
        known = self._map.known(texts)
        central = {each.central_key for each in known.values()}
        sharers, makers = self._map.knowing(central), authors(self._target, central)
        alone: dict[Key, int] = {}
        left = []
        for i, text in enumerate(texts):
            if text not in known:
                continue
            key, there = known[text].key(), known[text].central_key
            if key is None or len(sharers[there]) > 1 or makers.get(there, self._request.site) != self._request.site:
                left.append(text)
            else:
                alone[key] = i
        self._map.forget(left)
        bound, _ = self._target.parameters(RowSet.of(self._primary_key, list(alone)))
        rows = self._target.find(self._names, self._primary_key, bound)
        return rows, [alone[key] for key in rows.tuples(self._primary_key)], len(left)

    def _values(self, text: str) -> tuple[Any, ...]:
        values = _decoded(text)
        if self._request.key and len(values) != len(self._request.key):
            raise ProtocolError(f"{text!r} is no key of {self._target.table.name}")
        return values

    def _canonical(self, keys: RowSet) -> list[tuple[bytes, ...]]:
        columns = self._target.columns(keys.names)
        encoded = [canonical(column, values) for column, values in zip(columns, keys.columns, strict=True)]
        return list(zip(*encoded, strict=True))

    def _bury(self, rows: RowSet, keys: Sequence[str]) -> None:
        """And what was noted of rows that are no more; a number that agents know stays theirs."""
        connection, table, site = self._target.connection, self._target.table, self._request.site
        bury(self._target, site, rows, keys)
        gone = {key_text(key) for key in rows.tuples(self._primary_key)}
        known = self._map.known(key_text(_decoded(text)) for text in self._request.forgotten)
        self._map.forget(text for text, each in known.items() if each.central_key not in gone)
        if self._owned:
            forget_guests(self._target, site, self._request.key, rows)
        if self._request.cursor is not None:
            notes = BlockNotes(connection, site, table.name, table.column(self._request.cursor))
            notes.doubt(rows.column(self._request.cursor))


def _decoded(text: str) -> tuple[Any, ...]:
    try:
        values = msgspec.json.decode(text, type=list[Any])
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"{text!r} is no key") from error
    return unpack_cursor(tuple(values))
