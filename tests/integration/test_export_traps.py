"""What a questionnaires' server does that must cost no answer and double none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pusher.export import webserver
from tests.export_stub import (
    BUSY,
    EMPTY,
    ERROR,
    HTML,
    NO_ID,
    NO_OBJECTS,
    NOT_JSON,
    Broken,
    ExportStub,
    Fault,
    Instead,
    Scale,
    answers,
)
from tests.fault.export_site import Site, check_recovered, contents, plain


@pytest.fixture
def stub() -> Iterator[ExportStub]:
    with ExportStub() as stub:
        yield stub


@pytest.fixture
def site(tmp_path: Path, stub: ExportStub) -> Site:
    return Site(tmp_path, stub)


# --- names ---


def test_a_name_that_begins_like_another(site: Site, stub: ExportStub) -> None:
    stub.scales |= {"DD": Scale(rows=answers("DD", 3)), "DD_FU": Scale(rows=answers("DD_FU", 3, first=2))}
    stub.scales["DD_FU_2"] = Scale(rows=answers("DD_FU_2", 1))
    site.run()
    assert {scale: site.ids(scale) for scale in stub.scales} == {"DD": [1, 2, 3], "DD_FU": [2, 3, 4], "DD_FU_2": [1]}
    assert site.texts("DD", "id") == ["1", "2", "3"] and site.texts("DD_FU", "id") == ["2", "3", "4"]
    assert site.highest() == {"DD": 3, "DD_FU": 4, "DD_FU_2": 1}
    deleted = sorted((gone.scale, gone.id) for gone in stub.deleted if gone.scale == "DD")  # several go at once
    assert deleted == [("DD", id_) for id_ in (1, 2, 3)]
    before = contents(site.pool.active)
    site.pool.active_file("DD", site.today).unlink()
    site.decode()
    assert contents(site.pool.active) == before
    check_recovered(site)


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "", ".", "a\x00b", "a\nb", "-rf", "CON?x=1", "x" * 300])
def test_a_name_that_leads_elsewhere(name: str, site: Site, stub: ExportStub, tmp_path: Path) -> None:
    stub.scales |= {name: Scale(rows=answers("x", 2)), "DD": Scale(rows=answers("DD", 2))}
    outcome = site.run()
    assert site.ids("DD") == [1, 2], outcome
    assert outcome.exit_code == 1
    assert len(stub.scales[name].rows) == 2
    folder = tmp_path / "data"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    day = site.today.isoformat()
    wanted = {f"mindtrails/{name}" for name in (f"raw_data/DD_{day}.json", f"active_data/DD_{day}.csv")}
    assert {name for name in found if "/raw_data/benchMark" not in name and not name.startswith("logs/")} == wanted


# --- columns ---


def test_a_column_that_appears_and_one_that_vanishes(site: Site, stub: ExportStub) -> None:
    """Within one day, so within one file."""
    stub.scales["DD"] = Scale(rows=plain({"id": 1, "b": "b1", "c": "c1"}, {"id": 2, "b": "b2", "c": "c2"}))
    site.run()
    stub.scales["DD"].rows |= plain({"id": 3, "a": "a3", "c": "c3"}, {"id": 4, "c": "c4", "z": {"y": "y4"}, "a": "a4"})
    site.run()
    table = site.table("DD")
    cells = [[row.get(name, "") for name in ("id", "a", "b", "c", "z.y")] for row in table.rows]
    assert cells == [
        ["1", "", "b1", "c1", ""],
        ["2", "", "b2", "c2", ""],
        ["3", "a3", "", "c3", ""],
        ["4", "a4", "", "c4", "y4"],
    ]
    assert sorted(table.columns) == sorted(["id", "date", "a", "b", "c", "z.y"])
    check_recovered(site)


def test_the_next_day_has_a_file_of_its_own(site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=plain({"id": 1, "b": "b1"}))
    site.run()
    first = contents(site.pool.active)
    site.pass_days(1)
    stub.scales["DD"].rows |= plain({"id": 2, "a": "a2", "b": "b2"})
    site.run()
    assert len(site.pool.active_days("DD")) == 2
    assert contents(site.pool.active).items() >= first.items()
    assert site.texts("DD", "b") == ["b2"]
    check_recovered(site)


def test_any_text_comes_back_as_it_was(site: Site, stub: ExportStub) -> None:
    texts = [
        "zwei\nZeilen", "\r\n", "a,b", 'she said "no"', "日本語 🙂", "a\u2028b\x85c", "=cmd|' /C calc'!A0", "+1", "@x",
        "-2", "'quoted", "''", "\t", " x ", "NULL", "a\x00b", "\\n", "\ufeff", "null",
    ]  # fmt: skip
    stub.scales["DD"] = Scale(rows=plain(*({"id": id_, "answer": text} for id_, text in enumerate(texts, 1))))
    site.run()
    assert [row["answer"] for row in site.rows("DD")] == texts
    assert site.texts("DD", "answer") == texts
    assert stub.scales["DD"].rows == {}
    check_recovered(site)


def test_half_a_character(site: Site, stub: ExportStub) -> None:
    """JSON can say what UTF-8 cannot."""
    stub.scales["DD"] = Scale(rows=plain({"id": 1}))
    stub.once("GET", "export/DD", Instead(body=b'[{"id": 1, "answer": "a\\ud83db", "c": 1.10}]'))
    site.run()
    assert [line["row"] for line in site.lines("DD")] == [{"id": 1, "answer": "a\ud83db", "c": 1.1}]
    assert site.texts("DD", "c") == ["1.10"]
    check_recovered(site)


def test_columns_with_names_that_are_no_names(site: Site, stub: ExportStub) -> None:
    names = ["", "=cmd", "a,b", "a\nb", 'a"b', "'=x", "a.b", "Ä", " "]
    stub.scales["DD"] = Scale(rows=plain({"id": 1, **{name: f"cell {name}" for name in names}}))
    site.run()
    (row,) = site.table("DD").rows
    assert {name: row[name] for name in names} == {name: f"cell {name}" for name in names}
    check_recovered(site)


def test_a_dot_in_a_name_takes_the_place_of_no_other(site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=plain({"id": 1, "a": {"b": "within"}, "a.b": "beside"}))
    site.run()
    assert {"within", "beside"} <= set(site.table("DD").rows[0].values())


# --- answers that are none ---

_NO_ANSWERS = (
    HTML, NOT_JSON, NO_ID, NO_OBJECTS, ERROR, Broken.HALF, Broken.CHUNKS, Broken.LOST, Broken.RESET, Broken.SILENCE,
    Broken.ENDLESS, Broken.DRIP,
    Instead(body=b'{"id":1}'), Instead(body=b'[{"id":1.5}]'), Instead(body=b'[{"id":true}]'),
    Instead(body=b'[{"id":1,"x":NaN}]'), Instead(body=b'[{"id":1}] and more'), Instead(body=b'[{"id":1,"x":"\xff"}]'),
    Instead(body=b""), Instead(status=204), Instead(status=302, body=b"[]"),
    Instead(body=b'[{"id":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]"),
)  # fmt: skip


@pytest.mark.parametrize("fault", _NO_ANSWERS, ids=str)
def test_what_is_no_answer_is_not_archived(
    fault: Fault, site: Site, stub: ExportStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webserver, "_MOST_BYTES", 1_000_000)
    site.configure(timeout=0.3 if fault in (Broken.SILENCE, Broken.DRIP) else 5)
    stub.scales |= {"AA": Scale(rows=answers("AA", 2)), "DD": Scale(rows=answers("DD", 9))}
    stub.trouble = lambda method, path: fault if (method, path.partition("?")[0]) == ("GET", "export/DD") else None
    outcome = site.run()
    assert [(down.what, down.table) for down in outcome.break_downs] == [("request", "DD")]
    assert outcome.exit_code != 0
    assert not site.pool.raw_days("DD") and len(stub.scales["DD"].rows) == 9
    assert site.ids("AA") == [1, 2], "one scale holds up no other"
    stub.trouble = lambda method, path: None
    assert site.run().exit_code == 0
    assert site.ids("DD") == list(range(1, 10)) and not stub.scales["DD"].rows


@pytest.mark.parametrize("fault", [HTML, ERROR, BUSY, Broken.HALF, Broken.RESET, NO_OBJECTS], ids=str)
def test_what_is_no_list_of_scales(fault: Fault, site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=answers("DD", 2))
    stub.trouble = lambda method, path: fault if path == "export/" else None
    outcome = site.run()
    assert outcome.error and outcome.exit_code != 0
    assert not site.pool.raw_days("DD") and len(stub.scales["DD"].rows) == 2
    stub.trouble = lambda method, path: None
    assert site.run().exit_code == 0
    assert site.ids("DD") == [1, 2]


def test_a_wrong_password(site: Site, stub: ExportStub) -> None:
    site.configure(password="wrong-pass")
    outcome = site.run()
    assert outcome.exit_code == 2 and outcome.error and "wrong-pass" not in repr(outcome)
    assert len(stub.requests) == 1


@pytest.mark.parametrize("said", [5, 0])
def test_a_size_that_the_list_does_not_have(said: int, site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=answers("DD", 2), size_said=said)
    outcome = site.run()
    assert site.ids("DD") == [1, 2] and not stub.scales["DD"].rows
    assert (outcome.exit_code, outcome.error) == (0, None) if said == 0 else (outcome.notes or outcome.break_downs)


def test_a_size_and_an_empty_list(site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=answers("DD", 5))
    stub.once("GET", "export/DD", EMPTY)
    outcome = site.run()
    assert "DD" in site.said(outcome)
    assert not site.pool.raw_days("DD") and not site.pool.active_days("DD")
    assert site.highest().get("DD", 0) == 0
    site.run()
    assert site.ids("DD") == [1, 2, 3, 4, 5]


# --- deleting ---


def test_nothing_is_deleted_unless_told(site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=answers("DD", 3))
    site.configure(delete=False)
    site.run()
    site.run()
    assert site.ids("DD") == [1, 2, 3] and len(stub.scales["DD"].rows) == 3
    assert not [path for method, path in stub.requests if method == "DELETE"]
    site.configure()
    site.run()
    assert site.ids("DD") == [1, 2, 3] and not stub.scales["DD"].rows


@pytest.mark.parametrize("fault", [ERROR, BUSY, Broken.RESET, Broken.SILENCE, HTML], ids=str)
def test_a_delete_that_fails_once(fault: Fault, site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=answers("DD", 3))
    site.configure(timeout=0.3 if fault in (Broken.SILENCE, Broken.DRIP) else 5)
    stub.trouble = lambda method, path: fault if path == "export/DD/2" else None
    outcome = site.run()
    assert [(down.what, down.table) for down in outcome.break_downs] == [("delete", "DD")]
    assert outcome.exit_code != 0
    assert 2 in stub.scales["DD"].rows
    stub.trouble = lambda method, path: None
    assert site.run().exit_code == 0
    assert site.ids("DD") == [1, 2, 3] and not stub.scales["DD"].rows
    assert sorted(gone.id for gone in stub.deleted) == [1, 2, 3]


@pytest.mark.parametrize("fault", [Broken.LOST, Broken.HALF, Broken.CHUNKS], ids=str)
def test_404_is_done(fault: Fault, site: Site, stub: ExportStub) -> None:
    """The row went, and nobody heard of it."""
    stub.scales["DD"] = Scale(rows=answers("DD", 3))
    stub.once("DELETE", "export/DD/2", fault)
    assert site.run().exit_code == 0
    asked = stub.count("DELETE", "export/DD/2")
    site.run()
    assert stub.count("DELETE", "export/DD/2") == asked, "it is asked for over and over"
    assert site.ids("DD") == [1, 2, 3] and len(stub.deleted) == 3


def test_a_password_that_ends_in_the_midst(site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=answers("DD", 200))
    refused = Instead(status=401)
    stub.trouble = lambda method, path: refused if method == "DELETE" and len(stub.deleted) > 50 else None
    outcome = site.run()
    assert outcome.exit_code == 2 and outcome.error
    assert stub.befell[refused] < 50, "it knocks on and on, until the account is locked"
    stub.trouble = lambda method, path: None
    assert site.run().exit_code == 0
    assert site.ids("DD") == list(range(1, 201)) and not stub.scales["DD"].rows


def test_403_marks_a_scale_as_static(site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=answers("DD", 30), forbids=True)
    outcome = site.run()
    assert len(site.ids("DD")) == 30
    assert "DD" in site.said(outcome)
    site.run()
    assert len([path for method, path in stub.requests if method == "DELETE"]) == 1
    assert len(set(site.ids("DD"))) == 30


def test_a_row_that_stays_is_one_alarm(site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=answers("DD", 30), stays=set(range(11, 21)))
    site.run()
    outcome = site.run()
    assert outcome.exit_code != 0
    assert len(outcome.break_downs) + len(outcome.notes) == 1, site.said(outcome)
    assert "10" in site.said(outcome) and "DD" in site.said(outcome)
    assert site.ids("DD") == list(range(1, 31))
    stub.scales["DD"].stays.clear()
    site.run()
    assert not stub.scales["DD"].rows
    assert site.run().exit_code == 0


@pytest.mark.parametrize("with_another", [False, True])
def test_a_row_without_proof_is_not_deleted(with_another: bool, site: Site, stub: ExportStub) -> None:
    """Its line was damaged since, or another one stands in its place."""
    stub.scales["DD"] = Scale(rows=plain(*({"id": id_, "a": "x"} for id_ in (1, 2, 3))))
    site.configure(delete=False)
    site.run()
    path = site.pool.raw_file("DD", site.today)
    first, second, third = path.read_bytes().splitlines(keepends=True)
    assert len(first) == len(second)
    path.write_bytes(first + (first if with_another else second.replace(b'"x"', b'"y"')) + third)
    site.configure()
    outcome = site.run()
    assert [(down.what, down.table) for down in outcome.break_downs] == [("write", "DD")]
    assert 2 in stub.scales["DD"].rows


def test_a_raw_file_that_is_gone(site: Site, stub: ExportStub) -> None:
    """What is still on the server is archived again before it is deleted."""
    stub.scales["DD"] = Scale(rows=answers("DD", 3))
    site.configure(delete=False)
    site.run()
    site.pool.raw_file("DD", site.today).unlink()
    site.configure()
    site.run()
    site.run()
    archived = set(site.ids("DD")) if site.pool.raw_days("DD") else set()
    assert archived | stub.scales["DD"].rows.keys() == {1, 2, 3}, "an answer is lost"
