"""What an error becomes on the way out: a problem (RFC 9457) that tells whoever asked no more than he needs."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from pusher.errors import (
    AccessRefused,
    AlreadyRunning,
    CentralUnreachable,
    FileRefused,
    ProtocolError,
    PusherError,
    SchemaMismatch,
    SequenceConflict,
    Unreachable,
    UsageError,
)
from pusher.log import event
from pusher.wire.messages import Problem

log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[PusherError], int, str], ...] = (
    (ProtocolError, 400, "Bad request"),
    (AccessRefused, 403, "Forbidden"),
    (SequenceConflict, 409, "Out of sequence"),
    (SchemaMismatch, 422, "Does not suit the tables"),
    (FileRefused, 422, "File refused"),
    (UsageError, 422, "Cannot be done"),
    (AlreadyRunning, 409, "Not just now"),
    (CentralUnreachable, 503, "Not just now"),
    (Unreachable, 503, "Not just now"),
)
_RETRY_SECONDS = "10"
_MOST_CHARACTERS = 2000


def problem(
    status: int, title: str, detail: str, *, expected: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    body = msgspec.json.encode(Problem(title=title, status=status, detail=_sayable(detail), expected=expected))
    return Response(body, status, headers, media_type="application/problem+json")


def status_of(error: Exception) -> tuple[int, str]:
    """The HTTP status, and its title."""
    return next(
        ((status, title) for kind, status, title in _STATUS if isinstance(error, kind)), (500, "Internal error")
    )


async def pusher_error(_request: Request, error: Exception) -> Response:
    status, title = status_of(error)
    if status == 503:
        return problem(status, title, str(error), headers={"Retry-After": _RETRY_SECONDS})
    return problem(status, title, str(error), expected=getattr(error, "expected", None))


async def http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return _another_method(request)
    return problem(error.status_code, _sayable(error.detail), error.detail, headers=error.headers)


async def unexpected_error(request: Request, error: Exception) -> Response:
    """Whoever asked learns nothing of the inside; the log has it all. (The server logs the traceback.)"""
    log.error(event("request_failed", path=repr(request.url.path), error=type(error).__name__))
    return problem(500, "Internal error", "central failed on this request; its log says why")


def _another_method(request: Request) -> Response:
    """Several routes may share an address, each with methods of its own: all of them are allowed."""
    allowed: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            allowed |= getattr(route, "methods", None) or set()
    allow = {"Allow": ", ".join(sorted(allowed | {"OPTIONS"}))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allow)
    return problem(405, "Method not allowed", f"here are allowed: {allow['Allow']}", headers=allow)


def _sayable(text: str) -> str:
    """A name out of a request may be of any length, and what is out of SQLite no UTF-8."""
    shown = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
    return shown.encode("utf-8", "backslashreplace").decode()
