"""`/rest/{table}/`: central's tables as JSON, for anybody who wants to look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pusher.central.store import Store
from pusher.rest.access import token_of
from pusher.schema.plan import match
from pusher.schema.reading import select_raw, to_plain
from pusher.wire.tables import Table
from pusher.wire.values import to_wire

_ROWS_AT_ONCE = 2000


async def _list(request: Request) -> Response:
    """All objects of a table, the name in any case; streamed, so that memory does not grow with the table."""
    await token_of(request)
    store: Store = request.app.state.store
    name = request.path_params["table"]
    table = match(name, {table.name: table for table in store.schema(fresh=True).tables})
    if table is None:
        raise HTTPException(404, f"there is no table {name}")
    return StreamingResponse(_objects(request.app.state.engine, store, table), media_type="application/json")


def _objects(engine: sa.Engine, store: Store, table: Table) -> Iterator[bytes]:
    dialect = store.schema().dialect
    names = tuple(column.name for column in table.columns)
    kinds = [column.kind for column in table.columns]
    statement = select_raw(dialect, table, names)
    order = table.primary_key or names
    statement = statement.order_by(*(sa.column(name) for name in order))
    separator = b"["
    with engine.connect() as connection:
        result = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(statement)
        for part in result.partitions():
            rows = to_plain(dialect, table, names, [tuple(row) for row in part])
            columns = [to_wire(kind, values) for kind, values in zip(kinds, rows.columns, strict=True)]
            objects = [_object(table, names, row) for row in zip(*columns, strict=True)]
            yield separator + b",".join(map(msgspec.json.encode, objects))
            separator = b","
    yield b"[]" if separator == b"[" else b"]"


def _object(table: Table, names: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Any]:
    # An old client knows no zones: its datetimes are naive, whatever central stores.
    return {"__table__": table.name, **dict(zip(names, row, strict=True))}


routes = [Route("/rest/{table}/", _list, methods=["GET"])]
