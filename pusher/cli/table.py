"""A table as text: numbers to the right, cells folded where the whole would be too wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from unicodedata import category, combining, east_asian_width

_EDGE, _GAP = " ", "   "


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[object]], width: int, rule: str) -> Iterator[str]:
    """The head, a line of `rule` and the rows, each at most `width` wide, as far as the columns' number allows that."""
    listed = [list(row) for row in rows]
    numeric = [
        bool(listed) and all(isinstance(row[place], int | float | None) for row in listed)
        for place in range(len(columns))
    ]
    texts = [[_text(value) for value in row] for row in listed]
    widths = [
        max(_width(line) for row in (columns, *texts) for line in row[place].split("\n"))
        for place in range(len(columns))
    ]
    gaps = len(_GAP) * (len(columns) - 1)
    widths = _narrowed(widths, width - len(_EDGE) - gaps)
    head, *body = ([_folded(cell, widths[place]) for place, cell in enumerate(row)] for row in (columns, *texts))
    yield from _laid_out(head, widths, numeric)
    yield _EDGE + rule * (sum(widths) + gaps)
    for cells in body:
        yield from _laid_out(cells, widths, numeric)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    """What moves the cursor, or is half a character, would spoil more than its cell."""
    unfit = category(character) in ("Cc", "Cs") and character != "\n"
    return "\N{REPLACEMENT CHARACTER}" if unfit else character


def _narrowed(widths: list[int], room: int) -> list[int]:
    """The widest columns give way, one after the other."""
    widths = [min(width, max(room, 1)) for width in widths]
    while sum(widths) > room and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return widths


def _laid_out(cells: list[list[str]], widths: list[int], numeric: list[bool]) -> Iterator[str]:
    for parts in zip_longest(*cells, fillvalue=""):
        padded = []
        for part, width, right in zip(parts, widths, numeric, strict=True):
            blanks = " " * (width - _width(part))
            padded.append(blanks + part if right else part + blanks)
        yield (_EDGE + _GAP.join(padded)).rstrip()


def _folded(text: str, width: int) -> list[str]:
    """The lines of a cell, folded at blanks where there are any."""
    lines = []
    for line in text.split("\n"):
        while _width(line) > width:
            fits = _fitting(line, width)
            blank = line.rfind(" ", 1, fits + 1)
            at = blank if blank > 0 else fits
            lines.append(line[:at].rstrip())
            line = line[at:].lstrip()
        lines.append(line)
    return lines


def _fitting(text: str, width: int) -> int:
    """How many characters of a text that is too wide fit into `width`, at least one."""
    used = 0
    for place, each in enumerate(text):
        used += _width(each)
        if used > width:
            return max(place, 1)
    return len(text)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)
