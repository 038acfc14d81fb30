"""The readings of a sensor as a line, as coarse as the screen needs; nearer looks load finer points."""

from __future__ import annotations

import csv
import datetime as dt
import io
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.engine import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pusher.central.coverage import sensor_columns, stream_cursor
from pusher.central.series import Condition, Series, moment, newest, series, value_columns
from pusher.central.sites import utc_now
from pusher.central.store import Store
from pusher.rest.filters import conditions
from pusher.rest.labels import Labels
from pusher.rest.naming import column_called, known_column, table_called
from pusher.rest.rendering import Page
from pusher.schema.engine import reaching
from pusher.schema.reading import raw_table, read
from pusher.wire.tables import Schema, Table

_OWN = ("table", "column", "since", "until")
_SPAN = dt.timedelta(days=7)
_SPANS = {"1 day": 1, "7 days": 7, "30 days": 30, "90 days": 90}
_SHORTEST = dt.timedelta(seconds=10)


@dataclass(kw_only=True)
class _Wish:
    """What is to be drawn. `key`: the sensor, as far as it is named."""

    table: Table
    cursor: str
    column: str
    key: dict[str, str]
    where: list[Condition]
    since: dt.datetime
    until: dt.datetime

    def query(self) -> str:
        named = {"table": self.table.name, "column": self.column} | self.key
        return urlencode(named | {"since": _text(self.since), "until": _text(self.until)})


def plot(request: Request) -> Page:
    schema = _schema(request)
    drawable = [table for table in schema.tables if stream_cursor(table) and value_columns(table)]
    if not drawable:
        return Page(template="plot.html", facts={"table": None}, context={"drawn": False})
    with reaching("central's database"), request.app.state.engine.connect() as connection:
        wish = _wish(request, connection, schema, drawable)
        found = _series(connection, schema, wish)
        labels = Labels(connection, schema, wish.table, sensor_columns(wish.table))
    sensor = [_typed(wish.key.get(name)) for name in sensor_columns(wish.table)]
    low = min((each for each in found.lows if each is not None), default=None)
    high = max((each for each in found.highs if each is not None), default=None)
    facts = {
        "table": wish.table.name,
        "column": wish.column,
        "key": wish.key,
        "label": labels.of(sensor),
        "units": labels.units(sensor),
        "since": wish.since,
        "until": wish.until,
        "seconds": found.width,
        "rows": found.rows,
        "low": low,
        "high": high,
        "time": found.times,
        "mean": found.means,
        "min": found.lows,
        "max": found.highs,
    }
    return Page(template="plot.html", facts=facts, context=_context(wish, drawable, labels, found))


def plot_csv(request: Request) -> Response:
    """The points that are drawn, gaps left out."""
    schema = _schema(request)
    drawable = [table for table in schema.tables if stream_cursor(table) and value_columns(table)]
    if not drawable:
        raise HTTPException(404, "there is nothing that could be drawn")
    with reaching("central's database"), request.app.state.engine.connect() as connection:
        wish = _wish(request, connection, schema, drawable)
        found = _series(connection, schema, wish)
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["time", "mean", "min", "max", "rows"])
    for time, mean, low, high, rows in zip(
        found.times, found.means, found.lows, found.highs, found.counts, strict=True
    ):
        if rows:
            lines.writerow([_text(moment(time)), mean, low, high, rows])
    name = "-".join([wish.table.name, *wish.key.values()])
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
    return Response(
        text.getvalue(), media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{safe}.csv"'}
    )


def _series(connection: Connection, schema: Schema, wish: _Wish) -> Series:
    return series(connection, schema.dialect, wish.table, wish.cursor, wish.column, wish.where, wish.since, wish.until)


