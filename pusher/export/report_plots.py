"""The plots of a report as SVG: bars of a part in a whole, and a heatmap of shares."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil
from unicodedata import combining, east_asian_width

_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LETTER = 8.3  # px, a digit at 13 px; most letters are narrower
_LABEL, _GAP = 200, 12
_BAR, _BAR_STEP, _BAR_LENGTH, _VALUE = 18, 30, 520, 250
_CELL_HEIGHT, _NARROW, _WIDE = 24, 27, 52
_HEAD_LETTERS, _HEAD_SLOPE = 16, 0.64  # sine of 40°
_MOST_CELLS, _MOST_LETTERS = 34, 100
_LEVELS = ((0.5, "full"), (0.1, "most"), (0.0, "some"))


@dataclass(frozen=True, kw_only=True)
class Bar:
    """`part` of `whole`, which may be larger than it; `value`: what is written beside it."""

    label: str
    whole: int
    part: int
    value: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """`share`: None where there is nothing to have a share of."""

    name: str
    share: float | None


@dataclass(frozen=True, kw_only=True)
class HeatRow:
    label: str
    cells: Sequence[Cell]


def text(value: object) -> str:
    """Harmless in HTML, as text and as an attribute; what no page can hold is shown as �."""
    return escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", str(value)))


def percent(share: float) -> str:
    """`25 %`; neither 0 % nor 100 % where that is not wholly so."""
    rounded = f"{share * 100:.0f} %"
    if rounded == "100 %" and share < 1:
        return "> 99 %"
    if rounded in ("0 %", "-0 %") and share:
        return "< 1 %" if share > 0 else "> -1 %"
    return rounded


def bars(name: str, title: str, description: str, found: Sequence[Bar]) -> str:
    """`name`: of the plot within its page."""
    most = max((max(bar.whole, bar.part) for bar in found), default=0) or 1
    left = _label_width([bar.label for bar in found])
    parts = [_bar(bar, left, place * _BAR_STEP + 1, _BAR_LENGTH / most) for place, bar in enumerate(found)]
    size = (left + _BAR_LENGTH + _VALUE, max(len(found) * _BAR_STEP - _BAR_STEP + _BAR, 1) + 2)
    return _svg(name, title, description, size, parts)


def _bar(bar: Bar, left: int, top: int, scale: float) -> str:
    whole, part = (round(count * scale, 1) for count in (bar.whole, bar.part))
    middle, at = top + 13.5, f'x="{left}" y="{top}" height="{_BAR}"'
    return (
        f"<g><title>{text(bar.label)}: {text(bar.value)}</title>"
        f'<text x="{left - _GAP}" y="{middle}" class="end">{text(short(bar.label, _LABEL))}</text>'
        f'<rect {at} width="{whole}" class="whole"/><rect {at} width="{part}" class="part"/>'
        f'<rect {at} width="{whole}" class="frame"/>'
        f'<text x="{left + max(whole, part) + 8}" y="{middle}">{text(bar.value)}</text></g>'
    )


def heatmap(name: str, title: str, description: str, columns: Sequence[str], rows: Sequence[HeatRow]) -> str:
    """`columns`: the heads; without them cells have names alone, and too many beside each other are drawn as one."""
    width = _WIDE if columns else _NARROW
    left, top = _label_width([row.label for row in rows]), _head_height(columns)
    parts = list(_heads(columns, left, width, top))
    cells_most = 1
    for place, row in enumerate(rows):
        y = top + place * _CELL_HEIGHT
        label = f'<text x="{left - _GAP}" y="{y + 16}" class="end">{text(short(row.label, _LABEL))}</text>'
        parts.append(f"<g><title>{text(row.label)}</title>{label}</g>")
        cells = row.cells if columns else joined(row.cells)
        cells_most = max(cells_most, len(cells))
        parts += [_cell(each, left + at * width, y, width) for at, each in enumerate(cells)]
    beyond = _HEAD_LETTERS * _LETTER if columns else 0
    size = (ceil(left + cells_most * width + beyond), top + len(rows) * _CELL_HEIGHT)
    return _svg(name, title, description, size, parts)


def joined(cells: Sequence[Cell]) -> list[Cell]:
    """At most as many as a screen has room for; a cell that stands for several has their mean."""
    size = ceil(len(cells) / _MOST_CELLS) or 1
    return [_together(cells[at : at + size]) for at in range(0, len(cells), size)]


def _together(cells: Sequence[Cell]) -> Cell:
    if len(cells) == 1:
        return cells[0]
    shares = [cell.share for cell in cells if cell.share is not None]
    return Cell(
        name=f"{cells[0].name} to {cells[-1].name}, {len(cells)} together",
        share=sum(shares) / len(shares) if shares else None,
    )


def short(label: str, room: float) -> str:
    """As much of it as fits into so many pixels."""
    label = label[:_MOST_LETTERS]
    if _width(label) <= room:
        return label
    fits = next(place for place in range(1, len(label) + 1) if _width(label[:place]) > room - _LETTER)
    return label[: max(fits - 1, 1)].rstrip() + "…"


def _width(label: str) -> float:
    """About as many pixels as it takes."""
    return sum(
        0.0 if combining(letter) else _LETTER * (1.8 if east_asian_width(letter) in "WF" else 1) for letter in label
    )


def _label_width(labels: Sequence[str]) -> int:
    """Where what stands behind the labels begins."""
    return ceil(max((_width(short(label, _LABEL)) for label in labels), default=0.0)) + _GAP


def level(share: float) -> str:
    """The class of a cell's colour."""
    return next((name for least, name in _LEVELS if share > least), "none")


def _cell(cell: Cell, x: float, y: float, width: float) -> str:
    if cell.share is None:
        return f"<g><title>{text(cell.name)}: nothing is due</title>{_square(x, y, width, 'empty')}</g>"
    said = percent(cell.share)
    figure = "" if cell.share == 0 else said.removesuffix(" %").replace(" ", "")
    return (
        f"<g><title>{text(cell.name)}: {text(said)} missing</title>{_square(x, y, width, level(cell.share))}"
        f'<text x="{x + width / 2}" y="{y + 15.5}" class="figure {level(cell.share)}">{text(figure)}</text></g>'
    )


def _square(x: float, y: float, width: float, kind: str) -> str:
    return f'<rect x="{x + 1}" y="{y + 1}" width="{width - 2}" height="{_CELL_HEIGHT - 2}" class="{kind}"/>'


def _head_height(columns: Sequence[str]) -> int:
    longest = max((_width(short(column, _HEAD_LETTERS * _LETTER)) for column in columns), default=0.0)
    return ceil(longest * _HEAD_SLOPE) + 16 if columns else 0


def _heads(columns: Sequence[str], left: float, width: float, bottom: float) -> Iterator[str]:
    for place, column in enumerate(columns):
        x, y = left + (place + 0.5) * width, bottom - 7
        shown = text(short(column, _HEAD_LETTERS * _LETTER))
        yield (
            f'<g><title>{text(column)}</title><text x="{x}" y="{y}" transform="rotate(-40 {x} {y})">{shown}</text></g>'
        )


def _svg(name: str, title: str, description: str, size: tuple[float, float], parts: Sequence[str]) -> str:
    width, height = size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{text(title)}</title><desc id="{name}-desc">{text(description)}</desc>'
        f"{''.join(parts)}</svg>"
    )
