"""`/live`, `/ready` and `/metrics`: what a supervisor, a balancer and a monitor ask."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pusher.central.prepared import is_prepared
from pusher.errors import SchemaMismatch, Unreachable
from pusher.rest.access import reader
from pusher.rest.metrics import CONTENT_TYPE, Metrics
from pusher.rest.problems import problem
from pusher.schema.engine import reaching

_READY_SECONDS = 5
_RETRY_SECONDS = "5"


async def _live(_request: Request) -> Response:
    return Response("ok\n", media_type="text/plain")


async def _ready(request: Request) -> Response:
    """Open to all, so it says no more than which of the two it lacks."""
    state = request.app.state
    try:
        looking = run_in_threadpool(_prepared, state.engine, known=getattr(state, "prepared", False))
        state.prepared = await asyncio.wait_for(looking, _READY_SECONDS)
    except (Unreachable, TimeoutError):
        return _not_ready("central's database cannot be reached")
    except SchemaMismatch:
        return _not_ready("central's database is of a newer pusher")
    if not state.prepared:
        return _not_ready("central's database is not prepared; see: pusher db upgrade")
    return Response("ready\n", media_type="text/plain")


def _prepared(engine: Engine, *, known: bool) -> bool:
    """What is prepared once stays so: then it is enough that the database answers."""
    if not known:
        return is_prepared(engine)
    with reaching("central's database"), engine.connect() as connection:
        connection.execute(sa.select(1))
    return True


def _not_ready(why: str) -> Response:
    return problem(503, "Not ready", why, headers={"Retry-After": _RETRY_SECONDS})


async def _metrics(request: Request) -> Response:
    await reader(request)
    metrics: Metrics = request.app.state.metrics
    return Response(await run_in_threadpool(metrics.text), headers={"Content-Type": CONTENT_TYPE})


routes = [Route("/live", _live), Route("/ready", _ready), Route("/metrics", _metrics)]
