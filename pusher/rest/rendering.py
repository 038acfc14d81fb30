"""How a page gets out: as HTML, or the same facts as JSON, with the headers that let it load nothing from elsewhere."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

import pusher
from pusher.central.sites import utc_now
from pusher.central.status import WORDS
from pusher.central.tokens import Token
from pusher.errors import PusherError
from pusher.rest.access import reader
from pusher.rest.problems import status_of
from pusher.rest.session import form_secret, login_path

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SPARK_HOURS, _SPARK_BARS, _SPARK_HEIGHT = 24, 48, 28
_STEPS = ((86400 * 2, 86400, "days"), (7200, 3600, "h"), (120, 60, "min"), (0, 1, "s"))


@dataclass(kw_only=True)
class Page:
    """`facts`: what the JSON twin says. `context`: what the template needs beside. `to`: go there instead.
    `again_seconds`: when a browser is to load it anew, None if it is not."""

    template: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    to: str | None = None
    again_seconds: int | None = None


Work = Callable[[Request], Page | Response]
AsyncWork = Callable[[Request], Awaitable[Page | Response]]
Endpoint = Callable[[Request], Awaitable[Response]]
Admit = Callable[[Request], Awaitable[Token | None]]


def page(work: Work, admit: Admit = reader) -> Endpoint:
    """The endpoint of a page for whom `admit` lets in; others are led to the login."""

    async def in_a_thread(request: Request) -> Response:
        return await run_in_threadpool(lambda: rendered(request, work(request)))

    return action(in_a_thread, admit)


def action(work: AsyncWork, admit: Admit) -> Endpoint:
    """The same for what takes the body of the request."""

    async def endpoint(request: Request) -> Response:
        begun = time.perf_counter()
        try:
            request.state.reader = await admit(request)
            made = rendered(request, await work(request))
        except HTTPException as error:
            if wants_json(request):
                raise
            if error.status_code == 401 and "Authorization" not in request.headers:
                return RedirectResponse(login_path(request), 303, HEADERS)
            made = failed(request, error.status_code, error.detail)
        except PusherError as error:
            if wants_json(request):
                raise
            status, _ = status_of(error)
            made = failed(request, 503 if status == 500 else status, str(error))
        made.headers["Server-Timing"] = f"total;dur={(time.perf_counter() - begun) * 1000:.1f}"
        return made

    return endpoint


def twins(path: str, work: Work, admit: Admit = reader) -> list[BaseRoute]:
    """A page, and its JSON under the same address with `.json` behind."""
    endpoint = page(work, admit)
    return [Route(path + ".json" if path != "/" else "/index.json", endpoint), Route(path, endpoint)]


def rendered(request: Request, made: Page | Response, status: int = 200) -> Response:
    if isinstance(made, Response):
        made.headers.update(HEADERS)
        return made
    if made.to is not None:
        return RedirectResponse(made.to, 303, HEADERS)
    if wants_json(request):
        content = msgspec.json.encode(made.facts)
        return Response(content, status, headers=HEADERS | {"Vary": "Accept"}, media_type="application/json")
    response = html(request, made.template, made.facts | made.context, status)
    if made.again_seconds is not None:
        response.headers["Refresh"] = str(made.again_seconds)
    return response


def html(request: Request, template: str, context: Mapping[str, Any], status: int = 200) -> Response:
    """A page; `now` in it is one moment."""
    reading = getattr(request.state, "reader", None)
    response = Response(status_code=status, headers=HEADERS | {"Vary": "Accept"}, media_type="text/html")
    session = "pusher_session" in request.cookies and reading is not None
    secret = form_secret(request, response if template == "login.html" else None)
    basis = {"now": utc_now(), "path": request.url.path, "reading": reading, "session": session, "secret": secret}
    basis["imports"] = request.app.state.imports is not None
    text = _environment().get_template(template).render(basis | dict(context))
    response.body = text.encode("utf-8", "replace")
    response.headers["Content-Length"] = str(len(response.body))
    return response


def failed(request: Request, status: int, detail: str) -> Response:
    return html(request, "error.html", {"status": status, "detail": detail}, status)


def wants_json(request: Request) -> bool:
    accepted = request.headers.get("Accept", "")
    return request.url.path.endswith(".json") or ("application/json" in accepted and "text/html" not in accepted)


# --- what templates say


def ago(moment: dt.datetime, now: dt.datetime) -> str:
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def span(seconds: float) -> str:
    """A length of time in its largest unit: `3 min`, `2 days`."""
    _, size, unit = next(step for step in _STEPS if abs(seconds) >= step[0])
    return f"{abs(seconds) / size:.0f} {unit}"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def sparkline(batches: Sequence[tuple[dt.datetime, int]], now: dt.datetime) -> dict[str, Any]:
    """Rows a minute over the last day: the bars of a drawing 144 wide, and what they say in words."""
    length = _SPARK_HOURS * 3600 / _SPARK_BARS
    sums = [0] * _SPARK_BARS
    for applied, rows in batches:
        place = int((now - applied).total_seconds() // length)
        if 0 <= place < _SPARK_BARS:
            sums[_SPARK_BARS - 1 - place] += rows
    rates = [rows / (length / 60) for rows in sums]
    most = max(rates)
    bars = [
        {"x": place * 3, "height": round(max(1.5, _SPARK_HEIGHT * rate / most), 1)}
        for place, rate in enumerate(rates)
        if rate
    ]
    for bar in bars:
        bar["y"] = round(_SPARK_HEIGHT - bar["height"], 1)
    shown = f"{most:,.0f}" if most >= 10 or not most else f"{most:.1f}"
    return {"bars": bars, "most": shown, "mean": f"{sum(rates) / _SPARK_BARS:,.1f}", "rows": sum(sums)}


def site_path(name: str) -> str:
    return f"/sites/{quote(name, safe='')}"


def import_path(*parts: str) -> str:
    """Of the pages of a location to import from: its name, then what is meant of it."""
    return "/".join(["/import", *(quote(part, safe="") for part in parts)])


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # which a central that nobody looks at needs not

    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"ago": ago, "number": number, "span": span, "site_path": site_path}
    environment.globals |= {
        "version": pusher.__version__,
        "import_path": import_path,
        "words": {str(state): words for state, words in WORDS.items()},
    }
    return environment
