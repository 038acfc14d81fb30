"""Who asks: the bearer token of a request, and what it allows."""

from __future__ import annotations

import base64
import binascii

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from pusher.central.tokens import Token, bearer
from pusher.errors import AccessRefused
from pusher.rest.session import session_token

_REMEDY = "make one with: pusher token new SITE"


async def token_of(request: Request) -> Token:
    """The valid token of the request; raises 401 if there is none."""
    key = _key(request.headers.get("Authorization", ""))
    if key is None:
        raise _unauthorized("a token is needed")
    token = await run_in_threadpool(bearer, request.app.state.engine, key)
    if token is None:
        raise _unauthorized("the token is unknown or revoked")
    return token


async def reader(request: Request) -> Token | None:
    """Who wants to read; None is anybody, where reading is open to all. Raises 401 if a token is needed."""
    if "Authorization" not in request.headers:
        if request.method in ("GET", "HEAD") and (token := await session_token(request)):
            return token
        if request.app.state.read_public:
            return None
    return await token_of(request)


async def importer(request: Request) -> Token:
    """Who wants to import, by a header or by the session of a browser. Raises 401 if nobody is known, and AccessRefused
    if the token is of another scope."""
    token = None if "Authorization" in request.headers else await session_token(request)
    token = token or await token_of(request)
    request.state.reader = token  # whom it refuses may still log out
    may_import(token)
    return token


def is_script(request: Request) -> bool:
    """Whether the token came in a way that no browser goes by itself, whatever page it shows."""
    return request.headers.get("Authorization", "").lower().startswith("bearer ")


def may_import(token: Token) -> None:
    """Raises AccessRefused unless the token lets files be imported."""
    if token.scope != "import":
        raise AccessRefused(
            f"this token is of scope {token.scope} and may not import; make one with: "
            f"pusher token new {token.site} --scope import"
        )


def may_push(token: Token, site: str) -> None:
    """Raises AccessRefused unless the token lets `site` be written."""
    if token.scope != "push":
        raise AccessRefused(f"this token can only {token.scope}; {_REMEDY}")
    if token.site != site:
        raise AccessRefused(f"this token belongs to site {token.site}, not to {site}; correct site, or the token")


def _unauthorized(why: str) -> HTTPException:
    return HTTPException(401, f"{why}; {_REMEDY}", {"WWW-Authenticate": "Bearer"})


def _key(header: str) -> str | None:
    """From `Bearer KEY`, or `Basic` with the key as password, which is all that old clients can send."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
