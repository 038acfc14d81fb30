"""A stand-in for Microsoft Graph over HTTP, which keeps to the rules of a SharePoint library that pusher relies on."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pusher.files.sharepoint import SharePoint

SITE = "contoso.sharepoint.com/sites/lab"
TOKEN = "the-token"
UNIT = 320 << 10
MOST_PUT_BYTES = 4 << 20
_SESSION_BYTES = 60 << 20
_PIECE_BYTES = 64 << 10
_LIBRARY = "Documents"
_DRIVE = "b!lab"
_NOW = "2026-05-05T05:05:05Z"
_BAD_NAME = re.compile(r'["*:<>?/\\|]|^\s|[\s.]$|^$|_vti_', re.IGNORECASE)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_CONFLICT = "@microsoft.graph.conflictBehavior"


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
    modified: str = _NOW
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

    def fail(
        self,
        status: int,
        method: str,
        path: str,
        *,
        times: int = 1,
        skip: int = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        """`path`: an expression that is searched for."""
        answer = Answer(status, "so the test wants it", headers)
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

    def child(self, parent: str, name: str) -> Entry | None:
        """In any case of letters."""
        key = name.casefold()
        return next((e for e in self.entries.values() if e.parent == parent and e.name.casefold() == key), None)

    def add(self, parent: str, name: str, content: bytes | None = None) -> Entry:
        if _BAD_NAME.search(name):
            raise Answer(400, f"The resource name {name} is invalid.")
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
        there.content, there.modified = self.spoils(content), _NOW
        return there

    def update(self, entry: Entry, change: dict[str, Any]) -> None:
        parent = change.get("parentReference", {}).get("id", entry.parent)
        name = change.get("name", entry.name)
        if entry.locked:
            raise Answer(423, "The resource you are attempting to access is locked")
        if parent not in self.entries or self.entries[parent].content is not None:
            raise Answer(404, "The resource could not be found.")
        if _BAD_NAME.search(name):
            raise Answer(400, f"The resource name {name} is invalid.")
        there = self.child(parent, name)
        if there and there is not entry:
            if there.locked:
                raise Answer(423, "The resource you are attempting to access is locked")
            if change.get(_CONFLICT, "fail") != "replace" or there.content is None:
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
        if item.keys() - {_CONFLICT, "name"}:
            raise Answer(400, "Invalid request")
        if _BAD_NAME.search(name):
            raise Answer(400, f"The resource name {name} is invalid.")
        key = f"session{next(self._numbers)}"
        self.sessions[key] = Session(name, parent, item.get(_CONFLICT, "fail") == "replace")
        return key

    def status(self, key: str) -> dict[str, Any]:
        if key not in self.sessions:
            raise Answer(404, "The upload session was not found")
        return {"expirationDateTime": _NOW, "nextExpectedRanges": [f"{len(self.sessions[key].content)}-"]}

    def shown(self, entry: Entry) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": entry.id,
            "name": entry.name,
            "parentReference": {"driveId": _DRIVE, "id": entry.parent},
            "fileSystemInfo": {"lastModifiedDateTime": entry.modified},
        }
        if entry.content is None:
            children = sum(each.parent == entry.id for each in self.entries.values())
            return {**shown, "size": 0, "folder": {"childCount": children}}
        hashes = {}
        if "sha256Hash" in self.hashes:
            hashes["sha256Hash"] = hashlib.sha256(entry.content).hexdigest().upper()
        if "quickXorHash" in self.hashes and len(entry.content) <= MOST_PUT_BYTES:
            hashes["quickXorHash"] = slow_quick_xor(entry.content)
        return {**shown, "size": len(entry.content), "file": {"hashes": hashes}}


def slow_quick_xor(content: bytes) -> str:
    """As its description says it, byte by byte."""
    ring = 0
    for place, byte in enumerate(content):
        turned = byte << (11 * place % 160)
        ring ^= (turned & ((1 << 160) - 1)) ^ (turned >> 160)
    return b64encode((ring ^ len(content) << 96).to_bytes(20, "little")).decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    body: bytes

    def handle_any(self) -> None:
        library = self.server.library
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        fault = library.fault(self.command, unquote(url.path))
        try:
            self._read_body()
            library.asked.append((self.command, unquote(url.path)))
            if fault and fault.answer:
                raise fault.answer
            with library.lock:
                status, message = self._route(url.path)
            if fault:
                raise ConnectionAbortedError
            self._say(status, message)
        except Answer as answer:
            self._say(answer.status, {"error": {"code": "x", "message": answer.message}}, answer.headers)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

    def _read_body(self) -> None:
        library, pieces = self.server.library, []
        left = int(self.headers.get("Content-Length", "0"))
        while left:
            if library.cut_after_bytes is not None and self.path.startswith("/upload/"):
                if library.cut_after_bytes <= 0:
                    library.cut_after_bytes = None
                    raise ConnectionAbortedError
                library.cut_after_bytes -= min(_PIECE_BYTES, left)
            piece = self.rfile.read(min(_PIECE_BYTES, left))
            if not piece:
                raise ConnectionAbortedError
            library.body_bytes += len(piece)
            left -= len(piece)
            pieces.append(piece)
        self.body = b"".join(pieces)

    def _say(self, status: int, message: object, headers: dict[str, str] | None = None) -> None:
        body = message if isinstance(message, bytes) else b"" if message is None else json.dumps(message).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass

    # ---

    def _route(self, path: str) -> tuple[int, object]:
        if path.startswith(("/upload/", "/download/")):
            if "Authorization" in self.headers:
                raise Answer(401, "no token may go here")
            _, kind, key = path.split("/")
            return self._upload(key) if kind == "upload" else (200, self.server.library.entries[key].content)
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            raise Answer(401, "InvalidAuthenticationToken: Access token is empty or wrong.")
        if path.startswith("/v1.0/sites/"):
            return 200, self._site(unquote(path.removeprefix("/v1.0/sites/")))
        start = f"/v1.0/drives/{_DRIVE}/"
        if not unquote(path).startswith(start):
            raise Answer(404, "The resource could not be found.")
        return self._item(path.split("/", 4)[4])

    def _upload(self, key: str) -> tuple[int, object]:
        library = self.server.library
        if self.command == "GET":
            return 200, library.status(key)
        if self.command == "DELETE":
            library.status(key)
            del library.sessions[key]
            return 204, None
        taken = library.take(key, self.headers.get("Content-Range", ""), self.body)
        return (201, library.shown(taken)) if isinstance(taken, Entry) else (202, taken)

    def _site(self, path: str) -> dict[str, Any]:
        host, _, name = SITE.partition("/")
        if path in (f"{host}:/{name}", host):
            return {"id": f"{host},1,2"}
        if path != f"{host},1,2/drives":
            raise Answer(404, "Requested site could not be found")
        drives = [(_DRIVE, _LIBRARY, "Shared%20Documents"), ("b!other", "Other", "Other")]
        return {"value": [{"id": i, "name": n, "webUrl": f"https://{SITE}/{last}"} for i, n, last in drives]}

    def _item(self, path: str) -> tuple[int, object]:
        """`path`: root, root:/a/b:/verb or items/ID:/a/b:/verb, still quoted."""
        start, _, rest = path.partition(":/")
        names, _, verb = rest.partition(":/")
        if not rest and start.count("/") == 2:
            start, _, verb = start.rpartition("/")
        return self._at(start.removeprefix("items/"), unquote(names), verb)

    def _at(self, start: str, names: str, verb: str) -> tuple[int, object]:
        library = self.server.library
        entry = library.find(start, names)
        if (self.command, verb) in (("PUT", "content"), ("POST", "createUploadSession")):
            return self._write(start, names)
        if entry is None:
            raise Answer(404, "The resource could not be found.")
        if (self.command, verb) == ("GET", "children"):
            return 200, self._children(entry)
        if (self.command, verb) == ("POST", "children"):
            return self._make_folder(entry, json.loads(self.body))
        if (self.command, verb) == ("GET", "content"):
            raise Answer(302, "", {"Location": f"{self.server.url}/download/{entry.id}"})
        if self.command == "PATCH":
            library.update(entry, json.loads(self.body))
        elif self.command == "DELETE":
            library.remove(entry)
            return 204, None
        return 200, library.shown(entry)

    def _write(self, start: str, names: str) -> tuple[int, object]:
        library = self.server.library
        above, _, name = names.rpartition("/")
        parent = library.find(start, above)
        if parent is None or parent.content is not None:
            raise Answer(404, "The resource could not be found.")
        if self.command == "POST":
            key = library.begin(parent.id, name, json.loads(self.body)["item"])
            return 200, {"uploadUrl": f"{self.server.url}/upload/{key}", "expirationDateTime": _NOW}
        if len(self.body) > MOST_PUT_BYTES:
            raise Answer(413, "The request is too large")
        replace = self.query.get(_CONFLICT, "replace") == "replace"
        return 201, library.shown(library.write(parent.id, name, self.body, replace=replace))

    def _children(self, entry: Entry) -> dict[str, Any]:
        library = self.server.library
        start = int(self.query.get("$skiptoken", "0"))
        children = [each for each in library.entries.values() if each.parent == entry.id]
        end = start + min(library.page, int(self.query.get("$top", "200")))
        page: dict[str, Any] = {"value": [library.shown(each) for each in children[start:end]]}
        if end < len(children):
            base = f"{self.server.url}/v1.0/drives/{_DRIVE}/items/{entry.id}/children"
            page["@odata.nextLink"] = f"{base}?$skiptoken={end}"
        return page

    def _make_folder(self, parent: Entry, wanted: dict[str, Any]) -> tuple[int, object]:
        if parent.content is not None:
            raise Answer(400, "The parent is no folder")
        if self.server.library.child(parent.id, wanted["name"]):
            raise Answer(409, "Name already exists")
        return 201, self.server.library.shown(self.server.library.add(parent.id, wanted["name"]))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, library: Library) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.library = library
        self.token = TOKEN
        self.url = f"http://127.0.0.1:{self.server_port}"


@dataclass(frozen=True)
class Stub:
    library: Library
    base_url: str

    def connect(self, client: str = "pc-7", sessions: MutableMapping[str, str] | None = None) -> SharePoint:
        """To the folder raw."""
        return SharePoint(
            site=SITE,
            library="Documents",
            folder="raw",
            client=client,
            token=lambda: TOKEN,
            sessions={} if sessions is None else sessions,
            base_url=self.base_url,
            connect_seconds=5,
            read_seconds=20,
        )


@contextmanager
def sharepoint_stub() -> Iterator[Stub]:
    """With one library, Documents, that holds an empty folder, raw."""
    library = Library()
    library.add("root", "raw")
    server = _Server(library)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Stub(library, f"{server.url}/v1.0")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
