"""The page of a report: well-formed, harmless whatever scales and columns are called, and complete in itself."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from pusher.export.report_page import page
from pusher.export.report_participants import ParticipantReport, participant_report
from pusher.export.report_people import participant
from pusher.export.report_plots import Bar, Cell, HeatRow, bars, heatmap, joined, level, percent, short
from pusher.export.report_sheets import Report, questionnaire, scale
from pusher.export.reports import ColumnGaps, scale_counts
from pusher.export.study import study_of

NOW = dt.datetime(2026, 11, 26, 4, 37, 40, tzinfo=dt.UTC)
HOSTILE = "<script>alert(1)</script>\"' onload=x &amp; \x00\x1b\udc80"
SHOWN = "<script>alert(1)</script>\"' onload=x &amp; ���"
_XHTML_NAMES = re.compile(r"^\{.*\}")


def written(report: Report, location: str = "mindtrails") -> str:
    return page(report, location, NOW, "table.csv")


def parsed(text: str) -> ElementTree.Element:
    """Strict, as no browser would be."""
    return ElementTree.fromstring(text.encode())


def elements(root: ElementTree.Element) -> Iterator[tuple[str, ElementTree.Element]]:
    for each in root.iter():
        yield _XHTML_NAMES.sub("", each.tag), each


def texts(root: ElementTree.Element, name: str) -> list[str]:
    return ["".join(each.itertext()) for tag, each in elements(root) if tag == name]


def gaps(scale: str, column: str, missing: int, rows: int = 100) -> ColumnGaps:
    return ColumnGaps(scale=scale, column=column, rows=rows, missing=missing, missing_rate=missing / rows, sealed=0)


def people(count: int, session: str = "COMPLETE") -> ParticipantReport:
    study = study_of({"name": "calm", "sessions": [{"name": "preTest", "tasks": [{"name": "DD"}]}]})
    rows: list[dict[str, Any]] = [
        {"id": id_, "study": {"currentSession": {"name": session}}} for id_ in range(1, count + 1)
    ]
    return participant_report([study], rows, [])


def hostile_reports() -> list[Report]:
    task = {"name": HOSTILE, "tag": HOSTILE}
    study = study_of({"name": HOSTILE, "sessions": [{"name": HOSTILE, "tasks": [task]}]})
    person = {"id": HOSTILE, "study": {"name": HOSTILE, "currentSession": {"name": "COMPLETE"}}}
    lost = {"id": HOSTILE, "admin": True, "study": {"name": HOSTILE, "currentSession": {"name": HOSTILE + "x"}}}
    return [
        questionnaire([gaps(HOSTILE, HOSTILE, 50)]),
        scale(scale_counts({HOSTILE: 1}, [{"taskName": HOSTILE}]), "2026-11-26"),
        participant(participant_report([study], [person, lost], []), "2026-11-26"),
    ]


@pytest.mark.parametrize("number", range(3))
def test_no_name_becomes_markup(number: int) -> None:
    root = parsed(written(hostile_reports()[number], HOSTILE))
    assert [tag for tag, _ in elements(root) if tag == "script"] == []
    assert SHOWN in texts(root, "th") and any(SHOWN in title for title in texts(root, "title"))
    assert [name for _, each in elements(root) for name in each.attrib if name.startswith("on")] == []


@pytest.mark.parametrize("number", range(3))
def test_it_needs_nothing_from_outside(number: int) -> None:
    text = written(hostile_reports()[number])
    root = parsed(text)
    links = [value for _, each in elements(root) for name, value in each.attrib.items() if name in ("href", "src")]
    assert links == ["#main"]
    assert {tag for tag, _ in elements(root)} & {"link", "script", "iframe", "object", "img", "form"} == set()
    assert not re.search(r"url\(|@import", text)
    assert set(re.findall(r"\w+://[^\s\"<]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_the_browser_is_told_to_load_nothing() -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', written(questionnaire([])))
    assert policy.startswith("default-src &#x27;none&#x27;") and "script" not in policy


def test_every_plot_has_a_title_a_description_and_a_table() -> None:
    root = parsed(written(participant(people(3), "2026-11-26")))
    plots = [each for tag, each in elements(root) if tag == "svg" and each.get("role") == "img"]
    assert len(plots) == 2
    ids = {each.get("id") for _, each in elements(root)}
    for plot in plots:
        assert set((plot.get("aria-labelledby") or "").split()) <= ids
    assert "3 participants began, 0 completed all 1 session." not in texts(root, "desc")
    assert texts(root, "desc") == [
        "3 participants began, 3 completed all 1 session.",
        "3 participants, 3 of 3 tasks that are due are missing.",
    ]
    assert len(texts(root, "table")) == 2


def test_without_anything_there_is_still_a_page() -> None:
    for report in (questionnaire([]), scale([], "2026-11-26"), participant(people(0), "2026-11-26")):
        root = parsed(written(report))
        assert texts(root, "svg") == [""] and "There are none." in texts(root, "td")


def test_hundreds_of_participants_are_drawn_by_their_place() -> None:
    few, many = (texts(parsed(written(participant(people(count), "2026-11-26"))), "h2") for count in (60, 61))
    assert "Missing by participant and session" in few
    assert "Missing by place in the study and session" in many
    root = parsed(written(participant(people(300), "2026-11-26")))
    assert "300 at COMPLETE" in texts(root, "text")


def test_hundreds_of_scales_are_drawn_as_far_as_a_page_has_room() -> None:
    root = parsed(written(questionnaire([gaps(f"S{number:03}", "a", number) for number in range(100)])))
    labels = [label for label in texts(root, "text") if label.startswith("S")]
    assert (len(labels), labels[0], labels[-1]) == (60, "S099", "S040")
    assert any("40 more scales with less missing" in text for text in texts(root, "p"))
    assert len(texts(root, "tr")) == 101


def test_a_table_of_very_many_rows_names_the_file_that_has_all() -> None:
    root = parsed(written(questionnaire([gaps("S", f"c{number}", 0) for number in range(5002)])))
    assert texts(root, "caption") == ["5,002 rows; 2 more rows are in table.csv"]
    assert len(texts(root, "tr")) == 5001


def test_columns_too_many_for_a_screen_are_drawn_together() -> None:
    cells = [Cell(name=f"c{number}", share=number % 2) for number in range(68)]
    found = joined(cells)
    assert (len(found), found[0]) == (34, Cell(name="c0 to c1, 2 together", share=0.5))
    assert joined(cells[:34]) == cells[:34]
    assert joined([]) == []


def test_bars_keep_their_proportions() -> None:
    svg = bars(
        "b", "t", "d", [Bar(label="a", whole=10, part=5, value="5 of 10"), Bar(label="b", whole=4, part=8, value="")]
    )
    widths = [float(width) for width in re.findall(r'height="18" width="([\d.]+)"', svg)]
    assert widths == [520, 260, 520, 208, 416, 208]


def test_a_cell_says_how_much_is_missing_in_words_and_colour() -> None:
    svg = heatmap(
        "h",
        "t",
        "d",
        ["pre", "end"],
        [HeatRow(label="7", cells=[Cell(name="a", share=0.75), Cell(name="b", share=None)])],
    )
    root = parsed(svg)
    assert texts(root, "title") == ["t", "pre", "end", "7", "a: 75 % missing", "b: nothing is due"]
    assert [each.get("class") for tag, each in elements(root) if tag == "rect"] == ["full", "empty"]


@pytest.mark.parametrize(
    ("share", "said", "colour"),
    [
        (0.0, "0 %", "none"),
        (0.0001, "< 1 %", "some"),
        (0.1, "10 %", "some"),
        (0.25, "25 %", "most"),
        (0.5, "50 %", "most"),
        (0.999, "> 99 %", "full"),
        (1.0, "100 %", "full"),
        (-0.5, "-50 %", "none"),
        (-0.001, "> -1 %", "none"),
    ],
)
def test_shares_in_words_and_colours(share: float, said: str, colour: str) -> None:
    assert (percent(share), level(share)) == (said, colour)


def test_a_long_label_is_cut_to_its_room() -> None:
    assert short("DASS21", 100) == "DASS21"
    assert short("Credibility", 60) == "Credib…"
    assert short("心理測定尺度", 60) == "心理測…"
    assert short("x" * 10_000, 1e9) == "x" * 100
