"""Makes a report of a data pool and writes it there, as a CSV file and as a page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pusher.disk import replace
from pusher.export import report_people, report_sheets
from pusher.export.combining import Combined, combined
from pusher.export.csvfile import write_table
from pusher.export.pool import Pool
from pusher.export.report_page import page
from pusher.export.report_participants import ParticipantReport, participant_report
from pusher.export.report_sheets import Report, Sheet
from pusher.export.report_sources import LOG, PARTICIPANT, snapshot, studies, tables_by_scale, tables_of
from pusher.export.reports import ColumnGaps, ScaleCount, column_gaps, rows_with_ids, scale_counts

Found = list[ColumnGaps] | list[ScaleCount] | ParticipantReport


@dataclass(frozen=True, kw_only=True)
class Made:
    """`found`: the numbers; `report`: as people see them; `csv`, `page`: where they are written down."""

    location: str
    kind: str
    made: str
    csv: Path
    page: Path
    found: Found
    report: Report


def make_report(pool: Pool, kind: str, now: dt.datetime) -> Made:
    """`kind`: one of KINDS. `now`: in the operator's zone. Raises UsageError if something is not exported yet."""
    found, report = KINDS[kind](pool)
    location = pool.folder.name
    pool.create()
    csv, html = (pool.reports / f"{kind}_{now.date().isoformat()}.{suffix}" for suffix in ("csv", "html"))
    _write(csv, report.csv)
    replace(html, page(report, location, now, csv.name).encode())
    return Made(
        location=location,
        kind=kind,
        made=now.isoformat(timespec="seconds"),
        csv=csv,
        page=html,
        found=found,
        report=report,
    )


def _questionnaire(pool: Pool) -> tuple[Found, Report]:
    gaps = [each for scale, tables in tables_by_scale(pool) for each in column_gaps(scale, tables)]
    return gaps, report_sheets.questionnaire(gaps)


def _scale(pool: Pool) -> tuple[Found, Report]:
    log = snapshot(pool, LOG)
    rows = {scale: rows_with_ids(tables) for scale, tables in tables_by_scale(pool)}
    counts = scale_counts(rows, (row.values for row in log.rows))
    return counts, report_sheets.scale(counts, log.day)


def _participant(pool: Pool) -> tuple[Found, Report]:
    log, people = snapshot(pool, LOG), snapshot(pool, PARTICIPANT)
    found = participant_report(studies(pool), [row.values for row in people.rows], (row.values for row in log.rows))
    return found, report_people.participant(found, log.day)


KINDS: dict[str, Callable[[Pool], tuple[Found, Report]]] = {
    "questionnaire": _questionnaire,
    "scale": _scale,
    "participant": _participant,
}


def _write(path: Path, sheet: Sheet) -> None:
    texts = [["" if value is None else str(value) for value in row] for row in sheet.rows]
    write_table(path, sheet.columns, [dict(zip(sheet.columns, row, strict=True)) for row in texts])


def combine(
    pool: Pool, scale: str, output: Path | None, participant: str | None, session: str | None
) -> tuple[Path, Combined]:
    """Writes all days of a scale into one file, and returns which. `output`: else a file of the folder reports."""
    found = combined(tables_of(pool, scale), participant, session)
    pool.create()
    path = output or pool.reports / f"{scale}_combined.csv"
    write_table(path, found.columns, found.rows)
    return path, found
