"""`/import`: pages on which a clerk hands in a CSV file, maps its headers, runs it and takes back what failed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import IO
from urllib.parse import quote

import msgspec
from sqlalchemy.engine import Engine
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from pusher.central.audit import Entry, record
from pusher.central.tokens import Token
from pusher.config_import import parse_map
from pusher.datacenter.desk import Desk
from pusher.datacenter.outcome import Choice, Imported
from pusher.datacenter.storage import DataCenterFile
from pusher.errors import AlreadyRunning, FileRefused, PusherError, UsageError
from pusher.rest.access import importer, is_script
from pusher.rest.imports_pages import (
    FOLDERS,
    changed,
    desk_of,
    file_page,
    files_in,
    imports_of,
    mapping_page,
    not_waiting,
    overview,
    result_page,
    waiting,
)
from pusher.rest.imports_runs import Started, doing
from pusher.rest.imports_upload import Fields, uploaded
from pusher.rest.problems import status_of
from pusher.rest.rendering import Page, action, import_path, page, rendered, twins, wants_json
from pusher.rest.session import check_form, fields_of
from pusher.schema.engine import reaching, writing

_FORM_BYTES = 1 << 20  # a field for each column of a file, of which there may be a thousand
_PATIENCE_SECONDS = 1.0  # a run that is refused, or is short, is answered at once
_PIECE_BYTES = 1 << 16
_REFUSALS = (FileRefused, AlreadyRunning, UsageError)  # that a clerk can do something about


async def _admit(request: Request) -> Token:
    imports_of(request)
    return await importer(request)


def _check_form(request: Request, fields: Fields) -> None:
    """Raises 403 unless the form is one of this browser's, or no browser's at all."""
    given = fields.pop("form", "")
    if not is_script(request):
        check_form(request, given)


# --- files come


async def _upload(request: Request) -> Page | Response:
    desk = desk_of(request)
    try:
        async with uploaded(request, lambda fields: _check_form(request, fields)) as upload:
            again = "again" in upload.fields
            file = await run_in_threadpool(desk.add, upload.path, upload.name, again=again)
    except _REFUSALS as error:
        if wants_json(request):
            raise
        return await run_in_threadpool(_not_taken, request, desk, error)
    path = import_path(desk.location, file.name)
    if wants_json(request):
        facts = {"location": desk.location, "name": file.name, "bytes": file.bytes, "page": path}
        return Response(msgspec.json.encode(facts), 201, {"Location": path}, "application/json")
    return Page(to=path)


def _not_taken(request: Request, desk: Desk, error: PusherError) -> Response:
    return rendered(request, overview(request, {desk.location: str(error)}), status_of(error)[0])


# --- and are run


async def _do(request: Request) -> Page | Response:
    """A dry run, or with `do = run` a real one, by the mapping of the form."""
    imports = imports_of(request)
    fields = await fields_of(request, _FORM_BYTES)
    _check_form(request, fields)
    if fields.get("do") == "run":
        return await run_in_threadpool(_run, request, fields)
    async with imports.rehearsal:
        return await run_in_threadpool(_rehearse, request, fields)


def _rehearse(request: Request, fields: Fields) -> Page:
    desk, name = desk_of(request), request.path_params["name"]
    file = waiting(desk, name)
    if file is None:
        raise not_waiting(desk, name)
    return mapping_page(desk, file, desk.preview(name, _choice(desk, name, fields)))


def _choice(desk: Desk, name: str, fields: Fields) -> Choice:
    """`headers`: those of the file as the form had them, as JSON; `column-0`, `column-1` …: the field that each gives.
    Instead of them a program may send `map`, as it stands in a configuration."""
    choice = changed(desk, desk.choice_for(name), fields)
    pairs = choice.map
    if "headers" in fields:
        try:
            headers = msgspec.json.decode(fields["headers"], type=list[str])
        except msgspec.DecodeError as error:
            raise HTTPException(400, "the headers of the form are no list of texts; load the page again") from error
        pairs = tuple((header, fields.get(f"column-{place}", "")) for place, header in enumerate(headers))
    elif "map" in fields:
        pairs = parse_map(fields["map"])
    return Choice(processor=choice.processor, mode=choice.mode, map=pairs)


def _run(request: Request, fields: Fields) -> Page | Response:
    """Begins it, and leads to the page of what comes of it."""
    desk, name = desk_of(request), request.path_params["name"]
    file = waiting(desk, name)
    if file is None and doing(desk).undone != name:
        raise not_waiting(desk, name)
    choice, before = _choice(desk, name, fields), desk.newest_run(name)
    engine, entry = request.app.state.engine, _entry(request, desk, choice)
    try:
        started = imports_of(request).start(desk.location, name, choice, lambda outcome: _note(engine, entry, outcome))
        _refuse_early(started)
    except _REFUSALS as error:
        if file is None or wants_json(request):
            raise
        preview = desk.preview(name, choice, dry_run=False)
        return rendered(request, mapping_page(desk, file, preview, str(error)), status_of(error)[0])
    after = f"?after={before.run}" if before and before.ended else ""
    return Page(to=import_path(desk.location, name, "result.json" if wants_json(request) else "result") + after)


def _refuse_early(started: Started) -> None:
    if started.ended.wait(_PATIENCE_SECONDS) and started.error:
        raise started.error


def _entry(request: Request, desk: Desk, choice: Choice) -> Entry:
    token: Token = request.state.reader
    key = f"{desk.location}/{request.path_params['name']}"
    return Entry(token_id=token.id, site=token.site, method="IMPORT", table_name=choice.processor, row_key=key)


def _note(engine: Engine, entry: Entry, outcome: Imported | PusherError) -> None:
    """Who imported what, whatever database it went to."""
    status = status_of(outcome)[0] if isinstance(outcome, PusherError) else 200
    if isinstance(outcome, Imported):
        entry.rows = outcome.tally.done
    with reaching("central's database"), writing(engine).begin() as connection:
        record(connection, entry, status)


# --- and go


def _download(folder: str) -> Route:
    def work(request: Request) -> Response:
        desk, name = desk_of(request), request.path_params["name"]
        for file in files_in(desk, folder):
            if file.name == name:
                return StreamingResponse(_pieces(_opened(file)), headers=_attached(name))
        raise HTTPException(404, f"{desk.location} has no {folder} file {name}")

    return Route(f"/import/{{location:path}}/{folder}/{{name}}", page(work, _admit))


def _opened(file: DataCenterFile) -> IO[bytes]:
    """Whatever somebody puts in its place meanwhile, no file of elsewhere."""
    try:
        handle = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise HTTPException(404, f"{file.name} cannot be read: {error.strerror}") from error
    opened = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        opened.close()
        raise HTTPException(404, f"{file.name} is no file any more")
    return opened


def _pieces(opened: IO[bytes]) -> Iterator[bytes]:
    with opened:
        while piece := opened.read(_PIECE_BYTES):
            yield piece


def _template(request: Request) -> Response:
    desk = desk_of(request)
    choice = changed(desk, desk.choice(), request.query_params)
    text = desk.template(choice.processor, choice.mode)
    return Response(text.encode(), headers=_attached(f"{choice.processor}.{choice.mode}.csv"))


def _attached(name: str) -> dict[str, str]:
    kind = "application/gzip" if name.endswith(".gz") else "text/csv"
    return {"Content-Type": kind, "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}


routes: list[BaseRoute] = [
    *twins("/import", overview, _admit),
    Route("/import/{location:path}/upload", action(_upload, _admit), methods=["POST"]),
    Route("/import/{location:path}/template", page(_template, _admit)),
    *(_download(folder) for folder in FOLDERS),
    *twins("/import/{location:path}/{name}/result", result_page, _admit),
    Route("/import/{location:path}/{name}", action(_do, _admit), methods=["POST"]),
    *twins("/import/{location:path}/{name}", file_page, _admit),
]
