"""`/rest/{table}/`: central's tables as JSON, for anybody who wants to look."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgspec
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pusher.central.store import Store
from pusher.rest.access import token_of
from pusher.schema.engine import reaching
from pusher.schema.names import match
from pusher.schema.reading import select_raw, to_plain
from pusher.wire.tables import Kind, Table
from pusher.wire.values import to_wire

_ROWS_AT_ONCE = 2000


async def _list(request: Request) -> Response:
    """All objects of a table, the name in any case; streamed, so that memory does not grow with the table."""
    await token_of(request)
    store: Store = request.app.state.store
    schema = await run_in_threadpool(store.schema, fresh=True)
    name = request.path_params["table"]
    table = match(name, {table.name: table for table in schema.tables})
    if table is None:
        raise HTTPException(404, f"there is no table {name}")
    parts = _objects(request.app.state.engine, schema.dialect, table)
    first = await run_in_threadpool(next, parts)  # what goes wrong at the start still gets a status of its own
    return StreamingResponse(chain([first], parts), media_type="application/json")


def _objects(engine: sa.Engine, dialect: str, table: Table) -> Iterator[bytes]:
    names = tuple(column.name for column in table.columns)
    kinds = [column.kind for column in table.columns]
    statement = select_raw(dialect, table, names)
    order = table.primary_key or names
    statement = statement.order_by(*(sa.column(name) for name in order))
    separator = b"["
    with reaching("central's database"), engine.connect() as connection:
        result = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(statement)
        for part in result.partitions():
            rows = to_plain(table, names, [tuple(row) for row in part])
            columns = [_shown(kind, values) for kind, values in zip(kinds, rows.columns, strict=True)]
            objects = [_object(table, names, row) for row in zip(*columns, strict=True)]
            yield separator + b",".join(map(msgspec.json.encode, objects))
            separator = b","
    yield b"[]" if separator == b"[" else b"]"


def _shown(kind: Kind, values: list[Any]) -> list[Any]:
    if kind is Kind.INSTANT:  # an old client knows no zones: to it every time is in UTC and does not say so
        return [value.removesuffix("+00:00") if isinstance(value, str) else value for value in values]
    return to_wire(kind, values)


def _object(table: Table, names: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Any]:
    return {"__table__": table.name, **dict(zip(names, row, strict=True))}


routes = [Route("/rest/{table}/", _list, methods=["GET"])]
