"""What reports are made of: the tables of a data pool, and the newest snapshots of log, participants and study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pusher.errors import ProtocolError, UsageError
from pusher.export.csvfile import Table, read_table
from pusher.export.pool import STUDY, Pool
from pusher.export.rawfile import RawRow, newest_snapshot
from pusher.export.study import Study, study_of

LOG, PARTICIPANT = "TaskLog", "Participant"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """`day`: as the raw file has it in its name."""

    day: str
    rows: list[RawRow]


def tables_by_scale(pool: Pool) -> Iterator[tuple[str, list[Table]]]:
    """The questionnaires of the pool, one after the other, as they may be large. Raises UsageError if there is none."""
    scales = [scale for scale in pool.active_scales() if scale not in (LOG, PARTICIPANT, STUDY)]
    if not scales:
        raise UsageError(f"no questionnaires in {pool.active}; run: pusher export {pool.folder.name}")
    for scale in scales:
        yield scale, tables_of(pool, scale)


def tables_of(pool: Pool, scale: str) -> list[Table]:
    """One a day; of a static scale, each of whose days is complete, the last alone. Raises UsageError if there are
    none."""
    days = pool.active_days(scale)
    if not days:
        known = ", ".join(pool.active_scales()) or "none"
        raise UsageError(f'no scale "{scale}" in {pool.active}; there are: {known}')
    if _is_static(pool, scale):
        days = days[-1:]
    return [read_table(pool.active_file(scale, day)) for day in days]


def _is_static(pool: Pool, scale: str) -> bool:
    newest = newest_snapshot(pool, scale)
    return newest is not None and newest[1][0].snapshot is not None


def snapshot(pool: Pool, name: str) -> Snapshot:
    """Raises UsageError if it was not exported yet."""
    found = newest_snapshot(pool, name)
    if found is None:
        raise UsageError(f"no {name} in {pool.raw}; run: pusher export {pool.folder.name} static")
    day, rows = found
    return Snapshot(day=day.isoformat(), rows=rows)


def studies(pool: Pool) -> list[Study]:
    """Raises UsageError if it was not exported yet, ProtocolError if it is no schedule."""
    try:
        return [study_of(row.values) for row in snapshot(pool, STUDY).rows]
    except ProtocolError as error:
        raise ProtocolError(f"{pool.raw}: {error}") from error
