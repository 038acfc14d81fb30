"""Reports and combined files by the installed command, of a pool that a real export has filled; a page in a browser.

UPDATE_SCREENSHOTS=1 writes docs/export-report.png anew.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from pusher.export.report_page import page
from pusher.export.report_participants import participant_report
from pusher.export.report_people import participant
from pusher.export.study import study_of
from tests.export_stub import ExportStub, Row, Scale
from tests.fault.export_site import pool_of, write_config
from tests.stage import pusher

_CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
_PICTURE = Path(__file__).parents[2] / "docs/export-report.png"
# Texts of a plot that reach beyond it.
_CUT_OFF = """[...document.querySelectorAll("svg[role=img] text")].filter(each => {
    const inner = each.getBoundingClientRect(), outer = each.ownerSVGElement.getBoundingClientRect();
    return inner.left < outer.left || inner.right > outer.right || inner.top < outer.top || inner.bottom > outer.bottom;
}).map(each => each.textContent)"""
_MADE = dt.datetime(2026, 11, 26, 4, 37, 40, tzinfo=dt.UTC)
_SECRET = "nobody but me knows this"
_DATE = "2026-11-26T04:00:00.000+0000"


def _scale(*rows: Row, deleteable: bool = True) -> Scale:
    numbered = {id_: {"id": id_, **row} for id_, row in enumerate(rows, start=1)}
    return Scale(rows=numbered, deleteable=deleteable)


def _answer(participant_id: int, session: str, item: int | None, note: str | None) -> Row:
    return {"participantId": participant_id, "session": session, "date": _DATE, "item": item, "note": note}


def _person(session: str, *, admin: bool = False) -> Row:
    current = {"name": session, "currentTask": {"name": None, "tag": None}}
    return {"admin": admin, "study": {"name": "calm", "currentSession": current}}


def _entry(participant_id: int, session: str, task: str) -> Row:
    return {"participantId": participant_id, "studyName": "calm", "sessionName": session, "taskName": task}


STUDY = [
    {
        "name": "calm",
        "sessions": [
            {"name": "preTest", "tasks": [{"name": "DD"}, {"name": "Mood"}]},
            {"name": "end", "tasks": [{"name": "DD_FU"}]},
        ],
    }
]
SCALES = {
    "DD": (_answer(1, "preTest", 3, None), _answer(1, "preTest", 4, _SECRET), _answer(2, "preTest", None, "=1+1")),
    "DD_FU": (_answer(1, "end", 1, "x"),),
}
STATIC = {
    "TaskLog": (
        *(_entry(1, "preTest", "DD"), _entry(1, "preTest", "Mood"), _entry(1, "end", "DD_FU")),
        _entry(2, "preTest", "DD"),
    ),
    "Participant": (_person("COMPLETE"), _person("end"), _person("preTest", admin=True)),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site that has exported once."""
    folder = tmp_path_factory.mktemp("site")
    scales = {name: _scale(*rows) for name, rows in SCALES.items()}
    scales |= {name: _scale(*rows, deleteable=False) for name, rows in STATIC.items()}
    with ExportStub(scales, STUDY) as stub:
        config = write_config(folder, stub.url)
        done = pusher("--config", config, "export", ".", "all")
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _said(site: Path, *arguments: str, ends: int = 0) -> str:
    done = pusher("--config", site / "synchronise.conf", *arguments)
    assert done.returncode == ends, done.stdout + done.stderr
    return done.stdout + done.stderr


def _found(site: Path, kind: str, *arguments: str) -> Any:
    (made,) = json.loads(_said(site, "report", kind, *arguments, "--json"))
    assert made["location"] == "mindtrails" and made["report"] == kind
    for written in ("csv", "page"):
        assert _SECRET not in Path(made[written]).read_text()
    return made["found"]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_missing_answers_by_column(site: Path) -> None:
    found = {(each["scale"], each["column"]): each["missing_rate"] for each in _found(site, "questionnaire")}
    assert {scale for scale, _ in found} == {"DD", "DD_FU"}
    assert (found["DD", "item"], found["DD", "note"], found["DD", "id"]) == (0.333333, 0.333333, 0.0)
    said = _said(site, "report", "questionnaire", "mindtrails")
    today = dt.date.today().isoformat()
    reports = pool_of(site).reports
    assert "mindtrails: 1 of 2 scales with missing values" in said
    assert f"wrote {reports / f'questionnaire_{today}.csv'}" in said
    (row,) = [
        row for row in _rows(reports / f"questionnaire_{today}.csv") if (row["scale"], row["column"]) == ("DD", "note")
    ]
    assert (row["rows"], row["missing"], row["missing_rate"], row["sealed"]) == ("3", "1", "0.333333", "0")


def test_rows_against_the_log(site: Path) -> None:
    found = {each["scale"]: (each["rows"], each["log"], each["missing_rate"]) for each in _found(site, "scale", ".")}
    assert found == {"DD": (3, 2, -0.5), "DD_FU": (1, 1, 0.0), "Mood": (0, 1, 1.0)}
    assert "1 of 3 scales with fewer rows than the log has entries" in _said(site, "report", "scale")


