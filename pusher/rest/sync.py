"""`/sync/v1/`: the agent protocol over HTTP, one address a message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pusher.central.batches import Arrived
from pusher.central.store import PAUSES, Store
from pusher.rest.access import may_push, token_of
from pusher.wire.batch import CONTENT_ENCODING, CONTENT_TYPE, MAX_COMPRESSED_BYTES, Batch, decode, encode
from pusher.wire.messages import Compare, EntityQuery, Hello, Look, Remove, Report, Resolve, Verified

_T = TypeVar("_T")
_LARGE_BYTES = 16 << 10
_MESSAGES: dict[str, tuple[type[msgspec.Struct], Callable[[Store, Any], msgspec.Struct]]] = {
    "hello": (Hello, Store.hello),
    "resolve": (Resolve, Store.resolve),
    "entities": (EntityQuery, Store.entities),
    "compare": (Compare, Store.compare),
    "look": (Look, Store.look),
    "remove": (Remove, Store.remove),
    "verified": (Verified, Store.verified),
    "report": (Report, Store.report),
}


def _endpoint(name: str) -> Callable[[Request], Awaitable[Response]]:
    form, answer = _MESSAGES[name]

    async def endpoint(request: Request) -> Response:
        token = await token_of(request)
        body = await read_body(request, MAX_COMPRESSED_BYTES)

        def work() -> bytes:
            message: Any = decode(body, form)
            may_push(token, message.site)
            return encode(answer(request.app.state.store, message))

        return _response(await _run(request, body, work))

    return endpoint


async def _push(request: Request) -> Response:
    """As the others, but that a batch which comes before its turn waits for it without keeping a thread busy."""
    token = await token_of(request)
    store: Store = request.app.state.store
    body = await read_body(request, MAX_COMPRESSED_BYTES)

    def receive() -> Arrived:
        batch = decode(body, Batch)
        may_push(token, batch.site)
        return store.receive(batch)

    arrived = await _run(request, body, receive)
    request.app.state.metrics.count_batch(arrived.batch.site, arrived.table.name, len(body))
    for pause in PAUSES:
        receipt = await _run(request, body, partial(store.take, arrived))
        if receipt:
            return _response(encode(receipt))
        await asyncio.sleep(pause)
    return _response(encode(await _run(request, body, partial(store.take_now, arrived))))


async def _run(request: Request, body: bytes, work: Callable[[], _T]) -> _T:
    """In a thread. Of large messages only a few are worked on at once, so that they hold up no small ones."""
    if len(body) < _LARGE_BYTES:
        return await run_in_threadpool(work)
    async with request.app.state.large:
        return await run_in_threadpool(work)


def _response(content: bytes) -> Response:
    return Response(content, headers={"Content-Type": CONTENT_TYPE, "Content-Encoding": CONTENT_ENCODING})


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body, given up as soon as it is larger than `limit_bytes`, whatever its header claims."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            raise HTTPException(413, f"the body is larger than {limit_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


routes = [
    *(Route(f"/sync/v1/{name}", _endpoint(name), methods=["POST"]) for name in _MESSAGES),
    Route("/sync/v1/push", _push, methods=["POST"]),
]
