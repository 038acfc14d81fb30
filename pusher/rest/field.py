"""What old clients in the field ask for beside tables: bulk, lastsync, pushstatus, houserooms, version."""

from __future__ import annotations

import re
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import pusher
from pusher.central.audit import Entry, record
from pusher.central.bulk import Bulk, Part, refusal
from pusher.central.creation import Objection
from pusher.central.objects import Refused
from pusher.central.store import Store
from pusher.rest.access import reader
from pusher.rest.forms import TABLE_KEY, plain_value
from pusher.rest.naming import column_called, table_called
from pusher.rest.writing import created, decoded, is_absent_id, object_of, stored, written
from pusher.schema.engine import reaching
from pusher.schema.names import match
from pusher.schema.reading import raw_table, read, select_raw, to_plain
from pusher.wire.tables import Column, Kind, RowSet, Schema, Table

_MOST_OBJECTS = 100_000
_MOST_BYTES = 256 << 20  # decompressed
_MOST_BRACES = 20 * _MOST_OBJECTS  # more, and to decode the body would take far more memory than it is long
_ZLIB = 0x78  # with which no JSON begins
_AS_THEY_ARE: dict[Kind, frozenset[type]] = {
    Kind.INTEGER: frozenset((int, type(None))),
    Kind.FLOAT: frozenset((int, float, type(None))),
}

Objections = dict[int, Objection]


# --- bulk


async def _bulk(request: Request) -> Response:
    store: Store = request.app.state.store

    def work(body: bytes, entry: Entry) -> Response:
        objects = _objects(body)
        entry.rows = len(objects)
        schema = store.schema(fresh=True)
        parts = _parts(schema, objects)
        counts: dict[str, int] = {}
        for part in parts:
            counts[part.table.name] = counts.get(part.table.name, 0) + len(part.places)
        entry.tables = counts

        def run(connection: sa.Connection) -> None:
            Bulk(connection, schema, entry.site).store(parts)
            record(connection, entry, 201)

        store.transaction(run)
        return Response(b"[]", 201, media_type="application/json")

    return await written(request, "bulk", work)


def _objects(body: bytes) -> list[dict[str, Any]]:
    """Raises 400 or 413."""
    if body[:1] == bytes([_ZLIB]):
        body = _inflated(body)
    if body.count(b"{") > _MOST_BRACES:
        raise HTTPException(413, f"more than {_MOST_OBJECTS} objects in one request")
    objects = decoded(body)
    if not isinstance(objects, list):
        raise HTTPException(400, "expected a JSON list of objects")
    if len(objects) > _MOST_OBJECTS:
        raise HTTPException(413, f"more than {_MOST_OBJECTS} objects in one request")
    return objects


def _inflated(body: bytes) -> bytes:
    inflating = zlib.decompressobj()
    try:
        found = inflating.decompress(body, _MOST_BYTES)
    except zlib.error as error:
        raise HTTPException(400, "the body looks like zlib, and is none") from error
    if inflating.unconsumed_tail:
        raise HTTPException(413, f"the body is larger than {_MOST_BYTES} bytes when it is decompressed")
    if not inflating.eof:
        raise HTTPException(400, "the compressed body ends too early")
    return found


def _parts(schema: Schema, objects: Sequence[Any]) -> list[Part]:
    """The objects, those with the same columns together: column by column they are understood far faster.

    Raises Refused, naming the first ones that cannot be.
    """
    shapes: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    wrong: Objections = {}
    for place, each in enumerate(objects):
        if not isinstance(each, dict):
            wrong[place] = Objection(400, "is not an object")
        elif not isinstance(each.get(TABLE_KEY), str):
            wrong[place] = Objection(400, f"has no {TABLE_KEY} with the name of a table")
        else:
            shapes.setdefault((each[TABLE_KEY], tuple(each)), []).append(place)
    parts: list[Part] = []
    for (name, keys), places in shapes.items():
        try:
            table = table_called(schema, name)
            rows, faults = _rows(table, keys, [objects[place] for place in places])
        except HTTPException as error:
            wrong |= dict.fromkeys(places, Objection(400, error.detail))
            continue
        wrong |= {places[i]: Objection(400, reason) for i, reason in faults.items()}
        parts += _split(table, rows, places)
    if wrong:
        raise refusal(wrong)
    return parts


def _rows(table: Table, keys: tuple[str, ...], objects: Sequence[Mapping[str, Any]]) -> tuple[RowSet, dict[int, str]]:
    """Plain values, and the reason for each index that has none. Raises 400 if it is a column that is wrong."""
    columns: dict[str, list[Any]] = {}
    faults: dict[int, str] = {}
    for key in keys:
        values = [each[key] for each in objects]
        if key == TABLE_KEY or is_absent_id(table, key, values):
            continue
        column = column_called(table, key)
        if column is None:
            raise HTTPException(400, f"{table.name} has no column {key}")
        if column.generated:
            continue
        plain = _plain(table, column, values, faults)
        if columns.setdefault(column.name, plain) != plain:
            raise HTTPException(400, f"{table.name}.{column.name} is given twice")
    return RowSet(names=tuple(columns), columns=list(columns.values())), faults


def _plain(table: Table, column: Column, values: list[Any], faults: dict[int, str]) -> list[Any]:
    types = set(map(type, values))
    if types <= _AS_THEY_ARE.get(column.kind, frozenset()):
        return values
    known: dict[str, Any] = {}  # times come again and again, and are slow to read
    found = []
    for i, value in enumerate(values):
        try:
            if type(value) is not str:
                found.append(plain_value(table, column, value))
                continue
            if value not in known:
                known[value] = plain_value(table, column, value)
            found.append(known[value])
        except HTTPException as error:
            faults.setdefault(i, error.detail)
            found.append(None)
    return found


