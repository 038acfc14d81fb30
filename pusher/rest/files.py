"""`/files/v1/`: the files of a site, which its own tokens alone reach, over HTTP."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pusher.central.fileparts import Parts, Writer
from pusher.central.filestore import FileStore
from pusher.errors import FileRefused, Occupied, ProtocolError, PusherError, SequenceConflict
from pusher.log import event
from pusher.rest.access import may_push, token_of
from pusher.rest.compression import encoding_for
from pusher.rest.problems import problem
from pusher.rest.sync import read_body
from pusher.wire.batch import CONTENT_ENCODING, encode
from pusher.wire.files import (
    MOST_LISTED,
    OFFSET,
    SENDER,
    STORE_BYTES,
    Failure,
    FoundFiles,
    Names,
    Placing,
    RefusedFile,
    SizedParts,
    Stored,
    unpack_files,
    unpack_request,
)

log = logging.getLogger(__name__)

AT_ONCE = 4  # requests that hash, or hold many files in memory, of each process; the others wait
_MESSAGE_BYTES = 2 << 20
_WRITE_BYTES = 1 << 20
_STEP_SECONDS = 0.2  # of hashing, then whoever waits hears of it
_FULL = (errno.ENOSPC, errno.EDQUOT)

_Work = Callable[[Request, FileStore, str], Awaitable[Response]]
_Lines = Generator[bytes, None, None]


def _endpoint(work: _Work, *, writes: bool) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        store: FileStore | None = request.app.state.files
        if store is None:
            return problem(404, "No files here", "this central takes no files; start it with --files FOLDER")
        token = await token_of(request)
        if writes:
            may_push(token, token.site)
        try:
            return await work(request, store, token.site)
        except Occupied as error:
            return problem(409, "Occupied", str(error))
        except FileRefused as error:
            return problem(422, "File refused", str(error))
        except SequenceConflict as error:
            headers = {OFFSET: str(error.expected)}
            return problem(409, "Another offset", str(error), expected=error.expected, headers=headers)
        except OSError as error:
            log.error(event("files_failed", site=token.site, path=repr(request.url.path), error=error.strerror))
            return _disk_problem(error)

    return endpoint


def _disk_problem(error: OSError) -> Response:
    reason = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return problem(507, "No room", f"no room for files at central: {reason}; free some there")
    if error.errno == errno.EFBIG:
        return problem(422, "File refused", f"{reason} for the disk of central's files; use exclude")
    return problem(500, "Disk fault", f"central's disk does not do it: {reason}; see the folder of --files there")


# --- looking


async def _find(request: Request, store: FileStore, site: str) -> Response:
    names = unpack_request(await read_body(request, _MESSAGE_BYTES), Names).names
    return _answer(request, FoundFiles(files=await run_in_threadpool(store.find, site, names)))


async def _list(request: Request, store: FileStore, site: str) -> Response:
    limit = request.query_params.get("limit", str(MOST_LISTED))
    if not limit.isdecimal() or not 1 <= int(limit[:9]) <= MOST_LISTED:
        raise ProtocolError(f"limit is a number from 1 to {MOST_LISTED}")
    after = request.query_params.get("after", "")
    return _answer(request, await run_in_threadpool(store.listing, site, after, int(limit)))


async def _digests(request: Request, store: FileStore, site: str) -> Response:
    names = unpack_request(await read_body(request, _MESSAGE_BYTES), Names).names

    def lines() -> _Lines:
        for name in names:
            sha256 = None
            for sha256 in store.hashing(site, name):
                if sha256 is None:
                    yield b"\n"
            yield _line(sha256)

    return await _streamed(request, lines())


# --- parts


async def _parts(request: Request, store: FileStore, site: str) -> Response:
    return _answer(request, SizedParts(parts=await run_in_threadpool(_sender(request, store, site).sized)))


async def _append(request: Request, store: FileStore, site: str) -> Response:
    offset = request.headers.get(OFFSET, "")
    if not offset.isdecimal() or len(offset) > 18:
        raise ProtocolError(f"the header {OFFSET} tells where the bytes begin")
    parts = _sender(request, store, site)
    writer = await run_in_threadpool(parts.writer, request.path_params["part"], int(offset))
    try:
        await _pour(request, writer)
    except ClientDisconnect:
        return Response(status_code=400)  # to nobody
    finally:
        await run_in_threadpool(writer.close)
    return Response(status_code=204, headers={OFFSET: str(writer.size)})


async def _pour(request: Request, writer: Writer) -> None:
    """Writes the body as it comes, so that a line that breaks takes little with it."""
    held = bytearray()
    try:
        async for piece in request.stream():
            held += piece
            if len(held) >= _WRITE_BYTES:
                full, held = held, bytearray()
                await run_in_threadpool(writer.write, full)
    finally:
        if held:
            await run_in_threadpool(writer.write, held)


async def _part_digest(request: Request, store: FileStore, site: str) -> Response:
    proving = _sender(request, store, site).proving(request.path_params["part"])
    return await _streamed(request, (_line(sha256) if sha256 else b"\n" for sha256 in proving))


async def _discard(request: Request, store: FileStore, site: str) -> Response:
    await run_in_threadpool(_sender(request, store, site).discard, request.path_params["part"])
    return Response(status_code=204)


# --- files


async def _place(request: Request, store: FileStore, site: str) -> Response:
    placing = unpack_request(await read_body(request, _MESSAGE_BYTES), Placing)
    return _answer(request, await run_in_threadpool(store.place, site, _sender_name(request), placing))


async def _store(request: Request, store: FileStore, site: str) -> Response:
    body = await read_body(request, STORE_BYTES)
    sender = _sender_name(request)
    async with request.app.state.files_at_once:
        refused = await run_in_threadpool(lambda: store.store(site, sender, unpack_files(body).files))
    return _answer(request, Stored(refused=[_refusal(error) if error else None for error in refused]))


def _refusal(error: FileRefused) -> RefusedFile:
    return RefusedFile(reason=str(error), occupied=isinstance(error, Occupied))


# --- what they share


def _sender_name(request: Request) -> str:
    return request.headers.get(SENDER, "")


def _sender(request: Request, store: FileStore, site: str) -> Parts:
    return store.parts(site, _sender_name(request))


def _answer(request: Request, message: msgspec.Struct) -> Response:
    """Ours are compressed so that they tell their size, which whoever reads them can put a bound on."""
    if encoding_for(request.headers.get("Accept-Encoding", "")) == CONTENT_ENCODING:
        headers = {"Content-Encoding": CONTENT_ENCODING, "Vary": "Accept-Encoding"}
        return Response(encode(message), headers=headers, media_type="application/json")
    return Response(msgspec.json.encode(message), media_type="application/json")


def _line(value: str | Failure | None) -> bytes:
    return msgspec.json.encode(value) + b"\n"


async def _streamed(request: Request, lines: _Lines) -> Response:
    """Lines as they are made. What goes wrong with the first few has a status, later it is a line."""

    async def made() -> bytes:
        async with request.app.state.files_at_once:
            return await run_in_threadpool(_some_lines, lines)

    async def body(some: bytes) -> AsyncIterator[bytes]:
        try:
            while some:
                yield some
                some = await made()
        except (OSError, PusherError) as error:
            log.error(event("files_failed", path=repr(request.url.path), error=str(error)))
            yield _line(Failure(detail=f"central cannot read its files: {error}"))
        finally:
            lines.close()

    return StreamingResponse(body(await made()), media_type="application/x-ndjson")


def _some_lines(lines: _Lines) -> bytes:
    """What a moment gives; nothing at the end."""
    until = time.monotonic() + _STEP_SECONDS
    some = []
    for line in lines:
        some.append(line)
        if time.monotonic() > until:
            break
    return b"".join(some)


routes = [
    Route(f"/files/v1/{path}", _endpoint(work, writes=writes), methods=[method])
    for method, path, work, writes in (
        ("POST", "find", _find, False),
        ("GET", "list", _list, False),
        ("POST", "digests", _digests, False),
        ("GET", "parts", _parts, True),
        ("PATCH", "parts/{part}", _append, True),
        ("DELETE", "parts/{part}", _discard, True),
        ("GET", "parts/{part}/digest", _part_digest, True),
        ("POST", "place", _place, True),
        ("POST", "store", _store, True),
    )
]
