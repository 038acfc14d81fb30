"""Central over HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter

import pusher
from pusher.errors import (
    AccessRefused,
    CentralUnreachable,
    ProtocolError,
    PusherError,
    SchemaMismatch,
    SequenceConflict,
)
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
_CONNECT_SECONDS = 10
_READ_SECONDS = 300
_SYNC = "../sync/v1/"  # beside /rest/


class RestCentral:
    """Reaches the central service at `resturl`, the address of its `/rest/`.

    `bytes_sent` and `bytes_received` count the bodies that went over the line. `through_port`: where a tunnel to it
    begins on this machine.
    """

    def __init__(
        self, resturl: str, token: str | None, cafile: str | None = None, *, through_port: int | None = None
    ) -> None:
        self._base = requests.compat.urljoin(resturl, _SYNC)
        self._resturl = resturl
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_maxsize=4) if through_port is None else _Tunnelled(resturl, through_port)
        self._session.mount(self._base, adapter)
        self._session.headers["User-Agent"] = f"pusher/{pusher.__version__}"
        self._session.headers["Accept-Encoding"] = CONTENT_ENCODING
        self._session.auth = _bearer(token)
        self._verify = cafile or True
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
        self._session.close()

    def _post(self, path: str, message: msgspec.Struct, form: type[_Answer]) -> _Answer:
        body = encode(message)
        headers = {"Content-Type": CONTENT_TYPE, "Content-Encoding": CONTENT_ENCODING}
        timeout = (_CONNECT_SECONDS, _READ_SECONDS)
        try:
            with self._session.post(
                self._base + path,
                data=body,
                headers=headers,
                timeout=timeout,
                verify=self._verify,  # here, because requests prefers $REQUESTS_CA_BUNDLE to what the session says
                allow_redirects=False,
                stream=True,
            ) as answer:
                # Undecoded, because only `decode` puts a bound on what a small answer may swell to.
                content: bytes = answer.raw.read(MAX_COMPRESSED_BYTES + 1, decode_content=False)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise CentralUnreachable(
                f"central at {self._resturl} cannot be reached: {_cause(error)}; is resturl right, and is central up?"
            ) from error
        self.bytes_sent += len(body)
        self.bytes_received += len(content)
        if answer.status_code != 200:
            raise self._failure(answer, content)
        if answer.headers.get("Content-Type") != CONTENT_TYPE:
            raise self._stranger("its answer is of another kind")
        return decode(content, form)

    def _failure(self, answer: requests.Response, content: bytes) -> PusherError:
        problem = _problem(answer.status_code, content)
        if answer.status_code in (401, 403):
            return AccessRefused(f"central at {self._resturl} refuses: {problem.detail or 'the token is not accepted'}")
        if answer.status_code == 409 and problem.expected is not None:
            return SequenceConflict(problem.detail, problem.expected)
        if answer.status_code == 422:
            return SchemaMismatch(problem.detail)
        if answer.status_code in (429, 502, 503, 504) or answer.status_code >= 500:
            why = problem.detail or f"HTTP {answer.status_code}"
            return CentralUnreachable(f"central at {self._resturl}: {why}", _retry_after(answer))
        if answer.status_code == 413:
            return ProtocolError(f"central at {self._resturl} takes no message of this size; lower pushlimit")
        if answer.status_code == 400 and problem.detail:
            return ProtocolError(f"central did not understand: {problem.detail}")
        moved = answer.headers.get("Location")
        return self._stranger(f"HTTP {answer.status_code}" + (f", it points to {moved}" if moved else ""))

    def _stranger(self, why: str) -> CentralUnreachable:
        return CentralUnreachable(f"what answers at {self._resturl} is not a pusher central: {why}; correct resturl")


class _Tunnelled(HTTPAdapter):
    """Connects to a port of this machine, and else keeps to the host in the URL: its name is what the server is asked
    for, and what its certificate must prove."""

    def __init__(self, resturl: str, port: int) -> None:
        self._host = urlsplit(resturl).netloc
        self._port = port
        super().__init__(pool_maxsize=4)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        name = urlsplit(f"//{self._host}").hostname
        super().init_poolmanager(*args, **kwargs, server_hostname=name)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        request.headers["Host"] = self._host
        request.url = str(parts._replace(netloc=f"127.0.0.1:{self._port}").geturl())
        kwargs["proxies"] = {}  # whatever the environment says: the tunnel is the way
        return super().send(request, *args, **kwargs)


def _bearer(token: str | None) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Puts the token into each request. Without this, requests would look for a password in ~/.netrc and prefer it."""

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    return authorize


def _problem(status: int, content: bytes) -> Problem:
    try:
        return msgspec.json.decode(content, type=Problem)
    except (msgspec.MsgspecError, UnicodeError):
        return Problem(title="", status=status, detail="")


def _retry_after(answer: requests.Response) -> float | None:
    try:
        return max(0.0, float(answer.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def _cause(error: BaseException) -> str:
    """The innermost reason, which is the one an operator can act on."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
