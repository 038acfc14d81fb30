"""Reports on questionnaires: which columns lack values, and which scales lack rows that the log speaks of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pusher.export.csvfile import SEALED, Table
from pusher.export.study import field_of

_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class ColumnGaps:
    """`missing`: rows without a value. `sealed`: rows whose value could not be decrypted; those are not missing."""

    scale: str
    column: str
    rows: int
    missing: int
    missing_rate: float
    sealed: int


@dataclass(frozen=True, kw_only=True)
class ScaleCount:
    """`missing_rate`: None where the log has no such task; below zero where there are more rows than it has entries."""

    scale: str
    rows: int
    log: int
    missing_rate: float | None
    remark: str = ""


def rate(part: int, whole: int) -> float:
    return round(part / whole, _DIGITS) if whole else 0.0


def column_gaps(scale: str, tables: Sequence[Table]) -> list[ColumnGaps]:
    """`tables`: one a day. A row of a day on which there was no such column counts as missing."""
    rows = sum(len(table.rows) for table in tables)
    found = []
    for column in columns_of(tables):
        cells = [row.get(column, "") for table in tables for row in table.rows]
        missing = cells.count("")
        gaps = ColumnGaps(
            scale=scale,
            column=column,
            rows=rows,
            missing=missing,
            missing_rate=rate(missing, rows),
            sealed=cells.count(SEALED),
        )
        found.append(gaps)
    return found


def columns_of(tables: Iterable[Table]) -> list[str]:
    """All columns, in the order in which they first appear."""
    return list(dict.fromkeys(column for table in tables for column in table.columns))


def rows_with_ids(tables: Iterable[Table]) -> int:
    """How many rows there are, those of one id counted once."""
    ids = [row.get("id", "") for table in tables for row in table.rows]
    return len(set(ids) - {""}) + ids.count("")


def scale_counts(rows: Mapping[str, int], log: Iterable[Mapping[str, Any]]) -> list[ScaleCount]:
    """`rows`: of each scale in the archive. `log`: the rows of TaskLog."""
    entries = Counter(field_of(entry, "taskName") for entry in log)
    del entries[""]
    return [_scale_count(scale, rows.get(scale), entries[scale]) for scale in sorted(rows.keys() | entries.keys())]


def _scale_count(scale: str, rows: int | None, log: int) -> ScaleCount:
    found = rows or 0
    remark = ""
    if not log:
        remark = "not in the log"
    elif rows is None:
        remark = "not in the archive"
    elif found > log:
        remark = "more rows than the log has: some came twice"
    return ScaleCount(
        scale=scale, rows=found, log=log, missing_rate=rate(log - found, log) if log else None, remark=remark
    )