def _split(table: Table, rows: RowSet, places: list[int]) -> Iterator[Part]:
    """Where a key of null is central's to choose, the column is left out."""
    open_ = [name for name in rows.names if table.column(name).numbered or name in table.primary_key]
    shapes: dict[frozenset[str], list[int]] = {}
    for i, key in enumerate(rows.tuples(tuple(open_)) if open_ else [()] * len(places)):
        shapes.setdefault(frozenset(name for name, value in zip(open_, key, strict=True) if value is None), []).append(
            i
        )
    for unsaid, indexes in shapes.items():
        part = rows if len(indexes) == len(places) else rows.take(indexes)
        yield Part(table=table, rows=part.without(unsaid), places=[places[i] for i in indexes])


# --- pushstatus


async def _pushstatus(request: Request) -> Response:
    store: Store = request.app.state.store

    def work(body: bytes, entry: Entry) -> Response:
        schema = store.schema(fresh=True)
        table = table_called(schema, entry.table_name)
        entry.table_name = table.name
        row = object_of(table, body)
        if not row.get("hostname"):
            raise Refused(400, f"{table.name}.hostname is missing")
        found = stored(store, schema, entry, table, lambda objects: objects.report(table, row))
        return created(request, table, found)

    return await written(request, "pushstatus", work)


# --- questions


def _question(
    answer: Callable[[sa.Connection, Schema, dict[str, str]], Any],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        await reader(request)
        store: Store = request.app.state.store
        parameters = {name.lower(): text for name, text in request.query_params.multi_items()}

        def work() -> Any:
            schema = store.schema(fresh=True)
            with reaching("central's database"), request.app.state.engine.connect() as connection:
                return answer(connection, schema, parameters)

        return Response(msgspec.json.encode(await run_in_threadpool(work)), media_type="application/json")

    return endpoint


def _lastsync(connection: sa.Connection, schema: Schema, parameters: dict[str, str]) -> str | None:
    """The time of the newest reading taken in the rooms of a house."""
    address = parameters.get("house")
    if address is None:
        raise HTTPException(400, "house is missing, the address of one")
    house, location = _table(schema, "House", "id", "address"), _table(schema, "Location", "id", "houseId")
    reading = _table(schema, "Reading", "time", "locationId")
    houses = read(connection, schema.dialect, house, ("id", "address"), lambda query: query)
    house_id = match(address, dict(zip(houses.column("address"), houses.column("id"), strict=True)))
    if house_id is None:
        return None
    inside = raw_table(location).c["houseId"] == house_id
    places = read(connection, schema.dialect, location, ("id",), lambda query: query.where(inside)).column("id")
    return _newest(connection, schema, reading, places) if places else None


def _newest(connection: sa.Connection, schema: Schema, reading: Table, places: list[Any]) -> str | None:
    source = raw_table(reading)
    inside = source.c["locationId"].in_(places)
    # Room by room, since so MariaDB finds each in its index.
    last = sa.func.max(source.c["time"]).label("last")
    by_room = sa.select(last).where(inside).group_by(source.c["locationId"]).subquery()
    newest = sa.select(sa.func.max(by_room.c["last"])).scalar_subquery()
    query = select_raw(schema.dialect, reading, ("time",)).where(inside, source.c["time"] == newest).limit(1)
    times = to_plain(reading, ("time",), [tuple(row) for row in connection.execute(query)]).column("time")
    return str(times[0]).removesuffix("+00:00") if times else None


def _houserooms(connection: sa.Connection, schema: Schema, parameters: dict[str, str]) -> list[dict[str, Any]]:
    text = parameters.get("id", "")
    if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        raise HTTPException(400, "id is missing, the number of a house")
    location, room = _table(schema, "Location", "id", "houseId", "roomId"), _table(schema, "Room", "id", "name")
    inside = raw_table(location).c["houseId"] == int(text)
    places = read(connection, schema.dialect, location, ("id", "roomId"), lambda query: query.where(inside))
    rooms = read(connection, schema.dialect, room, ("id", "name"), lambda query: query)
    names = dict(zip(rooms.column("id"), rooms.column("name"), strict=True))
    return [{"id": place, "name": names.get(room_id)} for place, room_id in sorted(places.tuples(("id", "roomId")))]


def _table(schema: Schema, name: str, *columns: str) -> Table:
    """Central may have other tables than the field's. Raises 404."""
    table = table_called(schema, name)
    lacking = sorted(set(columns) - {column.name for column in table.columns})
    if lacking:
        raise HTTPException(404, f"{table.name} has no column {', '.join(lacking)}")
    return table


def _version(_connection: sa.Connection, _schema: Schema, _parameters: dict[str, str]) -> str:
    return pusher.__version__


class _AnyCase(Route):
    """Old clients write lastsync and lastSync."""

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


_ENDPOINTS = (
    ("bulk", _bulk, "POST"),
    ("pushstatus", _pushstatus, "POST"),
    ("lastsync", _question(_lastsync), "GET"),
    ("houserooms", _question(_houserooms), "GET"),
    ("version", _question(_version), "GET"),
)
routes = [
    _AnyCase(f"/rest/{name}{slash}", endpoint, method) for name, endpoint, method in _ENDPOINTS for slash in ("/", "")
]
