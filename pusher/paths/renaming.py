"""`rename`: the name that a file gets at its destination, from a template with a few fields."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from string import Formatter

_FIELDS = ("stem", "suffix", "name", "folder", "mtime", "size", "site", "location")
_ISO = "%Y%m%dT%H%M%S"
_DATE = re.compile(r"([^%{]|%[aAbBdHIjmMpSUwWyYzZfGuVF%])*")


@dataclass(frozen=True)
class Renaming:
    """`pieces`: a text, then a field with its format, or None at the end."""

    text: str
    pieces: tuple[tuple[str, str | None, str], ...]

    def apply(self, relative: str, *, mtime_ns: int, size: int, site: str, location: str) -> str:
        """The name there of the file `relative`. `mtime_ns`: when it changed, since 1970; shown in local time."""
        path = PurePosixPath(relative)
        folder = "" if str(path.parent) == "." else str(path.parent)
        changed = _local(mtime_ns)
        values = {
            "stem": path.stem,
            "suffix": path.suffix,
            "name": path.name,
            "folder": folder,
            "size": str(size),
            "site": site,
            "location": location,
        }
        made = "".join(
            literal + ("" if field is None else f"{changed:{form or _ISO}}" if field == "mtime" else values[field])
            for literal, field, form in self.pieces
        )
        whole = "/" in self.text or any(field == "folder" for _, field, _ in self.pieces)
        return re.sub("/+", "/", made if whole or not folder else f"{folder}/{made}").lstrip("/")


def _local(mtime_ns: int) -> dt.datetime:
    """A time that the calendar does not have, as a clock far off gives it, is the nearest one."""
    try:
        moment = dt.datetime.fromtimestamp(mtime_ns // 10**9)
    except (OverflowError, OSError, ValueError):
        return dt.datetime.max if mtime_ns > 0 else dt.datetime.min
    return moment.replace(microsecond=mtime_ns % 10**9 // 1000)


def parse_renaming(text: str) -> Renaming:
    """Raises ValueError, in words for the operator."""
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{error}; a brace that is meant as itself is written twice") from None
    found = []
    for literal, field, form, conversion in pieces:
        if field is not None:
            _check(field, form or "", conversion)
        found.append((literal, field, form or ""))
    if not any(field in ("stem", "name") for _, field, _ in found):
        raise ValueError("all files would have one name; write {stem} or {name} into it")
    return Renaming(text=text, pieces=tuple(found))


def _check(field: str, form: str, conversion: str | None) -> None:
    if field not in _FIELDS:
        close = difflib.get_close_matches(field, _FIELDS, 1)
        hint = f"did you mean {{{close[0]}}}?" if close else f"possible: {', '.join(_FIELDS)}"
        raise ValueError(f"there is no {{{field}}}; {hint}")
    if conversion:
        raise ValueError(f"{{{field}!{conversion}}}: write it without !{conversion}")
    if form and field != "mtime":
        raise ValueError(f"{{{field}:{form}}}: only mtime takes a format")
    if not _DATE.fullmatch(form):
        raise ValueError(f"{form} is no format of a date; write it like %Y%m%d")
