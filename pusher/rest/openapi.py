"""`/openapi.json`: what the service can be asked, made from the tables that it has; and `/api`, where people try it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

import pusher
from pusher.central.store import Store
from pusher.rest.access import reader
from pusher.rest.openapi_parts import Part, common_parameters, problem_responses
from pusher.rest.openapi_paths import own_paths, special_paths, table_paths
from pusher.rest.openapi_schemas import special_schemas, table_schemas
from pusher.schema.reflect import schema_hash
from pusher.wire.tables import Schema

_FOLDER = Path(__file__).parent / "static" / "api"
_FILES = frozenset(("page.css", "page.js", "swagger-ui-bundle.js", "swagger-ui.css"))
# The page that is not ours sets styles of single elements; scripts come from here only.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_DESCRIPTION = """Rows that collection sites have pushed, table by table.

A `read` token reads; with a `push` token a site also writes its own rows. Give it as a bearer token, or as the password
of HTTP Basic. Names of tables and columns may be written in any case."""


def document(schema: Schema) -> Part:
    """The description of everything that is there with these tables."""
    names = _component_names(schema)
    paths: Part = {}
    for table in schema.tables:
        paths |= table_paths(table, names[table.name])
    schemas: Part = special_schemas()
    for table in schema.tables:
        schemas |= table_schemas(schema.dialect, table, names[table.name])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pusher central",
            "version": pusher.__version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"bearer": []}, {"basic": []}],
        "tags": [{"name": name} for name in ("service", "whole", *(table.name for table in schema.tables))],
        "paths": special_paths() | paths | own_paths(),
        "components": {
            "schemas": schemas,
            "parameters": common_parameters(),
            "responses": problem_responses(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "The token is the password."},
            },
        },
    }


def _component_names(schema: Schema) -> dict[str, str]:
    """Names as components may have them: a table may be called anything."""
    found: dict[str, str] = {}
    for table in schema.tables:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", table.name)
        while name in found.values() or name in special_schemas():
            name += "_"
        found[table.name] = name
    return found


async def _openapi(request: Request) -> Response:
    """Whoever may read may know what there is to read."""
    await reader(request)
    digest, content = await run_in_threadpool(_written, request.app.state)
    headers = {"ETag": f'"{digest}"', "Cache-Control": "no-cache"}
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/json")


def _written(state: Any) -> tuple[str, bytes]:
    """Made again only if the tables have changed."""
    store: Store = state.store
    schema = store.schema(fresh=True)
    digest = f"{schema_hash(schema)}-{pusher.__version__}"
    known: tuple[str, bytes] | None = getattr(state, "openapi", None)
    if known is None or known[0] != digest:
        known = (digest, msgspec.json.encode(document(schema)))
        state.openapi = known
    return known


async def _page(_request: Request) -> Response:
    return FileResponse(_FOLDER / "index.html", headers=_HEADERS)


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404, "there is nothing of this name")
    return FileResponse(_FOLDER / name, headers=_HEADERS)


routes = [Route("/openapi.json", _openapi), Route("/api", _page), Route("/api/{name}", _file)]
