"""The commands of the export job, as an operator types them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.export_stub import ERROR, PASSWORD, ExportStub, Scale, answers
from tests.fault.export_site import contents, key_line, new_key, pool_of, sealer, write_config
from tests.stage import pusher

STUDY = [{"name": "Calm", "sessions": []}]


@pytest.fixture
def stub() -> Iterator[ExportStub]:
    scales = {
        "DASS21": Scale(rows=answers("DASS21", 5)),
        "Trial": Scale(rows=answers("Trial", 2), deleteable=False),
    }
    with ExportStub(scales, STUDY) as stub:
        yield stub


def _said(config: Path, *arguments: str, ends: int = 0) -> str:
    done = pusher("--config", config, *arguments)
    assert done.returncode == ends, done.stdout + done.stderr
    return done.stdout + done.stderr


def _json(config: Path, *arguments: str, ends: int = 0) -> Any:
    done = pusher("--config", config, *arguments, "--json")
    assert done.returncode == ends, done.stdout + done.stderr
    return json.loads(done.stdout)


def _held(config: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(pusher("--config", config, "held", "list", "--json").stdout)
    return found


def test_from_the_first_look_to_recovery(tmp_path: Path, stub: ExportStub) -> None:
    config = write_config(tmp_path, stub.url)
    assert "2 scales, 1 of them deleteable" in _said(config, "check")
    assert "DASS21      5   yes" in _said(config, "run", "--dry-run")
    assert len(stub.scales["DASS21"].rows) == 5
    said = _said(config, "export")
    assert "5 rows archived, 5 deleted there" in said and "benchMark.json was written" in said
    assert not stub.scales["DASS21"].rows and pool_of(tmp_path).raw_scales() == ["DASS21"]
    said = _said(config, "export", "mindtrails", "static")
    assert "3 rows archived, 0 deleted there" in said
    assert pool_of(tmp_path).active_scales() == ["DASS21", "Trial", "study"]
    before = contents(pool_of(tmp_path).active)
    pool_of(tmp_path).active_file("Trial", dt.date.today()).write_text("spoilt")
    (file,) = [file for file in _json(config, "recover", "mindtrails")["mindtrails"] if file["state"] != "up to date"]
    assert (file["scale"], file["state"], file["rows"]) == ("Trial", "made anew", 2)
    assert contents(pool_of(tmp_path).active) == before
    assert "3 files, 3 of them as they should be" in _said(config, "decode", ".", ".")


def test_one_scale_and_every_location(tmp_path: Path, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=answers("DD", 1))
    config = write_config(tmp_path, stub.url)
    (outcome,) = _json(config, "export", ".", "DD")
    assert [(table["table"], table["sent"], table["removed"]) for table in outcome["tables"]] == [("DD", 1, 1)]
    assert len(stub.scales["DASS21"].rows) == 5
    (outcome,) = _json(config, "run", "--once")
    assert [table["table"] for table in outcome["tables"]] == ["DASS21", "DD"]
    (location,) = _json(config, "status")
    assert [(table["table"], table["checkpoint"], table["pending"]) for table in location["tables"]] == [
        ("DASS21", "5", 0),
        ("DD", "1", 0),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "nowhere"), 'has no location "nowhere"'),
        (("export", ".", "../x"), 'SCALE: "../x" is no name of a scale'),
        (("recover", "mindtrails", "--scale", "DD"), "no raw file of a scale DD"),
        (("recover", "mindtrails", "--day", "yesterday"), "does not match the format"),
        (("recover", "mindtrails", "--day", "2026-01-01"), "no raw file of 2026-01-01"),
        (("decode", "mindtrails", "DD"), "no raw file of a scale DD"),
    ],
)
def test_wrong_use(tmp_path: Path, stub: ExportStub, arguments: tuple[str, ...], said: str) -> None:
    config = write_config(tmp_path, stub.url)
    assert said in _said(config, *arguments, ends=2)
    assert not stub.requests


def test_a_scale_that_the_server_does_not_have(tmp_path: Path, stub: ExportStub) -> None:
    config = write_config(tmp_path, stub.url, extra="scales = DASS21, DD")
    assert "the server has no scale DD" in _said(config, "check", ends=2)
    assert "the server has no such scale" in _said(config, "export", ends=1)
    assert not stub.scales["DASS21"].rows, "one scale holds up no other"


def test_what_stays_on_the_server_is_held_and_tried_again(tmp_path: Path, stub: ExportStub) -> None:
    config = write_config(tmp_path, stub.url)
    stub.scales["DASS21"].forbids = True
    _said(config, "export", ends=1)
    (held,) = _held(config)
    assert (held["table"], held["kind"], held["columns"]) == ("DASS21", "delete", ["rows"])
    assert "counts as static" in held["reason"]
    assert "pusher held retry" in _said(config, "held", "show", str(held["id"]))
    stub.scales["DASS21"].forbids = False
    _said(config, "export", ends=1)
    assert len(stub.scales["DASS21"].rows) == 5, "only once somebody says so"
    _said(config, "held", "retry")
    assert not stub.scales["DASS21"].rows and not _held(config)


def test_a_field_that_cannot_be_decrypted_is_held_and_named(tmp_path: Path, stub: ExportStub) -> None:
    theirs, ours = new_key(), new_key()
    stub.scales["DD"] = Scale(rows=answers("DD", 3, seal=sealer(theirs)))
    sealed = sum(row["answerRSA"] is not None for row in stub.scales["DD"].rows.values())
    config = write_config(tmp_path, stub.url, extra=key_line(tmp_path, ours))
    _said(config, "export", ends=1)
    held = _held(config)
    assert len(held) == sealed > 0
    assert {(row["table"], row["kind"], row["columns"][1]) for row in held} == {("DD", "sealed", "field")}
    assert {row["key"][1] for row in held} == {"answerRSA"}
    assert f"{sealed} fields are still sealed" in _said(config, "decode", ends=1)
    key_line(tmp_path, theirs)
    _said(config, "decode")
    assert not _held(config)


def test_a_server_that_is_down(tmp_path: Path, stub: ExportStub) -> None:
    config = write_config(tmp_path, stub.url)
    stub.trouble = lambda method, path: ERROR
    assert "HTTP 500" in _said(config, "export", ends=3)
    assert "HTTP 500" in _said(config, "check", ends=3)
    assert not pool_of(tmp_path).raw_scales()


def test_creating_an_active_file_is_logged_and_creating_a_raw_file_is_not(tmp_path: Path, stub: ExportStub) -> None:
    config = write_config(tmp_path, stub.url)
    _said(config, "export")
    logs = {path.name: path.read_text() for path in (tmp_path / "data/logs").glob("*.log")}
    day = dt.date.today()
    assert f"INFO active_file_created file=DASS21_{day}.csv rows=5" in logs["Daily.log"]
    assert "DEBUG rows_archived" in logs["DEBUG.log"] and "WARNING benchmarks_created" in logs["error.log"]
    assert "break_down.log" not in logs
    assert not [name for name, text in logs.items() if f"DASS21_{day}.json" in text or PASSWORD in text]
