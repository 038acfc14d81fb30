"""What a monitor sees: of each site and table out of the bookkeeping, and of HTTP what this process counted itself."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
from collections.abc import Iterable, Iterator

import msgspec
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.registry import Collector
from sqlalchemy.engine import Engine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models import bookkeeping
from pusher.central.sites import utc_now
from pusher.schema.engine import reaching

__all__ = ["CONTENT_TYPE", "CountMiddleware", "Metrics"]

_METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"))
_NO_ROUTE = "none"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_KEPT_SECONDS = 1.0  # however many ask, the database is read no more often
_SITE_TABLE = ("site", "table")


class Metrics:
    """All that one process shows. The process is a label of what it counted, so that each worker has series of its own:
    whichever of them answers, no counter ever falls."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(SiteCollector(engine))
        self._worker = str(os.getpid())
        labels = ("worker", "method", "route")
        kept = self.registry
        self._requests = Counter("pusher_http_requests", "Requests answered.", (*labels, "status"), registry=kept)
        self._seconds = Histogram(
            "pusher_http_request_seconds", "Time to answer.", labels, registry=kept, buckets=_BUCKETS
        )
        self._received = Counter("pusher_http_received_bytes", "Bytes of bodies received.", labels, registry=kept)
        self._sent = Counter("pusher_http_sent_bytes", "Bytes of bodies sent.", labels, registry=kept)
        self._batches = Counter(
            "pusher_batch_bytes", "Bytes of batches, as they travelled.", ("worker", *_SITE_TABLE), registry=kept
        )
        self._lock = threading.Lock()
        self._text, self._made = b"", 0.0

    def count(self, method: str, route: str, status: int, seconds: float, received: int, sent: int) -> None:
        labels = (self._worker, method if method in _METHODS else "other", route)
        self._requests.labels(*labels, str(status)).inc()
        self._seconds.labels(*labels).observe(seconds)
        self._received.labels(*labels).inc(received)
        self._sent.labels(*labels).inc(sent)

    def count_batch(self, site: str, table: str, received: int) -> None:
        self._batches.labels(self._worker, site, table).inc(received)

    def text(self) -> bytes:
        """Raises Unreachable if the database is not to be had."""
        with self._lock:
            if not self._text or time.monotonic() - self._made > _KEPT_SECONDS:
                self._text = generate_latest(self.registry)
                self._made = time.monotonic()
            return self._text


class CountMiddleware:
    """Counts by the pattern of the address: of the address itself there may be any number."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status, received, sent = 499, 0, 0  # the status if there is no answer, as proxies count it

        async def counted_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status, sent
            status = message.get("status", status)
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, counted_receive, counted_send)
        except BaseException:
            status = 500
            raise
        finally:
            route = getattr(scope.get("route"), "path", None) or _NO_ROUTE
            self._metrics.count(scope["method"], route, status, time.monotonic() - started, received, sent)


class SiteCollector(Collector):
    """Reads the bookkeeping each time it is asked: what every worker, and every other central on it, did."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        now = utc_now()
        with reaching("central's database"), self._engine.connect() as connection:
            found = [
                *_sites(connection, now),
                *_checkpoints(connection, now),
                *_reports(connection),
                *_verdicts(connection, now),
                *_events(connection),
            ]
        yield from found


def _sites(connection: sa.Connection, now: dt.datetime) -> Iterable[Metric]:
    contact = GaugeMetricFamily("pusher_site_contact_age_seconds", "Since the site last called.", labels=["site"])
    skew = GaugeMetricFamily(
        "pusher_site_clock_skew_seconds", "By how much the site's clock was ahead when it last called.", labels=["site"]
    )
    table = bookkeeping.site
    for name, last, seconds in connection.execute(
        sa.select(table.c.name, table.c.last_contact, table.c.clock_skew_seconds)
    ):
        contact.add_metric([name], (now - last).total_seconds())
        if seconds is not None:
            skew.add_metric([name], seconds)
    return contact, skew


