"""Finds lines in log files, also in those of days before, from the oldest to the newest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from pusher.errors import UsageError

EVERYTHING = "DEBUG.log"  # holds what the others hold
_LONGEST_LINE = 1 << 16
_LONGEST_PATTERN = 1000
_PUT_AWAY = re.compile(r"\.(\d{4}-\d\d-\d\d)(?:\.(\d+))?")


@dataclass(frozen=True, kw_only=True)
class Found:
    """`line`: its number in the file, from 1."""

    file: str
    line: int
    text: str


def search(folder: Path, pattern: str, *, start: int = 0, limit: int = 100) -> list[Found]:
    """Lines in which a regular expression is found, in the order of time, without the first `start` of them.

    Raises UsageError if it is no regular expression, or there are no log files.
    """
    wanted = _compiled(pattern)
    files = _files(folder)
    if not files:
        raise UsageError(f"there are no log files in {folder}; see [logging]")
    matching = (found for path in files for found in _lines(path) if wanted.search(found.text))
    return list(islice(matching, start, start + limit))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        if len(pattern) > _LONGEST_PATTERN:
            raise re.error(f"longer than {_LONGEST_PATTERN} letters")
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{pattern[:100]!r} is no regular expression: {error}") from None


def _files(folder: Path) -> list[Path]:
    """The oldest first; the one that is written to now is the last."""
    dated = []
    for path in folder.glob(f"{EVERYTHING}.*"):
        form = _PUT_AWAY.fullmatch(path.name.removeprefix(EVERYTHING))
        if form:
            dated.append((form[1], int(form[2] or 1), path))
    current = folder / EVERYTHING
    return [path for *_, path in sorted(dated)] + ([current] if current.exists() else [])


def _lines(path: Path) -> Iterator[Found]:
    with path.open(encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for number, line in enumerate(_bounded(file), 1):
            yield Found(file=path.name, line=number, text=line)


def _bounded(file: TextIO) -> Iterator[str]:
    """Each line; of one that is too long its beginning."""
    while line := file.readline(_LONGEST_LINE):
        text = line
        while line and not line.endswith("\n"):
            line = file.readline(_LONGEST_LINE)
        yield text.rstrip("\n")
