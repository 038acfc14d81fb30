"""The site's schema, reflected again only when its tables have changed: the ledger keeps it from cycle to cycle."""

from __future__ import annotations

import msgspec

import pusher
from pusher.ledger import Ledger
from pusher.push.source import Source
from pusher.schema.reflect import Reflected
from pusher.wire.tables import Schema

_READ = "select content from own_schema where version = ?"
_WRITE = "insert or replace into own_schema (id, version, content) values (1, ?, ?)"


def own_schema(source: Source, ledger: Ledger) -> Schema:
    """Raises Unreachable. What another version of pusher reflected does not count."""
    kept = ledger.read(_READ, pusher.__version__)
    known = msgspec.msgpack.decode(kept[0][0], type=Reflected) if kept else None
    found = source.reflected(known)
    if found is not known:
        with ledger.change() as db:
            db.execute(_WRITE, (pusher.__version__, msgspec.msgpack.encode(found)))
    return found.schema
