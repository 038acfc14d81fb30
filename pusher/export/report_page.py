"""A report as one HTML page that needs nothing else: no script, no network, the look of the status pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from importlib.resources import files

import pusher
from pusher.export.report_plots import percent, text
from pusher.export.report_sheets import Plot, Report, Sheet, Value, count

_MOST_ROWS = 5000  # of a table; the CSV file has all
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MARK = (
    '<svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" focusable="false">'
    '<path d="M4 19V9M10 19V5M16 19v-8"/><path d="M13 5l4-3 4 3M17 2v6" class="second"/></svg>'
)
_STYLE = """
.plot { display: block; overflow: visible; }
.plot text { font-size: 13px; fill: var(--ink); }
.plot .end { text-anchor: end; }
.plot .whole { fill: var(--heat-some); }
.plot .part { fill: var(--heat-full); }
.plot .frame { fill: none; stroke: var(--strong-line); }
.plot rect.none { fill: none; stroke: var(--line); }
.legend rect.whole, .legend rect.some { stroke: var(--strong-line); }
.plot rect.empty { fill: none; }
.plot rect.some { fill: var(--heat-some); }
.plot rect.most { fill: var(--heat-most); }
.plot rect.full { fill: var(--heat-full); }
.plot .figure { font-size: 10.5px; text-anchor: middle; }
.plot text.most { fill: var(--on-most); }
.plot text.full { fill: var(--on-accent); }
.drawing { padding: 1rem 1.1rem; }
.notes { margin: 0 0 1.5rem; color: var(--soft); }
.notes p { margin: 0; }
section > .small { margin: 0.5rem 0 0; }
td.long { white-space: normal; min-width: 18rem; overflow-wrap: break-word; }
"""


def page(report: Report, location: str, made: dt.datetime, csv_name: str) -> str:
    """`csv_name`: the file beside it that has the table, too."""
    title = f"{report.title}, {location}"
    body = [
        f'<h1 class="verdict">{text(report.title)}<span class="rest">{text(report.verdict)}</span></h1>',
        f'<div class="notes">{"".join(f"<p>{text(note)}</p>" for note in report.notes)}</div>',
        *(_plot(number, plot) for number, plot in enumerate(report.plots)),
        *(_table(number, sheet, csv_name) for number, sheet in enumerate(report.sheets)),
    ]
    return "\n".join((*_head(title, location), *body, *_foot(made)))


def _head(title: str, location: str) -> Iterator[str]:
    style = (files("pusher.rest") / "static" / "pusher.css").read_text(encoding="utf-8")
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>'
    yield f'<meta http-equiv="Content-Security-Policy" content="{text(_POLICY)}"/>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    yield '<meta name="color-scheme" content="light dark"/>'
    yield f"<title>{text(title)} · pusher</title>\n<style>\n{style}{_STYLE}</style>\n</head>\n<body>"
    yield '<a class="skip" href="#main">Skip to the content</a>'
    yield f'<header class="top"><div class="bar"><span class="brand">{_MARK} {text(location)}</span></div></header>'
    yield '<main id="main" tabindex="-1">'


def _foot(made: dt.datetime) -> Iterator[str]:
    moment = made.strftime("%Y-%m-%d %H:%M:%S %z")
    yield f"</main>\n<footer><p>pusher {pusher.__version__} · made {moment} · counts alone, no answers</p></footer>"
    yield "</body>\n</html>\n"


def _plot(number: int, plot: Plot) -> str:
    legend = "".join(
        f'<li><svg class="plot" width="20" height="20" aria-hidden="true"><rect x="1" y="1" width="18" height="18" '
        f'class="{kind}"/></svg>{text(meaning)}</li>'
        for kind, meaning in plot.legend
    )
    note = f'<p class="small">{text(plot.note)}</p>' if plot.note else ""
    return (
        f'<section><h2 id="plot{number}">{text(plot.title)}</h2>'
        f'<ul class="legend" aria-label="Colours of {text(plot.title)}">{legend}</ul>'
        f'<div class="scroll drawing" role="region" aria-labelledby="plot{number}" tabindex="0">{plot.svg}</div>'
        f"{note}</section>"
    )


def _table(number: int, sheet: Sheet, csv_name: str) -> str:
    left = len(sheet.rows) - _MOST_ROWS
    rest = f"; {left:,} more rows are in {csv_name}" if left > 0 else ""
    numeric = [all(isinstance(row[at], int | float | None) for row in sheet.rows) for at in range(len(sheet.columns))]
    heads = "".join(
        f'<th scope="col"{_number(right)}>{text(name)}</th>' for name, right in zip(sheet.columns, numeric, strict=True)
    )
    rows = "\n".join(_row(row, numeric) for row in sheet.rows[:_MOST_ROWS])
    empty = f'<tr><td colspan="{len(sheet.columns)}">There are none.</td></tr>'
    return (
        f'<section><h2 id="table{number}">{text(sheet.title)}</h2>'
        f'<div class="scroll" role="region" aria-labelledby="table{number}" tabindex="0"><table>'
        f"<caption><span>{count(len(sheet.rows), 'row')}{text(rest)}</span></caption>"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows or empty}\n</tbody></table></div></section>"
    )


def _row(row: tuple[Value, ...], numeric: list[bool]) -> str:
    first, *others = (
        f"{text(shown(value))}" if right else text(value) for value, right in zip(row, numeric, strict=True)
    )
    cells = "".join(
        f"<td{_number(right) or _long(cell)}>{cell}</td>" for cell, right in zip(others, numeric[1:], strict=True)
    )
    return f'<tr><th scope="row">{first}</th>{cells}</tr>'


def _number(right: bool) -> str:
    return ' class="n"' if right else ""


def _long(cell: str) -> str:
    return ' class="long"' if len(cell) > 40 else ""


def shown(value: Value) -> str:
    if value is None:
        return "–"
    return percent(value) if isinstance(value, float) else f"{value:,}"
