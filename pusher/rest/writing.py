"""`/rest/{table}/`: single objects created, overwritten and deleted, as old clients do it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pusher.central.audit import Entry, record
from pusher.central.identity import key_text
from pusher.central.objects import Conditions, Objects, Refused, is_stream
from pusher.central.store import Store
from pusher.errors import AccessRefused, ProtocolError, PusherError, SchemaMismatch
from pusher.rest.access import may_push, token_of
from pusher.rest.filters import RESERVED
from pusher.rest.forms import TABLE_KEY, objects_of, plain_text, row_of, shown
from pusher.rest.naming import column_called, table_called
from pusher.rest.problems import problem
from pusher.rest.selection import Selection
from pusher.rest.sync import read_body
from pusher.wire.batch import MAX_COMPRESSED_BYTES
from pusher.wire.tables import Kind, RowSet, Schema, Table

Parameters = list[tuple[str, str]]
Work = Callable[[bytes, Entry], Response]

_TITLES = {
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
}
_STATUS: tuple[tuple[type[PusherError], int], ...] = ((AccessRefused, 403), (ProtocolError, 400), (SchemaMismatch, 422))
_COMPARING = ("lt_", "le_", "gt_", "ge_")
_UNFILTERED = ("None", "*")


async def written(request: Request, name: str, work: Work) -> Response:
    """The answer of `work`, which writes for the site of the token; a refusal is noted as well. `name`: of the table.

    `work` fills in what is noted, and notes it if it stores something.
    """
    token = await token_of(request)
    store: Store = request.app.state.store
    entry = Entry(token_id=token.id, site=token.site, method=request.method, table_name=name)
    try:
        body = await read_body(request, MAX_COMPRESSED_BYTES)
        may_push(token, token.site)
        return await run_in_threadpool(work, body, entry)
    except (Refused, HTTPException, PusherError) as error:
        status = _status(error)
        if status is not None:
            await run_in_threadpool(store.transaction, lambda connection: record(connection, entry, status))
        if not isinstance(error, Refused):
            raise
        headers = {"Allow": "GET, HEAD, POST, PUT"} if error.status == 405 else None
        return problem(error.status, _TITLES[error.status], error.detail, headers=headers)


def _status(error: Exception) -> int | None:
    """None if it is not the client's doing."""
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, HTTPException):
        return error.status_code
    return next((status for kind, status in _STATUS if isinstance(error, kind)), None)


# --- single objects


async def _create(request: Request) -> Response:
    store: Store = request.app.state.store

    def work(body: bytes, entry: Entry) -> Response:
        schema, table = _table(store, entry)
        row = object_of(table, body)
        found = stored(store, schema, entry, table, lambda objects: objects.create(table, row))
        return created(request, table, found)

    return await written(request, request.path_params["table"], work)


async def _overwrite(request: Request) -> Response:
    store: Store = request.app.state.store

    def work(body: bytes, entry: Entry) -> Response:
        schema, table = _table(store, entry)
        row = object_of(table, body)
        conditions, defaults = _meant(request, schema, table, row)
        for name in table.primary_key:
            if name in defaults and row.get(name, defaults[name]) != defaults[name]:
                raise Refused(
                    400, f"{table.name}.{name} is {defaults[name]} in the address and {row[name]} in the body"
                )
        found = stored(store, schema, entry, table, lambda objects: objects.overwrite(table, row, conditions, defaults))
        return created(request, table, found)

    return await written(request, request.path_params["table"], work)


async def _delete(request: Request) -> Response:
    store: Store = request.app.state.store

    def work(_body: bytes, entry: Entry) -> Response:
        schema, table = _table(store, entry)
        if not request.path_params["key"]:
            raise Refused(405, f"rows of {table.name} are deleted one by one, each by its own address")
        if is_stream(schema, table):
            raise Refused(405, f"{table.name} is a stream, of which single rows are not deleted: its site removes them")
        conditions, values = _by_key(request, schema, table)
        key = tuple(values[name] for name in table.primary_key)
        entry.row_key, entry.rows = key_text(key), 1

        def run(connection: Any) -> None:
            Objects(connection, schema, entry.site).delete(table, conditions, key)
            record(connection, entry, 204)

        store.transaction(run)
        return Response(status_code=204)

    return await written(request, request.path_params["table"], work)


def stored(store: Store, schema: Schema, entry: Entry, table: Table, write: Callable[[Objects], RowSet]) -> RowSet:
    """The row that `write` makes, in one transaction with the note of it."""

    def run(connection: Any) -> RowSet:
        row = write(Objects(connection, schema, entry.site))
        entry.rows = 1
        if table.primary_key:
            entry.row_key = key_text(row.tuples(table.primary_key)[0])
        record(connection, entry, 201)
        return row

    return store.transaction(run)