def _checkpoints(connection: sa.Connection, now: dt.datetime) -> Iterable[Metric]:
    last_row = GaugeMetricFamily(
        "pusher_last_row_timestamp_seconds", "Time of the newest row that arrived in order.", labels=_SITE_TABLE
    )
    lag = GaugeMetricFamily("pusher_lag_seconds", "Age of the newest row that arrived in order.", labels=_SITE_TABLE)
    arrived = GaugeMetricFamily(
        "pusher_batch_age_seconds", "Since a batch of the table last arrived.", labels=_SITE_TABLE
    )
    batches = CounterMetricFamily(
        "pusher_batches", "Batches stored since the site last began to count.", labels=_SITE_TABLE
    )
    rows = CounterMetricFamily("pusher_rows", "Rows that arrived in batches.", labels=_SITE_TABLE)
    table = bookkeeping.checkpoint
    columns = (table.c.site, table.c.table_name, table.c.sequence, table.c.cursor, table.c.rows_total, table.c.updated)
    for site, name, sequence, cursor, total, updated in connection.execute(sa.select(*columns)):
        batches.add_metric([site, name], sequence)
        rows.add_metric([site, name], total)
        arrived.add_metric([site, name], (now - updated).total_seconds())
        moment = _moment(cursor)
        if moment is not None:
            last_row.add_metric([site, name], moment.timestamp())
            lag.add_metric([site, name], now.replace(tzinfo=dt.UTC).timestamp() - moment.timestamp())
    return last_row, lag, arrived, batches, rows


def _moment(cursor: str | None) -> dt.datetime | None:
    """The time a cursor begins with, if it is one. A time without a zone is taken for UTC, as nothing says which."""
    position = msgspec.json.decode(cursor) if cursor else None
    if not position or not isinstance(position[0], str):
        return None
    try:
        moment = dt.datetime.fromisoformat(position[0])
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _reports(connection: sa.Connection) -> Iterable[Metric]:
    backlog = GaugeMetricFamily("pusher_backlog_rows", "Rows that still waited at the site.", labels=_SITE_TABLE)
    held = GaugeMetricFamily("pusher_held_rows", "Rows that the site holds, refused.", labels=_SITE_TABLE)
    table = bookkeeping.report
    for site, name, pending, count in connection.execute(
        sa.select(table.c.site, table.c.table_name, table.c.pending, table.c.held)
    ):
        held.add_metric([site, name], count)
        if pending is not None:
            backlog.add_metric([site, name], pending)
    return backlog, held


def _verdicts(connection: sa.Connection, now: dt.datetime) -> Iterable[Metric]:
    age = GaugeMetricFamily("pusher_verify_age_seconds", "Since both sides were last compared.", labels=_SITE_TABLE)
    passed = GaugeMetricFamily(
        "pusher_verify_passed_age_seconds", "Since both sides were last found equal.", labels=_SITE_TABLE
    )
    differing = GaugeMetricFamily(
        "pusher_verify_differences", "Rows that differed at the last comparison.", labels=[*_SITE_TABLE, "kind"]
    )
    table = bookkeeping.verdict
    for row in connection.execute(sa.select(table)).mappings():
        labels = [row["site"], row["table_name"]]
        age.add_metric(labels, (now - row["verified"]).total_seconds())
        if row["passed"] is not None:
            passed.add_metric(labels, (now - row["passed"]).total_seconds())
        for kind in ("missing", "different", "only_central"):
            differing.add_metric([*labels, kind], row[kind])
    return age, passed, differing


def _events(connection: sa.Connection) -> Iterable[Metric]:
    events = CounterMetricFamily("pusher_events", "What happened to a site, errors among it.", labels=["site", "kind"])
    table = bookkeeping.event
    query = sa.select(table.c.site, table.c.kind, sa.func.count()).group_by(table.c.site, table.c.kind)
    for site, kind, count in connection.execute(query):
        events.add_metric([site, kind], count)
    return (events,)
