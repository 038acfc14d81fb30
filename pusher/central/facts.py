"""Reads what central noted of its sites. Nothing here reads a stream: that would take as long as there are rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from models import bookkeeping
from pusher.central.status import GAP_DAYS, Event, SiteFacts, TableFacts, Verified
from pusher.schema.names import match
from pusher.wire.blocks import units_a_second

_BATCHES = 300  # newest ones of a table that are looked at
_DAY = len("2013-05-01")


def all_sites(connection: sa.Connection, now: dt.datetime) -> list[SiteFacts]:
    """Every site that ever called, or has a key with which it may."""
    token = bookkeeping.token
    keys = sa.select(token.c.site).where(token.c.scope == "push", token.c.revoked.is_(None))
    sites = _sites(connection)
    for name in connection.scalars(keys.distinct()):
        sites.setdefault(name, SiteFacts(name=name))
    _add_tables(connection, sites, now)
    for site in sites.values():
        site.event = next(iter(events(connection, site.name, 1)), None)
    return list(sites.values())


def one_site(connection: sa.Connection, name: str, now: dt.datetime) -> SiteFacts | None:
    """None if nobody of that name called, or may."""
    token = bookkeeping.token
    sites = _sites(connection, name)
    if not sites:
        keys = sa.select(token.c.id).where(token.c.site == name, token.c.scope == "push", token.c.revoked.is_(None))
        return SiteFacts(name=name) if connection.scalar(keys.limit(1)) else None
    _add_tables(connection, sites, now, name)
    sites[name].event = next(iter(events(connection, name, 1)), None)
    return sites[name]


def events(connection: sa.Connection, site: str, limit: int) -> list[Event]:
    """The newest first."""
    table = bookkeeping.event
    query = sa.select(table.c.kind, table.c.detail, table.c.happened).where(table.c.site == site)
    query = query.order_by(table.c.happened.desc(), table.c.id.desc()).limit(limit)
    return [Event(kind=kind, detail=detail, happened=happened) for kind, detail, happened in connection.execute(query)]


def _sites(connection: sa.Connection, only: str | None = None) -> dict[str, SiteFacts]:
    table = bookkeeping.site
    query = sa.select(
        table.c.name,
        table.c.first_contact,
        table.c.last_contact,
        table.c.hostname,
        table.c.agent_version,
        table.c.clock_skew_seconds.label("skew_seconds"),
    )
    if only is not None:
        query = query.where(table.c.name == only)
    return {row.name: SiteFacts(**row._mapping) for row in connection.execute(query)}


def _add_tables(
    connection: sa.Connection, sites: dict[str, SiteFacts], now: dt.datetime, only: str | None = None
) -> None:
    def of(table: sa.Table, *columns: str) -> Iterable[sa.Row[tuple[object, ...]]]:
        query = sa.select(table.c.site, table.c.table_name, *(table.c[name] for name in columns))
        rows = connection.execute(query if only is None else query.where(table.c.site == only)).all()
        return [row for row in rows if row.site in sites]

    for row in of(bookkeeping.checkpoint, "epoch", "sequence", "cursor", "rows_total", "updated"):
        site = sites[row.site]
        facts = _table(site, row.table_name)
        facts.rows_total, facts.updated, facts.newest = row.rows_total, row.updated, _newest(row.cursor)
        facts.days = _days(connection, site.name, row.table_name, now)
        site.batches += _batches(connection, site.name, row.epoch, row.table_name, row.sequence, now)
    for row in of(bookkeeping.report, "sent", "held", "pending", "reported"):
        facts = _table(sites[row.site], row.table_name)
        facts.sent, facts.held, facts.pending, facts.reported = row.sent, row.held, row.pending, row.reported
    found = ("verified", "deep", "verdict", "missing", "different", "only_central", "passed", "passed_deep")
    for row in of(bookkeeping.verdict, *found):
        _table(sites[row.site], row.table_name).verified = Verified(**{name: getattr(row, name) for name in found})


def _table(site: SiteFacts, name: str) -> TableFacts:
    """A report gives a table the site's name, which may differ in case from central's."""
    known = match(name, site.tables)
    if known is None:
        known = site.tables[name] = TableFacts(name=name)
    return known


def _newest(cursor: str | None) -> dt.datetime | None:
    """The moment that a checkpoint's cursor stands for, if it stands for one."""
    first = msgspec.json.decode(cursor)[0] if cursor else None
    try:
        if isinstance(first, str):
            moment = dt.datetime.fromisoformat(first)
            return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
        if isinstance(first, int):
            units = units_a_second(first)
            return dt.datetime.fromtimestamp(first / units, dt.UTC).replace(tzinfo=None) if units else None
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _days(connection: sa.Connection, site: str, table: str, now: dt.datetime) -> dict[dt.date, int]:
    block = bookkeeping.block
    first = (now - dt.timedelta(days=GAP_DAYS)).date().isoformat()
    day = sa.func.substr(block.c.start, 1, _DAY)
    rows = sa.func.sum(sa.case((block.c.total.is_(None), 1), else_=block.c.rows))
    query = sa.select(day, rows).where(
        block.c.site == site, block.c.table_name == table, block.c.start >= first, block.c.start < "9"
    )
    found = {}
    for text, count in connection.execute(query.group_by(day)):
        try:
            found[dt.date.fromisoformat(text)] = int(count)
        except ValueError:  # a block of a cursor that only counts
            continue
    return found


def _batches(
    connection: sa.Connection, site: str, epoch: str, table: str, last: int, now: dt.datetime
) -> list[tuple[dt.datetime, int]]:
    """By their numbers, since these have an index and the times have none."""
    batch = bookkeeping.batch
    query = sa.select(batch.c.applied, batch.c.rows).where(
        batch.c.site == site,
        batch.c.epoch == epoch,
        batch.c.table_name == table,
        batch.c.sequence > last - _BATCHES,
        batch.c.applied > now - dt.timedelta(days=GAP_DAYS),
    )
    return [(applied, rows) for applied, rows in connection.execute(query)]
