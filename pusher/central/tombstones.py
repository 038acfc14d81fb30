"""Tombstones: rows that are deleted at central, because a site has deleted them, are kept there as JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from models import bookkeeping
from pusher.central.authors import forget_authors
from pusher.central.identity import key_text
from pusher.central.rows import Key, Target
from pusher.central.sites import forget_arrivals, utc_now
from pusher.schema.reading import raw_table
from pusher.wire.batch import pack_cursor
from pusher.wire.tables import RowSet


def bury(target: Target, site: str, rows: RowSet, keys: Sequence[str]) -> None:
    """To be called in the transaction that deletes `rows`, all their columns. `keys`: by which the site named them.

    What agents know them by is kept, so that no other row gets their numbers; but a table in which nothing is left is
    not suddenly empty for this site.
    """
    columns = [pack_cursor(column) for column in rows.columns]
    place = {"site": site, "table_name": target.table.name, "deleted": utc_now()}
    stones = [
        place | {"row_key": key, "row": msgspec.json.encode(dict(zip(rows.names, row, strict=True))).decode()}
        for key, row in zip(keys, zip(*columns, strict=True), strict=True)
    ]
    if stones:
        target.connection.execute(sa.insert(bookkeeping.tombstone), stones)
        forget_authors(target, map(key_text, rows.tuples(target.table.primary_key)))
        if target.connection.scalar(sa.select(sa.literal(1)).select_from(raw_table(target.table)).limit(1)) is None:
            forget_arrivals(target.connection, site, target.table.name)


def is_buried(target: Target, site: str, key: Key) -> bool:
    stones = bookkeeping.tombstone
    mine = (stones.c.site == site, stones.c.table_name == target.table.name, stones.c.row_key == key_text(key))
    return target.connection.scalar(sa.select(stones.c.id).where(*mine).limit(1)) is not None
