"""What central notes of the sites that call it, and of itself."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from models import bookkeeping
from pusher.errors import ProtocolError
from pusher.schema.engine import reaching
from pusher.schema.reading import raw_table
from pusher.wire.messages import Checkpoint, Hello
from pusher.wire.tables import Table


def utc_now() -> dt.datetime:
    """Naive, in UTC, as every time in the bookkeeping tables."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def lock(connection: sa.Connection, name: str) -> None:
    """Makes every other transaction wait that wants the same `name`, until this one ends."""
    table = bookkeeping.lock
    mine = sa.select(table.c.name).where(table.c.name == name).with_for_update()
    if connection.scalar(mine) is None:
        insert_new(connection, table, [{"name": name}])
        connection.scalar(mine)


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> None:
    """Inserts rows, but for those that somebody else inserted in the meantime."""
    if not rows:
        return
    savepoint = connection.begin_nested()  # not as a context, whose exit would hide a deadlock of MariaDB
    try:
        connection.execute(sa.insert(table), rows)
        savepoint.commit()
    except sa.exc.IntegrityError:
        savepoint.rollback()
        for row in rows if len(rows) > 1 else ():  # else it is there, which is what was wanted
            insert_new(connection, table, [row])


def instance_of(connection: sa.Connection) -> str:
    """The name of this central database, given when it is first asked."""
    table = bookkeeping.instance
    name = connection.scalar(sa.select(table.c.instance))
    if name is None:
        insert_new(connection, table, [{"id": 1, "instance": uuid.uuid4().hex, "created": utc_now()}])
        name = connection.scalar(sa.select(table.c.instance).with_for_update())
    return str(name)


def note_contact(connection: sa.Connection, hello: Hello, schema_hash: str) -> bool:
    """Whether it is the first one of this day."""
    now = utc_now()
    table = bookkeeping.site
    before = connection.scalar(sa.select(table.c.last_contact).where(table.c.name == hello.site))
    values: dict[str, object] = {
        "epoch": hello.epoch,
        "hostname": hello.hostname,
        "agent_version": hello.agent_version,
        "schema_hash": schema_hash,
        "clock_skew_seconds": _skew_seconds(hello.clock, now),
        "last_contact": now,
    }
    if not connection.execute(sa.update(table).where(table.c.name == hello.site).values(values)).rowcount:
        insert_new(connection, table, [values | {"name": hello.site, "first_contact": now}])
    return before is None or before.date() != now.date()


def last_contacts(engine: sa.Engine) -> dict[str, dt.datetime]:
    """When each site last called with rows or with files, aware; without the sites whose keys are all revoked.

    Raises Unreachable.
    """
    sites, keys = bookkeeping.site, bookkeeping.token
    used = sa.select(keys.c.site, keys.c.last_used, keys.c.revoked).where(keys.c.scope == "push")
    with reaching("central's database"), engine.connect() as connection:
        query = sa.select(sites.c.name, sites.c.last_contact)
        found: dict[str, dt.datetime] = {row.name: row.last_contact for row in connection.execute(query)}
        rows = connection.execute(used).all()
    for site, last_used, revoked in rows:
        if last_used is not None and revoked is None:
            found[site] = max(last_used, found.get(site, last_used))
    gone = {site for site, _, _ in rows} - {site for site, _, revoked in rows if revoked is None}
    return {site: last.replace(tzinfo=dt.UTC) for site, last in sorted(found.items()) if site not in gone}


def forget_batches(connection: sa.Connection, site: str, days: int) -> None:
    """Forgets the batches of `site` that are older than so many days; where it stands is noted elsewhere."""
    table = bookkeeping.batch
    cutoff = utc_now() - dt.timedelta(days=days)
    connection.execute(sa.delete(table).where(table.c.site == site, table.c.applied < cutoff))


def resolved(connection: sa.Connection, site: str) -> int:
    """How many of its Resolve messages were answered."""
    table = bookkeeping.site
    return connection.scalar(sa.select(table.c.resolved).where(table.c.name == site)) or 0


def count_resolve(connection: sa.Connection, site: str) -> int:
    """Notes that one more is answered; returns how many there are now."""
    table = bookkeeping.site
    connection.execute(sa.update(table).where(table.c.name == site).values(resolved=table.c.resolved + 1))
    return resolved(connection, site)


def _skew_seconds(clock: str, now: dt.datetime) -> float:
    try:
        there = dt.datetime.fromisoformat(clock)
    except ValueError:
        raise ProtocolError(f"{clock!r} is not a time") from None
    return (there - now.replace(tzinfo=dt.UTC if there.tzinfo else None)).total_seconds()


def checkpoints(connection: sa.Connection, site: str, epoch: str) -> dict[str, Checkpoint]:
    """How far each table of `site` is stored; its sequence is that of `epoch`, should it have been here before."""
    table = bookkeeping.checkpoint
    query = sa.select(table.c.table_name, table.c.epoch, table.c.sequence, table.c.cursor).where(table.c.site == site)
    found = {}
    for name, last_epoch, sequence, cursor in connection.execute(query).all():
        if last_epoch != epoch and (earlier := last_sequence(connection, site, epoch, name)):
            last_epoch, sequence = epoch, earlier
        position = tuple(msgspec.json.decode(cursor)) if cursor else None
        found[name] = Checkpoint(epoch=last_epoch, sequence=sequence, cursor=position)
    return found


def last_sequence(connection: sa.Connection, site: str, epoch: str, table: str) -> int:
    """The last batch of an epoch, 0 if there is none. An epoch comes back if the site's state is restored."""
    ledger = bookkeeping.batch
    mine = (ledger.c.site == site, ledger.c.epoch == epoch, ledger.c.table_name == table)
    return connection.scalar(sa.select(sa.func.max(ledger.c.sequence)).where(*mine)) or 0


def forget_arrivals(connection: sa.Connection, site: str, table: str) -> None:
    """Of what arrived of this table nothing is expected to be there any more."""
    marks, map_ = bookkeeping.checkpoint, bookkeeping.identity
    mine = (marks.c.site == site, marks.c.table_name == table)
    connection.execute(sa.update(marks).where(*mine).values(rows_total=0))
    connection.execute(sa.delete(map_).where(map_.c.site == site, map_.c.table_name == table))


def emptiness(tables: Iterable[Table]) -> sa.Select[Any]:
    """Asks of each table whether it holds a row; made once, since to spell it takes longer than to answer it."""
    columns: list[sa.ColumnElement[bool]] = [
        sa.exists(sa.select(sa.literal(1)).select_from(raw_table(table))) for table in tables
    ]
    return sa.select().add_columns(*columns)


def emptied(connection: sa.Connection, site: str, tables: Sequence[Table], query: sa.Select[Any]) -> tuple[str, ...]:
    """The tables that hold no row, though rows of `site` arrived there. `query`: their `emptiness`."""
    if not tables:
        return ()
    found = connection.execute(query).one()
    empty = [table.name for table, holds in zip(tables, found, strict=True) if not holds]
    marks, map_ = bookkeeping.checkpoint, bookkeeping.identity
    arrived = set(connection.scalars(sa.select(marks.c.table_name).where(marks.c.site == site, marks.c.rows_total > 0)))
    return tuple(
        name
        for name in empty
        if name in arrived
        or connection.scalar(sa.select(map_.c.site).where(map_.c.site == site, map_.c.table_name == name).limit(1))
    )
