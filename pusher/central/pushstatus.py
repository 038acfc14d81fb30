"""The `Pushstatus` and `Server` rows that tell people which host pushed last, and with what."""

from __future__ import annotations

import sqlalchemy as sa

from pusher.central.rows import Target
from pusher.central.sites import lock, utc_now
from pusher.schema.names import match
from pusher.schema.reflect import dialect_name
from pusher.wire.messages import Report
from pusher.wire.tables import RowSet, Schema, Table


def write_pushstatus(connection: sa.Connection, schema: Schema, report: Report) -> None:
    """Adds a row of `Pushstatus`, and one of `Server` for a host not seen before, where central has these tables."""
    tables = {table.name: table for table in schema.tables}
    server, status = match("Server", tables), match("Pushstatus", tables)
    if server and _has(server, "id", "hostname"):
        _ensure_server(_target(connection, server), report.hostname)
    if status and _has(status, "id", "time", "localtime", "hostname", "version"):
        _insert(
            _target(connection, status),
            time=utc_now().isoformat(),
            localtime=report.localtime,
            hostname=report.hostname,
            version=report.agent_version,
        )


def _ensure_server(target: Target, hostname: str) -> None:
    if _is_there(target, hostname):
        return
    lock(target.connection, target.table.name)
    if not _is_there(target, hostname):
        _insert(target, hostname=hostname)


def _is_there(target: Target, hostname: str) -> bool:
    return len(target.find(("id",), ("hostname",), [(hostname,)])) > 0


def _insert(target: Target, **values: str) -> None:
    rows, _ = target.parameters(RowSet(names=tuple(values), columns=[[value] for value in values.values()]))
    target.insert(tuple(values), rows)


def _target(connection: sa.Connection, table: Table) -> Target:
    return Target(connection=connection, dialect=dialect_name(connection.engine), table=table)


def _has(table: Table, *names: str) -> bool:
    return set(names) <= {column.name for column in table.columns}
