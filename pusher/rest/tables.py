"""`/rest/{table}/`: central's tables to read, as old clients know them and as people of today may want them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from hashlib import blake2b
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pusher.central.store import Store
from pusher.rest.access import reader
from pusher.rest.filters import truth
from pusher.rest.formats import FORMATS, Format, accepted
from pusher.rest.naming import table_called
from pusher.rest.ranges import Items, asked
from pusher.rest.selection import Page, Parameters, Selection
from pusher.rest.streaming import Look, Stream, leaving
from pusher.schema.names import match
from pusher.wire.tables import Schema, Table

_MOST_ROWS = 10_000
_VARY = "Accept, Accept-Encoding"
_GONE = 499  # what nobody gets to see


async def _rows(request: Request) -> Response:
    """The rows of a table, or of one primary key: a page of them with `limit`, else all."""
    await reader(request)
    parameters = request.query_params.multi_items()

    def understood() -> tuple[Selection, Format]:
        schema = store.schema(fresh=True)
        table, suffix = _named(schema, request.path_params["table"])
        form = _format(request, parameters, suffix)
        return Selection.of(schema.dialect, table, parameters, _key(request)), form

    store: Store = request.app.state.store
    selection, form = await run_in_threadpool(understood)
    counted = any(truth(name, text) for name, text in parameters if name == "count")
    limit = _limit(parameters)
    if limit is not None:
        return await _page(request, selection, form, limit, counted=counted)
    look = Look(request.app.state.engine)
    headers = {"Vary": _VARY}
    parts = _parts(selection, form, look, headers, asked(request.headers.get("Range")), counted=counted)
    return Stream(parts, look, form.media_type, headers)


def _parts(
    selection: Selection, form: Format, look: Look, headers: dict[str, str], items: Items | None, *, counted: bool
) -> Generator[bytes, None, None]:
    """Everything, or the part that a Range asks for.

    Its status is 200 all the same: so the old server answered, which old clients take for the only one that comes with
    a list; dojo, whose Range this is, looks at Content-Range and not at the status.
    """
    encoding = form.encoding(selection.table, selection.names)
    with look.connected(snapshot=True) as connection:
        if items or counted:
            total = selection.count(connection)
            if items:
                headers["Content-Range"] = items.content_range(total)
            if counted:
                headers["X-Total-Count"] = str(total)
        part = (items.first, items.rows) if items else (0, None)
        with closing(selection.pages(connection, *part)) as pages:
            yield from encoding.parts(pages)


async def _page(request: Request, selection: Selection, form: Format, limit: int, *, counted: bool) -> Response:
    """A page, with where the next one is, and a hash by which a client need not get it again."""
    look = Look(request.app.state.engine)

    def read() -> tuple[bytes, Page, int | None]:
        with look.connected(snapshot=counted) as connection:
            total = selection.count(connection) if counted else None
            page = selection.page(connection, request.query_params.get("next"), limit)
        encoding = form.encoding(selection.table, selection.names)
        return b"".join(encoding.parts([page.columns] if page.columns[0] else [])), page, total

    with leaving(request.receive, look) as gone:
        try:
            body, page, total = await run_in_threadpool(read)
        except Exception:
            if gone():
                return Response(status_code=_GONE)
            raise
    headers = {"Vary": _VARY}
    if page.following is not None:
        others = [each for each in request.query_params.multi_items() if each[0] != "next"]
        url = request.url.replace(query=urlencode([*others, ("next", page.following)]), fragment="")
        headers["Link"] = f'<{url}>; rel="next"'
    if total is not None:
        headers["X-Total-Count"] = str(total)
    # Also of what is told beside the body: a page that has become the last but one is not the same any more.
    said = f"{page.following} {total}".encode()
    etag = f'"{blake2b(body, digest_size=16, key=blake2b(said).digest()).hexdigest()}"'
    headers["ETag"] = etag
    if _is_known(etag, request.headers.get("If-None-Match", "")):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=form.media_type)


def _is_known(etag: str, if_none_match: str) -> bool:
    known = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return "*" in known or etag in known


def _named(schema: Schema, name: str) -> tuple[Table, str | None]:
    """A table, and the format that stands behind its name, unless that is the table's own. Raises 404."""
    stem, dot, suffix = name.rpartition(".")
    if dot and suffix.lower() in FORMATS and match(name, {table.name: table for table in schema.tables}) is None:
        return table_called(schema, stem), suffix.lower()
    return table_called(schema, name), None


def _format(request: Request, parameters: Parameters, suffix: str | None) -> Format:
    """What stands in the address comes before what a browser says it likes. Raises 400 or 406."""
    wanted = suffix or next((text.lower() for name, text in parameters if name == "format"), None)
    if wanted is None:
        return accepted(",".join(request.headers.getlist("Accept")))
    if wanted not in FORMATS:
        raise HTTPException(400, f"there is no format {wanted[:20]}; possible: {', '.join(FORMATS)}")
    return FORMATS[wanted]


def _limit(parameters: Parameters) -> int | None:
    given = [text for name, text in parameters if name == "limit"]
    if not given:
        if any(name == "next" for name, _ in parameters):
            raise HTTPException(400, "next needs limit beside it")
        return None
    text = given[-1]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= _MOST_ROWS):
        raise HTTPException(400, f"limit is a number from 1 to {_MOST_ROWS}")
    return int(text)


def _key(request: Request) -> str | None:
    """The part of the address behind the table as it was sent: in it a comma that belongs to a value is encoded."""
    if "key" not in request.path_params:
        return None
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    sent = raw.decode("latin-1").partition("?")[0]
    return sent.split("/", 3)[3].removesuffix("/")


routes = [
    Route("/rest/{table}", _rows, methods=["GET"]),
    Route("/rest/{table}/", _rows, methods=["GET"]),
    Route("/rest/{table}/{key:path}", _rows, methods=["GET"]),
]
