"""Where the target is a central: whose its rows are. What a site has pushed, no import changes."""

from __future__ import annotations

from collections.abc import Sequence

from models import bookkeeping
from pusher.central.authors import authors
from pusher.central.identity import IdentityMap, key_text
from pusher.central.objects import is_stream
from pusher.central.owners import whose
from pusher.central.rows import Key, Target
from pusher.wire.tables import RowSet, Schema


class Owners:
    """The sites that have rows of one table."""

    def __init__(self, target: Target, schema: Schema) -> None:
        self._target = target
        self._key = target.table.primary_key
        self._is_central = any(table.name == bookkeeping.identity.name for table in schema.tables) and bool(self._key)
        self._is_stream = self._is_central and is_stream(schema, target.table)

    def of_present(self, keys: Sequence[Key]) -> list[str | None]:
        """Of rows that the database has, by their primary keys."""
        if not self._is_central or not keys:
            return [None] * len(keys)
        if self._is_stream:
            return whose(self._target, self._key, RowSet.of(self._key, list(keys)))
        texts = [key_text(key) for key in keys]
        noted = IdentityMap(self._target.connection, "", self._target.table.name).owners(texts)
        made = authors(self._target, texts)
        return [min((site for site, _ in noted.get(text, ())), default=made.get(text)) for text in texts]

    def of_new(self, rows: RowSet) -> list[str | None]:
        """Of rows that are to be made: a stream belongs to whoever pushes into it."""
        if not self._is_stream or not set(self._key) <= set(rows.names):
            return [None] * len(rows)
        return whose(self._target, self._key, rows)
