"""Which names of files a destination can have: pure rules, of POSIX and of Windows."""

from __future__ import annotations

import ntpath
import re
import unicodedata

PARTS = ".pusher"  # the folder at a destination's root in which files lie until they are whole
_MOST_BYTES, _MOST_BYTES_WHOLE = 255, 1024
_MOST_SHOWN = 255
_LONG_CHARACTERS = 248  # from here on Windows wants a prefix, at the latest
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\..*)?", re.IGNORECASE)
_OUTSIDE_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]')
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # what a system gives for bytes that are no text
_DRIVE = re.compile(r"[A-Za-z]:")
_MEND = "rename the file, or use rename or exclude"


def fault_of(name: str, *, windows: bool) -> str | None:
    """Why a relative name, with `/`, cannot be used at a destination; None if it can."""
    reason = _fault_of_whole(name) or next(
        (reason for part in name.split("/") if (reason := _fault_of_part(part, windows=windows))), None
    )
    return f"{reason}; {_MEND}" if reason else None


def _fault_of_whole(name: str) -> str | None:
    if len(name.encode("utf-8", "surrogatepass")) > _MOST_BYTES_WHOLE:
        return f"{_shown(name)} is longer than {_MOST_BYTES_WHOLE} bytes"
    if name.startswith("/") or _DRIVE.match(name):
        return f"{_shown(name)} is not relative to the folder"
    if name.partition("/")[0].casefold() == PARTS:
        return f"{_shown(name)} is in {PARTS}, pusher's own folder"
    return None


def _fault_of_part(part: str, *, windows: bool) -> str | None:
    if part in ("", ".", ".."):
        return f"{part!r} is no name of a file or folder"
    if _SURROGATE.search(part):
        return f"{_shown(part)} is not UTF-8"
    if "\0" in part:
        return f"{_shown(part)} holds a NUL"
    if len(part.encode()) > _MOST_BYTES:
        return f"{_shown(part)} is longer than {_MOST_BYTES} bytes"
    if not windows:
        return None
    if found := _OUTSIDE_WINDOWS.search(part):
        return f"{_shown(part)} holds {found[0]!r}, which Windows does not take"
    if part[-1] in ". ":
        return f"'{_shown(part)}' ends with a dot or a blank, which Windows drops"
    if _RESERVED.fullmatch(part):
        return f"{part} is the name of a device on Windows"
    return None


def _shown(name: str) -> str:
    """So that a log or a terminal can take it, whatever it holds."""
    plain = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in name[:_MOST_SHOWN])
    return plain if len(name) <= _MOST_SHOWN else f"{plain}…"


def folded(name: str, *, folds_case: bool) -> str:
    """The form in which two names are one at the destination."""
    plain = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", plain.casefold()) if folds_case else plain


def long_path(path: str) -> str:
    """A local path as Windows opens it however long it is; others stay as they are."""
    characters = len(path.encode("utf-16-le", "surrogatepass")) // 2  # as Windows counts them
    if characters < _LONG_CHARACTERS or path.startswith(("\\\\?\\", "\\\\.\\")):
        return path
    # With the prefix Windows takes each component literally, also `..` and `/`.
    if path.startswith("\\\\"):
        return "\\\\?\\UNC\\" + ntpath.normpath(path)[2:]
    if _DRIVE.match(path) and path[2:3] in ("\\", "/"):
        return "\\\\?\\" + ntpath.normpath(path)
    return path


def beside(name: str, stamp: str) -> str:
    """Another name for another content of the same file: a/b.csv becomes a/b~stamp.csv."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    if not stem:  # no suffix, or a name that begins with its only dot
        stem, dot, suffix = last, "", ""
    end = f"~{stamp}{dot}{suffix}"
    if len(end.encode()) >= _MOST_BYTES:
        stem, end = last, f"~{stamp}"
    room = min(_MOST_BYTES, _MOST_BYTES_WHOLE - len((folder + slash).encode())) - len(end.encode())
    return f"{folder}{slash}{stem.encode()[: max(room, 0)].decode(errors='ignore')}{end}"
