"""The pieces of the description of `/rest/`: columns, parameters, answers."""

from __future__ import annotations

from typing import Any

from pusher.rest.filters import RESERVED
from pusher.wire.tables import Column, Kind, Table

Part = dict[str, Any]

PROBLEM_TYPE = "application/problem+json"
_OLD = "`lt_`, `le_`, `gt_`, `ge_`"
_MOMENT = "ISO 8601 without a zone; what has one is shown in UTC"
_PROBLEMS = {
    400: "The request makes no sense; the detail says what.",
    401: "A token is needed, or is not valid.",
    403: "The token may not do this, or the row is another site's.",
    404: "There is nothing of this name.",
    405: "Another method; Allow names those that are there.",
    406: "None of the media types asked for is there.",
    408: "The body did not come in time.",
    409: "It conflicts with what is there.",
    413: "The body is too large.",
    414: "The address is too long.",
    422: "It does not suit the tables.",
    429: "Too many requests; Retry-After says when to come again.",
    503: "Not just now; Retry-After says when to come again.",
}
_COMPARED = {
    "eq": "equal",
    "ne": "not equal",
    "lt": "less than",
    "lte": "less than or equal",
    "gt": "greater than",
    "gte": "greater than or equal",
}
_SCALARS = ["string", "number", "boolean"]
TRUTH = {"type": "string", "enum": ["true", "false", "1", "0"]}
MOST_ROWS = 10_000  # of a page


def column_shown(dialect: str, column: Column) -> Part:
    """What stands in an answer."""
    part = dict(_shown(dialect, column))
    if column.nullable:
        part["type"] = [*_list(part["type"]), "null"]
    return part


def column_taken(column: Column) -> Part:
    """What a client may write: more than is shown, since old clients write numbers as texts, and texts as numbers."""
    part: Part
    match column.kind:
        case Kind.DATE | Kind.DATETIME | Kind.INSTANT:
            part = {"type": ["string"], "description": "a date in any usual form"}
        case Kind.BYTES:
            part = {"type": ["string"], "contentEncoding": "base64"}
        case Kind.JSON:
            return {}
        case Kind.TEXT:
            part = {"type": _SCALARS}
        case _:
            part = {"type": _SCALARS, "description": f"{_article(column.kind)}, or its text"}
    return {**part, "type": [*part["type"], "null"]}


def _shown(dialect: str, column: Column) -> Part:
    match column.kind:
        case Kind.INTEGER:
            return {"type": "integer", "format": "int64"}
        case Kind.BOOLEAN:
            return {"type": "boolean"}
        case Kind.FLOAT | Kind.SINGLE:
            kind = "double" if column.kind is Kind.FLOAT else "float"
            return {"type": ["number", "string"], "format": kind, "description": "NaN and infinities are strings"}
        case Kind.DECIMAL:
            types = ["number", "string"] if dialect == "sqlite" else "string"
            return {"type": types, "format": "decimal"}
        case Kind.BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        case Kind.DATE:
            return {"type": "string", "format": "date"}
        case Kind.TIME:
            return {"type": "string", "format": "time-local"}
        case Kind.DATETIME | Kind.INSTANT:
            return {"type": "string", "format": "date-time-local", "description": _MOMENT}
        case Kind.JSON:
            return {"type": "string", "contentMediaType": "application/json"}
        case Kind.UUID:
            return {"type": "string", "format": "uuid"}
        case _:
            return {"type": "string"} | ({"maxLength": column.length} if column.length else {})


def filters(table: Table) -> list[Part]:
    """Each column, and how it may be compared. A name that could be two things means what `rest.filters` says."""
    found: dict[str, Part] = {}
    for column in table.columns:
        if column.name not in RESERVED:
            found[column.name] = _query(column.name, f"equals, or `*text*`, or {_OLD} before the value")
    for column in table.columns:
        name = column.name
        for word, said in _COMPARED.items():
            found.setdefault(f"{name}__{word}", _query(f"{name}__{word}", said))
        found.setdefault(f"{name}__in", _query(f"{name}__in", "one of these, parted by commas"))
        found.setdefault(f"{name}__null", _query(f"{name}__null", "is null, or is not", TRUTH))
    return list(found.values())


def _query(name: str, description: str, schema: Part | None = None) -> Part:
    return {"name": name, "in": "query", "description": description, "schema": schema or {"type": "string"}}


def ref(kind: str, name: str) -> Part:
    return {"$ref": f"#/components/{kind}/{name}"}


def problems(*statuses: int) -> Part:
    """Answers that any request may get, and those of `statuses`."""
    return {
        str(status): ref("responses", f"Problem{status}") for status in sorted({*statuses, 401, 405, 414, 429, 503})
    }


def problem_responses() -> Part:
    content = {PROBLEM_TYPE: {"schema": ref("schemas", "Problem")}}
    found: Part = {}
    for status, description in _PROBLEMS.items():
        found[f"Problem{status}"] = {"description": description, "content": content}
        if status in (429, 503):
            found[f"Problem{status}"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return found


def _list(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types


def _article(kind: Kind) -> str:
    return f"{'an' if kind.value[0] in 'aeiou' else 'a'} {kind.value}"


def common_parameters() -> Part:
    """Those of every collection."""
    found = {
        "sort": _query("sort", "Columns to sort by, a minus before those that fall: `-time,id`"),
        "limit": _query("limit", "Rows of a page", {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}),
        "next": _query("next", "Where the page before ended, as its Link says"),
        "fields": _query("fields", "Only these columns, parted by commas"),
        "count": _query("count", "Whether to count all rows that match", TRUTH),
        "format": _query("format", "Instead of Accept", {"type": "string", "enum": ["json", "csv", "ndjson"]}),
    }
    range_ = {"name": "Range", "in": "header", "description": "`items=A-B`, B exclusive", "schema": {"type": "string"}}
    match = {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}
    return found | {"range": range_, "if-none-match": match}
