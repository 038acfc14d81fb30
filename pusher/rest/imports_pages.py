"""What the pages of the import job show: the files of each location, one file and its mapping, one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pusher.datacenter.desk import Desk
from pusher.datacenter.outcome import Choice, Preview, Tally
from pusher.datacenter.processing import Mode
from pusher.datacenter.register import Run
from pusher.datacenter.storage import DataCenterFile
from pusher.errors import FileRefused, PusherError
from pusher.rest.imports_runs import Imports, Started, doing, line_count
from pusher.rest.rendering import Page, import_path, wants_json

FOLDERS = ("pending", "finished", "unfinished")
_NEWEST_FILES = 20
_NEWEST_RUNS = 10
_AGAIN_SECONDS = 2


def imports_of(request: Request) -> Imports:
    """Raises 404 if this central has no such pages."""
    found: Imports | None = request.app.state.imports
    if found is None:
        raise HTTPException(404, "nothing is imported here; start central with --imports FILE")
    return found


def desk_of(request: Request) -> Desk:
    return imports_of(request).desk(request.path_params["location"])


def files_in(desk: Desk, folder: str) -> list[DataCenterFile]:
    center = desk.center
    lists = {
        "pending": center.pending_files,
        "finished": center.finished_files,
        "unfinished": center.unfinished_files,
    }
    return lists[folder]()


def waiting(desk: Desk, name: str) -> DataCenterFile | None:
    return next((file for file in files_in(desk, "pending") if file.name == name), None)


def not_waiting(desk: Desk, name: str) -> HTTPException:
    return HTTPException(404, f"no file {name} waits in {desk.location}")


# --- the locations


def overview(request: Request, refusals: Mapping[str, str] | None = None) -> Page:
    """`refusals`: why a file was just not taken, by location."""
    found = imports_of(request)
    return Page(
        template="import.html",
        facts={"locations": [_location(desk) for desk in found.desks.values()]},
        context={"refusals": refusals or {}, "modes": list(Mode), "newest_files": _NEWEST_FILES},
    )


def _location(desk: Desk) -> dict[str, Any]:
    """`fault`: why its target does not answer."""
    choice = desk.choice()
    facts: dict[str, Any] = {"name": desk.location, "processor": choice.processor, "mode": choice.mode}
    for folder in FOLDERS:
        files = files_in(desk, folder)
        newest = sorted(files, key=lambda file: -file.modified)[:_NEWEST_FILES] if folder == "finished" else files
        facts[folder] = list(_files(newest))
        facts[f"{folder}_files"] = len(files)
    facts |= {"processors": [choice.processor], "runs": [], "busy": False, "undone": None, "fault": None}
    try:
        now = doing(desk)
        facts |= {"busy": now.busy, "undone": now.undone}
        facts |= {"processors": desk.processors(), "runs": [_run(run) for run in desk.runs(_NEWEST_RUNS)]}
    except PusherError as error:
        facts["fault"] = str(error)
    return facts


def _files(files: Iterable[DataCenterFile]) -> Iterator[dict[str, Any]]:
    """Without those that a run takes elsewhere meanwhile."""
    for file in files:
        with suppress(OSError, FileRefused):
            yield _file(file)


def _file(file: DataCenterFile) -> dict[str, Any]:
    return {"name": file.name, "size": file.size, "date": file.date, "lines": line_count(file), "bytes": file.bytes}


# --- one file


def file_page(request: Request) -> Page:
    """The first rows of a file that waits, and the mapping to begin with; else what the last run of it did."""
    desk, name = desk_of(request), request.path_params["name"]
    file = waiting(desk, name)
    if file is None:
        if desk.newest_run(name) is None and doing(desk).undone != name:
            raise not_waiting(desk, name)
        return Page(to=import_path(desk.location, name, "result"))
    choice = changed(desk, desk.choice_for(name), request.query_params)
    return mapping_page(desk, file, desk.preview(name, choice, dry_run=False))


def changed(desk: Desk, usual: Choice, wishes: Mapping[str, str]) -> Choice:
    """With another `processor` or `mode`, if that is wished. Raises 422 if there is none of the name: it may come from
    anybody, and must not have a class of Python loaded."""
    processor, mode = wishes.get("processor", usual.processor), wishes.get("mode", usual.mode)
    if processor != usual.processor and processor not in desk.processors():
        raise HTTPException(422, f"there is no {processor} to import into; see the list of {desk.location}")
    if mode not in list(Mode):
        raise HTTPException(422, f"there is no mode {mode}; there are {', '.join(Mode)}")
    return Choice(processor=processor, mode=Mode(mode), map=usual.map if processor == usual.processor else ())


def mapping_page(desk: Desk, file: DataCenterFile, preview: Preview, refusal: str | None = None) -> Page:
    """`refusal`: why a run just did not begin."""
    choice = preview.choice
    fields = desk.fields(choice.processor, choice.mode)
    return Page(
        template="import_file.html",
        facts={
            "location": desk.location,
            **_file(file),
            "rows": preview.rows,
            "processor": choice.processor,
            "mode": choice.mode,
            "columns": preview.columns,
            "first": preview.first,
            "mapping": preview.mapping,
            "fields": [
                {
                    "name": each.name,
                    "about": each.about,
                    "required": each.required,
                    "locates": each.locates,
                    "spare": each.spare,
                }
                for each in fields
            ],
            "faults": preview.faults,
            "tally": _tally(preview.tally) if preview.tally else None,
        },
        context={"processors": desk.processors(), "modes": list(Mode), "refusal": refusal},
    )


# --- one run


def result_page(request: Request) -> Page:
    """What the newest run of a file did, or does. `after` in the query: the run that was the newest before it."""
    desk, name = desk_of(request), request.path_params["name"]
    started = imports_of(request).started(desk.location, name)
    state, run = _state(desk, name, started, request.query_params.get("after"))
    error = str(started.error) if state in ("broken", "none") and started and started.error else None
    pending = {file.name for file in files_in(desk, "pending")}
    if state == "none" and not error:  # or only another worker knows why it did not begin
        if name in pending and not wants_json(request):
            return Page(to=import_path(desk.location, name))
        raise HTTPException(404, f"no run of {name} is known in {desk.location}")
    facts = {"location": desk.location, "name": name, "state": state, "error": error, "run": _run(run) if run else None}
    return Page(
        template="import_result.html",
        facts=facts | _progress(started, run),
        context={"pending": pending},
        again_seconds=_AGAIN_SECONDS if state == "running" else None,
    )


def _state(desk: Desk, name: str, started: Started | None, after: str | None) -> tuple[str, Run | None]:
    """How it is with a run: ended, running, broken (off), or none, which is so if it was refused."""
    now = doing(desk)  # asked first, since a run that ends meanwhile is then found to have ended
    run = desk.newest_run(name)
    if run is not None and run.run == after:
        run = None
    if run is not None and run.ended:
        return "ended", run
    if now.busy or (started is not None and not started.ended.is_set()):
        return "running", run
    if now.undone == name:
        return "broken", run
    return "none", None


def _progress(started: Started | None, run: Run | None) -> dict[str, int | None]:
    """Rows that are done, and of how many; the latter is known to the process that runs it."""
    if started and started.total:
        return {"done": started.taken, "total": started.total}
    return {"done": run.position if run else 0, "total": None}


def _run(run: Run) -> dict[str, Any]:
    state = run.state
    return {
        "name": run.name,
        "processor": state.choice.processor,
        "mode": state.choice.mode,
        "began": run.began,
        "ended": run.ended,
        "seconds": state.seconds,
        "pending": state.pending,
        "tally": _tally(state.tally),
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "lines": tally.lines,
        "created": tally.created,
        "updated": tally.updated,
        "removed": tally.removed,
        "refused": tally.refused,
        "reasons": dict(sorted(tally.reasons.items(), key=lambda each: -each[1])),
        "examples": [{"line": line, "reason": reason} for line, reason in tally.examples],
    }
