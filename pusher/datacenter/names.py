"""Names of files in a storage: which a clerk's file may have, and what the files are called that come of it."""

from __future__ import annotations

import re

from pusher.datacenter.processing import Mode
from pusher.errors import FileRefused

FOLDERS = ("deleted", "finished", "logs", "unfinished")
SUFFIXES = (".csv", ".csv.gz")
MOST_BYTES = 200

_MODES = "|".join(Mode)
_PENDING = re.compile(rf"(.+)\.({_MODES})\.pending\.csv", re.DOTALL)
_RESERVED = re.compile(rf".+\.({_MODES})\.(pending|finished(-\d+)?)", re.DOTALL)
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def check_name(name: str) -> None:
    """Raises FileRefused if no file to import can be called so, whatever system it comes from."""
    shown = repr(name if len(name) <= MOST_BYTES else f"{name[:20]}…")
    if _UNPRINTABLE.search(name):
        raise FileRefused(f"{shown} holds a character that cannot be printed; rename the file")
    if "/" in name or "\\" in name:
        raise FileRefused(f"{shown} leads to a folder; give the name of a file alone")
    if name.startswith("."):
        raise FileRefused(f"{shown} begins with a dot, so it would be hidden; rename the file")
    if not name.endswith(SUFFIXES):
        raise FileRefused(f"{shown} does not end in .csv or .csv.gz; save it as CSV")
    stem, mode, _ = stem_of(name)
    if len(f"{stem}.csv".encode()) > MOST_BYTES:
        raise FileRefused(f"{shown} is longer than {MOST_BYTES} bytes; shorten the name")
    if _RESERVED.fullmatch(stem):
        ending = "compressed or not, " if mode is None else ""
        raise FileRefused(f"{shown} is called like a file that pusher writes, {ending}and is none; rename the file")


def stem_of(name: str) -> tuple[str, Mode | None, bool]:
    """The name without its endings, and whether it is a file of refused rows; if so, of which mode."""
    pending = _PENDING.fullmatch(name)
    if pending:
        return pending[1], Mode(pending[2]), True
    return name.removesuffix(".gz").removesuffix(".csv"), None, False


def pending_name(stem: str, mode: Mode) -> str:
    """Of the file of refused rows."""
    return f"{stem}.{mode}.pending.csv"


def finished_name(stem: str, mode: Mode, number: int = 1) -> str:
    """Of the file of rows that are done; the next `number` has it if those rows have other columns."""
    return f"{stem}.{mode}.finished{_numeral(number)}.csv"


def numbered(name: str, number: int) -> str:
    """What a file is called if its name is taken: houses-2.csv. The first has the name itself."""
    stem, _, _ = stem_of(name)
    return f"{stem}{_numeral(number)}{name.removeprefix(stem)}"


def _numeral(number: int) -> str:
    return f"-{number}" if number > 1 else ""
