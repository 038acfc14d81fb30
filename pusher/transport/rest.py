"""Central over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
import urllib3

import pusher
from pusher.errors import (
    AccessRefused,
    CentralUnreachable,
    ProtocolError,
    PusherError,
    SchemaMismatch,
    SequenceConflict,
)
from pusher.transport.answers import cause, retry_after
from pusher.transport.proxy import pool_for
from pusher.wire.batch import CONTENT_ENCODING, CONTENT_TYPE, MAX_COMPRESSED_BYTES, Batch, decode, encode
from pusher.wire.messages import (
    Compare,
    Compared,
    Done,
    EntityQuery,
    EntityRows,
    Hello,
    Look,
    Looked,
    Problem,
    Receipt,
    Remove,
    Removed,
    Report,
    Resolve,
    Resolved,
    Verified,
    Welcome,
)

_Answer = TypeVar("_Answer", bound=msgspec.Struct)
_TIMEOUT = urllib3.Timeout(connect=10, read=300)
_PIECE_BYTES = 16 << 10  # each has the time of a connection to go out, however slow the line is for the whole
_CONNECTIONS = 4
_SYNC = "../sync/v1/"  # beside /rest/


class RestCentral:
    """Reaches the central service at `resturl`, the address of its `/rest/`.

    `bytes_sent` and `bytes_received` count the bodies that went over the line. `through_port`: where a tunnel to it
    begins on this machine.
    """

    def __init__(
        self, resturl: str, token: str | None, cafile: str | None = None, *, through_port: int | None = None
    ) -> None:
        self._resturl = resturl
        self._base = urljoin(resturl, _SYNC)
        self._headers = {
            "User-Agent": f"pusher/{pusher.__version__}",
            "Accept-Encoding": CONTENT_ENCODING,
            "Content-Type": CONTENT_TYPE,
            "Content-Encoding": CONTENT_ENCODING,
        }
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        options: dict[str, Any] = {"maxsize": _CONNECTIONS, "cert_reqs": "CERT_REQUIRED", "ca_certs": cafile}
        if through_port is None:
            with self._reaching():
                self._pool = pool_for(self._base, **options)
        else:
            # Connects to a port of this machine, whatever proxy the environment names, and else keeps to the host in
            # the URL: its name is what the server is asked for, and what its certificate must prove.
            parts = urlsplit(self._base)
            self._headers["Host"] = parts.netloc
            self._base = parts._replace(netloc=f"127.0.0.1:{through_port}").geturl()
            self._pool = urllib3.PoolManager(**options, server_hostname=parts.hostname)
        self._counting = Lock()
        self.bytes_sent = 0
        self.bytes_received = 0

    def hello(self, hello: Hello) -> Welcome:
        return self._post("hello", hello, Welcome)

    def resolve(self, request: Resolve) -> Resolved:
        return self._post("resolve", request, Resolved)

    def push(self, batch: Batch) -> Receipt:
        return self._post("push", batch, Receipt)

    def entities(self, query: EntityQuery) -> EntityRows:
        return self._post("entities", query, EntityRows)

    def compare(self, request: Compare) -> Compared:
        return self._post("compare", request, Compared)

    def look(self, request: Look) -> Looked:
        return self._post("look", request, Looked)

    def remove(self, request: Remove) -> Removed:
        return self._post("remove", request, Removed)

    def verified(self, verified: Verified) -> Done:
        return self._post("verified", verified, Done)

    def report(self, report: Report) -> Done:
        return self._post("report", report, Done)

    def close(self) -> None:
        self._pool.clear()

    def _post(self, path: str, message: msgspec.Struct, form: type[_Answer]) -> _Answer:
        body = encode(message)
        with self._reaching():
            answer = self._pool.request(
                "POST",
                self._base + path,
                body=(body[place : place + _PIECE_BYTES] for place in range(0, len(body), _PIECE_BYTES)),
                headers={**self._headers, "Content-Length": str(len(body))},
                timeout=_TIMEOUT,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            with closing(answer):
                # Undecoded, because only `decode` puts a bound on what a small answer may swell to.
                content = answer.read(MAX_COMPRESSED_BYTES + 1, decode_content=False)
        with self._counting:  # two batches may be on the line
            self.bytes_sent += len(body)
            self.bytes_received += len(content)
        if answer.status != 200:
            raise self._failure(answer, content)
        if answer.headers.get("Content-Type") != CONTENT_TYPE:
            raise self._stranger("its answer is of another kind")
        return decode(content, form)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise CentralUnreachable(
                f"central at {self._resturl} cannot be reached: {cause(error)}; is resturl right, and is central up?"
            ) from error

    def _failure(self, answer: urllib3.BaseHTTPResponse, content: bytes) -> PusherError:
        problem = _problem(answer.status, content)
        if answer.status in (401, 403):
            return AccessRefused(f"central at {self._resturl} refuses: {problem.detail or 'the token is not accepted'}")
        if answer.status == 409 and problem.expected is not None:
            return SequenceConflict(problem.detail, problem.expected)
        if answer.status == 422:
            return SchemaMismatch(problem.detail)
        if answer.status in (429, 502, 503, 504) or answer.status >= 500:
            why = problem.detail or f"HTTP {answer.status}"
            return CentralUnreachable(f"central at {self._resturl}: {why}", retry_after(answer))
        if answer.status == 413:
            return ProtocolError(f"central at {self._resturl} takes no message of this size; lower pushlimit")
        if answer.status == 400 and problem.detail:
            return ProtocolError(f"central did not understand: {problem.detail}")
        moved = answer.headers.get("Location")
        return self._stranger(f"HTTP {answer.status}" + (f", it points to {moved}" if moved else ""))

    def _stranger(self, why: str) -> CentralUnreachable:
        return CentralUnreachable(f"what answers at {self._resturl} is not a pusher central: {why}; correct resturl")


def _problem(status: int, content: bytes) -> Problem:
    try:
        return msgspec.json.decode(content, type=Problem)
    except (msgspec.MsgspecError, UnicodeError):
        return Problem(title="", status=status, detail="")
