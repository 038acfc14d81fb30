"""The web application of the central service: its routes, and what an error becomes on the way out."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec
from sqlalchemy.engine import Engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pusher.central.store import RETENTION_DAYS, Store
from pusher.errors import (
    AccessRefused,
    CentralUnreachable,
    ProtocolError,
    PusherError,
    SchemaMismatch,
    SequenceConflict,
    Unreachable,
)
from pusher.rest import sync, tables
from pusher.wire.messages import Problem

log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[PusherError], int, str], ...] = (
    (ProtocolError, 400, "Bad request"),
    (AccessRefused, 403, "Forbidden"),
    (SequenceConflict, 409, "Out of sequence"),
    (SchemaMismatch, 422, "Does not suit the tables"),
    (CentralUnreachable, 503, "Not just now"),
    (Unreachable, 503, "Not just now"),
)
_RETRY_SECONDS = "10"


def make_app(engine: Engine, retention_days: int = RETENTION_DAYS, *, read_public: bool = False) -> Starlette:
    """The service over the database of `engine`, whose tables must be migrated.

    `retention_days`: how long it remembers each batch. `read_public`: anybody may read, without a token.
    """
    app = Starlette(
        routes=[*sync.routes, *tables.routes, Route("/live", _live)],
        exception_handlers={
            PusherError: _pusher_error,
            HTTPException: _http_error,
            Exception: _unexpected_error,
        },
    )
    app.state.engine = engine
    app.state.read_public = read_public
    app.state.store = Store(engine, retention_days)
    return app


async def _live(_request: Request) -> Response:
    return Response("ok\n", media_type="text/plain")


def problem(
    status: int, title: str, detail: str, *, expected: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    body = msgspec.json.encode(Problem(title=title, status=status, detail=detail, expected=expected))
    return Response(body, status, headers, media_type="application/problem+json")


async def _pusher_error(_request: Request, error: Exception) -> Response:
    status, title = next(
        ((status, title) for kind, status, title in _STATUS if isinstance(error, kind)), (500, "Internal error")
    )
    if status == 503:
        return problem(status, title, str(error), headers={"Retry-After": _RETRY_SECONDS})
    return problem(status, title, str(error), expected=getattr(error, "expected", None))


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, error.detail, headers=error.headers)


async def _unexpected_error(request: Request, error: Exception) -> Response:
    """Whoever asked learns nothing of the inside; the log has it all. (The server logs the traceback.)"""
    log.error("request_failed path=%s error=%s", request.url.path, type(error).__name__)
    return problem(500, "Internal error", "central failed on this request; its log says why")
