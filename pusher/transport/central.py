"""What every way to central offers; `Store` is central itself, the others carry the messages to one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pusher.wire.batch import Batch
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


class Central(Protocol):
    """Every method may be repeated without harm when no answer came.

    Each raises CentralUnreachable when it is worth trying again later, AccessRefused when it is not,
    ProtocolError or SchemaMismatch when the message is at fault.
    """

    def hello(self, hello: Hello) -> Welcome: ...

    def resolve(self, request: Resolve) -> Resolved: ...

    def push(self, batch: Batch) -> Receipt:
        """Also raises SequenceConflict."""
        ...

    def entities(self, query: EntityQuery) -> EntityRows: ...

    def compare(self, request: Compare) -> Compared: ...

    def look(self, request: Look) -> Looked: ...

    def remove(self, request: Remove) -> Removed: ...

    def verified(self, verified: Verified) -> Done: ...

    def report(self, report: Report) -> Done: ...


@runtime_checkable
class Traffic(Protocol):
    """Counts what goes over the line to central."""

    @property
    def bytes_sent(self) -> int: ...

    @property
    def bytes_received(self) -> int: ...


class CountedCentral(Central, Traffic, Protocol):
    """Central as a location reaches it."""
