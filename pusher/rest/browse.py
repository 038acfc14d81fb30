"""Central's tables to leaf through: filters, order, and foreign keys that lead to the row they refer to."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request

from models import bookkeeping
from pusher.central.coverage import stream_cursor
from pusher.central.series import value_columns
from pusher.central.store import Store
from pusher.rest.filters import RESERVED, conditions, sort_by
from pusher.rest.forms import shown
from pusher.rest.naming import known_column, table_called
from pusher.rest.rendering import Page
from pusher.schema.engine import reaching
from pusher.schema.reading import raw_table, select_raw, to_plain
from pusher.wire.tables import Column, Kind, RowSet, Schema, Table

_COUNTED = 10_000  # rows of a table that are counted, or can be leafed through
_PAGE, _LONGEST_PAGE = 50, 500
_LONGEST_VALUE = 120
_COLUMN, _IS, _VALUE = "filter-column", "filter-is", "filter-value"
_COMPARISONS = {
    "": "is",
    "ne": "is not",
    "lt": "is less than",
    "lte": "is at most",
    "gt": "is more than",
    "gte": "is at least",
    "in": "is one of",
    "null": "is empty (true or false)",
}

_NUMBERS = (Kind.INTEGER, Kind.FLOAT, Kind.SINGLE)

Parameters = list[tuple[str, str]]


def tables(request: Request) -> Page:
    schema = _schema(request)
    mark = bookkeeping.checkpoint
    query = sa.select(mark.c.table_name, sa.func.sum(mark.c.rows_total), sa.func.count()).group_by(mark.c.table_name)
    with reaching("central's database"), request.app.state.engine.connect() as connection:
        arrived = {name: (int(rows), sites) for name, rows, sites in connection.execute(query)}
        found = [_listed(connection, table, arrived.get(table.name)) for table in schema.tables]
    return Page(template="tables.html", facts={"tables": sorted(found, key=lambda each: str(each["name"]).casefold())})


def _listed(connection: Connection, table: Table, arrived: tuple[int, int] | None) -> dict[str, Any]:
    """`rows` is counted up to a limit, and `arrived` what central noted as rows came, which costs nothing."""
    few = sa.select(sa.literal(1)).select_from(raw_table(table)).limit(_COUNTED + 1).subquery()
    rows = connection.scalar(sa.select(sa.func.count()).select_from(few)) or 0
    return {
        "name": table.name,
        "rows": min(rows, _COUNTED),
        "more": rows > _COUNTED,
        "arrived": arrived[0] if arrived else None,
        "sites": arrived[1] if arrived else None,
        "columns": len(table.columns),
        "refers_to": sorted({reference.parent for reference in table.references}),
        "stream": stream_cursor(table) is not None,
    }


def table(request: Request) -> Page:
    schema = _schema(request)
    found = table_called(schema, request.path_params["table"])
    given = request.query_params.multi_items()
    if any(name == _COLUMN for name, _ in given):
        return Page(to=_path(found, _with_filter(found, given)))
    filters = [(name, text) for name, text in given if name not in RESERVED and not name.startswith("sort(")]
    limit = _number(request, "limit", _PAGE, _LONGEST_PAGE)
    offset = _number(request, "next", 0, _COUNTED)
    names = tuple(column.name for column in found.columns)
    order, words = _order(found, sort_by(found, given))
    statement = select_raw(schema.dialect, found, names).where(*conditions(schema.dialect, found, filters))
    statement = statement.order_by(*order).limit(limit + 1).offset(offset)
    with reaching("central's database"), request.app.state.engine.connect() as connection:
        try:
            rows = to_plain(found, names, [tuple(row) for row in connection.execute(statement)])
        except (sa.exc.ProgrammingError, sa.exc.DataError) as error:  # some types know no order, or no equality
            raise HTTPException(400, f"central's database cannot look at {found.name} in this way") from error
    more = len(rows) > limit
    rows = rows.take(list(range(min(limit, len(rows)))))
    facts = {"table": found.name, "rows": list(shown(found, rows)), "next": offset + limit if more else None}
    return Page(template="table.html", facts=facts, context=_context(found, rows, filters, words, offset, limit, more))


def _context(
    found: Table, rows: RowSet, filters: Parameters, words: str, offset: int, limit: int, more: bool
) -> dict[str, Any]:
    basis = [*filters, *([("sort", words)] if words else []), *([("limit", str(limit))] if limit != _PAGE else [])]
    unsorted = [(name, text) for name, text in basis if name != "sort"]
    sorted_by = words.split(",")[0] if words else ""
    heads = []
    for column in found.columns:
        falls = sorted_by == column.name
        target = [*unsorted, ("sort", f"-{column.name}" if falls else column.name)]
        state = "ascending" if falls else "descending" if sorted_by == f"-{column.name}" else ""
        heads.append(
            {
                "name": column.name,
                "path": _path(found, target),
                "sorted": state,
                "is": str(column.kind),
                "number": column.kind in _NUMBERS,
            }
        )
    ahead = offset + limit
    return {
        "heads": heads,
        "cells": _cells(found, rows),
        "filters": [
            {
                "words": _words(found, name, text),
                "without": _path(found, [each for each in basis if each != (name, text)]),
            }
            for name, text in filters
        ],
        "kept": basis,
        "comparisons": _COMPARISONS,
        "first": offset + 1 if len(rows) else 0,
        "last": offset + len(rows),
        "before": _path(found, [*basis, ("next", str(max(0, offset - limit)))]) if offset else None,
        "after": _path(found, [*basis, ("next", str(ahead))]) if more and ahead <= _COUNTED else None,
        "too_many": more and ahead > _COUNTED,
        "rest": f"/rest/{quote(found.name, safe='')}/",
        "query": urlencode([each for each in basis if each[0] != "limit"]),
        "plot": stream_cursor(found) is not None and bool(value_columns(found)),
    }


def _cells(found: Table, rows: RowSet) -> list[list[dict[str, Any]]]:
    """Each value as text, with where it leads if it is a foreign key."""
    targets = {
        reference.columns[0]: (reference.parent, reference.parent_columns)
        for reference in found.references
        if len(reference.columns) == 1
    }
    lines = []
    for row in shown(found, rows):
        line = []
        for name in rows.names:
            value = row[name]
            text = "" if value is None else str(value)
            cell: dict[str, Any] = {
                "text": text[:_LONGEST_VALUE],
                "cut": len(text) > _LONGEST_VALUE,
                "null": value is None,
            }
            cell["path"] = None
            cell["number"] = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and name in targets:
                parent, columns = targets[name]
                cell["path"] = f"/tables/{quote(parent, safe='')}?" + urlencode({columns[0] if columns else "id": text})
            line.append(cell)
        lines.append(line)
    return lines


def _words(found: Table, name: str, text: str) -> str:
    head, _, word = name.rpartition("__")
    if head and word in _COMPARISONS and name not in {column.name for column in found.columns}:
        return f"{head} {_COMPARISONS[word].split(' (')[0]} {text}"
    return f"{name} is {text}"


def _with_filter(found: Table, given: Parameters) -> Parameters:
    """What the form for one more filter says, in the way that addresses say it; from the first row on."""
    fields = dict(given)
    column: Column = known_column(found, fields.get(_COLUMN, ""))
    word = fields.get(_IS, "")
    if word not in _COMPARISONS:
        raise HTTPException(400, f"there is no comparison {word}")
    kept = [(name, text) for name, text in given if name not in (_COLUMN, _IS, _VALUE, "next")]
    name = f"{column.name}__{word}" if word else column.name
    return [*kept, (name, fields.get(_VALUE, "").strip())]


def _order(found: Table, terms: list[tuple[str, bool]]) -> tuple[list[Any], str]:
    """The order, made whole by the key; without a wish a stream shows its newest rows, by an index. And the wish."""
    source = raw_table(found)
    words = ",".join(f"-{name}" if falls else name for name, falls in terms)
    cursor = stream_cursor(found)
    falling = terms[0][1] if terms else cursor is not None
    if not terms and cursor:
        terms = [(cursor, True)]
    named = {name for name, _ in terms}
    terms = [*terms, *((name, falling) for name in found.primary_key if name not in named)]
    return [source.c[name].desc() if falls else source.c[name] for name, falls in terms], words


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or not text.isascii() or int(text[:9]) > most or (name == "limit" and int(text[:9]) < 1):
        raise HTTPException(400, f"{name} is a number up to {most}")
    return int(text[:9])


def _path(found: Table, parameters: Parameters) -> str:
    query = urlencode(parameters)
    return f"/tables/{quote(found.name, safe='')}" + (f"?{query}" if query else "")


def _schema(request: Request) -> Schema:
    store: Store = request.app.state.store
    return store.schema(fresh=True)
