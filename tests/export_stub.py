"""A stand-in for the web server that takes questionnaires, as EXPORT-API.md has it, with faults on demand."""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
import socket
import struct
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

USER, PASSWORD = "admin", "geheim"
START = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)  # the first answer of every scale
Row = dict[str, Any]

_LOGIN = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
_BASE = "/api/"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing breaks the connection off
_PIECE_BYTES = 64 << 10
_DRIP_SECONDS = 0.05

# --- faults ---------------------------------------------------------------------------------------------------------


class Broken(Enum):
    """What goes wrong on the way. All but SILENCE and RESET befall the answer, once the request has had its effect."""

    SILENCE = "no answer, for `silent_seconds` or until the stub stops"
    RESET = "the connection is reset"
    LOST = "the connection ends without an answer"
    HALF = "half of what Content-Length says"
    CHUNKS = "chunks, and no last one"
    ENDLESS = "rows without end"
    DRIP = "a byte now and then, without end"


@dataclass(frozen=True, kw_only=True)
class Instead:
    """An answer in place of the right one; the request has no effect."""

    status: int = 200
    body: bytes = b""
    media_type: str = "application/json"
    retry_after_seconds: int | None = None

    def __str__(self) -> str:
        return f"{self.status} {self.body[:20]!r}"


Fault = Broken | Instead

ERROR = Instead(status=500, body=b'{"status":500,"error":"Internal Server Error"}')
BUSY = Instead(status=503, body=b"busy", media_type="text/plain", retry_after_seconds=0)
HTML = Instead(body=b"<!DOCTYPE html><html><body>Sign in</body></html>", media_type="text/html")
NOT_JSON = Instead(body=b'[{"id": 1, ')
EMPTY = Instead(body=b"[]")
NO_ID = Instead(body=b'[{"id":"seven","participantId":1},{"participantId":2}]')
NO_OBJECTS = Instead(body=b'[1,"two",null]')
PASSING = (ERROR, BUSY, HTML, NOT_JSON, Broken.SILENCE, Broken.RESET, Broken.LOST, Broken.HALF, Broken.CHUNKS)


def random_faults(seed: int, share: float, faults: Sequence[Fault] = PASSING) -> Callable[[str, str], Fault | None]:
    """For `ExportStub.trouble`: one of `faults` befalls this share of all requests."""
    random_ = random.Random(seed)
    return lambda method, path: random_.choice(faults) if random_.random() < share else None


# --- what the server holds ------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Scale:
    """`rows` by id. `size_said`: in place of their number. `forbids`: deleting, whatever `deleteable` says.
    `stays`: ids that are still there after they were deleted."""

    deleteable: bool = True
    rows: dict[int, Row] = field(default_factory=dict)
    size_said: int | None = None
    forbids: bool = False
    stays: set[int] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class Deleted:
    scale: str
    id: int
    row: Row
    moment: dt.datetime


_TEXTS = (
    "often", "", None, "zwei\nZeilen", "one, two", 'she said "no"', "=cmd|' /C calc'!A0", "+1", "@SUM(A1)", "-2",
    "Grüße, 日本語 🙂", "\r\n", "\ttab", " spaces ", "'quoted", "a\u2028b", "a\x00b",
)  # fmt: skip


def answers(
    scale: str, count: int, seed: int = 1, *, first: int = 1, seal: Callable[[str], str] | None = None
) -> dict[int, Row]:
    """Rows as participants give them, a minute apart, by id. `seal`: encrypts what they hold in a field …RSA."""
    random_ = random.Random(f"{scale} {seed} {first}")
    rows = {}
    for id_ in range(first, first + count):
        text = random_.choice(_TEXTS)
        row: Row = {
            "id": id_,
            "participantId": random_.randint(1, 40),
            "session": random_.choice(("preTest", "firstSession", "PostFollowUp")),
            "date": (START + dt.timedelta(minutes=id_)).strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
            "tag": random_.choice((None, "post")),
            "timeOnPage": round(random_.uniform(0, 99), 3),
            "item1": random_.randint(-1, 4),
            "item2": random_.choice((None, 0, 555)),
            "answer": text,
        }
        if seal:
            row["answerRSA"] = None if text is None else seal(text)
        rows[id_] = row
    return rows


# --- the server -----------------------------------------------------------------------------------------------------


