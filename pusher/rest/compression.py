"""Compresses answers with what the client understands, part by part, so that each is on its way at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import zstandard
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pusher.rest.formats import qualities

_SMALL_BYTES = 1000  # below, a packet is a packet
_BLOCKING_BYTES = 32_000  # from here on it takes long enough to hold up other requests
_GZIP_LEVEL = 4
_ZSTD_LEVEL = 3
_AGENTS = "/sync/"  # whose messages are compressed by themselves
_COMPRESSED = ("image/", "video/", "audio/", "font/woff", "application/zip", "application/gzip", "application/zstd")
_PLAIN_IMAGES = ("image/svg+xml", "image/bmp")
_IN_EVENTS = "text/event-stream"  # each of which is small, and must not wait for the next
_WITHOUT_BODY = (204, 206, 304)  # 206: the bytes of a part are counted


@dataclass(frozen=True)
class _Compressor:
    """`part` compresses and flushes; `end` is what comes last."""

    part: Callable[[bytes], bytes]
    end: Callable[[], bytes]


def _gzip() -> _Compressor:
    stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return _Compressor(lambda body: stream.compress(body) + stream.flush(zlib.Z_SYNC_FLUSH), stream.flush)


def _zstd() -> _Compressor:
    stream = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
    flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    return _Compressor(lambda body: stream.compress(body) + stream.flush(flush), stream.flush)


_ENCODINGS: dict[str, Callable[[], _Compressor]] = {"zstd": _zstd, "gzip": _gzip}


def encoding_for(accept: str) -> str | None:
    """The better of what the client understands, by its header Accept-Encoding; None: as it is."""
    wishes = {name.removeprefix("x-"): quality for name, quality in qualities(accept).items()}
    known = {name: wishes.get(name, wishes.get("*", 0.0)) for name in _ENCODINGS}
    best = max(known, key=lambda name: known[name])
    return best if known[best] > 0 and known[best] >= wishes.get("identity", 0.0) else None


class Compression:
    """The application with its answers compressed, but for those of the agent protocol."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_AGENTS):
            await self._app(scope, receive, send)
            return
        encoding = encoding_for(Headers(scope=scope).get("Accept-Encoding", ""))
        await self._app(scope, receive, _Answer(send, encoding).take)


class _Answer:
    """One answer on its way: it is held until it is seen to be large enough."""

    def __init__(self, send: Send, encoding: str | None) -> None:
        self._send = send
        self._encoding = encoding
        self._start: Message | None = None  # until it has gone
        self._held = b""
        self._compressor: _Compressor | None = None

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            if self._is_of_use(message["status"], headers):
                self._start = message
                return
        elif message["type"] == "http.response.body" and (self._start or self._compressor):
            await self._body(message.get("body", b""), more=message.get("more_body", False))
            return
        await self._send(message)

    def _is_of_use(self, status: int, headers: MutableHeaders) -> bool:
        type_ = headers.get("Content-Type", "")
        compressed = type_.startswith(_COMPRESSED) and not type_.startswith(_PLAIN_IMAGES)
        if "Content-Encoding" in headers or compressed or type_.startswith(_IN_EVENTS):
            return False
        if "accept-encoding" not in headers.get("Vary", "").lower():
            headers.add_vary_header("Accept-Encoding")
        return self._encoding is not None and status >= 200 and status not in _WITHOUT_BODY

    async def _body(self, body: bytes, *, more: bool) -> None:
        start, self._start = self._start, None
        if start:
            body = self._held + body
            if len(body) < _SMALL_BYTES and more:
                self._start, self._held = start, body
                return
            if len(body) >= _SMALL_BYTES and self._encoding:
                self._compressor = _ENCODINGS[self._encoding]()
        if self._compressor:
            body = await self._compressed(self._compressor, body, more=more)
        if start:
            if self._compressor:
                self._tell(MutableHeaders(raw=start["headers"]), None if more else len(body))
            await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _tell(self, headers: MutableHeaders, bytes_: int | None) -> None:
        assert self._encoding
        headers["Content-Encoding"] = self._encoding
        del headers["Content-Length"]
        if bytes_ is not None:
            headers["Content-Length"] = str(bytes_)

    async def _compressed(self, compressor: _Compressor, body: bytes, *, more: bool) -> bytes:
        def work() -> bytes:
            return (compressor.part(body) if body else b"") + (b"" if more else compressor.end())

        return await run_in_threadpool(work) if len(body) >= _BLOCKING_BYTES else work()
