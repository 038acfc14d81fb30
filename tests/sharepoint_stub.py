"""A stand-in for Microsoft Graph over HTTP, with one site that has one library."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pusher.files.sharepoint import SharePoint
from tests.sharepoint_library import CONFLICT, DRIVE, MOST_PUT_BYTES, NOW, Answer, Entry, Library

SITE = "contoso.sharepoint.com/sites/lab"
TOKEN = "the-token"
_PIECE_BYTES = 64 << 10
_LIBRARY = "Documents"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
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
        start = f"/v1.0/drives/{DRIVE}/"
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
        drives = [(DRIVE, _LIBRARY, "Shared%20Documents"), ("b!other", "Other", "Other")]
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
        library.check_names(names)
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
            return 200, {"uploadUrl": f"{self.server.url}/upload/{key}", "expirationDateTime": NOW}
        if len(self.body) > MOST_PUT_BYTES:
            raise Answer(413, "The request is too large")
        replace = self.query.get(CONFLICT, "replace") == "replace"
        return 201, library.shown(library.write(parent.id, name, self.body, replace=replace))

    def _children(self, entry: Entry) -> dict[str, Any]:
        library = self.server.library
        start = int(self.query.get("$skiptoken", "0"))
        children = [each for each in library.entries.values() if each.parent == entry.id]
        end = start + min(library.page, int(self.query.get("$top", "200")))
        page: dict[str, Any] = {"value": [library.shown(each) for each in children[start:end]]}
        if end < len(children):
            base = library.more_at or f"{self.server.url}/v1.0/"
            page["@odata.nextLink"] = f"{base}drives/{DRIVE}/items/{entry.id}/children?$skiptoken={end}"
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

    def connect(
        self, client: str = "pc-7", sessions: MutableMapping[str, str] | None = None, **others: Any
    ) -> SharePoint:
        """To the folder raw, unless `others` say otherwise."""
        usual: dict[str, Any] = {
            "site": SITE,
            "library": _LIBRARY,
            "folder": "raw",
            "token": lambda: TOKEN,
            "base_url": self.base_url,
            "connect_seconds": 5,
            "read_seconds": 20,
        }
        return SharePoint(client=client, sessions={} if sessions is None else sessions, **usual | others)


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
