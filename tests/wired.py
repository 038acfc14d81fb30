"""Central behind the wire's own bytes: each message is encoded and decoded, as it would be over HTTP."""

from __future__ import annotations

from pusher.transport.central import Central
from pusher.wire.batch import Batch, decode, encode
from pusher.wire.messages import (
    Compare,
    Compared,
    Done,
    EntityQuery,
    EntityRows,
    Hello,
    Look,
    Looked,
    Receipt,
    Remove,
    Removed,
    Report,
    Resolve,
    Resolved,
    Verified,
    Welcome,
)


class Wired:
    def __init__(self, central: Central) -> None:
        self._central = central

    def hello(self, hello: Hello) -> Welcome:
        return decode(encode(self._central.hello(decode(encode(hello), Hello))), Welcome)

    def resolve(self, request: Resolve) -> Resolved:
        return decode(encode(self._central.resolve(decode(encode(request), Resolve))), Resolved)

    def push(self, batch: Batch) -> Receipt:
        return decode(encode(self._central.push(decode(encode(batch), Batch))), Receipt)

    def entities(self, query: EntityQuery) -> EntityRows:
        return decode(encode(self._central.entities(decode(encode(query), EntityQuery))), EntityRows)

    def compare(self, request: Compare) -> Compared:
        return decode(encode(self._central.compare(decode(encode(request), Compare))), Compared)

    def look(self, request: Look) -> Looked:
        return decode(encode(self._central.look(decode(encode(request), Look))), Looked)

    def remove(self, request: Remove) -> Removed:
        return decode(encode(self._central.remove(decode(encode(request), Remove))), Removed)

    def verified(self, verified: Verified) -> Done:
        return decode(encode(self._central.verified(decode(encode(verified), Verified))), Done)

    def report(self, report: Report) -> Done:
        return decode(encode(self._central.report(decode(encode(report), Report))), Done)
