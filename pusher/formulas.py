"""Cells that a spreadsheet would compute: in what pusher writes they stay text."""

from __future__ import annotations

import re

_FORMULA = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"  # and what East Asian keyboards write for = + - @
_GUARD = "'"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def guarded(cell: str) -> str:
    """With a ' before it, if a spreadsheet would compute it; plain numbers stay as they are."""
    if cell[:1] and (cell[0] in _FORMULA or _is_guarded(cell)) and not _NUMBER.fullmatch(cell):
        return _GUARD + cell
    return cell


def unguarded(cell: str) -> str:
    """What `guarded` was given."""
    return cell[1:] if _is_guarded(cell) else cell


def _is_guarded(cell: str) -> bool:
    return cell[0:1] == _GUARD and cell[1:2] != "" and cell[1] in _FORMULA + _GUARD
