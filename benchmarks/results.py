"""What was measured, as numbers, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a series is held against, round by round; a single value stands for every round."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Series:
    """One thing measured, a value each round. `rows`: how many were moved in each round, for a rate."""

    name: str
    values: tuple[float, ...]
    unit: str = "s"
    rows: int | None = None
    against: tuple[Reference, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def rows_per_second(self) -> float | None:
        return self.rows / self.median if self.rows else None

    def ratio(self, reference: Reference) -> float:
        """The median of the ratios of each round: what slowed down both sides of one round takes no part."""
        theirs = reference.values * len(self.values) if len(reference.values) == 1 else reference.values
        return statistics.median(ours / other for ours, other in zip(self.values, theirs, strict=True))


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """`title`: what was measured, `rows`: on how many readings. `notes`: what one must know to read it."""

    title: str
    series: tuple[Series, ...]
    rows: int | None = None
    notes: tuple[str, ...] = ()


def against(reference: Series) -> Reference:
    return Reference(name=reference.name, values=reference.values)


def table(measurement: Measurement) -> str:
    """For people: a line a series, with its median, its spread and its ratios."""
    lines = [_heading(measurement)]
    cells = [_cells(series) for series in measurement.series]
    widths = [max(len(row[place]) for row in cells) for place in range(4)] if cells else []
    for name, value, spread, rate, ratios in cells:
        line = f"  {name:<{widths[0]}}  {value:>{widths[1]}}  {spread:<{widths[2]}}  {rate:>{widths[3]}}  {ratios}"
        lines.append(line.rstrip())
    lines += [f"  - {note}" for note in measurement.notes]
    return "\n".join(lines)


def as_json(measurement: Measurement) -> dict[str, Any]:
    return {
        "title": measurement.title,
        "rows": measurement.rows,
        "series": [_series_json(series) for series in measurement.series],
        "notes": list(measurement.notes),
    }


def _heading(measurement: Measurement) -> str:
    rounds = max((len(series.values) for series in measurement.series), default=0)
    parts = [measurement.title]
    if measurement.rows is not None:
        parts.append(f"{measurement.rows:,} readings")
    if rounds > 1:
        parts.append(f"medians of {rounds} (least..most), ratios: medians of those of each round")
    return ", ".join(parts)


def _cells(series: Series) -> tuple[str, str, str, str, str]:
    spread = ""
    if len(series.values) > 1:
        spread = f"({_number(min(series.values))}..{_number(max(series.values))})"
    rate = series.rows_per_second
    shown = "  ".join(_ratios(series))
    return series.name, f"{_number(series.median)} {series.unit}", spread, f"{rate:,.0f} rows/s" if rate else "", shown


def _ratios(series: Series) -> Iterator[str]:
    for reference in series.against:
        median = _number(statistics.median(reference.values))
        yield f"{series.ratio(reference):.2f} x {reference.name} ({median})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.2f}"


def _series_json(series: Series) -> dict[str, Any]:
    return {
        "name": series.name,
        "unit": series.unit,
        "values": list(series.values),
        "median": series.median,
        "rows_per_second": series.rows_per_second,
        "against": [_reference_json(series, reference) for reference in series.against],
    }


def _reference_json(series: Series, reference: Reference) -> dict[str, Any]:
    return {
        "name": reference.name,
        "values": list(reference.values),
        "median": statistics.median(reference.values),
        "ratio": series.ratio(reference),
    }


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest of the values that at least `part` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-part * len(ordered) // 1) - 1)]
