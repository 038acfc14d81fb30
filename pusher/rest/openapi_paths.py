"""The addresses of the service, and what each method does there."""

from __future__ import annotations

from urllib.parse import quote

from pusher.rest.openapi_parts import Part, filters, problems, ref
from pusher.schema.guess import Role, role
from pusher.wire.tables import Kind, Table

_COLLECTION = ("sort", "limit", "next", "fields", "count", "format", "range", "if-none-match")
_JSON = "application/json"
_ROWS_HEADERS = {
    "Content-Range": "With Range: the rows that these are, of how many",
    "ETag": "Changes when the answer does",
    "Link": 'With limit: where the next page is, as rel="next"',
    "X-Total-Count": "With count: how many rows match",
}


def table_paths(table: Table, component: str) -> Part:
    """The collection and, where one column is its primary key, the single row."""
    tag = {"tags": [table.name]}
    name, read, write = table.name, ref("schemas", component), ref("schemas", f"{component}-write")
    by_query = filters(table)
    address = _escaped(name)
    collection: Part = {
        "get": tag
        | {
            "summary": f"Rows of {name}",
            "description": "All of them, as a stream, unless Range or limit asks for some.",
            "parameters": [*by_query, *(ref("parameters", each) for each in _COLLECTION)],
            "responses": {"200": _rows(read), "304": {"description": "Not changed"}} | problems(400, 404, 406),
        },
        "post": tag
        | {
            "summary": f"Add a row to {name}",
            "parameters": [],
            "requestBody": _body(write),
            "responses": {"201": _row(read)} | problems(400, 403, 404, 408, 409, 413, 422),
        },
        "put": tag
        | {
            "summary": f"Change the one row of {name} that the filters name, or add it",
            "parameters": by_query,
            "requestBody": _body(write),
            "responses": {"201": _row(read)} | problems(400, 403, 404, 408, 409, 413, 422),
        },
    }
    found = {f"/rest/{address}/": collection}
    if table.primary_key:
        found[f"/rest/{address}/{{id}}"] = _single(table, read, write)
    return found


def _single(table: Table, read: Part, write: Part) -> Part:
    tag = {"tags": [table.name]}
    key = f"{', '.join(table.primary_key)}; several values are parted by commas"
    id_ = {
        "name": "id",
        "in": "path",
        "required": True,
        "description": key if len(table.primary_key) > 1 else table.primary_key[0],
        "schema": _key_schema(table),
    }
    found: Part = {
        "parameters": [id_],
        "get": tag
        | {
            "summary": f"The row of {table.name}, as a list of one; an empty list if there is none",
            "parameters": [ref("parameters", each) for each in ("fields", "format", "if-none-match")],
            "responses": {"200": _rows(read), "304": {"description": "Not changed"}} | problems(400, 404, 406),
        },
        "put": tag
        | {
            "summary": f"Change this row of {table.name}, or add it",
            "requestBody": _body(write),
            "responses": {"201": _row(read)} | problems(400, 403, 404, 408, 409, 413, 422),
        },
        "delete": tag
        | {
            "summary": f"Delete this row of {table.name}"
            + (" (refused: a stream only grows)" if role(table, False)[0] is Role.STREAM else ""),
            "responses": {"204": {"description": "Deleted"}} | problems(400, 403, 404, 409, 422),
        },
    }
    return found


def _key_schema(table: Table) -> Part:
    if len(table.primary_key) == 1 and table.column(table.primary_key[0]).kind is Kind.INTEGER:
        return {"type": "integer", "format": "int64"}
    return {"type": "string", "minLength": 1}


def special_paths() -> Part:
    tag = {"tags": ["whole"]}
    moment = {"type": ["string", "null"], "format": "date-time-local"}
    rooms = {"type": "array", "items": ref("schemas", "House-room")}
    return {
        "/rest/bulk/": {
            "post": tag
            | {
                "summary": "Rows of any tables, all or none; those that are there already do no harm",
                "description": "Plain, or compressed with zlib.",
                "requestBody": {"required": True, "content": {_JSON: {"schema": ref("schemas", "Many-rows")}}},
                "responses": {"201": _answer("Stored", {"type": "array", "maxItems": 0})}
                | problems(400, 403, 404, 408, 409, 413, 422),
            }
        },
        "/rest/lastsync/": {
            "get": tag
            | {
                "summary": "When the newest reading of a house was taken",
                "parameters": [_needed("house", "Its address, in any case", {"type": "string"})],
                "responses": {"200": _answer("The time, or null", moment)} | problems(400, 404, 406),
            }
        },
        "/rest/houserooms/": {
            "get": tag
            | {
                "summary": "The rooms of a house, by the ids of its locations",
                "parameters": [_needed("id", "Of the house", {"type": "string"})],
                "responses": {"200": _answer("The rooms", rooms)} | problems(400, 404, 406),
            }
        },
        "/rest/version/": {
            "get": tag
            | {
                "summary": "The version of the service",
                "responses": {"200": _answer("The version", {"type": "string"})} | problems(),
            }
        },
        "/rest/pushstatus/": {
            "post": tag
            | {
                "summary": "Note that a host has pushed",
                "requestBody": _body(ref("schemas", "Push-status")),
                "responses": {"201": _answer("Noted", {"type": "object"})}
                | problems(400, 403, 404, 408, 409, 413, 422),
            }
        },
    }


def own_paths() -> Part:
    open_ = {"tags": ["service"], "security": []}
    text: Part = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/live": {
            "get": open_
            | {
                "summary": "Whether the process is up",
                "responses": {"200": {"description": "It is", "content": text}} | problems(),
            }
        },
        "/ready": {
            "get": open_
            | {
                "summary": "Whether its database is there, and prepared",
                "responses": {"200": {"description": "It is", "content": text}} | problems(),
            }
        },
        "/metrics": {
            "get": {
                "tags": ["service"],
                "summary": "What a monitor reads, in the text format of Prometheus",
                "responses": {"200": {"description": "The metrics", "content": text}} | problems(),
            }
        },
        "/openapi.json": {
            "get": {
                "tags": ["service"],
                "summary": "This description",
                "parameters": [ref("parameters", "if-none-match")],
                "responses": {"200": _answer("It", {"type": "object"}), "304": {"description": "Not changed"}}
                | problems(),
            }
        },
    }


def _rows(read: Part) -> Part:
    text = {"schema": {"type": "string"}}
    return {
        "description": "The rows",
        "headers": {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in _ROWS_HEADERS.items()
        },
        "content": {
            _JSON: {"schema": {"type": "array", "items": read}},
            "application/x-ndjson": text,
            "text/csv": text,
        },
    }


def _row(read: Part) -> Part:
    location = {"Location": {"description": "Where the row is", "schema": {"type": "string"}}}
    return _answer("The row as it is now", read) | {"headers": location}


def _answer(description: str, schema: Part) -> Part:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def _body(schema: Part) -> Part:
    return {"required": True, "content": {_JSON: {"schema": schema}}}


def _needed(name: str, description: str, schema: Part) -> Part:
    return {"name": name, "in": "query", "required": True, "description": description, "schema": schema}


def _escaped(name: str) -> str:
    """As it stands in an address; so braces are not taken for a parameter."""
    return quote(name, safe="")
