"""What one request, one token and one address may ask of the service, before anything else looks at it."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pusher.rest.problems import problem
from pusher.wire.batch import MAX_COMPRESSED_BYTES

_LARGE = ("/sync/", "/rest/bulk")  # addresses that take many rows at once
_IMPORT, _UPLOAD = "/import/", "/upload"  # an address that begins and ends so takes a file, and keeps it on the disk
_UPLOAD_HELD = 1 << 20  # of that in memory
_PATIENCE_SECONDS = 2.0  # a client a little too fast is made to wait: an old one takes any answer but a 500 for success
_KNOWN = 10_000  # tokens and addresses that are remembered
_DRAIN_SECONDS = 10.0
_BUSY_RETRY_SECONDS = "2"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one process allows. `requests_per_minute`: of one token, or of an address without one; None: any number.
    `failures_per_minute`: requests with a token that is not valid, of one address. `bodies_bytes`: of all requests that
    are being answered, as far as they are held in memory. `idle_seconds`: without a byte."""

    requests_per_minute: int | None = None
    failures_per_minute: int = 60
    concurrent: int = 1000
    bodies_bytes: int = 256 << 20
    body_bytes: int = 8 << 20
    large_body_bytes: int = MAX_COMPRESSED_BYTES
    upload_bytes: int = 100 << 20
    url_bytes: int = 8 << 10
    header_bytes: int = 16 << 10
    idle_seconds: float = 60
    body_seconds: float = 900

    def body(self, path: str) -> int:
        if _is_upload(path):
            return self.upload_bytes
        return self.large_body_bytes if path.lower().startswith(_LARGE) else self.body_bytes


def _is_upload(path: str) -> bool:
    return path.startswith(_IMPORT) and path.endswith(_UPLOAD)


class Rate:
    """So many a minute of each key, all at once or one after the other; what is long ago is forgotten."""

    def __init__(self, per_minute: int) -> None:
        self._interval = 60 / per_minute
        self._burst_seconds = 60 - self._interval
        self._due: OrderedDict[str, float] = OrderedDict()  # when all that was taken is paid for

    def take(self, key: str, patience_seconds: float = math.inf) -> float:
        """The seconds until it may be done. If they are more than `patience_seconds`, nothing is taken."""
        wait = self.wait(key)
        if wait <= patience_seconds:
            self._due[key] = max(self._due.get(key, 0), time.monotonic()) + self._interval
            self._due.move_to_end(key)
            if len(self._due) > _KNOWN:
                self._due.popitem(last=False)
        return wait

    def wait(self, key: str) -> float:
        return max(0.0, self._due.get(key, 0) - time.monotonic() - self._burst_seconds)


