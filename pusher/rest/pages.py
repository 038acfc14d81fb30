"""The status pages: how central's sites are, for people, and at the same addresses as JSON for programs."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.engine import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from pusher.central.coverage import Row, coverage, sensor_columns, stream_cursor
from pusher.central.facts import all_sites, events, one_site
from pusher.central.sites import utc_now
from pusher.central.status import SiteFacts, State, TableFacts, late_after, states, verdict_line, worst_first
from pusher.central.store import Store
from pusher.rest import browse, plots
from pusher.rest.labels import Labels
from pusher.rest.naming import table_called
from pusher.rest.rendering import FOLDER, HEADERS, Page, failed, html, page, sparkline, twins
from pusher.rest.session import form_of, local_path, log_in, set_session
from pusher.schema.engine import reaching
from pusher.wire.tables import Schema, Table

_EVENTS = 50
_DAYS = (30, 90)
_LEVELS = {
    "full": ("■", "a usual day or more"),
    "most": ("▪", "half of it or more"),
    "some": ("▫", "less than half"),
    "gap": ("×", "nothing, though rows were due"),
    "today": ("▸", "today, not over yet"),
    "before": ("·", "before its first row here"),
}


def _status(request: Request) -> Page:
    now = utc_now()
    with reaching("central's database"), request.app.state.engine.connect() as connection:
        sites = worst_first(all_sites(connection, now), now)
    shown = [_site(site, found, now) for site, found in sites]
    line = verdict_line(found for _, found in sites)
    drawn = {site.name: sparkline(site.batches, now) for site, _ in sites}
    return Page(
        template="status.html",
        facts={"verdict": line, "at": now, "sites": shown},
        context={"all_well": all(found == [State.CURRENT] for _, found in sites), "drawn": drawn},
    )


def _site_page(request: Request) -> Page:
    now = utc_now()
    name = request.path_params["name"]
    with reaching("central's database"), request.app.state.engine.connect() as connection:
        site = _known(connection, name, now)
        happened = events(connection, name, _EVENTS)
    tables = [_table(table, now) for table in sorted(site.tables.values(), key=_by_rows)]
    streams = [each.name for each in _streams(_schema(request), site)]
    return Page(
        template="site.html",
        facts={
            "site": _site(site, states(site, now), now),
            "tables": tables,
            "events": [{"kind": each.kind, "detail": each.detail, "happened": each.happened} for each in happened],
        },
        context={"streams": streams, "drawn": sparkline(site.batches, now), "late_after": late_after(site)},
    )


def _coverage_page(request: Request) -> Page:
    now = utc_now()
    name = request.path_params["name"]
    schema = _schema(request)
    days = 90 if request.query_params.get("days") == "90" else 30
    with reaching("central's database"), request.app.state.engine.connect() as connection:
        site = _known(connection, name, now)
        streams = _streams(schema, site)
        wanted = request.query_params.get("table")
        table = table_called(schema, wanted) if wanted else next(iter(streams), None)
        since, today = now.date() - dt.timedelta(days=days - 1), now.date()
        rows = coverage(connection, schema.dialect, table, name, since, today) if table else []
        labels = Labels(connection, schema, table, sensor_columns(table)) if table else None
        shown = [_sensor(table, row, labels) for row in rows if table and labels]
    return Page(
        template="coverage.html",
        facts={"site": name, "table": table.name if table else None, "since": since, "sensors": shown},
        context={
            "streams": [each.name for each in streams],
            "days": days,
            "choices": _DAYS,
            "dates": [since + dt.timedelta(days=n) for n in range(days)],
            "levels": _LEVELS,
            "gaps": _merged(rows),
        },
    )


def _known(connection: Connection, name: str, now: dt.datetime) -> SiteFacts:
    site = one_site(connection, name, now)
    if site is None:
        raise HTTPException(404, f"no site {name} is known here")
    return site


def _schema(request: Request) -> Schema:
    store: Store = request.app.state.store
    return store.schema(fresh=True)


def _streams(schema: Schema, site: SiteFacts) -> list[Table]:
    """The tables that the site sent into and that can be laid out by day; the longest first."""
    known = {table.name: table for table in schema.tables}
    sent = sorted(site.tables.values(), key=_by_rows)
    return [known[each.name] for each in sent if each.name in known and stream_cursor(known[each.name])]


def _by_rows(table: TableFacts) -> tuple[int, str]:
    return -table.rows_total, table.name


def _site(site: SiteFacts, found: list[State], now: dt.datetime) -> dict[str, Any]:
    event = site.event
    return {
        "name": site.name,
        "state": found[0],
        "states": found,
        "first_contact": site.first_contact,
        "last_contact": site.last_contact,
        "last_data": site.newest,
        "pending": site.pending,
        "held": site.held,
        "rows_total": sum(table.rows_total for table in site.tables.values()),
        "clock_skew_seconds": site.skew_seconds,
        "clock_is_wrong": site.clock_is_wrong,
        "hostname": site.hostname,
        "agent_version": site.agent_version,
        "last_event": {"kind": event.kind, "detail": event.detail, "happened": event.happened} if event else None,
        "verified": site.passed,
        "rows_last_day": sparkline(site.batches, now)["rows"],
    }


def _table(table: TableFacts, now: dt.datetime) -> dict[str, Any]:
    """`lag_seconds`: how old its newest row is."""
    verified = table.verified
    return {
        "name": table.name,
        "rows_total": table.rows_total,
        "newest": table.newest,
        "lag_seconds": (now - table.newest).total_seconds() if table.newest else None,
        "updated": table.updated,
        "held": table.held,
        "pending": table.pending,
        "gaps": table.gaps,
        "verified": verified.verified if verified else None,
        "deep": verified.deep if verified else None,
        "verdict": verified.verdict if verified else None,
        "missing": verified.missing if verified else None,
        "different": verified.different if verified else None,
        "only_central": verified.only_central if verified else None,
        "passed": verified.passed if verified else None,
        "passed_deep": verified.passed_deep if verified else None,
    }


def _sensor(table: Table, row: Row, labels: Labels) -> dict[str, Any]:
    key = dict(zip(sensor_columns(table), row.sensor, strict=True))
    given = {name: str(value) for name, value in key.items() if value is not None}
    span = {"since": row.days[0].day.isoformat(), "until": (row.days[-1].day + dt.timedelta(days=1)).isoformat()}
    return {
        "sensor": key,
        "label": labels.of(row.sensor),
        "plot": "/plot?" + urlencode({"table": table.name} | given | span),
        "expected": row.expected,
        "days": [{"day": each.day, "received": each.received, "level": each.level} for each in row.days],
        "gaps": [{"since": since, "until": until} for since, until in row.gaps],
    }


def _merged(rows: list[Row]) -> list[tuple[dt.date, dt.date, int]]:
    """The gaps of all sensors, overlapping ones as one, each with how many sensors it concerns; the newest first."""
    spans = sorted((since, until, row.sensor) for row in rows for since, until in row.gaps)
    found: list[tuple[dt.date, dt.date, set[Any]]] = []
    for since, until, sensor in spans:
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(until, found[-1][1]), found[-1][2] | {sensor}
        else:
            found.append((since, until, {sensor}))
    return [(since, until, len(sensors)) for since, until, sensors in reversed(found)]


# --- coming and going


async def _login_form(request: Request) -> Response:
    return html(request, "login.html", {"next": local_path(request.query_params.get("next")), "wrong": False})


async def _log_in(request: Request) -> Response:
    try:
        form = await form_of(request)
    except HTTPException as error:
        return failed(request, error.status_code, error.detail)
    target = local_path(form.get("next"))
    made = await log_in(request, form.get("token", "").strip())
    if made is None:
        return html(request, "login.html", {"next": target, "wrong": True}, 401)
    response = RedirectResponse(target, 303, HEADERS)
    set_session(request, response, *made)
    return response


async def _log_out(request: Request) -> Response:
    try:
        await form_of(request)
    except HTTPException as error:
        return failed(request, error.status_code, error.detail)
    response = RedirectResponse("/login", 303, HEADERS)
    set_session(request, response, "", 0)
    return response


routes: list[BaseRoute] = [
    Route("/login", _login_form, methods=["GET"]),
    Route("/login", _log_in, methods=["POST"]),
    Route("/logout", _log_out, methods=["POST"]),
    *twins("/", _status),
    *twins("/plot", plots.plot),
    Route("/plot.csv", page(plots.plot_csv)),
    *twins("/tables", browse.tables),
    *twins("/tables/{table}", browse.table),
    *twins("/sites/{name:path}/coverage", _coverage_page),
    *twins("/sites/{name:path}", _site_page),
    Mount("/static", StaticFiles(directory=FOLDER / "static")),
]
