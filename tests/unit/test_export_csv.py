"""CSV files: any text comes back, and none of it is a formula to a spreadsheet."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.errors import ArchiveDamaged
from pusher.export.answers import Number
from pusher.export.csvfile import flat, read_columns, read_table, write_table
from pusher.formulas import guarded, unguarded

_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("=+-@\t\r\n'＝0.e\0,\""), max_size=12)


@pytest.mark.parametrize(
    "cell",
    [
        "=cmd|' /C calc'!A0",
        "+1+1",
        "@SUM(A1)",
        "-x",
        "-",
        "+",
        "\t=1",
        "\r=1",
        "\n=1",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        "'=1",
        "''=1",
    ],
)
def test_what_a_spreadsheet_would_compute_stays_text(cell: str) -> None:
    assert guarded(cell) == "'" + cell
    assert unguarded(guarded(cell)) == cell


@pytest.mark.parametrize(
    "cell", ["", "-5", "+1.5", "-.5", "1e-9", "-1E+5", "a=b", "it's", "'", "'quoted'", " =1", "3-4"]
)
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert guarded(cell) == cell == unguarded(cell)


@given(_TEXT)
def test_every_guard_comes_off_again(text: str) -> None:
    assert unguarded(guarded(text)) == text


@given(st.lists(st.tuples(_TEXT, _TEXT), max_size=5))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    written = [{"id": "1", "=one": one, "two": two} for one, two in rows]
    write_table(path, ["id", "=one", "two"], written)
    table = read_table(path)
    assert table.columns == ["id", "=one", "two"] == read_columns(path)
    assert table.rows == written


def test_no_cell_of_a_file_begins_like_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_table(path, ["id", "answer"], [{"id": "1", "answer": text} for text in ("=1", "@x", "-2", "+a", "'=1")])
    with path.open(newline="") as file:
        cells = [row[1] for row in csv.reader(file)][1:]
    assert cells == ["'=1", "'@x", "-2", "'+a", "''=1"]


def test_a_file_of_an_earlier_program(tmp_path: Path) -> None:
    """A mark at its beginning, a row that is too short, one that is too long, an empty line."""
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfid,a,b\n1,x\n\n2,"=y\nz",w,more\n')
    assert read_table(path).rows == [{"id": "1", "a": "x", "b": ""}, {"id": "2", "a": "=y\nz", "b": "w"}]


def test_a_long_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_table(path, ["a"], [{"a": "x" * 1_000_000}])
    assert len(read_table(path).rows[0]["a"]) == 1_000_000


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id\n\xff\n")
    with pytest.raises(ArchiveDamaged, match=r"a\.csv.*pusher recover"):
        read_table(tmp_path / "a.csv")


def test_what_lies_within_has_a_name_with_dots() -> None:
    row = {
        "a": {"b": {"c": Number("1.10")}, "d": None},
        "e": [Number("1e400"), "x", None, {"y": True}],
        "f": True,
        "g": "",
        "h": "\ud83d!",
        "i": {},
    }
    assert flat(row) == {
        "a.b.c": "1.10",
        "a.d": "",
        "e": '[1e400,"x",null,{"y":true}]',
        "f": "true",
        "g": "",
        "h": "\N{REPLACEMENT CHARACTER}!",
    }