class LimitMiddleware:
    """Of one process: each worker counts for itself, since all is in memory."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._requests = Rate(limits.requests_per_minute) if limits.requests_per_minute else None
        self._failures = Rate(limits.failures_per_minute)
        self._valid: OrderedDict[str, None] = OrderedDict()  # tokens that were, the last time they were seen
        self._active = 0
        self._bodies = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/live":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._limits)
        caller = _Caller(scope)
        try:
            refusal = self._senseless(scope) or await self._too_often(caller)
            if refusal is None and not self._has_room(exchange.announced):
                headers = {"Retry-After": _BUSY_RETRY_SECONDS}
                refusal = problem(503, "Not just now", "central has its hands full", headers=headers)
            if refusal is not None:
                await refusal(scope, exchange.receive, exchange.send)
                return
            self._active += 1
            self._bodies += exchange.announced
            try:
                await self._app(scope, exchange.receive, exchange.send)
            finally:
                self._active -= 1
                self._bodies -= exchange.announced
        except _Stalled:
            return  # the server closes the connection
        self._learn(caller, scope, exchange.status)

    def _has_room(self, body_bytes: int) -> bool:
        if self._active >= self._limits.concurrent:
            return False
        return self._bodies == 0 or self._bodies + body_bytes <= self._limits.bodies_bytes

    def _senseless(self, scope: Scope) -> Response | None:
        limits, headers = self._limits, Headers(scope=scope)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > limits.url_bytes:
            return problem(414, "Address too long", f"the address is longer than {limits.url_bytes} bytes")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.header_bytes:
            return problem(431, "Headers too large", f"the headers are larger than {limits.header_bytes} bytes")
        length = headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length[:20]) > limits.body(scope["path"]):
            return problem(413, "Too large", f"the body is larger than {limits.body(scope['path'])} bytes")
        return None

    async def _too_often(self, caller: _Caller) -> Response | None:
        if caller.presents and caller.token not in self._valid:
            wait = self._failures.wait(caller.address)
            if wait:
                return _later(wait, "too many requests from this address had no valid token")
        if self._requests is None:
            return None
        wait = self._requests.take(caller.token or caller.address, _PATIENCE_SECONDS)
        if wait > _PATIENCE_SECONDS:
            return _later(wait, "too many requests")
        if wait:
            await asyncio.sleep(wait)
        return None

    def _learn(self, caller: _Caller, scope: Scope, status: int) -> None:
        if status == 401 and caller.presents:
            self._failures.take(caller.address)
            self._valid.pop(caller.token, None)
        elif caller.token and 200 <= status < 300 and _needs_valid(scope["path"]):
            self._valid[caller.token] = None
            self._valid.move_to_end(caller.token)
            if len(self._valid) > _KNOWN:
                self._valid.popitem(last=False)


class _Caller:
    """`token`: a hash of what was presented, "" if nothing was. `presents`: whether this may be somebody guessing."""

    def __init__(self, scope: Scope) -> None:
        header = Headers(scope=scope).get("Authorization", "")
        self.token = sha256(header.encode()).hexdigest() if header else ""
        self.address = _network(scope["client"][0] if scope.get("client") else "")
        form = scope["method"] == "POST" and not scope["path"].startswith(("/rest/", "/sync/"))
        self.presents = bool(header) or form


class _Stalled(Exception):
    """Whoever asked does not take the answer."""


class _Exchange:
    """One request and its answer: the body is counted and timed, and what is left of it taken off the line."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        headers = Headers(scope=scope)
        self._receive, self._send = receive, send
        self._limits = limits
        self._allowed = limits.body(scope["path"])
        self._received = 0
        self._until = time.monotonic() + limits.body_seconds
        self._whole = headers.get("Content-Length", "0") == "0" and "Transfer-Encoding" not in headers
        self._asks_first = "Expect" in headers
        length = headers.get("Content-Length", "")
        most = _UPLOAD_HELD if _is_upload(scope["path"]) else self._allowed
        self.announced = min(int(length[:20]), most) if length.isdecimal() else 0 if self._whole else most
        self.status = 0

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        seconds = min(self._limits.idle_seconds, self._until - time.monotonic())
        try:
            message = await self._next(seconds)
        except TimeoutError:
            return self._gone(HTTPException(408, "the body did not come in time", {"Connection": "close"}))
        if self._received > self._allowed:
            return self._gone(HTTPException(413, f"the body is larger than {self._allowed} bytes"))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif not (message.get("more_body") or self._whole or self._asks_first or self.status == 408):
            # Who is still sending reads no answer, and would find the line closed: so the rest is taken, and dropped.
            await self._pass({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b""}
        await self._pass(message)

    async def _pass(self, message: Message) -> None:
        try:
            await asyncio.wait_for(self._send(message), self._limits.idle_seconds)
        except TimeoutError as error:
            raise _Stalled from error

    def _gone(self, error: HTTPException) -> Message:
        if not self.status:
            raise error
        return {"type": "http.disconnect"}

    async def _next(self, seconds: float) -> Message:
        message = await asyncio.wait_for(self._receive(), max(seconds, 0.001))
        self._received += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return message

    async def _drain(self) -> None:
        until = time.monotonic() + min(_DRAIN_SECONDS, self._limits.idle_seconds)
        most = self._received + 2 * self._limits.large_body_bytes
        try:
            while not self._whole and self._received < most and time.monotonic() < until:
                await self._next(until - time.monotonic())
        except TimeoutError:
            pass


def _needs_valid(path: str) -> bool:
    """Whether an answer of this address shows that the token with it was valid."""
    return path.startswith(("/sync/", "/files/", "/import")) or (
        path.startswith("/rest/") and not path.lower().startswith("/rest/version")
    )


def _network(address: str) -> str:
    """Whoever has one IPv6 address has a whole network of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((int(found), 64), strict=False))


def _later(seconds: float, why: str) -> Response:
    return problem(429, "Too many requests", why, headers={"Retry-After": str(math.ceil(seconds))})
