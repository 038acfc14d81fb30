"""The rules of a SharePoint library, as Microsoft Graph shows it, that pusher relies on."""

from __future__ import annotations

import hashlib
import re
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

DRIVE = "b!lab"
UNIT = 320 << 10
MOST_PUT_BYTES = 4 << 20
CONFLICT = "@microsoft.graph.conflictBehavior"
NOW = "2026-05-05T05:05:05Z"
_HASHED_BYTES = 64 << 10  # hashes of what is larger come later, if ever
_SESSION_BYTES = 60 << 20
_BAD_NAME = re.compile(r'["*:<>?/\\|]|^\s|[\s.]$|^$|_vti_', re.IGNORECASE)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Answer(Exception):
    """What a request is answered with, other than what was asked for."""

    def __init__(self, status: int, message: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


@dataclass
class Entry:
    """A file, or a folder if it has no content."""

    id: str
    name: str
    parent: str
    content: bytes | None = None
    modified: str = NOW
    locked: bool = False


@dataclass
class Session:
    name: str
    parent: str
    replace: bool
    content: bytearray = field(default_factory=bytearray)
    total: int | None = None


@dataclass
class Fault:
    """Happens to the next `times` requests that it is meant for, after `skip` of them."""

    meant: Callable[[str, str], bool]
    answer: Answer | None
    times: int
    skip: int


class Library:
    """What is in the library, and the switches of a test.

    `hashes`: those that files are given, of sha256Hash and quickXorHash. `page`: children in one answer.
    `keeps_time`: whether a move may set a time as well. `asked`: method and path of each request.
    `file_bytes`: of files, that came and were kept. `body_bytes`: that came at all.
    """

    more_at = ""  # where the next page is, if not here

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.entries: dict[str, Entry] = {"root": Entry("root", "root", "")}
        self.sessions: dict[str, Session] = {}
        self.hashes: tuple[str, ...] = ("quickXorHash",)
        self.page = 200
        self.keeps_time = True
        self.spoils: Callable[[bytes], bytes] = bytes
        self.asked: list[tuple[str, str]] = []
        self.file_bytes = 0
        self.body_bytes = 0
        self.cut_after_bytes: int | None = None
        self._faults: list[Fault] = []
        self._numbers = count(1)

    # --- for tests

    def fail(self, status: int, method: str, path: str, *, times: int = 1, skip: int = 0, **headers: str) -> None:
        """`path`: an expression that is searched for."""
        answer = Answer(
            status, "so the test wants it", {name.replace("_", "-"): text for name, text in headers.items()}
        )
        self._faults.append(Fault(lambda verb, at: verb == method and bool(re.search(path, at)), answer, times, skip))

    def lose_answers(self, method: str, path: str, *, times: int = 1, skip: int = 0) -> None:
        """What was asked for is done, but the connection ends before it is said."""
        self._faults.append(Fault(lambda verb, at: verb == method and bool(re.search(path, at)), None, times, skip))

    def files(self) -> dict[str, bytes]:
        """All files below the folder raw, by their names there; no parts."""
        found = {self.path(entry): entry.content for entry in self.entries.values() if entry.content is not None}
        return {
            name.removeprefix("raw/"): content
            for name, content in found.items()
            if name.startswith("raw/") and not name.startswith("raw/.pusher/")
        }

    def entry(self, path: str) -> Entry:
        found = self.find("root", path)
        assert found, f"{path} is not there"
        return found

    def path(self, entry: Entry) -> str:
        above = self.entries.get(entry.parent)
        return entry.name if above is None or above.id == "root" else f"{self.path(above)}/{entry.name}"

    # --- the rules

    def fault(self, method: str, path: str) -> Fault | None:
        for fault in self._faults:
            if fault.meant(method, path):
                if fault.skip:
                    fault.skip -= 1
                elif fault.times:
                    fault.times -= 1
                    return fault
        return None

    def find(self, start: str, path: str) -> Entry | None:
        found: Entry | None = self.entries.get(start)
        for name in filter(None, path.split("/")):
            found = found and self.child(found.id, name)
        return found

    def check_names(self, path: str) -> None:
        for name in path.split("/") if path else ():
            if _BAD_NAME.search(name):
                raise Answer(400, f"The resource name {name} is invalid.")

    def child(self, parent: str, name: str) -> Entry | None:
        """In any case of letters."""
        key = name.casefold()
        return next((e for e in self.entries.values() if e.parent == parent and e.name.casefold() == key), None)

    def add(self, parent: str, name: str, content: bytes | None = None) -> Entry:
        self.check_names(name)
        entry = Entry(f"id{next(self._numbers)}", name, parent, content)
        self.entries[entry.id] = entry
        return entry

    def write(self, parent: str, name: str, content: bytes, *, replace: bool) -> Entry:
        there = self.child(parent, name)
        if there and (there.content is None or not replace):
            raise Answer(409, "Name already exists")
        self.file_bytes += len(content)
        if there is None:
            return self.add(parent, name, self.spoils(content))
        there.content, there.modified = self.spoils(content), NOW
        return there

    def update(self, entry: Entry, change: dict[str, Any]) -> None:
        parent = change.get("parentReference", {}).get("id", entry.parent)
        name = change.get("name", entry.name)
        if entry.locked:
            raise Answer(423, "The resource you are attempting to access is locked")
        if parent not in self.entries or self.entries[parent].content is not None:
            raise Answer(404, "The resource could not be found.")
        self.check_names(name)
        there = self.child(parent, name)
        if there and there is not entry:
            if there.locked:
                raise Answer(423, "The resource you are attempting to access is locked")
            if change.get(CONFLICT, "fail") != "replace" or there.content is None:
                raise Answer(409, "Name already exists")
            del self.entries[there.id]
        moved = (parent, name) != (entry.parent, entry.name)
        entry.parent, entry.name = parent, name
        if "fileSystemInfo" in change and (self.keeps_time or not moved):
            entry.modified = change["fileSystemInfo"]["lastModifiedDateTime"]

    def remove(self, entry: Entry) -> None:
        for child in [each for each in self.entries.values() if each.parent == entry.id]:
            self.remove(child)
        del self.entries[entry.id]

    def take(self, key: str, header: str, chunk: bytes) -> dict[str, Any] | Entry:
        """One range of an upload session."""
        session = self.sessions.get(key)
        if session is None:
            raise Answer(404, "The upload session was not found")
        match = _RANGE.fullmatch(header)
        if match is None:
            raise Answer(400, "The Content-Range header is missing or malformed.")
        start, end, total = map(int, match.groups())
        if len(chunk) != end - start + 1:
            raise Answer(400, "The Content-Range header length does not match the provided number of bytes.")
        if session.total not in (None, total) or end >= total or len(chunk) > _SESSION_BYTES:
            raise Answer(400, "Declared total size differs, or the range is not within it")
        if start != len(session.content):
            raise Answer(416, "The range is not the next one")
        if end + 1 < total and len(chunk) % UNIT:
            raise Answer(400, "The size of a range must be a multiple of 320 KiB")
        session.total = total
        session.content += chunk
        if len(session.content) < total:
            self.file_bytes += len(chunk)
            return self.status(key)
        self.file_bytes -= len(session.content) - len(chunk)  # `write` counts them all
        entry = self.write(session.parent, session.name, bytes(session.content), replace=session.replace)
        del self.sessions[key]
        return entry

    def begin(self, parent: str, name: str, item: dict[str, Any]) -> str:
        if item.keys() - {CONFLICT, "name"}:
            raise Answer(400, "Invalid request")
        self.check_names(name)
        key = f"session{next(self._numbers)}"
        self.sessions[key] = Session(name, parent, item.get(CONFLICT, "fail") == "replace")
        return key

    def status(self, key: str) -> dict[str, Any]:
        if key not in self.sessions:
            raise Answer(404, "The upload session was not found")
        return {"expirationDateTime": NOW, "nextExpectedRanges": [f"{len(self.sessions[key].content)}-"]}

    def shown(self, entry: Entry) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": entry.id,
            "name": entry.name,
            "parentReference": {"driveId": DRIVE, "id": entry.parent},
            "fileSystemInfo": {"lastModifiedDateTime": entry.modified},
        }
        if entry.content is None:
            children = sum(each.parent == entry.id for each in self.entries.values())
            return {**shown, "size": 0, "folder": {"childCount": children}}
        hashes = {}
        if "sha256Hash" in self.hashes:
            hashes["sha256Hash"] = hashlib.sha256(entry.content).hexdigest().upper()
        if "quickXorHash" in self.hashes and len(entry.content) <= _HASHED_BYTES:
            hashes["quickXorHash"] = slow_quick_xor(entry.content)
        return {**shown, "size": len(entry.content), "file": {"hashes": hashes}}


def slow_quick_xor(content: bytes) -> str:
    """As its description says it, byte by byte."""
    ring = 0
    for place, byte in enumerate(content):
        turned = byte << (11 * place % 160)
        ring ^= (turned & ((1 << 160) - 1)) ^ (turned >> 160)
    return b64encode((ring ^ len(content) << 96).to_bytes(20, "little")).decode()
