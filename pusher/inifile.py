"""The lines of an INI file, and how one value of it is replaced without changing another byte."""

from __future__ import annotations

import os
import re
import shlex
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pusher.errors import ConfigError

# --- the file -------------------------------------------------------------------------------------------------------
# By hand, not by ConfigUpdater 4.1, which was tried: setting a value drops the comment behind it, the indentation
# and the CRLF of its line; an indented key is taken for the rest of the value above it; a BOM is an error; and it
# stops at the first fault, where we want them all. Here a value is one line, so its span in the text is enough.


@dataclass(frozen=True, kw_only=True)
class Line:
    """`section`: None above the first header, "" below one that cannot be read. `start`, `end`: where the value
    stands in the whole text, or would stand if it is empty."""

    number: int
    kind: Literal["blank", "comment", "header", "entry", "junk"]
    section: str | None
    raw: str
    key: str = ""
    value: str = ""
    start: int = 0
    end: int = 0


_HEADER = re.compile(r"\[([^\]]*[^\]\s][^\]]*)\]\s*([#;].*)?", re.DOTALL)
_ENTRY = re.compile(r"(?P<key>[^=:]*[^=:\s])\s*(?P<to>[=:])\s*(?P<value>.*?)\s*((?<=\s)[#;].*)?", re.DOTALL)


def scan(text: str) -> Iterator[Line]:
    section: str | None = None
    offset = 0
    for number, raw in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        body = raw.removeprefix("\ufeff").strip()
        at, offset = offset + raw.find(body), offset + len(raw)
        if not body or body[0] in "#;":
            yield Line(number=number, kind="comment" if body else "blank", section=section, raw=raw)
        elif body[0] == "[":
            header = _HEADER.fullmatch(body)
            section = " ".join(header[1].split()) if header else ""
            yield Line(number=number, kind="header" if header else "junk", section=section, raw=raw)
        elif entry := _ENTRY.fullmatch(body):
            key, value = entry["key"], entry["value"]
            start, end = entry.span("value") if value else (entry.end("to"), entry.end("to"))
            span = {"start": at + start, "end": at + end}
            yield Line(number=number, kind="entry", section=section, raw=raw, key=key, value=value, **span)
        else:
            yield Line(number=number, kind="junk", section=section, raw=raw)


def read_text(path: Path) -> tuple[str, os.stat_result]:
    """The text with its line ends as they are, and the state of the file when it was read."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())  # before reading: a change in between then shows as a change
            return file.read().decode(), state
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; write one with: pusher init {shlex.quote(str(path))}"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: not UTF-8 text; save the file as UTF-8"]) from None
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error


def find_entry(lines: list[Line], section: str, key: str) -> Line | None:
    """The line of `key` in `section`; KeyError if there is no such section."""
    if not any(line.kind == "header" and line.section == section for line in lines):
        raise KeyError(section)
    entries = (line for line in lines if line.kind == "entry" and line.section == section)
    return next((line for line in entries if line.key.lower() == key), None)


def with_value(text: str, section: str, key: str, value: str) -> str:
    """`text` with that value; KeyError if there is no such section."""
    lines = list(scan(text))
    line = find_entry(lines, section, key)
    if line:
        return text[: line.start] + ("" if line.value else " ") + value + text[line.end :]
    last = max(i for i, each in enumerate(lines) if each.section == section and each.kind in ("header", "entry"))
    place = last + 1
    while place < len(lines) and lines[place].kind == "comment":
        place += 1
    if place < len(lines) and lines[place].kind == "header":
        place = last + 1  # comments that run into the next header describe that section
    above = lines[last].raw.removeprefix("\ufeff")
    added = above[: len(above) - len(above.lstrip())] + f"{key} = {value}"
    newline = "\r\n" if "\r\n" in text else "\n"
    before, behind = ("".join(each.raw for each in part) for part in (lines[:place], lines[place:]))
    return f"{before}{added}{newline}{behind}" if before.endswith("\n") else f"{before}{newline}{added}"


def replace_file(path: Path, content: bytes, seen: os.stat_result) -> bool:
    """Put `content` in the place of the file that was `seen`; False if somebody changed it since: then read again.

    Whoever reads sees the old file or the new one, also after a power cut. A temporary file that a kill leaves
    behind has a name of its own and harms nobody.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            mine = os.fstat(handle)
            if (mine.st_uid, mine.st_gid) != (seen.st_uid, seen.st_gid):
                os.fchown(handle, seen.st_uid, seen.st_gid)
            os.fchmod(handle, stat.S_IMODE(seen.st_mode))
            os.fsync(handle)
        now = os.stat(target)
        if (now.st_ino, now.st_size, now.st_ctime_ns) != (seen.st_ino, seen.st_size, seen.st_ctime_ns):
            return False
        os.replace(temporary, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True
