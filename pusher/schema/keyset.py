"""Conditions for a part of a table in the order of some of its columns, spelt so that every database walks an index."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from pusher.wire.batch import Cursor, unpack_cursor


class Before(msgspec.Struct, frozen=True):
    """The place in a stream before every row whose cursor column holds `value` or more."""

    value: Any


Place = Cursor | Before | None  # None: the beginning of a stream, or its end


def between(order: list[sa.ColumnClause[Any]], after: Place, upto: Place) -> sa.ColumnElement[bool]:
    """What lies behind `after` and not behind `upto`, in the order of these columns."""
    conditions: list[sa.ColumnElement[bool]] = []
    if after is not None:
        conditions.append(_after(order, after))
    if upto is not None:
        conditions.append(_upto(order, upto))
    return sa.and_(sa.true(), *conditions)


def _after(order: list[sa.ColumnClause[Any]], place: Cursor | Before) -> sa.ColumnElement[bool]:
    """What lies behind a place; an operator's cursor, which has no key, stands before the rows of its moment.

    MariaDB uses no index for (a, b) > (x, y), but does for a >= x and (a > x or …).
    """
    if isinstance(place, Before):
        return _at_least(order[0], place.value)
    cursor = unpack_cursor(place)
    if len(cursor) < len(order):
        return _at_least(order[0], cursor[0])
    return sa.and_(_at_least(order[0], cursor[0]), beyond(order, cursor))


def _upto(order: list[sa.ColumnClause[Any]], place: Cursor | Before) -> sa.ColumnElement[bool]:
    if isinstance(place, Before):
        return order[0].op("<")(place.value)
    cursor = unpack_cursor(place)
    if len(cursor) < len(order):
        return order[0].op("<")(cursor[0])
    behind = sa.not_(beyond(order, cursor))
    return behind if cursor[0] is None else sa.and_(order[0] <= cursor[0], behind)


def _at_least(column: sa.ColumnClause[Any], value: Any) -> sa.ColumnElement[bool]:
    condition: sa.ColumnElement[bool] = sa.true() if value is None else column >= value
    return condition


def beyond(order: list[sa.ColumnClause[Any]], values: tuple[Any, ...]) -> sa.ColumnElement[bool]:
    """What sorts behind these values."""
    column, value = order[0], values[0]
    # SQLite lets a primary key be NULL, and sorts it first.
    greater: sa.ColumnElement[bool] = column.is_not(None) if value is None else column > value
    if len(order) == 1:
        return greater
    return sa.or_(greater, sa.and_(column == value, beyond(order[1:], values[1:])))
