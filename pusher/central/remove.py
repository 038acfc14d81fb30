"""Deletes rows of central that their site has deleted: each is written to the tombstones in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from models import bookkeeping
from pusher.central.blocks import BlockNotes
from pusher.central.identity import IdentityMap, key_text
from pusher.central.owners import belong, forget_guests
from pusher.central.rows import Key, Target, can_upsert
from pusher.central.sites import lock, utc_now
from pusher.errors import ProtocolError
from pusher.wire.batch import pack_cursor, unpack_cursor
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
        self._map.forget(key_text(_decoded(text)) for text in self._request.forgotten)
        by = self._primary_key
        bound, _ = self._target.parameters(RowSet(names=by, columns=[rows.column(name) for name in by]))
        refused = self._target.delete(by, bound)
        gone = [i for i in range(len(rows)) if i not in refused]
        self._note(rows.take(gone), [self._request.keys[places[i]] for i in gone])
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
        """Which rows no other site knows; of none of them this one says any longer that it has them."""
        keys = [key_text(key) for key in rows.tuples(self._primary_key)]
        sites = self._map.knowing(keys)
        self._map.forget_central(keys)
        return [set(sites.get(key, ())) <= {self._request.site} for key in keys]

    def _by_map(self) -> tuple[RowSet, list[int], int]:
        """The same; a row that anybody knows by another key stays, and is no longer this one's."""
        texts = [key_text(self._values(text)) for text in self._request.keys]
        known = self._map.known(texts)
        sharers = self._map.knowing({each.central_key for each in known.values()})
        alone: dict[Key, int] = {}
        left = []
        for i, text in enumerate(texts):
            if text not in known:
                continue
            key = known[text].key()
            if key is None or len(sharers[known[text].central_key]) > 1:
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

    def _note(self, rows: RowSet, keys: Sequence[str]) -> None:
        """Tombstones; and what was noted of rows that are no more."""
        if not len(rows):
            return
        connection, table, now = self._target.connection, self._target.table, utc_now()
        columns = [pack_cursor(column) for column in rows.columns]
        texts = [
            msgspec.json.encode(dict(zip(rows.names, row, strict=True))).decode() for row in zip(*columns, strict=True)
        ]
        place = {"site": self._request.site, "table_name": table.name, "deleted": now}
        stones = [place | {"row_key": key, "row": text} for key, text in zip(keys, texts, strict=True)]
        connection.execute(sa.insert(bookkeeping.tombstone), stones)
        if self._owned:
            forget_guests(self._target, self._request.site, self._request.key, rows)
        if self._request.cursor is not None:
            notes = BlockNotes(connection, self._request.site, table.name, table.column(self._request.cursor))
            notes.doubt(rows.column(self._request.cursor))


def _decoded(text: str) -> tuple[Any, ...]:
    try:
        values = msgspec.json.decode(text, type=list[Any])
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"{text!r} is no key") from error
    return unpack_cursor(tuple(values))
