"""The schedule of a study: its sessions and tasks in order, and what is due where a participant stands in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pusher.errors import ProtocolError

COMPLETE = "COMPLETE"
_AGAIN = "post"  # the tag of a task's second occurrence in a session


@dataclass(frozen=True, kw_only=True)
class Task:
    session: str
    name: str
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.session}/{self.name}" + (f" ({self.tag})" if self.tag else "")


@dataclass(frozen=True, kw_only=True)
class Study:
    """`sessions` and `tasks` in the order in which participants meet them."""

    name: str
    sessions: tuple[str, ...]
    tasks: tuple[Task, ...]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """`completed`: how many sessions lie behind. `due`: the tasks that lie behind. `remark`: what is odd about it."""

    completed: int
    due: tuple[Task, ...]
    remark: str = ""


def field_of(values: Mapping[str, Any], path: str) -> str:
    """The field `a.b.c`, nested or flat, as text; empty where there is none."""
    value: Any = values.get(path)
    if path not in values:
        first, _, rest = path.partition(".")
        inner = values.get(first)
        if rest and isinstance(inner, Mapping):
            return field_of(inner, rest)
    return "" if value is None or isinstance(value, Mapping | list) else str(value).strip()


def study_of(values: Mapping[str, Any]) -> Study:
    """From what `GET study` has of one study. Raises ProtocolError if that is no schedule."""
    name = field_of(values, "name")
    sessions: dict[str, None] = {}
    tasks: dict[Task, None] = {}
    for session in _objects(values, "sessions", f'study "{name}"'):
        title = field_of(session, "name")
        if title == COMPLETE:
            continue
        sessions[title] = None
        met: set[str] = set()
        for each in _objects(session, "tasks", f'session "{title}" of study "{name}"'):
            task = field_of(each, "name")
            tag = field_of(each, "tag") or (_AGAIN if task in met else "")
            met.add(task)
            tasks[Task(session=title, name=task, tag=tag)] = None
    return Study(name=name, sessions=tuple(sessions), tasks=tuple(tasks))


def _objects(values: Mapping[str, Any], field: str, whose: str) -> Iterator[Mapping[str, Any]]:
    found = values.get(field)
    if not isinstance(found, list) or not all(isinstance(each, Mapping) and field_of(each, "name") for each in found):
        raise ProtocolError(f"{whose} has no list of {field} with names; see what the server answers to GET study")
    yield from found


def standing(study: Study, session: str, task: str, tag: str) -> Standing | None:
    """What lies behind one who is about to do this task; None where the study has no such session."""
    if session == COMPLETE:
        return Standing(completed=len(study.sessions), due=study.tasks)
    if session not in study.sessions:
        return None
    completed = study.sessions.index(session)
    behind = set(study.sessions[:completed])
    due = [each for each in study.tasks if each.session in behind]
    here = [each for each in study.tasks if each.session == session]
    at = _at(here, task, tag)
    if task and at is None:
        return Standing(completed=completed, due=tuple(due), remark=f'task "{task}" is not in session "{session}"')
    return Standing(completed=completed, due=(*due, *here[: at or 0]))


def _at(tasks: list[Task], name: str, tag: str) -> int | None:
    """The place of this very task, else of the first of its name."""
    named = [place for place, each in enumerate(tasks) if each.name == name]
    exact = [place for place in named if tasks[place].tag == tag]
    return next(iter(exact or named), None)
