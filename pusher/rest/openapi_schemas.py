"""The shapes of what goes in and out over `/rest/`."""

from __future__ import annotations

from pusher.rest.openapi_parts import Part, column_shown, column_taken, ref
from pusher.wire.tables import Table

_TABLE_KEY = "__table__"


def table_schemas(dialect: str, table: Table, name: str) -> Part:
    """A row as it is shown, and as it is taken."""
    key = {_TABLE_KEY: {"const": table.name}}
    shown = {column.name: column_shown(dialect, column) for column in table.columns}
    taken = {column.name: column_taken(column) for column in table.columns if not column.generated}
    return {
        name: {"type": "object", "properties": key | shown, "required": [_TABLE_KEY], "additionalProperties": False},
        f"{name}-write": {"type": "object", "properties": key | taken, "additionalProperties": False},
    }


def special_schemas() -> Part:
    text = {"type": "string"}
    whole = {"type": "integer", "format": "int64"}
    return {
        "Problem": {
            "type": "object",
            "description": "RFC 9457",
            "properties": {"title": text, "status": whole, "detail": text, "expected": {"type": ["integer", "null"]}},
            "required": ["title", "status", "detail"],
        },
        "Any-row": {
            "type": "object",
            "description": "A row of the table that it names",
            "properties": {_TABLE_KEY: text},
            "required": [_TABLE_KEY],
        },
        "Many-rows": {"type": "array", "items": ref("schemas", "Any-row")},
        "House-room": {
            "type": "object",
            "properties": {"id": whole, "name": {"type": ["string", "null"]}},
            "required": ["id", "name"],
        },
        "Push-status": {
            "type": "object",
            "properties": {"hostname": text, "localtime": {"type": ["string", "null"]}, "version": text},
            "required": ["hostname"],
        },
    }
