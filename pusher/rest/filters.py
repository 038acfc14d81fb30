"""Filters in a query string, as old clients write them (`ge_time=…`, `name=*ab*`) and as people do (`time__gte=…`)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from starlette.exceptions import HTTPException

from pusher.rest.forms import plain_text
from pusher.rest.naming import column_called, known_column
from pusher.schema.reading import raw_table
from pusher.schema.writing import to_parameters
from pusher.wire.tables import Column, Kind, Table

RESERVED = frozenset(("callback", "count", "fields", "format", "limit", "next", "sort"))
_SORT = re.compile(r"sort\((.*)\)", re.DOTALL)
_UNFILTERED = "None"  # an old client's word for a column by which it does not filter
_MOST = 200  # filters, or values of one list
_Compare = Callable[[Any, Any], sa.ColumnElement[bool]]
_PREFIXES: dict[str, _Compare] = {"lt_": operator.lt, "le_": operator.le, "gt_": operator.gt, "ge_": operator.ge}
_equal: _Compare = operator.eq
_SUFFIXES: dict[str, _Compare] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "ne": operator.ne,
}


def conditions(dialect: str, table: Table, parameters: Iterable[tuple[str, str]]) -> list[sa.ColumnElement[bool]]:
    """What the rows have to fulfil, all of it. Raises 400 on an unknown column, or a value that it cannot have."""
    found: list[sa.ColumnElement[bool]] = []
    for name, text in parameters:
        if name in RESERVED or _SORT.fullmatch(name):
            continue
        condition = _condition(dialect, table, name, text)
        if condition is not None:
            found.append(condition)
    if len(found) > _MOST:
        raise HTTPException(400, f"more than {_MOST} filters")
    return found


def sort_by(table: Table, parameters: Iterable[tuple[str, str]]) -> list[tuple[str, bool]]:
    """The columns to sort by, each with whether it falls: of `sort(+a,-b)`, where a blank is a plus, or `sort=-a,b`."""
    terms: list[str] = []
    for name, text in parameters:
        old = _SORT.fullmatch(name)
        if old or name == "sort":
            terms += (old[1] if old else text).split(",")
    found: dict[str, bool] = {}
    for term in terms:
        if term.strip(" +-"):
            found.setdefault(known_column(table, term.strip(" +-")).name, term.strip().startswith("-"))
    return list(found.items())


def _condition(dialect: str, table: Table, name: str, text: str) -> sa.ColumnElement[bool] | None:
    column, compare, word = _taken_apart(table, name)
    source = raw_table(table).c[column.name]
    if word == "null":
        if text.lower() not in ("true", "false", "1", "0"):
            raise HTTPException(400, f"{name} is true or false")
        return source.is_(None) if text.lower() in ("true", "1") else source.is_not(None)
    if word == "in":
        values = text.split(",")
        if len(values) > _MOST:
            raise HTTPException(400, f"more than {_MOST} values in {name}")
        return source.in_([_bound(dialect, table, column, value) for value in values])
    if compare is None:
        return _old_condition(dialect, table, column, text)
    return compare(source, _bound(dialect, table, column, text))


def _taken_apart(table: Table, name: str) -> tuple[Column, _Compare | None, str]:
    """A column, and how to compare it. A column whose own name looks like a comparison is meant first."""
    column = column_called(table, name)
    if column:
        return column, None, ""
    for prefix, compare in _PREFIXES.items():
        if name.startswith(prefix):
            return known_column(table, name.removeprefix(prefix)), compare, ""
    head, _, word = name.rpartition("__")
    if head and (word in _SUFFIXES or word in ("in", "null")):
        return known_column(table, head), _SUFFIXES.get(word), word
    return known_column(table, name), None, ""


def _old_condition(dialect: str, table: Table, column: Column, text: str) -> sa.ColumnElement[bool] | None:
    """Equal, or one of the forms in which old clients put the comparison into the value."""
    source = raw_table(table).c[column.name]
    if text in (_UNFILTERED, "*"):
        return None
    prefix = next((each for each in _PREFIXES if text.startswith(each)), None)
    if prefix and column.kind is not Kind.TEXT:
        return _PREFIXES[prefix](source, _bound(dialect, table, column, text.removeprefix(prefix)))
    if column.kind is Kind.TEXT and (text.startswith("*") or text.endswith("*")):
        inner = text.strip("*")
        pattern = ("%" if text.startswith("*") else "") + _escaped(inner) + ("%" if text.endswith("*") else "")
        # Without regard to case, as the old server's database compared.
        like: sa.ColumnElement[bool] = (source.ilike if dialect == "postgresql" else source.like)(pattern, escape="!")
        return like
    return _equal(source, _bound(dialect, table, column, text))


def _escaped(text: str) -> str:
    return re.sub(r"([!%_])", r"!\1", text)


def _bound(dialect: str, table: Table, column: Column, text: str) -> Any:
    try:
        values, refused = to_parameters(dialect, column, [plain_text(column, text)])
    except ValueError as error:
        raise HTTPException(400, f"{table.name}.{column.name} cannot be {text[:100]!r}") from error
    if refused:
        raise HTTPException(400, f"{table.name}.{refused[0]}")
    return values[0]