def _context(wish: _Wish, drawable: list[Table], labels: Labels, found: Series) -> dict[str, Any]:
    choices = [
        {"name": name, "chosen": wish.key.get(name, ""), "options": labels.options(name)}
        for name in sensor_columns(wish.table)
    ]
    length, until = wish.until - wish.since, wish.until
    spans = {
        "earlier": (wish.since - length, wish.since),
        **{words: (until - dt.timedelta(days=days), until) for words, days in _SPANS.items()},
        "later": (until, until + length),
    }
    basis = {"table": wish.table.name, "column": wish.column} | wish.key
    return {
        "drawn": True,
        "cursor": wish.cursor,
        "tables": [table.name for table in drawable],
        "columns": value_columns(wish.table),
        "choices": choices,
        "query": wish.query(),
        "points": len(found.times),
        "spans": {
            words: urlencode(basis | {"since": _text(low), "until": _text(high)})
            for words, (low, high) in spans.items()
        },
        "breaks": sum(1 for rows in found.counts if not rows),
    }


def _wish(request: Request, connection: Connection, schema: Schema, drawable: list[Table]) -> _Wish:
    given = {name: text for name, text in request.query_params.multi_items() if text}
    table = _table(schema, given, drawable)
    cursor, columns = stream_cursor(table), value_columns(table)
    if cursor is None or not columns:
        raise HTTPException(400, f"{table.name} has no column of times, or none of numbers to be drawn")
    column = known_column(table, given["column"]).name if "column" in given else columns[0]
    if column not in columns:
        raise HTTPException(400, f"{table.name}.{column} cannot be drawn")
    key = {_key_column(table, name): text for name, text in given.items() if name not in _OWN}
    if not any(name in key for name in sensor_columns(table)):
        key |= _last_sensor(connection, schema.dialect, table, cursor)
    where = conditions(schema.dialect, table, key.items())
    until = _moment(given, "until")
    if until is None:
        last = newest(connection, schema.dialect, table, cursor, where)
        until = (last or utc_now()).replace(microsecond=0) + dt.timedelta(seconds=1)
    since = _moment(given, "since") or until - _SPAN
    if until - since < _SHORTEST:
        raise HTTPException(400, f"until is to be at least {_SHORTEST.seconds} s after since")
    return _Wish(table=table, cursor=cursor, column=column, key=key, where=where, since=since, until=until)


def _table(schema: Schema, given: dict[str, str], drawable: list[Table]) -> Table:
    """The one that is named; else that of the readings, or the first that tells sensors apart."""
    if "table" in given:
        return table_called(schema, given["table"])
    return max(drawable, key=lambda table: (table.name.casefold() == "reading", len(sensor_columns(table))))


def _key_column(table: Table, name: str) -> str:
    """`node` may stand for `nodeId`."""
    column = column_called(table, name) or column_called(table, f"{name}Id") or known_column(table, name)
    return column.name


def _last_sensor(connection: Connection, dialect: str, table: Table, cursor: str) -> dict[str, str]:
    """The sensor that the newest row is of."""
    names = sensor_columns(table)
    if not names:
        return {}
    source = raw_table(table)  # whose columns, unlike what is selected of them, have an index
    order = [source.c[name].desc() for name in (cursor, *(name for name in table.primary_key if name != cursor))]
    rows = read(connection, dialect, table, names, lambda select: select.order_by(*order).limit(1))
    return {name: str(rows.column(name)[0]) for name in names if len(rows) and rows.column(name)[0] is not None}


def _moment(given: dict[str, str], name: str) -> dt.datetime | None:
    if name not in given:
        return None
    try:
        found = dt.datetime.fromisoformat(given[name])
    except ValueError:
        raise HTTPException(400, f"{name} is a time such as 2026-01-31T12:00:00") from None
    if not 1970 <= found.year <= 9000:
        raise HTTPException(400, f"{name} lies outside of what can be drawn")
    return found.astimezone(dt.UTC).replace(tzinfo=None) if found.tzinfo else found


def _typed(text: str | None) -> Any:
    return int(text) if text is not None and text.removeprefix("-").isdecimal() and text.isascii() else text


def _text(when: dt.datetime) -> str:
    return when.isoformat(timespec="seconds")


def _schema(request: Request) -> Schema:
    store: Store = request.app.state.store
    return store.schema(fresh=True)
