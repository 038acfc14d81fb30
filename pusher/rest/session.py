"""Sessions of people who look with a browser: a cookie that is signed with their token's hash.

Central needs no secret of its own for that, and a token that is revoked ends every session made with it.
"""

from __future__ import annotations

import hmac
import secrets
import time
from urllib.parse import parse_qs, quote, urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from models import bookkeeping
from pusher.central.tokens import Token, bearer
from pusher.schema.engine import reaching

SESSION_SECONDS = 12 * 3600
_COOKIE = "pusher_session"
_FORM_COOKIE = "pusher_form"  # what a login form must bring back; there is no session yet to bind it to
_LONGEST = 200
_MOST_BYTES = 10_000


async def session_token(request: Request) -> Token | None:
    """The token whose bearer logged in with this browser, None if there is none, or none any more."""
    cookie = request.cookies.get(_COOKIE, "")
    return await run_in_threadpool(_checked, request.app.state.engine, cookie) if cookie else None


async def log_in(request: Request, key: str) -> tuple[str, int] | None:
    """The cookie for whoever bears a valid token, and for how long; None if it is not."""
    engine = request.app.state.engine
    token = await run_in_threadpool(bearer, engine, key)
    if token is None:
        return None
    expiry = int(time.time()) + SESSION_SECONDS
    return await run_in_threadpool(_signed, engine, token.id, expiry), SESSION_SECONDS


def set_session(request: Request, response: Response, cookie: str, seconds: int) -> None:
    """An empty `cookie` ends the session."""
    if not cookie:
        response.delete_cookie(_COOKIE, path="/", httponly=True, samesite="strict", secure=_is_secure(request))
        return
    response.set_cookie(
        _COOKIE, cookie, max_age=seconds, path="/", httponly=True, samesite="strict", secure=_is_secure(request)
    )


def form_secret(request: Request, response: Response | None = None) -> str:
    """What a form of this browser must bring back: bound to its session, or to a cookie that `response` then sets."""
    cookie = request.cookies.get(_COOKIE)
    if cookie:
        return _of_session(cookie)
    known = request.cookies.get(_FORM_COOKIE) or getattr(request.state, "form_secret", None)
    if not known:
        known = request.state.form_secret = secrets.token_urlsafe(16)
    if response is not None:
        response.set_cookie(_FORM_COOKIE, known, path="/", httponly=True, samesite="strict", secure=_is_secure(request))
    return str(known)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that this browser was given here. Raises 403 if it was not."""
    fields = await fields_of(request, _MOST_BYTES)
    check_form(request, fields.pop("form", ""))
    return fields


async def fields_of(request: Request, most_bytes: int) -> dict[str, str]:
    """The fields of a form that are not empty, whoever made it. Raises 413 if it is larger than `most_bytes`."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most_bytes:
            raise HTTPException(413, "the form is too large")
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def check_form(request: Request, given: str) -> None:
    """Raises 403 unless `given` is the secret of a form that this browser was given here."""
    cookie, known = request.cookies.get(_COOKIE), request.cookies.get(_FORM_COOKIE)
    expected = [_of_session(cookie)] if cookie else [known] if known else []
    if not any(hmac.compare_digest(given.encode(), each.encode()) for each in expected):
        raise HTTPException(403, "this form has expired; load the page again")


def local_path(text: str | None) -> str:
    """Where to go after the login: a page of this service, and nothing that a browser would take for another host."""
    if not text or not text.startswith("/") or text.startswith("//") or "\\" in text or not text.isprintable():
        return "/"
    parts = urlsplit(text)
    if parts.scheme or parts.netloc or parts.path.startswith(("//", "/login", "/logout")):
        return "/"
    return text


def login_path(request: Request) -> str:
    """The login page, which leads back to what was asked for, if that was a page."""
    if request.method not in ("GET", "HEAD"):
        return "/login"
    wanted = quote(request.url.path, safe="/") + (f"?{request.url.query}" if request.url.query else "")
    return "/login" if wanted == "/" else f"/login?next={quote(wanted, safe='')}"


def _checked(engine: Engine, cookie: str) -> Token | None:
    parts = cookie.split(".")
    if len(cookie) > _LONGEST or len(parts) != 3 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        return None
    id_, expiry = int(parts[0]), int(parts[1])
    if expiry < time.time() or id_ >= 2**31:
        return None
    found = _token(engine, id_)
    if found is None or not hmac.compare_digest(_signature(found[0], id_, expiry).encode(), parts[2].encode()):
        return None
    return found[1]


def _signed(engine: Engine, id_: int, expiry: int) -> str:
    found = _token(engine, id_)
    return f"{id_}.{expiry}.{_signature(found[0], id_, expiry)}" if found else ""


def _token(engine: Engine, id_: int) -> tuple[str, Token] | None:
    """A valid token and its hash."""
    table = bookkeeping.token
    query = sa.select(table).where(table.c.id == id_, table.c.revoked.is_(None))
    with reaching("central's database"), engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    values = dict(row._mapping)
    return values.pop("token_hash"), Token(**values)


def _signature(token_hash: str, id_: int, expiry: int) -> str:
    return hmac.new(bytes.fromhex(token_hash), f"session|{id_}|{expiry}".encode(), "sha256").hexdigest()


def _of_session(cookie: str) -> str:
    """The cookie is a secret of this browser and of central, so what is made of it nobody else can make."""
    return hmac.new(cookie.encode(), b"form", "sha256").hexdigest()


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"
