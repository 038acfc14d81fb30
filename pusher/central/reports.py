"""What sites report of themselves, and the events that come of it: none where all is as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from models import bookkeeping
from pusher.central.sites import lock, utc_now
from pusher.wire.messages import Report, TableReport, TableResult, Verified

_EQUAL = "equal"
_LONGEST = 500  # characters of what a site says


def note_report(connection: sa.Connection, report: Report) -> None:
    """Notes the end of a cycle, and as events that rows were held or came free, or that another agent reports."""
    lock(connection, f"{report.site}/report")
    table, now = bookkeeping.report, utc_now()
    columns = (table.c.table_name, table.c.sent, table.c.held, table.c.pending)
    query = sa.select(*columns).where(table.c.site == report.site)
    before = {
        name: TableReport(sent=sent, held=held, pending=pending)
        for name, sent, held, pending in connection.execute(query)
    }
    add_events(connection, report.site, _held_changes(before, report.tables))
    agent = f"agent {report.agent_version} on {report.hostname}"
    if agent != _newest(connection, report.site, "agent"):
        add_events(connection, report.site, [("agent", agent)])
    if report.failure and report.failure[:_LONGEST] != _newest(connection, report.site, "failure"):
        add_events(connection, report.site, [("failure", report.failure[:_LONGEST])])
    mine = table.c.site == report.site
    if same := [name for name, found in report.tables.items() if before.get(name) == found]:
        connection.execute(sa.update(table).where(mine, table.c.table_name.in_(same)).values(reported=now))
    for name, found in report.tables.items():
        values = {"sent": found.sent, "held": found.held, "pending": found.pending, "reported": now}
        if name not in before:
            connection.execute(sa.insert(table).values(values | {"site": report.site, "table_name": name}))
        elif before[name] != found:
            connection.execute(sa.update(table).where(mine, table.c.table_name == name).values(values))


def note_findings(connection: sa.Connection, verified: Verified) -> None:
    """As events, what a comparison found otherwise than the one before. To be called before the verdicts are noted."""
    table = bookkeeping.verdict
    columns = (table.c.table_name, table.c.verdict, table.c.missing, table.c.different, table.c.only_central)
    query = sa.select(*columns).where(table.c.site == verified.site)
    before = {name: tuple(rest) for name, *rest in connection.execute(query)}
    for name, found in verified.tables.items():
        known = before.get(name, (_EQUAL, 0, 0, 0))
        if known != (found.verdict, found.missing, found.different, found.only_central):
            add_events(connection, verified.site, [("verify", f"{name}: {_finding(found)}")])


def add_events(connection: sa.Connection, site: str, events: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> None:
    """Each event a kind and what a person should know."""
    now = utc_now()
    rows = [{"site": site, "kind": kind, "detail": detail, "happened": now} for kind, detail in events]
    if rows:
        connection.execute(sa.insert(bookkeeping.event), rows)


def _held_changes(before: Mapping[str, TableReport], tables: Mapping[str, TableReport]) -> Iterator[tuple[str, str]]:
    for name, found in tables.items():
        known = before[name].held if name in before else 0
        if found.held > known:
            yield "held", f"{name}: {found.held:,} rows held, {found.held - known:,} more than before"
        elif found.held < known:
            yield "released", f"{name}: {found.held:,} rows held, {known - found.held:,} fewer than before"


def _newest(connection: sa.Connection, site: str, kind: str) -> str | None:
    """What the newest event of a kind says."""
    table = bookkeeping.event
    mine = (table.c.site == site, table.c.kind == kind)
    found: str | None = connection.scalar(sa.select(table.c.detail).where(*mine).order_by(table.c.id.desc()).limit(1))
    return found


def _finding(found: TableResult) -> str:
    if found.verdict == _EQUAL:
        return "equal again"
    parts = {"missing": found.missing, "different": found.different, "only at central": found.only_central}
    named = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
    return f"{found.verdict}: {named}" if named else found.verdict
