"""What the report on participants shows: their tables, the attrition, and where tasks are missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pusher.export.report_participants import AttritionStep, ParticipantReport, ParticipantTasks
from pusher.export.report_plots import Bar, Cell, HeatRow, bars, heatmap
from pusher.export.report_sheets import HEAT, MOST_ROWS, Plot, Report, Sheet, count, log_note
from pusher.export.reports import rate
from pusher.export.study import COMPLETE


def participant(found: ParticipantReport, log_of: str) -> Report:
    ranked = _ranked(found)
    short = sum(each.missing > 0 for each in ranked)
    notes = [log_note(log_of), "Due is what lies behind the place where a participant stands in the study."]
    if found.test_accounts:
        notes.append(f"{count(len(found.test_accounts), 'test account')} counted apart.")
    if found.only_in_log:
        notes.append(f"{count(found.only_in_log, 'participant')} in the log only: not counted.")
    steps = Sheet(
        title="Reached and completed",
        columns=("study", "session", "reached", "completed"),
        rows=[(step.study, step.session, step.reached, step.completed) for step in found.attrition],
    )
    people = _people("Missing questionnaires by participant", ranked)
    tests = [_people("Test accounts", found.test_accounts)] if found.test_accounts else []
    return Report(
        title="Missing questionnaires",
        verdict=f"{short} of {count(len(ranked), 'participant')} with missing questionnaires",
        notes=tuple(notes),
        sheets=(steps, people, *tests),
        csv=_with_accounts(people, *tests),
        plots=tuple(_plots(found)),
    )


def _ranked(found: ParticipantReport) -> list[ParticipantTasks]:
    return sorted(found.participants, key=lambda each: -each.missing)


def _people(title: str, people: Iterable[ParticipantTasks]) -> Sheet:
    columns = (
        "participant", "study", "session", "task", "tag", "due", "done", "missing", "missing_rate", "missing_tasks",
        "remark",
    )  # fmt: skip
    rows = [
        (
            each.participant, each.study, each.session, each.task, each.tag, each.due, each.done, each.missing,
            each.missing_rate, ", ".join(each.missing_tasks), each.remark,
        )
        for each in people
    ]  # fmt: skip
    return Sheet(title=title, columns=columns, rows=rows)


def _with_accounts(people: Sheet, tests: Sheet | None = None) -> Sheet:
    """One table of both, which says of each what it is."""
    rows = [(*row, "no") for row in people.rows] + [(*row, "yes") for row in (tests.rows if tests else ())]
    return Sheet(title=people.title, columns=(*people.columns, "test_account"), rows=rows)


def _plots(found: ParticipantReport) -> Iterator[Plot]:
    """Two of each study that somebody takes part in."""
    studies = list(dict.fromkeys(step.study for step in found.attrition))
    for number, study in enumerate(studies, start=1):
        steps = [step for step in found.attrition if step.study == study]
        if not steps[0].reached:
            continue
        of = f" of {study}" if len(studies) > 1 else ""
        yield _attrition_plot(f"attrition{number}", of, steps)
        people = [each for each in _ranked(found) if each.study == study and each.due]
        if people:
            yield _tasks_plot(f"tasks{number}", of, [step.session for step in steps], people)


def _attrition_plot(name: str, of: str, steps: Sequence[AttritionStep]) -> Plot:
    drawn = [
        Bar(
            label=step.session,
            whole=step.reached,
            part=step.completed,
            value=f"{step.reached:,} reached, {step.completed:,} completed",
        )
        for step in steps
    ]
    title = f"Attrition by session{of}"
    began, ended = count(steps[0].reached, "participant"), f"{steps[-1].completed:,}"
    said = f"{began} began, {ended} completed all {count(len(steps), 'session')}."
    legend = (("part", "completed the session"), ("whole", "reached it, and have not completed it"))
    return Plot(title=title, legend=legend, note="", svg=bars(name, title, said, drawn))


def _tasks_plot(name: str, of: str, sessions: Sequence[str], people: Sequence[ParticipantTasks]) -> Plot:
    """A row for each participant; where those are too many, for all who stand in a session."""
    single = len(people) <= MOST_ROWS
    if single:
        groups = {each.participant: [each] for each in people}
    else:
        places = {session: [each for each in people if each.session == session] for session in (*sessions, COMPLETE)}
        groups = {f"{len(members):,} at {session}": members for session, members in places.items() if members}
    rows = [
        HeatRow(
            label=label,
            cells=[_session_cell(label, place, session, members) for place, session in enumerate(sessions)],
        )
        for label, members in groups.items()
    ]
    title = f"Missing by {'participant' if single else 'place in the study'} and session{of}"
    missing, due = sum(each.missing for each in people), sum(each.due for each in people)
    said = f"{count(len(people), 'participant')}, {missing:,} of {due:,} tasks that are due are missing."
    note = "Figures are per cent; where there is no square, nothing is due."
    return Plot(title=title, legend=HEAT, note=note, svg=heatmap(name, title, said, sessions, rows))


def _session_cell(label: str, place: int, session: str, members: Sequence[ParticipantTasks]) -> Cell:
    due = sum(each.sessions[place].due for each in members)
    missing = sum(each.sessions[place].missing for each in members)
    return Cell(name=f"{label}, {session}", share=rate(missing, due) if due else None)
