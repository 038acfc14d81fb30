"""Which names of files a destination can have: pure rules, of POSIX and of Windows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath

PARTS = ".pusher"  # the folder at a destination's root in which files lie until they are whole
_MOST_BYTES, _MOST_BYTES_WHOLE = 255, 1024
_LONG_CHARACTERS = 248  # from here on Windows wants a prefix, at the latest
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\..*)?", re.IGNORECASE)
_OUTSIDE_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]')
_DRIVE = re.compile(r"[A-Za-z]:")
_MEND = "rename the file, or use rename or exclude"


def fault_of(name: str, *, windows: bool) -> str | None:
    """Why a relative name, with `/`, cannot be used at a destination; None if it can."""
    if not name:
        return f"an empty name; {_MEND}"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return f"{_shown(name)} is not UTF-8; {_MEND}"
    if size > _MOST_BYTES_WHOLE:
        return f"{name[:40]}… is longer than {_MOST_BYTES_WHOLE} bytes; {_MEND}"
    if name.startswith("/") or _DRIVE.match(name):
        return f"{name} is not relative to the folder; {_MEND}"
    parts = name.split("/")
    if parts[0].lower() == PARTS:
        return f"{PARTS} is pusher's own folder; {_MEND}"
    return next((fault for part in parts if (fault := _fault_of_part(part, windows=windows))), None)


def _fault_of_part(part: str, *, windows: bool) -> str | None:
    if part in ("", ".", ".."):
        return f"{part!r} is no name of a file or folder; {_MEND}"
    if "\0" in part:
        return f"{_shown(part)} holds a NUL; {_MEND}"
    if len(part.encode()) > _MOST_BYTES:
        return f"{part[:40]}… is longer than {_MOST_BYTES} bytes; {_MEND}"
    if not windows:
        return None
    if found := _OUTSIDE_WINDOWS.search(part):
        return f"{_shown(part)} holds {found[0]!r}, which Windows does not take; {_MEND}"
    if part[-1] in ". ":
        return f"{part!r} ends with a dot or a blank, which Windows drops; {_MEND}"
    if _RESERVED.fullmatch(part):
        return f"{part} is the name of a device on Windows; {_MEND}"
    return None


def folded(name: str, *, folds_case: bool) -> str:
    """The form in which two names are one at the destination."""
    plain = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", plain.casefold()) if folds_case else plain


def collisions(names: Iterable[str], *, folds_case: bool) -> dict[str, str]:
    """Of each name that another one before it, in the order of the alphabet, has already: that other one. A name that
    is a folder of another file is taken as well."""
    taken: dict[str, str] = {}
    folders: dict[str, str] = {}
    found: dict[str, str] = {}
    for name in sorted(set(names)):
        form = folded(name, folds_case=folds_case)
        above = [form[:place] for place, letter in enumerate(form) if letter == "/"]
        other = taken.get(form) or folders.get(form) or next((taken[each] for each in above if each in taken), None)
        if other is not None:
            found[name] = other
            continue
        taken[form] = name
        for each in above:
            folders.setdefault(each, name)
    return found


def relative_name(path: str, root: str, *, windows: bool) -> str:
    """A local path as a name relative to `root`, with `/`. Raises ValueError if it lies elsewhere."""
    form = PureWindowsPath if windows else PurePosixPath
    relative = form(path).relative_to(form(root))
    if ".." in relative.parts:
        raise ValueError(f"{path} is not below {root}")
    return relative.as_posix()


def long_path(path: str) -> str:
    """A local path as Windows opens it however long it is; others stay as they are."""
    if len(path) < _LONG_CHARACTERS or path.startswith("\\\\?\\"):
        return path
    if path.startswith("\\\\"):
        return "\\\\?\\UNC\\" + path[2:].replace("/", "\\")
    if _DRIVE.match(path) and path[2:3] in ("\\", "/"):
        return "\\\\?\\" + path.replace("/", "\\")
    return path


def beside(name: str, stamp: str) -> str:
    """Another name for another content of the same file: a/b.csv becomes a/b~stamp.csv."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    if not stem:  # no suffix, or a name that begins with its only dot
        stem, dot, suffix = last, "", ""
    end = f"~{stamp}{dot}{suffix}"
    if len(end.encode()) >= _MOST_BYTES:
        end = f"~{stamp}"
    room = _MOST_BYTES - len(end.encode())
    return f"{folder}{slash}{stem.encode()[:room].decode(errors='ignore')}{end}"


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\0")