class ExportStub:
    """`with ExportStub(scales) as stub`: answers at `stub.url`.

    `trouble` says what befalls a request, given its method and path below /api/; `once` says so for one request.
    `on_delete` is called with scale and id before a row goes; what it raises is raised again as the stub ends.
    """

    def __init__(self, scales: dict[str, Scale] | None = None, study: object = ()) -> None:
        self.scales = scales or {}
        self.study = study
        self.requests: list[tuple[str, str]] = []
        self.befell: Counter[Fault] = Counter()
        self.deleted: list[Deleted] = []
        self.trouble: Callable[[str, str], Fault | None] = lambda method, path: None
        self.on_delete: Callable[[str, int], None] = lambda scale, id_: None
        self.silent_seconds = 60.0
        self.stopping = threading.Event()
        self.objections: list[BaseException] = []
        self._once: defaultdict[tuple[str, str], deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}{_BASE}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> ExportStub:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()
        if self.objections and kind is None:
            raise self.objections[0]

    def once(self, method: str, path: str, *faults: Fault) -> None:
        """What befalls the next requests of `path`, such as export/DASS21, one after the other."""
        self._once[method, path].extend(faults)

    def count(self, method: str, path: str) -> int:
        """How often `path` was asked, with and without `?after=`."""
        return sum((method, path) == (asked, where.partition("?")[0]) for asked, where in self.requests)

    def fault(self, method: str, path: str) -> Fault | None:
        due = self._once.get((method, path.partition("?")[0]))
        fault = due.popleft() if due else self.trouble(method, path)
        if fault:
            self.befell[fault] += 1
        return fault

    def reply(self, method: str, path: str) -> tuple[int, object]:
        """Status and document; a delete is done."""
        url = urlsplit(path)
        names = [unquote(name) for name in url.path.removesuffix("/").split("/")]
        if method == "DELETE":
            return self._delete(names[1], names[2]) if len(names) == 3 else (404, None)
        if names == ["study"]:
            return 200, self.study
        with self._lock:
            if names == ["export"]:
                return 200, [_said(name, scale) for name, scale in self.scales.items()]
            if len(names) != 2 or names[0] != "export" or names[1] not in self.scales:
                return 404, {"status": 404, "error": "Not Found"}
            rows = list(self.scales[names[1]].rows.values())
        after = parse_qs(url.query).get("after")
        return 200, [row for row in rows if _is_after(row, after[0])] if after else rows

    def _delete(self, name: str, text: str) -> tuple[int, object]:
        scale = self.scales.get(name)
        if scale is None or not text.isdigit() or int(text) not in scale.rows:
            return 404, None
        if scale.forbids or not scale.deleteable:
            return 403, None
        id_ = int(text)
        self.on_delete(name, id_)
        with self._lock:
            row = scale.rows[id_] if id_ in scale.stays else scale.rows.pop(id_)
            self.deleted.append(Deleted(scale=name, id=id_, row=row, moment=dt.datetime.now(dt.UTC)))
        return 200, {}


def _said(name: str, scale: Scale) -> Row:
    size = len(scale.rows) if scale.size_said is None else scale.size_said
    return {"name": name, "size": size, "deleteable": scale.deleteable}


def _is_after(row: Row, after: str) -> bool:
    """A row with no date is always given, as those of a scale that has none."""
    if not row.get("date"):
        return True
    moment = dt.datetime.fromisoformat(row["date"])
    least = dt.datetime.strptime(after, "%Y-%m-%d-%H-%M-%S").replace(tzinfo=dt.UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)) > least


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def __init__(self, stub: ExportStub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stub = stub
        self.resets: set[Any] = set()
        self._open: set[Any] = set()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        if request in self.resets:  # without the farewell that comes before closing
            self.resets.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def hang_up(self) -> None:
        """Clients that keep their connections would hold up the end."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        import sys

        error = sys.exception()
        if error and not isinstance(error, ConnectionError):  # else the client has gone
            self.stub.objections.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def handle_any(self) -> None:
        stub = self.server.stub
        path = self.path.removeprefix(_BASE)
        stub.requests.append((self.command, path))
        if self.headers.get("Authorization") != _LOGIN:
            return self._say(Instead(status=401, body=b'{"status":401}'))
        fault = stub.fault(self.command, path)
        if isinstance(fault, Instead):
            return self._say(fault)
        if fault in (Broken.SILENCE, Broken.RESET):
            return self._break_off(fault, b"")
        status, document = stub.reply(self.command, path)
        body = b"" if document is None else json.dumps(document, ensure_ascii=False).encode()
        if fault:
            return self._break_off(fault, body)
        return self._say(Instead(status=status, body=body))

    do_GET = do_DELETE = handle_any

    def _say(self, answer: Instead) -> None:
        self._head(answer.status, "Content-Length", len(answer.body), answer.media_type, answer.retry_after_seconds)
        self.wfile.write(answer.body)
        self.wfile.flush()

    def _head(
        self, status: int, length: str, value: object, media_type: str = "application/json", retry: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header(length, str(value))
        if retry is not None:
            self.send_header("Retry-After", str(retry))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="export"')
        self.end_headers()

    def _break_off(self, fault: Broken, body: bytes) -> None:
        self.close_connection = True
        if fault is Broken.SILENCE:
            self.server.stub.stopping.wait(self.server.stub.silent_seconds)
        elif fault is Broken.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.server.resets.add(self.connection)
        elif fault is Broken.HALF:
            self._head(200, "Content-Length", len(body))
            self.wfile.write(body[: len(body) // 2])
        elif fault is Broken.CHUNKS:
            self._head(200, "Transfer-Encoding", "chunked")
            self._chunk(body)
        elif fault is Broken.ENDLESS:
            self._head(200, "Transfer-Encoding", "chunked")
            self._chunk(b"[")
            while not self.server.stub.stopping.is_set():
                self._chunk(b'{"id":1,"answer":"again"},' * (_PIECE_BYTES // 26))
        elif fault is Broken.DRIP:
            self._head(200, "Transfer-Encoding", "chunked")
            while not self.server.stub.stopping.wait(_DRIP_SECONDS):
                self._chunk(b" ")
                self.wfile.flush()

    def _chunk(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def log_message(self, format: str, *args: object) -> None:
        pass
