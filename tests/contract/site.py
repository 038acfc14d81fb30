"""A site for tests of central: it writes its own messages, so that it can also write wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pusher.transport.central import Central
from pusher.wire import PROTOCOL
from pusher.wire.batch import Batch, Packed, pack
from pusher.wire.fingerprint import fingerprint
from pusher.wire.messages import EntityQuery, Hello, Report, Resolve, Welcome
from pusher.wire.tables import RowSet, Table

# Nothing but a number tells its rows apart, so they are known by their origin.
NOTE = sa.Table(
    "Note",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.String(40), nullable=False),
    mysql_engine="InnoDB",
)


@dataclass
class Site:
    """Every message as it should be; a test changes what it wants to be wrong."""

    central: Central
    name: str
    epoch: str = "epoch-1"
    tables: dict[str, Table] = field(default_factory=dict)

    def hello(self, schema_hash: str | None = None, protocol: int = PROTOCOL) -> Welcome:
        return self.central.hello(
            Hello(
                protocol=protocol,
                site=self.name,
                epoch=self.epoch,
                agent_version="1.0",
                hostname="pi",
                clock="2026-01-01T00:00:00+00:00",
                schema_hash=schema_hash,
            )
        )

    def table(self, name: str) -> Table:
        if not self.tables:
            self.tables = {table.name: table for table in self.hello().tables or ()}
        return self.tables[name]

    def packed(self, table: str, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> Packed:
        kinds = tuple(self.table(table).column(name).kind for name in names)
        return pack(kinds, RowSet.of(names, list(rows)))

    def houses(
        self, *addresses: str, start: str | None = None, key: tuple[str, ...] = ("address",), protocol: int = PROTOCOL
    ) -> Resolve:
        rows = [(address, start) for address in addresses]
        return Resolve(
            protocol=protocol,
            site=self.name,
            table="House",
            key=key,
            agree=(),
            local_keys=[(number,) for number in range(1, len(rows) + 1)],
            rows=self.packed("House", ("address", "startDate"), rows),
        )

    def batch(
        self,
        table: str,
        sequence: int,
        names: tuple[str, ...],
        rows: Sequence[tuple[Any, ...]],
        *,
        key: tuple[str, ...] = (),
        origin: list[tuple[Any, ...]] | None = None,
    ) -> Batch:
        columns = [self.table(table).column(name) for name in names]
        return Batch(
            protocol=PROTOCOL,
            site=self.name,
            epoch=self.epoch,
            table=table,
            sequence=sequence,
            key=key,
            origin=origin,
            first=rows[0][:1],
            last=rows[-1][:1],
            fingerprint=fingerprint(columns, RowSet.of(names, list(rows))),
            rows=self.packed(table, names, rows),
        )

    def readings(self, sequence: int, *minutes: int, node: int = 1, value: float = 0.5) -> Batch:
        """Readings of one node, one a minute."""
        rows = [(f"2026-01-01T00:{minute:02}:00", node, 0, value) for minute in minutes]
        return self.batch(
            "Reading", sequence, ("time", "nodeId", "type", "value"), rows, key=("time", "nodeId", "type")
        )

    def notes(self, sequence: int, *rows: tuple[int, str | None]) -> Batch:
        """Notes as (local id, text)."""
        texts = [(text,) for _, text in rows]
        return self.batch("Note", sequence, ("text",), texts, origin=[(number,) for number, _ in rows])

    def report(self, protocol: int = PROTOCOL) -> Report:
        return Report(
            protocol=protocol,
            site=self.name,
            hostname="pi",
            agent_version="1.0",
            localtime="2026-01-01T02:00:00",
            tables={},
        )

    def query(
        self, *names: str, table: str = "House", digest: str | None = None, protocol: int = PROTOCOL
    ) -> EntityQuery:
        return EntityQuery(protocol=protocol, site=self.name, table=table, names=names, digest=digest)
