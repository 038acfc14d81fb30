"""What reports count, by tables small enough to count by hand."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from pusher.disk import append
from pusher.errors import ProtocolError
from pusher.export.answers import rows_of
from pusher.export.csvfile import SEALED, Table, write_table
from pusher.export.pool import Pool
from pusher.export.rawfile import closing_line, closing_of, lines_of, stamp
from pusher.export.report_participants import AttritionStep, ParticipantTasks, participant_report
from pusher.export.report_people import participant
from pusher.export.report_sheets import questionnaire, scale
from pusher.export.report_sources import tables_by_scale
from pusher.export.reports import ScaleCount, column_gaps, rows_with_ids, scale_counts
from pusher.export.study import Study, field_of, standing, study_of

Row = dict[str, Any]


def table(columns: str, *rows: str) -> Table:
    """`rows`: cells with blanks between them; _ is an empty one."""
    names = columns.split()
    cells = [[cell.replace("_", "") for cell in row.split()] for row in rows]
    return Table(columns=names, rows=[dict(zip(names, row, strict=True)) for row in cells])


def session(name: str, *tasks: str) -> Row:
    return {"name": name, "tasks": [{"name": task} for task in tasks]}


SCHEDULE = {
    "name": "calm",
    "sessions": [
        session("preTest", "DASS21", "DD"),
        session("first", "Mood", "Training", "Mood"),
        session("end", "DD_FU"),
    ],
}
CALM = study_of(SCHEDULE)


def person(id_: object, where: str, task: str | None = None, tag: str | None = None, **more: Any) -> Row:
    current = {"name": where, "currentTask": {"name": task, "tag": tag}}
    return {"id": id_, "admin": False, "study": {"currentSession": current}, **more}


def entry(id_: object, where: str, task: str, tag: str | None = None, study: str | None = None) -> Row:
    return {"participantId": id_, "studyName": study, "sessionName": where, "taskName": task, "tag": tag}


def one(people: Row, *log: Row, studies: tuple[Study, ...] = (CALM,)) -> ParticipantTasks:
    (found,) = participant_report(studies, [people], log).participants
    return found


# --- questionnaire --------------------------------------------------------------------------------------------------


def test_missing_values_are_counted_over_all_days() -> None:
    monday = table("id item1 item2", "1 4 _", "2 _ _")
    tuesday = table("id item1 größe", "3 0 1,80", "4 1 _")
    found = column_gaps("DASS21", [monday, tuesday])
    assert [(each.column, each.rows, each.missing, each.missing_rate) for each in found] == [
        ("id", 4, 0, 0.0),
        ("item1", 4, 1, 0.25),
        ("item2", 4, 4, 1.0),
        ("größe", 4, 3, 0.75),
    ]


def test_a_sealed_field_is_not_missing() -> None:
    days = [Table(columns=["aRSA"], rows=[{"aRSA": SEALED}, {"aRSA": ""}, {"aRSA": "text"}])]
    (found,) = column_gaps("Notes", days)
    assert (found.rows, found.missing, found.sealed, found.missing_rate) == (3, 1, 1, 0.333333)
    report = questionnaire([found])
    assert report.notes == ("1 field could not be decrypted; they count as there.",)


def test_a_scale_without_rows_lacks_nothing() -> None:
    (found,) = column_gaps("DASS21", [table("id")])
    assert (found.rows, found.missing, found.missing_rate) == (0, 0, 0.0)


def test_the_verdict_counts_scales_with_gaps() -> None:
    gaps = column_gaps("DD", [table("id a", "1 _")]) + column_gaps("DD_FU", [table("id a", "1 2")])
    assert questionnaire(gaps).verdict == "1 of 2 scales with missing values"


def put(pool: Pool, scale: str, day: dt.date, *ids: int, static: bool = False) -> None:
    """A day of a scale, as an export leaves it."""
    answers = rows_of(json.dumps([{"id": id_} for id_ in ids]).encode())
    now = dt.datetime.combine(day, dt.time(12), dt.UTC)
    snapshot = stamp(now) if static else None
    lines = lines_of(scale, answers, now, snapshot)
    if snapshot:
        lines += closing_line(scale, closing_of(snapshot, answers), now)
    append(pool.raw_file(scale, day), lines)
    write_table(pool.active_file(scale, day), ["id"], [{"id": str(id_)} for id_ in ids])


def test_of_a_static_scale_the_last_day_counts_and_of_others_all(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "mindtrails")
    pool.create()
    days = dt.date(2026, 11, 25), dt.date(2026, 11, 26)
    for day, ids in zip(days, ((1, 2), (1, 2, 3)), strict=True):
        put(pool, "DD", day, *ids)
        put(pool, "Trial", day, *ids, static=True)
        for name in ("DD_FU", "TaskLog", "Participant", "study"):
            put(pool, name, day, *ids, static=True)
    found = {scale: [len(table.rows) for table in tables] for scale, tables in tables_by_scale(pool)}
    assert found == {"DD": [2, 3], "DD_FU": [3], "Trial": [3]}


# --- scale ----------------------------------------------------------------------------------------------------------


def test_rows_against_the_log() -> None:
    log = [entry(1, "preTest", name) for name in ["DD"] * 4 + ["DD_FU"] * 2 + ["Mood"] * 3]
    found = scale_counts({"DD": 3, "DD_FU": 3, "OA": 5}, log)
    assert found == [
        ScaleCount(scale="DD", rows=3, log=4, missing_rate=0.25),
        ScaleCount(
            scale="DD_FU", rows=3, log=2, missing_rate=-0.5, remark="more rows than the log has: some came twice"
        ),
        ScaleCount(scale="Mood", rows=0, log=3, missing_rate=1.0, remark="not in the archive"),
        ScaleCount(scale="OA", rows=5, log=0, missing_rate=None, remark="not in the log"),
    ]
    assert scale(found, "2026-11-26").verdict == "2 of 4 scales with fewer rows than the log has entries"


def test_an_id_counts_once_and_a_row_without_one_counts() -> None:
    assert rows_with_ids([table("id a", "1 x", "2 x", "_ x"), table("id a", "2 y", "_ x")]) == 4
    assert rows_with_ids([table("a", "x", "x")]) == 2


# --- participant ----------------------------------------------------------------------------------------------------


def test_due_is_what_lies_behind_the_current_place() -> None:
    found = one(person(7, "first", "Training"), entry(7, "preTest", "DASS21"), entry(7, "first", "Training"))
    assert (found.due, found.done, found.missing, found.missing_rate) == (3, 1, 2, 0.666667)
    assert found.missing_tasks == ("preTest/DD", "first/Mood")
    assert [(each.session, each.due, each.missing) for each in found.sessions] == [
        ("preTest", 2, 1),
        ("first", 1, 1),
        ("end", 0, 0),
    ]


def test_the_second_of_a_task_in_a_session_is_tagged_post() -> None:
    assert [str(task) for task in CALM.tasks][2:5] == ["first/Mood", "first/Training", "first/Mood (post)"]
    log = [
        entry(7, "preTest", "DASS21"),
        entry(7, "preTest", "DD"),
        entry(7, "first", "Mood"),
        entry(7, "first", "Training"),
    ]
    assert one(person(7, "first", "Mood"), *log).due == 2
    assert one(person(7, "first", "Mood", "post"), *log).due == 4
    behind = one(person(7, "end", "DD_FU"), *log)
    assert (behind.due, behind.missing_tasks) == (5, ("first/Mood (post)",))
    assert one(person(7, "end"), *log, entry(7, "first", "Mood", "post")).missing == 0


def test_a_tag_of_the_servers_own_stays() -> None:
    tasks = [{"name": "Mood", "tag": "pre"}, {"name": "Mood", "tag": "later"}]
    own = study_of({"name": "s", "sessions": [{"name": "a", "tasks": tasks}]})
    assert [task.tag for task in own.tasks] == ["pre", "later"]


def test_complete_has_everything_due() -> None:
    found = one(person(7, "COMPLETE"), entry(7, "end", "DD_FU"))
    assert (found.due, found.done, found.missing) == (6, 1, 5)
    listed = study_of({"name": "calm", "sessions": [*SCHEDULE["sessions"], {"name": "COMPLETE", "tasks": []}]})
    assert listed == CALM


def test_nothing_is_due_at_the_very_beginning() -> None:
    for place in (person(7, "preTest", "DASS21"), person(7, "preTest")):
        found = one(place)
        assert (found.due, found.missing, found.missing_rate, found.remark) == (0, 0, None, "")


def test_a_name_that_another_begins_with_is_another_task() -> None:
    found = one(person(7, "COMPLETE"), entry(7, "preTest", "DD_FU"), entry(7, "end", "DD"))
    assert found.done == 0


def test_entries_of_other_participants_and_studies_do_not_count() -> None:
    log = [
        entry(70, "preTest", "DASS21"),
        entry(7, "preTest", "DASS21", study="other"),
        entry(7, "preTest", "DD", study="calm"),
    ]
    found = participant_report((CALM,), [person(7, "first") | {"studyName": "calm"}], log)
    assert found.participants[0].missing_tasks == ("preTest/DASS21",)
    assert found.only_in_log == 1
    assert one(person("7", "first"), entry(7, "preTest", "DD")).done == 1


def test_two_studies_each_with_its_own_schedule() -> None:
    mobile = study_of({"name": "mobile", "sessions": [session("first", "DD")]})
    named = person(1, "COMPLETE")
    named["study"]["name"] = "mobile"
    logged = person(2, "COMPLETE")
    unknown = person(3, "COMPLETE")
    log = [entry(1, "first", "DD", study="mobile"), entry(2, "preTest", "DD", study="calm")]
    found = participant_report((CALM, mobile), [named, logged, unknown], log)
    assert [(each.study, each.due, each.done) for each in found.participants] == [
        ("mobile", 1, 1),
        ("calm", 6, 1),
        ("", 0, 0),
    ]
    assert found.participants[2].remark == "its study is not in the schedule"
    assert [(step.study, step.session, step.reached) for step in found.attrition] == [
        ("calm", "preTest", 1),
        ("calm", "first", 1),
        ("calm", "end", 1),
        ("mobile", "first", 1),
    ]
    assert [plot.title for plot in participant(found, "2026-11-26").plots] == [
        "Attrition by session of calm",
        "Missing by participant and session of calm",
        "Attrition by session of mobile",
        "Missing by participant and session of mobile",
    ]


def test_test_accounts_count_apart() -> None:
    people = [person(1, "COMPLETE"), person(2, "first", admin=True), person(3, "first", admin="true")]
    found = participant_report((CALM,), people, [])
    assert [each.participant for each in found.participants] == ["1"]
    assert [each.participant for each in found.test_accounts] == ["2", "3"]
    assert {step.reached for step in found.attrition} == {1}
    report = participant(found, "2026-11-26")
    assert report.verdict == "1 of 1 participant with missing questionnaires"
    assert [(row[0], row[-1]) for row in report.csv.rows] == [("1", "no"), ("2", "yes"), ("3", "yes")]


def test_attrition_counts_who_reached_and_who_completed() -> None:
    places = ["preTest", "preTest", "first", "end", "COMPLETE", "nowhere"]
    found = participant_report((CALM,), [person(id_, place) for id_, place in enumerate(places)], [])
    assert found.attrition == [
        AttritionStep(study="calm", session="preTest", reached=5, completed=3),
        AttritionStep(study="calm", session="first", reached=3, completed=2),
        AttritionStep(study="calm", session="end", reached=2, completed=1),
    ]


@pytest.mark.parametrize(
    ("where", "task", "due", "remark"),
    [
        ("nowhere", "DD", 0, 'session "nowhere" is not in the study'),
        ("", None, 0, "in no session"),
        ("first", "Gone", 2, 'task "Gone" is not in session "first"'),
        ("first", "Training", 3, ""),
    ],
)
def test_a_place_that_the_schedule_does_not_know_is_said(where: str, task: str | None, due: int, remark: str) -> None:
    found = one(person(7, where, task))
    assert (found.due, found.remark) == (due, remark)


def test_the_place_is_found_by_name_where_the_tag_is_another() -> None:
    found = standing(CALM, "first", "Training", "post")
    assert found and len(found.due) == 3


def test_fields_are_nested_or_flat_and_of_any_script() -> None:
    assert field_of({"study": {"currentSession": {"name": "始め"}}}, "study.currentSession.name") == "始め"
    assert field_of({"study.currentSession.name": "a"}, "study.currentSession.name") == "a"
    assert field_of({"study": {"currentSession.name": "b"}}, "study.currentSession.name") == "b"
    assert field_of({"study": None}, "study.currentSession.name") == ""
    assert field_of({"study": {"currentSession": "x"}}, "study.currentSession.name") == ""
    assert field_of({"id": 7}, "id") == "7"


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ({"name": "calm"}, 'study "calm" has no list of sessions with names'),
        ({"name": "calm", "sessions": [{"tasks": []}]}, 'study "calm" has no list of sessions with names'),
        (
            {"name": "calm", "sessions": [{"name": "a", "tasks": None}]},
            'session "a" of study "calm" has no list of tasks',
        ),
        (
            {"name": "calm", "sessions": [{"name": "a", "tasks": ["DD"]}]},
            'session "a" of study "calm" has no list of tasks',
        ),
    ],
)
def test_what_is_no_schedule_is_refused(schedule: Row, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        study_of(schedule)
