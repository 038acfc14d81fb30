"""What a disk has lost or changed, and what was archived before, cost no answer of a questionnaire and double none."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pusher.export.csvfile import SEALED
from tests.export_stub import ExportStub, Instead, Scale, answers
from tests.fault.export_site import Site, check_recovered, contents, key_line, new_key, plain, sealer


@pytest.fixture
def stub() -> Iterator[ExportStub]:
    with ExportStub() as stub:
        yield stub


@pytest.fixture
def site(tmp_path: Path, stub: ExportStub) -> Site:
    return Site(tmp_path, stub)


def test_nothing_makes_no_active_file(site: Site, stub: ExportStub) -> None:
    """Half a line is all that a power cut has left."""
    site.pool.create()
    site.pool.raw_file("DD", site.today).write_bytes(b'{"key": "DD_20')
    stub.scales["DD"] = Scale()
    site.run()
    assert contents(site.pool.active) == {}


# --- what was lost ---


@pytest.mark.parametrize("lost", ["ledger", "copy", "both"])
@pytest.mark.parametrize("delete", [False, True])
def test_a_lost_benchmark(lost: str, delete: bool, site: Site, stub: ExportStub) -> None:
    stub.scales |= {"DD": Scale(rows=answers("DD", 5)), "DD_FU": Scale(rows=answers("DD_FU", 2))}
    site.configure(delete=delete)
    assert "benchMark.json" in site.said(site.run()), "creating it is no news"
    assert "benchMark.json" not in site.said(site.run())
    highest = site.highest()
    site.lose(ledger=lost != "copy", copy=lost != "ledger")
    stub.scales["DD"].rows |= answers("DD", 2, first=6)
    outcome = site.run()
    assert site.ids("DD") == [1, 2, 3, 4, 5, 6, 7] and site.ids("DD_FU") == [1, 2]
    assert site.highest() == {**highest, "DD": 7}
    assert "benchMark.json" in site.said(outcome)
    assert outcome.exit_code == 0 or outcome.notes
    check_recovered(site)


def test_a_part_that_a_kill_left_behind(site: Site, stub: ExportStub) -> None:
    """Decoded answers, in a file that nobody would look for."""
    stub.scales["DD"] = Scale(rows=answers("DD", 2))
    site.pool.create()
    parts = [site.pool.active / ".DD_2026-11-25.csv.k3j_2x9z", site.pool.raw / ".benchMark.json.a8b7c6d5"]
    for part in parts:
        part.write_text("id,answer\r\n1,often")
    site.run()
    assert [part for part in parts if part.exists()] == []


@pytest.mark.parametrize("torn", [b'{"key": "DD_2026-11-26T0', b'{"key": "DD', b"{", b"\0" * 700])
def test_a_torn_last_line(torn: bytes, site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=answers("DD", 3))
    site.run()
    path = site.pool.raw_file("DD", site.today)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    stub.scales["DD"].rows |= answers("DD", 2, first=4)
    site.run()
    site.run()
    assert path.read_bytes().startswith(whole)
    assert site.ids("DD") == [1, 2, 3, 4, 5] and not stub.scales["DD"].rows
    check_recovered(site)


@pytest.mark.parametrize("whole", [0, 1, 5, 9, 40])
def test_the_first_line_of_all_was_torn_off(whole: int, site: Site, stub: ExportStub) -> None:
    """`whole`: the bytes of it that there are."""
    stub.scales["DD"] = Scale(rows=answers("DD", 2))
    site.configure(delete=False)
    site.run()
    path = site.pool.raw_file("DD", site.today)
    path.write_bytes(path.read_bytes()[:whole])
    site.lose(ledger=True, copy=True)
    site.configure()
    site.run()
    assert site.ids("DD") == [1, 2] and not stub.scales["DD"].rows
    check_recovered(site)


@pytest.mark.parametrize("left", [0, 1, 30])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_line_torn_off_before_it_was_proven(rows: int, left: int, site: Site, stub: ExportStub) -> None:
    """`left`: bytes of the last line that are missing. Its row is still on the server."""
    stub.scales["DD"] = Scale(rows=answers("DD", rows))
    site.configure(delete=False)
    site.run()
    path = site.pool.raw_file("DD", site.today)
    path.write_bytes(path.read_bytes()[: -left or None])
    site.lose(ledger=True, copy=False)
    site.configure()
    site.run()
    site.run()
    assert sorted(site.ids("DD")) == list(range(1, rows + 1)) and not stub.scales["DD"].rows
    check_recovered(site)


def test_a_line_that_was_proven_is_never_cut_off(site: Site, stub: ExportStub) -> None:
    """Damaged on the disk, and the ledger is lost or of yesterday: no other copy of these answers is left."""
    stub.scales["DD"] = Scale(rows=answers("DD", 2))
    site.run()
    old_ledger = contents(site.folder / "state")
    stub.scales["DD"].rows |= answers("DD", 3, first=3)
    site.run()
    path = site.pool.raw_file("DD", site.today)
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in (4, 3):
        for ledger in ({}, old_ledger):
            changed = [*lines[:damaged], lines[damaged].replace(b'"hash"', b'"hasH"'), *lines[damaged + 1 :]]
            path.write_bytes(b"".join(changed))
            site.lose(ledger=True, copy=False)
            for name, content in ledger.items():
                (site.folder / "state" / name).write_bytes(content)
            site.run()
            kept = b"".join(contents(site.pool.raw).values())
            assert [line for line in changed if line not in kept] == [], "answers that were deleted are gone here, too"


def test_a_raw_file_that_is_shorter_than_it_was(site: Site, stub: ExportStub) -> None:
    stub.scales |= {"AA": Scale(rows=answers("AA", 2)), "DD": Scale(rows=answers("DD", 3))}
    site.run()
    path = site.pool.raw_file("DD", site.today)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    stub.scales["AA"].rows |= answers("AA", 1, first=3)
    stub.scales["DD"].rows |= answers("DD", 1, first=4)
    outcome = site.run()
    assert [(down.what, down.table) for down in outcome.break_downs] == [("write", "DD")]
    assert site.ids("AA") == [1, 2, 3], "one scale holds up no other"
    assert 4 in stub.scales["DD"].rows and path.read_bytes() == whole[:-40]
    path.write_bytes(whole)
    assert site.run().exit_code == 0
    assert site.ids("DD") == [1, 2, 3, 4] and not stub.scales["DD"].rows


@pytest.mark.parametrize("what", ["raw_data", "active_data"])
def test_what_cannot_be_written(what: str, site: Site, stub: ExportStub) -> None:
    stub.scales |= {"AA": Scale(rows=answers("AA", 2)), "DD": Scale(rows=answers("DD", 3))}
    in_the_way = (site.pool.raw_file if what == "raw_data" else site.pool.active_file)("DD", site.today)
    in_the_way.mkdir(parents=True)
    outcome = site.run()
    assert [(down.what, down.table) for down in outcome.break_downs] == [("write", "DD")]
    assert site.ids("AA") == [1, 2], "one scale holds up no other"
    if what == "raw_data":
        assert len(stub.scales["DD"].rows) == 3, "deleted, and not archived"
    in_the_way.rmdir()
    assert site.run().exit_code == 0
    assert site.ids("DD") == [1, 2, 3] and site.texts("DD", "id") == ["1", "2", "3"]


def test_on_the_disk_before_it_is_deleted(site: Site, stub: ExportStub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Synced, the file and the folder that names it: after a power cut it is still there."""
    synced: dict[int, int] = {}
    unsynced: list[int] = []
    sync = os.fsync

    def noting(handle: int) -> None:
        sync(handle)
        state = os.fstat(handle)
        synced[state.st_ino] = state.st_size

    def check(scale: str, id_: int) -> None:
        state = site.pool.raw_file(scale, site.today).stat()
        if synced.get(state.st_ino) != state.st_size or site.pool.raw.stat().st_ino not in synced:
            unsynced.append(id_)

    monkeypatch.setattr(os, "fsync", noting)
    stub.on_delete = check
    for first in (1, 4):
        stub.scales["DD"] = Scale(rows=answers("DD", 3, first=first))
        site.run()
    assert len(stub.deleted) == 6 and not unsynced


