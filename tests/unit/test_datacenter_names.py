"""Names of files in a storage: which are refused, and which come of which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.datacenter.names import MOST_BYTES, check_name, finished_name, numbered, pending_name, stem_of
from pusher.datacenter.processing import Mode
from pusher.errors import FileRefused


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../a.csv", "leads to a folder"),
        ("..\\a.csv", "leads to a folder"),
        ("/etc/passwd.csv", "leads to a folder"),
        ("C:\\a.csv", "leads to a folder"),
        ("finished/a.csv", "leads to a folder"),
        ("a\0.csv", "cannot be printed"),
        ("a\n.csv", "cannot be printed"),
        ("a\x1b[2J.csv", "cannot be printed"),
        ("a\u2028.csv", "cannot be printed"),
        ("a\udcff.csv", "cannot be printed"),
        (".a.csv", "begins with a dot"),
        (".csv", "begins with a dot"),
        ("..", "begins with a dot"),
        ("", "does not end in .csv"),
        ("a", "does not end in .csv"),
        ("a.xlsx", "does not end in .csv"),
        ("a.csv.exe", "does not end in .csv"),
        ("a.csv/", "leads to a folder"),
        ("x" * 296 + ".csv", f"longer than {MOST_BYTES} bytes"),
        ("ü" * 99 + ".csv", f"longer than {MOST_BYTES} bytes"),
        ("a.create.finished.csv", "that pusher writes"),
        ("a.remove.finished-2.csv", "that pusher writes"),
        ("a.create.pending.csv.gz", "that pusher writes"),
        ("a.create.pending.update.pending.csv", "that pusher writes"),
    ],
)
def test_what_no_file_may_be_called(name: str, reason: str) -> None:
    with pytest.raises(FileRefused, match=reason) as caught:
        check_name(name)
    said = str(caught.value)
    assert said.isprintable() and len(said) < 2 * MOST_BYTES


@pytest.mark.parametrize(
    "name",
    ["a.csv", "a.csv.gz", "a b.csv", "Häuser.csv", "-.csv", "a..csv", "a.create.pending.csv", "a.create.csv"]
    + ["x" * 196 + ".csv", "x" * 196 + ".create.pending.csv"],
)
def test_what_a_file_may_be_called(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("mysource.csv", ("mysource", None, False)),
        ("mysource.csv.gz", ("mysource", None, False)),
        ("my.source.csv", ("my.source", None, False)),
        ("mysource.create.pending.csv", ("mysource", Mode.CREATE, True)),
        ("my.source.remove.pending.csv", ("my.source", Mode.REMOVE, True)),
        ("mysource.other.pending.csv", ("mysource.other.pending", None, False)),
        ("mysource.create.csv", ("mysource.create", None, False)),
        ("create.pending.csv", ("create.pending", None, False)),
    ],
)
def test_a_name_tells_the_mode_of_refused_rows(name: str, parts: tuple[str, Mode | None, bool]) -> None:
    assert stem_of(name) == parts


def test_files_that_come_of_one_have_its_name() -> None:
    assert pending_name("a", Mode.UPSERT) == "a.upsert.pending.csv"
    assert finished_name("a", Mode.CREATE) == "a.create.finished.csv"
    assert finished_name("a", Mode.CREATE, 2) == "a.create.finished-2.csv"


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("a.csv", "a-2.csv"),
        ("a.b.csv.gz", "a.b-2.csv.gz"),
        ("a.create.pending.csv", "a-2.create.pending.csv"),
    ],
)
def test_a_number_stands_before_the_endings(name: str, second: str) -> None:
    assert (numbered(name, 1), numbered(name, 2)) == (name, second)


_STEMS = st.tuples(st.text(max_size=8), st.integers(min_value=1, max_value=60)).map(lambda part: part[0] * part[1])


@given(_STEMS.map(lambda stem: f"{stem}.csv"), st.sampled_from(Mode))
def test_what_comes_of_an_allowed_name_is_allowed_and_leads_back(name: str, mode: Mode) -> None:
    try:
        check_name(name)
    except FileRefused:
        return
    stem, _, _ = stem_of(name)
    pending = pending_name(stem, mode)
    check_name(pending)
    assert stem_of(pending) == (stem, mode, True)
    assert len(finished_name(stem, mode, 99).encode()) < 255
    with pytest.raises(FileRefused):
        check_name(finished_name(stem, mode))
