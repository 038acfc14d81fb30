"""`/sync/v1/`: the agent protocol over HTTP, one address a message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import structs
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pusher.central.batches import Arrived
from pusher.central.store import PAUSES, Store
from pusher.rest.access import may_push, token_of
from pusher.rest.turns import Turns
from pusher.wire.batch import CONTENT_ENCODING, CONTENT_TYPE, MAX_COMPRESSED_BYTES, Batch, decode, encode
from pusher.wire.messages import Compare, EntityQuery, Hello, Look, Receipt, Remove, Report, Resolve, Verified

_WORTH_A_WORD_SECONDS = 0.1

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

        async with request.app.state.turns.turn(body):
            return _response(await run_in_threadpool(work))

    return endpoint


async def _push(request: Request) -> Response:
    """As the others, but that a batch which comes before its turn waits for it without keeping a thread busy."""
    token = await token_of(request)
    store: Store = request.app.state.store
    turns: Turns = request.app.state.turns
    body = await read_body(request, MAX_COMPRESSED_BYTES)
    came = time.monotonic()
    arrived: Arrived | None = None
    counted = False

    def work(last: bool) -> Receipt | None:
        nonlocal arrived, counted
        if arrived is None:
            batch = decode(body, Batch)
            may_push(token, batch.site)
            arrived = store.receive(batch)
            if not counted:
                request.app.state.metrics.count_batch(batch.site, arrived.table.name, len(body))
                counted = True
        if last:
            return store.take_now(arrived)
        return store.take(arrived, ahead=not turns.crowded)

    for pause in (*PAUSES, None):
        async with turns.turn(body):
            waited = time.monotonic() - came
            receipt = await run_in_threadpool(work, pause is None)
        if receipt:
            break
        if turns.crowded:
            arrived = None  # many rows take much memory: while others have their turn, the message will do
        await asyncio.sleep(pause or 0)
    assert receipt is not None  # the last time it is one, or an error
    if waited > _WORTH_A_WORD_SECONDS:
        receipt = structs.replace(receipt, waited_seconds=round(waited, 1))
    return _response(encode(receipt))


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
