"""The report on participants: which tasks are due where each stands, which of them the log lacks, who has gone on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pusher.export.reports import rate
from pusher.export.study import Study, Task, field_of, standing


@dataclass(frozen=True, kw_only=True)
class SessionTasks:
    session: str
    due: int
    missing: int


@dataclass(frozen=True, kw_only=True)
class ParticipantTasks:
    """`session`, `task`, `tag`: where the participant stands. `missing_tasks`: those due that the log lacks.
    `missing_rate`: None where nothing is due. `remark`: why what is due is not, or not wholly, known."""

    participant: str
    study: str
    session: str
    task: str
    tag: str
    due: int = 0
    done: int = 0
    missing: int = 0
    missing_rate: float | None = None
    missing_tasks: tuple[str, ...] = ()
    sessions: tuple[SessionTasks, ...] = ()
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class AttritionStep:
    """`reached`: participants who stand in this session or behind it; `completed`: those behind it."""

    study: str
    session: str
    reached: int
    completed: int


@dataclass(frozen=True, kw_only=True)
class ParticipantReport:
    """`test_accounts` count nowhere else. `only_in_log`: participants that the log speaks of and nothing else does."""

    participants: list[ParticipantTasks]
    test_accounts: list[ParticipantTasks]
    attrition: list[AttritionStep]
    only_in_log: int = 0


@dataclass(kw_only=True)
class _Done:
    """What the log has of one participant; a task's study may be empty."""

    tasks: set[tuple[str, Task]] = field(default_factory=set)
    studies: set[str] = field(default_factory=set)

    def has(self, study: str, task: Task) -> bool:
        return (study, task) in self.tasks or ("", task) in self.tasks


def participant_report(
    studies: Sequence[Study], people: Iterable[Mapping[str, Any]], log: Iterable[Mapping[str, Any]]
) -> ParticipantReport:
    """`people` and `log`: the rows of Participant and TaskLog."""
    done = _done(log)
    participants, test_accounts = [], []
    completed: dict[str, list[int]] = {study.name: [] for study in studies}
    known = set()
    for person in people:
        found, sessions = _tasks_of(person, studies, done)
        known.add(found.participant)
        if field_of(person, "admin").lower() == "true":
            test_accounts.append(found)
            continue
        participants.append(found)
        if sessions is not None:
            completed[found.study].append(sessions)
    return ParticipantReport(
        participants=participants,
        test_accounts=test_accounts,
        attrition=[step for study in studies for step in _attrition(study, completed[study.name])],
        only_in_log=len(done.keys() - known),
    )


def _done(log: Iterable[Mapping[str, Any]]) -> dict[str, _Done]:
    found: defaultdict[str, _Done] = defaultdict(_Done)
    for entry in log:
        participant = field_of(entry, "participantId")
        if not participant:
            continue
        study = field_of(entry, "studyName")
        session, name, tag = (field_of(entry, path) for path in ("sessionName", "taskName", "tag"))
        found[participant].tasks.add((study, Task(session=session, name=name, tag=tag)))
        found[participant].studies.add(study)
    return dict(found)


def _tasks_of(
    person: Mapping[str, Any], studies: Sequence[Study], log: Mapping[str, _Done]
) -> tuple[ParticipantTasks, int | None]:
    """And how many sessions the participant has completed, None where that is not known."""
    participant = field_of(person, "id")
    done = log.get(participant, _Done())
    study = _study_of(person, studies, done)
    found = ParticipantTasks(
        participant=participant,
        study=study.name if study else "",
        session=field_of(person, "study.currentSession.name"),
        task=field_of(person, "study.currentSession.currentTask.name"),
        tag=field_of(person, "study.currentSession.currentTask.tag"),
    )
    if study is None:
        return replace(found, remark="its study is not in the schedule"), None
    stands = standing(study, found.session, found.task, found.tag)
    if stands is None:
        remark = f'session "{found.session}" is not in the study' if found.session else "in no session"
        return replace(found, remark=remark), None
    missing = [task for task in stands.due if not done.has(study.name, task)]
    due = len(stands.due)
    counted = replace(
        found,
        due=due,
        done=due - len(missing),
        missing=len(missing),
        missing_rate=rate(len(missing), due) if due else None,
        missing_tasks=tuple(map(str, missing)),
        sessions=_by_session(study, stands.due, missing),
        remark=stands.remark,
    )
    return counted, stands.completed


def _study_of(person: Mapping[str, Any], studies: Sequence[Study], done: _Done) -> Study | None:
    """By the name that the participant has, else that of the log, else the only one that there is."""
    named = field_of(person, "study.name") or field_of(person, "study.studyName") or field_of(person, "studyName")
    names = {named} if named else done.studies - {""}
    found = [study for study in studies if study.name in names]
    if not names and len(studies) == 1:
        return studies[0]
    return found[0] if len(found) == 1 else None


def _by_session(study: Study, due: Sequence[Task], missing: Sequence[Task]) -> tuple[SessionTasks, ...]:
    return tuple(
        SessionTasks(
            session=session,
            due=sum(task.session == session for task in due),
            missing=sum(task.session == session for task in missing),
        )
        for session in study.sessions
    )


def _attrition(study: Study, completed: Sequence[int]) -> list[AttritionStep]:
    return [
        AttritionStep(
            study=study.name,
            session=session,
            reached=sum(each >= place for each in completed),
            completed=sum(each > place for each in completed),
        )
        for place, session in enumerate(study.sessions)
    ]