def test_what_the_disk_has_is_read_back(site: Site, stub: ExportStub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that changes a character, once."""
    stub.scales["DD"] = Scale(rows=answers("DD", 3))
    write = os.write

    def changing(handle: int, content: bytes) -> int:
        return write(handle, bytes(content).replace(b'"participantId"', b'"participantld"', 1))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", changing)
        outcome = site.run()
    assert [(down.what, down.table) for down in outcome.break_downs] == [("write", "DD")]
    assert len(stub.scales["DD"].rows) == 3
    assert site.run().exit_code == 0
    assert site.ids("DD") == [1, 2, 3] and not stub.scales["DD"].rows


@pytest.mark.parametrize("closed", [True, False])
def test_a_static_scale_that_may_be_deleted_now(closed: bool, site: Site, stub: ExportStub) -> None:
    """`closed`: whether its last snapshot is whole, or was cut short by a power cut."""
    stub.scales["DD"] = Scale(rows=answers("DD", 3), deleteable=False)
    site.configure(extra="scales = all")
    site.run()
    path = site.pool.raw_file("DD", site.today)
    if not closed:
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
        site.lose(ledger=True, copy=True)
    stub.scales["DD"].deleteable = True
    site.run()
    assert not stub.scales["DD"].rows
    assert sorted(row["id"] for row in site.rows("DD")) == [1, 2, 3], "deleted, and not to be found"
    assert sorted(site.texts("DD", "id")) == ["1", "2", "3"]
    check_recovered(site)


# --- what was archived before ---


def test_a_row_that_came_late(site: Site, stub: ExportStub) -> None:
    """Dated long before what was archived: where rows stay on the server, only newer ones are asked for."""
    stub.scales["DD"] = Scale(rows=answers("DD", 3))
    site.now = dt.datetime.now(dt.UTC)
    site.configure(delete=False, extra="overlap = 0")
    site.run()
    stub.scales["DD"].rows |= answers("DD", 1, first=4)
    site.run()
    assert site.ids("DD") == [1, 2, 3, 4]
    stub.scales["DD"].rows |= answers("DD", 1, first=5)
    stub.scales["DD"].size_said = 4
    site.run()
    assert any("?after=" in path for _, path in stub.requests)
    site.pass_days(1)
    site.run()
    days = site.pool.raw_days("DD")
    assert site.ids("DD") == [1, 2, 3, 4, 5] and len(days) == 2


def test_an_answer_that_changed_is_archived_too(site: Site, stub: ExportStub) -> None:
    stub.scales["DD"] = Scale(rows=plain({"id": 1, "a": "old"}, {"id": 2, "a": "same"}))
    site.configure(delete=False)
    site.run()
    stub.scales["DD"].rows[1]["a"] = "new"
    site.configure()
    site.run()
    assert [(row["id"], row["a"]) for row in site.rows("DD")] == [(1, "old"), (2, "same"), (1, "new")]
    assert not stub.scales["DD"].rows
    check_recovered(site)


def test_a_file_of_an_earlier_program(site: Site, stub: ExportStub) -> None:
    """Of today, which it has left in the midst: our lines follow, and its rows are not archived again."""
    rows = answers("DD", 5)
    site.pool.create()
    earlier = json.dumps([rows[1], rows[2]], indent=1).encode()
    site.pool.raw_file("DD", site.today).write_bytes(earlier)
    stub.scales["DD"] = Scale(rows=rows)
    site.run()
    assert [row["id"] for row in site.rows("DD")] == [1, 2, 3, 4, 5]
    assert site.pool.raw_file("DD", site.today).read_bytes().startswith(earlier)
    assert not stub.scales["DD"].rows
    site.decode()
    assert site.texts("DD", "id") == ["1", "2", "3", "4", "5"]


def test_a_static_scale_is_archived_when_it_changed(site: Site, stub: ExportStub) -> None:
    stub.scales["Trial"] = Scale(rows=answers("Trial", 3), deleteable=False)
    site.configure(extra="scales = all")
    site.run()
    site.run()
    site.pass_days(1)
    site.run()
    assert len(site.pool.raw_days("Trial")) == 1
    assert [line["id"] for line in site.lines("Trial") if "row" in line] == [1, 2, 3]
    stub.scales["Trial"].rows.pop(2)
    site.run()
    assert [row["id"] for row in site.rows("Trial")] == [1, 3], "the newest snapshot counts alone"
    assert site.texts("Trial", "id") == ["1", "3"]
    assert not [path for method, path in stub.requests if method == "DELETE"]
    check_recovered(site)


def test_one_id_twice_in_one_answer(site: Site, stub: ExportStub) -> None:
    rows = [{"id": 1, "a": "x"}, {"id": 1, "a": "x"}, {"id": 1, "a": "y"}]
    stub.scales["DD"] = Scale(rows=plain(rows[0]))
    stub.once("GET", "export/DD", Instead(body=json.dumps(rows).encode()))
    site.run()
    assert [row["a"] for row in site.rows("DD")] == ["x", "y"]
    check_recovered(site)


# --- sealed answers ---


def test_a_wrong_key(site: Site, stub: ExportStub) -> None:
    ours, theirs = new_key(), new_key()
    stub.scales["DD"] = Scale(rows=answers("DD", 30, seal=sealer(theirs)))
    ciphertexts = {row["answerRSA"] for row in stub.scales["DD"].rows.values()} - {None}
    site.configure(extra=key_line(site.folder, ours))
    outcome = site.run()
    assert "DD" in site.said(outcome) and outcome.exit_code != 0
    cells = site.texts("DD", "answerRSA")
    sealed = [row["answerRSA"] is not None for row in site.rows("DD")]
    assert [cell == SEALED for cell in cells] == sealed and set(cells) == {SEALED, ""}
    assert not any(text.encode() in content for text in ciphertexts for content in contents(site.pool.active).values())
    assert len(site.ids("DD")) == 30
    site.configure(extra=key_line(site.folder, theirs))
    site.decode()
    assert SEALED not in site.texts("DD", "answerRSA")
    assert site.texts("DD", "answerRSA") == site.texts("DD", "answer")
