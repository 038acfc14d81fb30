"""A column of a stream over time, made coarse by the database: a million rows become a line that can be drawn."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import sqlalchemy as sa

from pusher.schema.reading import raw_table
from pusher.wire.tables import Kind, Table

_BUCKETS = 1000  # with a break after each, 2,000 points
_BREAK = 3  # usual distances between points, beyond which there is a gap
_EPOCH = dt.datetime(1970, 1, 1)
_NUMBERS = (Kind.FLOAT, Kind.SINGLE, Kind.DECIMAL)

Condition = sa.ColumnElement[bool]


@dataclass(kw_only=True)
class Series:
    """Points in the order of time, each of `width` seconds: their beginning in seconds since 1970, the mean, the least,
    the greatest and the number of rows. A gap is a point of None."""

    width: int
    times: list[int]
    means: list[float | None]
    lows: list[float | None]
    highs: list[float | None]
    counts: list[int]

    @property
    def rows(self) -> int:
        return sum(self.counts)


def value_columns(table: Table) -> list[str]:
    """What can be drawn: numbers with a fraction that are no keys; one called `value` first."""
    keys = {name for reference in table.references for name in reference.columns} | set(table.primary_key)
    found = [column.name for column in table.columns if column.kind in _NUMBERS and column.name not in keys]
    return sorted(found, key=lambda name: name.casefold() != "value")


def seconds(moment: dt.datetime) -> int:
    return math.floor((moment - _EPOCH).total_seconds())


def moment(seconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(seconds=seconds)


def newest(
    connection: sa.Connection, dialect: str, table: Table, cursor: str, where: Sequence[Condition]
) -> dt.datetime | None:
    """The time of the last of these rows."""
    column = raw_table(table).c[cursor]
    inner = sa.select(column).where(*where).order_by(column.desc()).limit(1).subquery()
    found = connection.scalar(sa.select(_epoch(dialect, inner.c[cursor])))
    return None if found is None else moment(int(found))


def series(
    connection: sa.Connection,
    dialect: str,
    table: Table,
    cursor: str,
    column: str,
    where: Sequence[Condition],
    since: dt.datetime,
    until: dt.datetime,
) -> Series:
    """At most 2,000 points of `column` from `since` to before `until`."""
    source = raw_table(table)
    width = max(1, math.ceil((until - since).total_seconds() / _BUCKETS))
    inside = [source.c[cursor] >= str(since), source.c[cursor] < str(until), source.c[column].is_not(None)]
    parts = _epoch(dialect, source.c[cursor]).op("/")(sa.literal_column(str(width)))
    bucket = parts if dialect == "sqlite" else sa.func.floor(parts)  # which divides whole numbers wholly
    value = sa.cast(source.c[column], sa.Double) if dialect != "sqlite" else source.c[column]
    inner = sa.select(bucket.label("bucket"), value.label("value")).where(*inside, *where).subquery()
    figures = (sa.func.avg(inner.c.value), sa.func.min(inner.c.value), sa.func.max(inner.c.value), sa.func.count())
    query = sa.select(inner.c.bucket, *figures).group_by(inner.c.bucket).order_by(inner.c.bucket)
    found = [row for row in connection.execute(query.limit(_BUCKETS + 1)) if row[0] is not None]
    return _broken(width, found)


def _broken(width: int, rows: Sequence[Any]) -> Series:
    """With a point of None wherever the next point is much farther away than it usually is."""
    found = Series(width=width, times=[], means=[], lows=[], highs=[], counts=[])
    starts = [int(row[0]) * width for row in rows]
    usual = median([after - before for before, after in pairwise(starts)] or [width])
    for start, (_, mean, low, high, count) in zip(starts, rows, strict=True):
        if found.times and start - found.times[-1] > _BREAK * usual:
            _add(found, found.times[-1] + width, None, None, None, 0)
        _add(found, start, mean, low, high, count)
    return found


def _add(found: Series, time: int, mean: Any, low: Any, high: Any, count: int) -> None:
    found.times.append(time)
    found.means.append(_finite(mean))
    found.lows.append(_finite(low))
    found.highs.append(_finite(high))
    found.counts.append(count)


def _finite(value: Any) -> float | None:
    """JSON knows no infinity."""
    return None if value is None or not math.isfinite(float(value)) else float(value)


def _epoch(dialect: str, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Seconds since 1970 of a column that holds moments; what has no zone is taken as it stands."""
    if dialect == "sqlite":
        return sa.cast(sa.func.strftime("%s", column), sa.Integer)
    if dialect == "postgresql":
        return sa.func.floor(sa.extract("epoch", sa.cast(column, sa.DateTime)))
    return sa.func.timestampdiff(sa.text("second"), sa.literal_column("'1970-01-01'"), column)