def created(request: Request, table: Table, row: RowSet) -> Response:
    """201 with the object, and where it is from now on."""
    found = next(shown(table, row))
    headers = {"Location": _address(request, table, found)} if table.primary_key else None
    return Response(msgspec.json.encode(found), 201, headers, media_type="application/json")


def _address(request: Request, table: Table, found: Mapping[str, Any]) -> str:
    key = ",".join(quote(str(found[name]), safe=":") for name in table.primary_key)
    return f"{request.base_url}rest/{quote(table.name, safe='')}/{key}"


def _table(store: Store, entry: Entry) -> tuple[Schema, Table]:
    """Raises 404."""
    schema = store.schema(fresh=True)
    table = table_called(schema, entry.table_name)
    entry.table_name = table.name
    return schema, table


# --- what a client says


def decoded(body: bytes) -> Any:
    """The JSON of a body, whatever it is said to be. Raises 400."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(body)  # takes NaN, which old clients write
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is not JSON") from error


def object_of(table: Table, body: bytes) -> dict[str, Any]:
    """The one object of a body, as plain values. Raises 400."""
    objects = objects_of(decoded(body))
    if len(objects) != 1:
        raise HTTPException(400, f"expected one object, found {len(objects)}; many go to bulk/")
    (given,) = objects
    name = given.get(TABLE_KEY, table.name)
    if not isinstance(name, str) or name.casefold() != table.name.casefold():
        raise HTTPException(400, f"the object's {TABLE_KEY} is not {table.name}")
    row = row_of(table, {name: value for name, value in given.items() if not is_absent_id(table, name, [value])})
    return {name: value for name, value in row.items() if not _is_unsaid(table, name, value)}


def is_absent_id(table: Table, name: str, values: Iterable[Any]) -> bool:
    """Old clients name an id of null also where the table has none."""
    return name.lower() == "id" and column_called(table, name) is None and all(value is None for value in values)


def _is_unsaid(table: Table, name: str, value: Any) -> bool:
    """Whether the column is central's to fill in."""
    column = table.column(name)
    return column.generated or (value is None and (column.numbered or name in table.primary_key))


def _meant(request: Request, schema: Schema, table: Table, row: Mapping[str, Any]) -> tuple[Conditions, dict[str, Any]]:
    """Which row is to be overwritten, and what a new one gets of that. Raises 400."""
    if "key" in request.path_params:
        return _by_key(request, schema, table)
    parameters = request.query_params.multi_items()
    conditions = Selection.of(schema.dialect, table, parameters).conditions
    if conditions:
        return conditions, _equal_values(table, parameters)
    key = table.primary_key
    if not key or not set(key) <= set(row):
        raise HTTPException(400, f"nothing says which row of {table.name} is to be overwritten")
    text = ",".join(quote(str(row[name]), safe="", errors="replace") for name in key)
    return Selection.of(schema.dialect, table, (), text).conditions, {}


def _by_key(request: Request, schema: Schema, table: Table) -> tuple[Conditions, dict[str, Any]]:
    """The row that the address names, and the values of its key. Raises 400 or 404."""
    text: str = request.path_params["key"].removesuffix("/")
    conditions = Selection.of(schema.dialect, table, (), quote(text, safe="")).conditions
    parts = [text] if len(table.primary_key) == 1 else text.split(",")
    columns = [table.column(name) for name in table.primary_key]
    return conditions, {column.name: plain_text(column, part) for column, part in zip(columns, parts, strict=True)}


def _equal_values(table: Table, parameters: Parameters) -> dict[str, Any]:
    """What filters say that the one row has, as far as they name a value and not a range."""
    found: dict[str, Any] = {}
    for name, text in parameters:
        column = None if name in RESERVED else column_called(table, name)
        exactly = column_called(table, name.removesuffix("__eq")) if column is None and name.endswith("__eq") else None
        if exactly:
            found[exactly.name] = plain_text(exactly, text)
        elif column is None or text in _UNFILTERED or text.startswith("*") or text.endswith("*"):
            continue
        elif column.kind is Kind.TEXT or not text.startswith(_COMPARING):
            found[column.name] = plain_text(column, text)
    return found


routes = [
    Route("/rest/{table}", _create, methods=["POST"]),
    Route("/rest/{table}/", _create, methods=["POST"]),
    Route("/rest/{table}", _overwrite, methods=["PUT"]),
    Route("/rest/{table}/", _overwrite, methods=["PUT"]),
    Route("/rest/{table}/{key:path}", _overwrite, methods=["PUT"]),
    Route("/rest/{table}/{key:path}", _delete, methods=["DELETE"]),
]
