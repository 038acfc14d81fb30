"""Raw files: what the web server sent, a JSON line a row, only ever added to, each with what proves it.

    {"key": "DASS21_2026-11-26T04:37:40.123456Z", "id": 7, "hash": "…", "row": {…as it was sent…}}

A row of a static scale has a `snapshot`, too, and a last line with `rows` closes the snapshot: without it, it is not
whole. A file of an earlier program is one JSON array of rows, or one object with rows under such keys; whether lines
follow it or not, it is read the same.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pusher.disk import read_back
from pusher.errors import ArchiveDamaged, ProtocolError
from pusher.export.answers import Answer, Number, hash_of, id_of, value_at
from pusher.export.pool import Pool

_NEWLINE = b"\n"
_LINE = b'{"key": "'
_MARK_AND_BLANKS = b"\xef\xbb\xbf \t\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class RawRow:
    """`id`, `key`: None where an earlier program wrote none. `snapshot`: of a static scale, when it was taken."""

    key: str | None
    id: int | None
    hash: str
    values: Mapping[str, Any]
    snapshot: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Closing:
    """The last line of a snapshot. `hash`: of its rows together."""

    snapshot: str
    rows: int
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The end of a raw file, read. `size`: up to where its lines are whole. `torn`: what stands behind, where a
    power cut left half a line; `unended`: the last one lacks its line end alone."""

    entries: list[RawRow | Closing]
    size: int
    torn: bytes = b""
    unended: bool = False


# --- what is written


def lines_of(scale: str, answers: Iterable[Answer], now: dt.datetime, snapshot: str | None = None) -> bytes:
    """The lines of some rows, each with a key of its own: a microsecond is enough to tell them apart."""
    lines = []
    for place, answer in enumerate(answers):
        key = _key(scale, now + dt.timedelta(microseconds=place))
        extra = f', "snapshot": {json.dumps(snapshot)}' if snapshot else ""
        lines.append(f'{{"key": {key}, "id": {answer.id}, "hash": "{answer.hash}"{extra}, "row": {answer.text}}}\n')
    return "".join(lines).encode()


def closing_line(scale: str, closing: Closing, now: dt.datetime) -> bytes:
    parts = f'"snapshot": {json.dumps(closing.snapshot)}, "rows": {closing.rows}, "hash": "{closing.hash}"'
    return f'{{"key": {_key(scale, now)}, {parts}}}\n'.encode()


def closing_of(snapshot: str, answers: Sequence[Answer]) -> Closing:
    return Closing(snapshot=snapshot, rows=len(answers), hash=hash_together(answer.hash for answer in answers))


def hash_together(hashes: Iterable[str]) -> str:
    """BLAKE2b-128 over the hashes of rows, whatever their order."""
    return blake2b("".join(sorted(hashes)).encode(), digest_size=16).hexdigest()


def stamp(now: dt.datetime) -> str:
    """`now`: aware."""
    return now.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _key(scale: str, now: dt.datetime) -> str:
    return json.dumps(f"{scale}_{stamp(now)}")


# --- what is read


def read_rows(path: Path) -> Iterator[RawRow]:
    """What counts in a raw file: each content once; of a static scale the newest whole snapshot of that day. Raises
    ArchiveDamaged."""
    return counting(read_from(path, 0).entries)


def counting(entries: Sequence[RawRow | Closing]) -> Iterator[RawRow]:
    whole = [entry.snapshot for entry in entries if isinstance(entry, Closing)]
    newest = whole[-1] if whole else None
    seen: set[tuple[int | None, str]] = set()
    for entry in entries:
        if isinstance(entry, Closing) or entry.snapshot not in (None, newest) or (entry.id, entry.hash) in seen:
            continue
        seen.add((entry.id, entry.hash))
        yield entry


def newest_snapshot(pool: Pool, scale: str) -> tuple[dt.date, list[RawRow]] | None:
    """The rows of a static scale as they were last, and of which day; None if there are none."""
    for day in reversed(pool.raw_days(scale)):
        rows = list(read_rows(pool.raw_file(scale, day)))
        if rows:
            return day, rows
    return None


def read_from(path: Path, start: int) -> Reading:
    """The entries behind `start`, where a line begins: what stands before it is proven, and may have been torn anywhere
    behind it. With 0 the last line alone may be torn.

    Raises ArchiveDamaged where another line cannot be read, or its row is not what its hash says.
    """
    content = read_back(path, start)
    entries: list[RawRow | Closing] = []
    at = _earlier(path, content, entries) if start == 0 else 0
    while at < len(content):
        end = content.find(_NEWLINE, at)
        line = content[at:] if end < 0 else content[at:end]
        entry = _entry(line)
        if entry is None and (start or end < 0 or not content[end + 1 :].strip(b"\0 \r\n")):
            return Reading(entries=entries, size=start + at, torn=content[at:])
        if entry is None:
            raise ArchiveDamaged(f"{path} is damaged at byte {start + at}; put it back from a backup, or move it away")
        entries.append(entry)
        at = end + 1 if end >= 0 else len(content)
    unended = bool(content) and not content.endswith(_NEWLINE)
    return Reading(entries=entries, size=start + len(content), unended=unended)


def whole_lines(content: bytes) -> bytes:
    """Those lines that are found right, among others."""
    return b"".join(line for line in content.splitlines(keepends=True) if line.endswith(_NEWLINE) and _entry(line))


def _entry(line: bytes) -> RawRow | Closing | None:
    """None if that is no line of a raw file."""
    try:
        fields, _ = value_at(line.decode(), 0)
    except (ProtocolError, UnicodeDecodeError):
        return None
    if not isinstance(fields, dict):
        return None
    hash_, snapshot, row = fields.get("hash"), fields.get("snapshot"), fields.get("row")
    if isinstance(row, dict) and hash_ == hash_of(row):
        return RawRow(key=fields.get("key"), id=id_of(fields), hash=hash_, values=row, snapshot=snapshot)
    if isinstance(fields.get("rows"), Number) and isinstance(snapshot, str) and isinstance(hash_, str):
        return Closing(snapshot=snapshot, rows=int(fields["rows"]), hash=hash_)
    return None


def _earlier(path: Path, content: bytes, entries: list[RawRow | Closing]) -> int:
    """Reads what an earlier program wrote, and returns where it ends: 0 if the file holds lines alone."""
    if content.startswith(_LINE) or content.lstrip(_MARK_AND_BLANKS)[:1] not in (b"[", b"{"):
        return 0
    try:
        text = content.decode()
        value, end = value_at(text, len(text) - len(text.lstrip("\ufeff \t\r\n")))
    except (ProtocolError, UnicodeDecodeError):
        if content in _LINE:  # what a power cut left of the first line of all
            return 0
        raise ArchiveDamaged(f"{path} is no JSON; put it back from a backup, or move it away") from None
    rows = [(None, row) for row in value] if isinstance(value, list) else list(value.items())
    for key, row in rows:
        if not isinstance(row, dict):
            raise ArchiveDamaged(f"{path} holds something else than rows; move it away")
        entries.append(RawRow(key=key, id=id_of(row), hash=hash_of(row), values=row))
    return len(text[:end].encode()) + len(text[end:]) - len(text[end:].lstrip(" \t\r\n"))
