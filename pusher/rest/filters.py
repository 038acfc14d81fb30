"""Filters in a query string, as old clients write them (`ge_time=…`, `name=*ab*`) and as people do (`time__gte=…`)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa
from starlette.exceptions import HTTPException

from pusher.rest.forms import plain_text
from pusher.rest.naming import column_called, known_column
from pusher.schema.reading import Raw, raw_table
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
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "ne": operator.ne,
}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


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


def equals(dialect: str, table: Table, name: str, text: str) -> sa.ColumnElement[bool]:
    """That a column holds just this value, whatever the text looks like. Raises 400."""
    column = table.column(name)
    return _equal(raw_table(table).c[name], _bound(dialect, table, column, text))


def truth(name: str, text: str) -> bool:
    """Raises 400."""
    if text.lower() not in _TRUTH:
        raise HTTPException(400, f"{name} is true or false")
    return _TRUTH[text.lower()]


def columns_of(found: Iterable[sa.ColumnElement[bool]]) -> set[str]:
    """The names of the columns that conditions look at."""
    parts = (part for condition in found for part in sa.sql.visitors.iterate(condition))
    return {part.name for part in parts if isinstance(part, sa.ColumnClause)}


def exact(dialect: str, column: Column, value: Any) -> Any:
    """A bound value as it must be compared: MariaDB takes a decimal and a text for two doubles."""
    if isinstance(value, bool):
        return sa.literal(value, Raw())  # else SQLAlchemy compares it by IS, or not at all
    if dialect == "mariadb" and column.kind is Kind.DECIMAL and isinstance(value, str):
        try:
            return Decimal(value)
        except InvalidOperation:
            return value
    return value


def _condition(dialect: str, table: Table, name: str, text: str) -> sa.ColumnElement[bool] | None:
    column, compare, word = _taken_apart(table, name)
    source = raw_table(table).c[column.name]
    if word == "null":
        return source.is_(None) if truth(name, text) else source.is_not(None)
    if word == "in":
        values = text.split(",")
        if len(values) > _MOST:
            raise HTTPException(400, f"more than {_MOST} values in {name}")
        return source.in_([_bound(dialect, table, column, value) for value in values])
    if compare is None:
        return _old_condition(dialect, table, column, text)
    if text == _UNFILTERED and not word:
        return None
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
    return known_column(table, name, sorted(RESERVED)), None, ""


def _old_condition(dialect: str, table: Table, column: Column, text: str) -> sa.ColumnElement[bool] | None:
    """Equal, or one of the forms in which old clients put the comparison into the value."""
    source = raw_table(table).c[column.name]
    if text in (_UNFILTERED, "*"):
        return None
    prefix = next((each for each in _PREFIXES if text.startswith(each)), None)
    if prefix and column.kind is not Kind.TEXT:
        return _PREFIXES[prefix](source, _bound(dialect, table, column, text.removeprefix(prefix)))
    if text.startswith("*") or text.endswith("*"):
        return _like(dialect, column, source, text)
    return _equal(source, _bound(dialect, table, column, text))


def _like(dialect: str, column: Column, source: sa.ColumnElement[Any], text: str) -> sa.ColumnElement[bool]:
    """Without regard to case, as the old server's database compared; what is no text is looked at as it is written."""
    inner = text.strip("*")
    if column.kind is not Kind.TEXT:
        source = sa.cast(source, sa.CHAR if dialect == "mariadb" else sa.Text)
        if column.kind in (Kind.DATETIME, Kind.INSTANT):
            inner = inner.replace("T", " ")
    if "\0" in inner and dialect == "postgresql":
        raise HTTPException(400, f"{column.name} cannot hold the character NUL")
    pattern = ("%" if text.startswith("*") else "") + _escaped(inner) + ("%" if text.endswith("*") else "")
    if dialect == "mariadb":  # a column may be one whose every letter counts
        return sa.func.lower(source, type_=sa.String()).like(pattern.lower(), escape="!")
    return (source.ilike if dialect == "postgresql" else source.like)(pattern, escape="!")


def _escaped(text: str) -> str:
    return re.sub(r"([!%_])", r"!\1", text)


def _bound(dialect: str, table: Table, column: Column, text: str) -> Any:
    try:
        values, refused = to_parameters(dialect, column, [plain_text(column, text)])
    except ValueError as error:
        raise HTTPException(400, f"{table.name}.{column.name} cannot be {text[:100]!r}") from error
    if refused:
        raise HTTPException(400, f"{table.name}.{refused[0]}")
    return exact(dialect, column, values[0])
