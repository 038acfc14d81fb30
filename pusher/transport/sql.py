"""Central's database itself as a way to central: the same `Store` that the central service runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy.engine import Engine

from pusher.central.prepared import refuse_unprepared
from pusher.central.store import Store
from pusher.errors import CentralUnreachable, Unreachable
from pusher.schema.engine import opened
from pusher.transport.central import Traffic


class SqlCentral(Store):
    """`traffic` counts the bytes. Without it, that is without a tunnel, nobody does, and they stay 0."""

    def __init__(self, engine: Engine, traffic: Traffic | None) -> None:
        super().__init__(engine)
        self._traffic = traffic

    @property
    def bytes_sent(self) -> int:
        return self._traffic.bytes_sent if self._traffic else 0

    @property
    def bytes_received(self) -> int:
        return self._traffic.bytes_received if self._traffic else 0


@contextmanager
def sql_central(url: str, traffic: Traffic | None) -> Iterator[SqlCentral]:
    """Central on the database at `url`, its connections closed at the end.

    Raises CentralUnreachable, or SchemaMismatch if pusher's own tables are not there.
    """
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(opened(url))
            refuse_unprepared(engine)
        except Unreachable as error:
            raise CentralUnreachable(f"central: {error}") from error
        yield SqlCentral(engine, traffic)