def test_missing_questionnaires_by_participant(site: Path) -> None:
    found = _found(site, "participant", "mindtrails")
    counted = [(each["participant"], each["due"], each["missing_tasks"]) for each in found["participants"]]
    assert counted == [("1", 3, []), ("2", 2, ["preTest/Mood"])]
    assert [each["participant"] for each in found["test_accounts"]] == ["3"]
    assert [(step["reached"], step["completed"]) for step in found["attrition"]] == [(2, 2), (2, 1)]
    said = _said(site, "report", "participant")
    assert "1 of 2 participants with missing questionnaires" in said and "1 test account counted apart" in said
    (path,) = pool_of(site).reports.glob("participant_*.csv")
    assert [(row["participant"], row["test_account"]) for row in _rows(path)] == [
        ("2", "no"),
        ("1", "no"),
        ("3", "yes"),
    ]


def test_all_days_in_one_file(site: Path) -> None:
    said = _said(site, "combine", "mindtrails", "DD")
    path = pool_of(site).reports / "DD_combined.csv"
    assert f"3 rows read, 2 kept, 1 left out; wrote {path}" in said
    assert [(row["id"], row["item"], row["note"]) for row in _rows(path)] == [("2", "4", _SECRET), ("3", "", "'=1+1")]
    output = site / "mine.csv"
    counts = json.loads(
        _said(site, "combine", "mindtrails", "DD_FU", "--output", str(output), "--session", "-", "--json")
    )
    assert counts == {"file": str(output), "read": 1, "kept": 1, "left_out": 0, "without_participant": 0}
    assert len(_rows(output)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "participant", "nowhere"), 'no location "nowhere"'),
        (("combine", "mindtrails", "D"), "there are: DD, DD_FU"),
        (("combine", "mindtrails", "DD", "--session", "wann"), 'no column "wann" in these files'),
        (("combine", "mindtrails", "DD", "--output", "/nowhere/at/all.csv"), "cannot write /nowhere/at/all.csv"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(site: Path, arguments: tuple[str, ...], said: str) -> None:
    done = pusher("--config", site / "synchronise.conf", *arguments)
    assert done.returncode in (1, 2) and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_what_is_not_exported_yet_is_named(tmp_path: Path) -> None:
    config = write_config(tmp_path, "http://localhost:1/api/")
    for kind, missing in (
        ("questionnaire", "questionnaires in"),
        ("scale", "TaskLog in"),
        ("participant", "TaskLog in"),
    ):
        done = pusher("--config", config, "report", kind)
        assert done.returncode == 2 and f"no {missing} {tmp_path / 'data/mindtrails'}" in done.stderr
        assert "run: pusher export mindtrails" in done.stderr


_SESSIONS = ("preTest", "firstSession", "secondSession", "thirdSession", "fourthSession", "PostFollowUp", "COMPLETE")
_TASKS = ("DASS21_AS", "Credibility", "BBSIQ", "DD", "Mood")


def _lifelike(count: int) -> str:
    """A report on so many participants, some of whom leave, and some leave something out."""
    random = Random(7)
    tasks = [{"name": name} for name in _TASKS]
    study = study_of({"name": "calm", "sessions": [{"name": name, "tasks": tasks} for name in _SESSIONS]})
    people, log = [], []
    for id_ in range(1001, 1001 + count):
        behind = min(int(random.expovariate(0.25)), 6)
        careless = random.random() ** 4
        people.append({"id": id_, "study": {"currentSession": {"name": _SESSIONS[behind]}}})
        done = [task for task in study.tasks if task.session in _SESSIONS[:behind] and random.random() >= careless]
        log += [{"participantId": id_, "sessionName": task.session, "taskName": task.name} for task in done]
    report = participant(participant_report([study], people, log), "2026-11-26")
    return page(report, "mindtrails", _MADE, "participant_2026-11-26.csv")


def _check(view: Page, axe: str) -> None:
    assert view.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert view.evaluate(_CUT_OFF) == []
    found = view.evaluate(axe)
    assert found["passes"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    """It fits a phone and a wide screen, light and dark, can be used by everybody, and asks nobody for anything."""
    path = tmp_path / "report.html"
    path.write_text(_lifelike(5), encoding="utf-8")
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        view = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark", bypass_csp=True)
        view.on("request", lambda request: asked.append(request.url))
        view.goto(path.as_uri())
        view.evaluate(_AXE)  # which the page's own policy would not let in
        _check(view, "axe.run()")
        view.set_viewport_size({"width": 1200, "height": 1240})
        view.emulate_media(color_scheme="light")
        _check(view, "axe.run({runOnly: ['color-contrast']})")
        if os.environ.get("UPDATE_SCREENSHOTS") == "1":
            path.write_text(_lifelike(40), encoding="utf-8")
            view.reload()
            view.screenshot(path=_PICTURE)
        browser.close()
    assert set(asked) == {path.as_uri()}
