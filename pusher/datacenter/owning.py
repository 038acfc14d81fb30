"""Where the target is a central: whose its rows are. What a site has pushed, no import changes."""

from __future__ import annotations

from models import bookkeeping
from pusher.central.authors import authors
from pusher.central.identity import IdentityMap, key_text
from pusher.central.objects import is_stream
from pusher.central.owners import whose
from pusher.central.rows import Target
from pusher.wire.tables import RowSet, Schema


class Owners:
    """The sites that have rows of one table."""

    def __init__(self, target: Target, schema: Schema) -> None:
        self._target = target
        self._key = target.table.primary_key
        self._is_central = any(table.name == bookkeeping.identity.name for table in schema.tables) and bool(self._key)
        self._is_stream = self._is_central and is_stream(schema, target.table)

    def of(self, rows: RowSet, *, new: bool) -> list[str | None]:
        """The site that each of the rows belongs to, None if nobody. `new`: they are not there yet; then only a stream
        is somebody's, that of whoever pushes into it."""
        if not self._is_central or (new and not (self._is_stream and set(self._key) <= set(rows.names))):
            return [None] * len(rows)
        if self._is_stream:
            return whose(self._target, self._key, rows)
        texts = [key_text(key) for key in rows.tuples(self._key)]
        noted = IdentityMap(self._target.connection, "", self._target.table.name).owners(texts)
        made = authors(self._target, texts)
        return [min((site for site, _ in noted.get(text, ())), default=made.get(text)) for text in texts]
