"""Which sensor of a site sent how much on which day, and what a usual day of it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import msgspec
import sqlalchemy as sa

from models import bookkeeping
from pusher.schema import guess
from pusher.schema.reading import raw_table
from pusher.wire.batch import unpack_cursor
from pusher.wire.tables import Table

FULL, MOST = 0.95, 0.5  # of a usual day
_MOST_PARENTS = 1000
_MOST_CELLS = 200_000

Sensor = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Day:
    """`level`: `full`, `most`, `some`, `gap` (nothing, though it was due), `today`, or `before` its first row."""

    day: dt.date
    received: int
    level: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """`expected`: rows of a usual day, the median of the days that have any."""

    sensor: Sensor
    expected: int
    days: list[Day]

    @property
    def gaps(self) -> list[tuple[dt.date, dt.date]]:
        """The runs of days that lack rows, each with its first day and the one behind its last."""
        runs: list[tuple[dt.date, dt.date]] = []
        for day in self.days:
            if day.level not in ("gap", "some"):
                continue
            after = day.day + dt.timedelta(days=1)
            if runs and runs[-1][1] == day.day:
                runs[-1] = runs[-1][0], after
            else:
                runs.append((day.day, after))
        return runs


def sensor_columns(table: Table) -> tuple[str, ...]:
    """What tells the sensors of a stream apart: the foreign keys in its key, else the first there is."""
    single = [reference.columns[0] for reference in table.references if len(reference.columns) == 1]
    in_key = [name for name in table.primary_key if name in single]
    return tuple(dict.fromkeys(in_key or single[:1]))


def stream_cursor(table: Table) -> str | None:
    """The column that tells when, of a table that is a stream by it."""
    name = guess.cursor(table)
    return name if name and guess.role(table, False)[0] is guess.Role.STREAM else None


def coverage(
    connection: sa.Connection, dialect: str, table: Table, site: str, since: dt.date, today: dt.date
) -> list[Row]:
    """One row a sensor of `site`, from `since` to `today`; a sensor that sent nothing at all in that time has none."""
    cursor, columns = stream_cursor(table), sensor_columns(table)
    if cursor is None:
        return []
    source = raw_table(table)
    until = today + dt.timedelta(days=1)
    day = _day(dialect, source.c[cursor])
    query = sa.select(day, *(source.c[name] for name in columns), sa.func.count())
    query = query.where(source.c[cursor] >= since.isoformat(), source.c[cursor] < until.isoformat())
    parents = _parents(connection, table, columns, site)
    if parents is not None:
        query = query.where(source.c[columns[0]].in_(parents))
    query = query.group_by(day, *(source.c[name] for name in columns)).limit(_MOST_CELLS)
    counts: dict[Sensor, dict[dt.date, int]] = {}
    for date, *sensor, rows in connection.execute(query):
        try:
            counts.setdefault(tuple(sensor), {})[dt.date.fromisoformat(str(date))] = rows
        except ValueError:  # SQLite keeps any text where a time should be
            continue
    counts = {sensor: found for sensor, found in counts.items() if found}
    ordered = sorted(counts.items(), key=lambda each: tuple((value is None, str(value).zfill(12)) for value in each[0]))
    return [judged(sensor, found, since, today) for sensor, found in ordered]


def judged(sensor: Sensor, counts: dict[dt.date, int], since: dt.date, today: dt.date) -> Row:
    """The first day may be part of one, and this one is: neither says what a usual day is, if there are others."""
    first = min(counts)
    whole = [rows for day, rows in counts.items() if first < day < today] or list(counts.values())
    expected = round(median(whole))
    days = []
    for n in range((today - since).days + 1):
        day = since + dt.timedelta(days=n)
        received = counts.get(day, 0)
        days.append(Day(day=day, received=received, level=_level(day, received, expected, first, today)))
    return Row(sensor=sensor, expected=expected, days=days)


def _level(day: dt.date, received: int, expected: int, first: dt.date, today: dt.date) -> str:
    if day < first:
        return "before"
    if day == today:
        return "today"
    if not received:
        return "gap"
    if received >= FULL * expected:
        return "full"
    if received >= MOST * expected or day == first:
        return "most"
    return "some"


def _parents(connection: sa.Connection, table: Table, columns: Sequence[str], site: str) -> list[Any] | None:
    """The rows that the first of `columns` may refer to as far as they are the site's; None if nobody knows."""
    reference = next((each for each in table.references if columns and each.columns == (columns[0],)), None)
    if reference is None:
        return None
    map_ = bookkeeping.identity
    query = sa.select(map_.c.central_key).where(map_.c.site == site, map_.c.table_name == reference.parent)
    keys = list(connection.scalars(query.limit(_MOST_PARENTS + 1)))
    if not keys or len(keys) > _MOST_PARENTS or any(key.startswith("#") for key in keys):
        return None
    return [unpack_cursor(msgspec.json.decode(key))[0] for key in keys]


def _day(dialect: str, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    if dialect == "sqlite":
        return sa.func.substr(column, 1, 10)
    return sa.cast(column, sa.Date) if dialect == "postgresql" else sa.func.date(column)
