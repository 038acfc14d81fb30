"""What a report shows, on a screen, in a CSV file and on a page alike: tables, and how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass

from pusher.export.report_plots import Bar, Cell, HeatRow, bars, heatmap
from pusher.export.reports import ColumnGaps, ScaleCount

Value = str | int | float | None

MOST_ROWS = 60  # of a plot
HEAT = (("none", "none missing"), ("some", "up to 10 %"), ("most", "up to 50 %"), ("full", "more"))


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A float is a share."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Value, ...]]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """`svg`: ready for a page. `legend`: its colours, and what they mean. `note`: what else a reader has to know."""

    title: str
    svg: str
    legend: tuple[tuple[str, str], ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """`verdict`: the one line that matters. `sheets`: those of screen and page. `csv`: that of the CSV file."""

    title: str
    verdict: str
    notes: tuple[str, ...] = ()
    sheets: tuple[Sheet, ...]
    csv: Sheet
    plots: tuple[Plot, ...] = ()


# --- questionnaire --------------------------------------------------------------------------------------------------


def questionnaire(gaps: Sequence[ColumnGaps]) -> Report:
    by_scale: dict[str, list[ColumnGaps]] = {}
    for each in gaps:
        by_scale.setdefault(each.scale, []).append(each)
    lacking = sum(any(each.missing for each in columns) for columns in by_scale.values())
    sealed = sum(each.sealed for each in gaps)
    sheet = Sheet(
        title="Missing values, column by column",
        columns=("scale", "column", "rows", "missing", "missing_rate", "sealed"),
        rows=[(each.scale, each.column, each.rows, each.missing, each.missing_rate, each.sealed) for each in gaps],
    )
    notes = [f"{count(sealed, 'field')} could not be decrypted; they count as there."] if sealed else []
    return Report(
        title="Missing answers",
        verdict=f"{lacking} of {count(len(by_scale), 'scale')} with missing values",
        notes=tuple(notes),
        sheets=(sheet,),
        csv=sheet,
        plots=(_gaps_plot(by_scale),) if by_scale else (),
    )


def _gaps_plot(by_scale: dict[str, list[ColumnGaps]]) -> Plot:
    ranked = sorted(by_scale, key=lambda scale: (-_mean(by_scale[scale]), scale))[:MOST_ROWS]
    rows = [
        HeatRow(label=scale, cells=[Cell(name=f"{scale}, {e.column}", share=e.missing_rate) for e in by_scale[scale]])
        for scale in ranked
    ]
    worst = ranked[0]
    said = f"{count(len(by_scale), 'scale')}; {worst} lacks most: {_mean(by_scale[worst]):.1%} of its values."
    note = f"A square is a column, in its order in the CSV file; figures are per cent.{_more(by_scale, ranked)}"
    title = "Missing by scale and column"
    return Plot(title=title, legend=HEAT, note=note, svg=heatmap("gaps", title, said, (), rows))


def _mean(columns: Sequence[ColumnGaps]) -> float:
    return sum(each.missing_rate for each in columns) / len(columns)


# --- scale ----------------------------------------------------------------------------------------------------------


def scale(counts: Sequence[ScaleCount], log_of: str) -> Report:
    """`log_of`: the day of the log."""
    short = sum(each.rows < each.log for each in counts)
    sheet = Sheet(
        title="All scales",
        columns=("scale", "rows", "log", "missing_rate", "remark"),
        rows=[(each.scale, each.rows, each.log, each.missing_rate, each.remark) for each in counts],
    )
    return Report(
        title="Rows against the log",
        verdict=f"{short} of {count(len(counts), 'scale')} with fewer rows than the log has entries",
        notes=(log_note(log_of), "A missing_rate below zero means that rows came twice."),
        sheets=(sheet,),
        csv=sheet,
        plots=(_counts_plot(counts),) if counts else (),
    )


def _counts_plot(counts: Sequence[ScaleCount]) -> Plot:
    ranked = sorted(counts, key=lambda each: (each.rows - each.log, each.scale))[:MOST_ROWS]
    drawn = [
        Bar(label=each.scale, whole=each.log, part=each.rows, value=f"{each.rows:,} rows, {each.log:,} in the log")
        for each in ranked
    ]
    legend = (("part", "rows in the archive"), ("whole", "entries in the log without one"))
    note = f"The frame is the log.{_more(counts, ranked)}"
    title = "Rows and entries in the log by scale"
    said = f"{count(len(counts), 'scale')}, those that lack most first."
    return Plot(title=title, legend=legend, note=note, svg=bars("counts", title, said, drawn))


# --- words ----------------------------------------------------------------------------------------------------------


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def log_note(day: str) -> str:
    return f"The log is of {day}; to have a newer one: pusher export LOCATION static"


def _more(all_: Sized, drawn: Sized) -> str:
    left = len(all_) - len(drawn)
    return f" {count(left, 'more scale')} with less missing." if left else ""
