"""Cells of CSV files as values of columns, and back: what they mean, what they cannot be, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.datacenter.cells import NOTHING, about, read_cells, remedy, write_cells
from pusher.wire.tables import Column, Kind

NULL = "XXX"
COLUMNS = {
    "integer": Column(name="integer", kind=Kind.INTEGER, declared="INTEGER"),
    "flag": Column(name="flag", kind=Kind.INTEGER, declared="TINYINT(1)"),
    "float": Column(name="float", kind=Kind.FLOAT, declared="DOUBLE"),
    "single": Column(name="single", kind=Kind.SINGLE, declared="FLOAT"),
    "price": Column(name="price", kind=Kind.DECIMAL, declared="DECIMAL(8, 2)", precision=8, scale=2),
    "truth": Column(name="truth", kind=Kind.BOOLEAN, declared="BOOLEAN"),
    "text": Column(name="text", kind=Kind.TEXT, declared="VARCHAR(9)", length=9),
    "bytes": Column(name="bytes", kind=Kind.BYTES, declared="BLOB"),
    "day": Column(name="day", kind=Kind.DATE, declared="DATE"),
    "time": Column(name="time", kind=Kind.TIME, declared="TIME", scale=6),
    "moment": Column(name="moment", kind=Kind.DATETIME, declared="DATETIME(6)", scale=6),
    "second": Column(name="second", kind=Kind.DATETIME, declared="DATETIME", scale=0),
    "instant": Column(name="instant", kind=Kind.INSTANT, declared="TIMESTAMP", scale=6),
    "json": Column(name="json", kind=Kind.JSON, declared="JSON"),
    "uuid": Column(name="uuid", kind=Kind.UUID, declared="UUID"),
}


def read(name: str, text: str, dialect: str = "mariadb") -> Any:
    """The value of a cell, or the reason why it has none."""
    (value,), faults = read_cells(COLUMNS[name], dialect, name, [text], NULL)
    return faults.get(0, value)


@pytest.mark.parametrize("name", COLUMNS)
def test_an_empty_cell_says_nothing_and_the_marker_is_null(name: str) -> None:
    assert read(name, "") is NOTHING
    assert read(name, NULL) is None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("integer", "42", 42),
        ("integer", " +007 ", 7),
        ("integer", "-3.00", -3),
        ("integer", "1e3", 1000),
        ("flag", "yes", 1),
        ("flag", "FALSE", 0),
        ("flag", "-128", -128),
        ("float", "0.1", 0.1),
        ("float", ".5", 0.5),
        ("float", "1e23", 1e23),
        ("float", "0.1000000000000000055511151231257827", 0.1),
        ("single", "0.1", 0.10000000149011612),
        ("single", "16777216", 16777216.0),
        ("price", "1.50", "1.50"),
        ("price", "2e1", "20"),
        ("price", "1.500", "1.500"),
        ("truth", "Yes", True),
        ("truth", "0", False),
        ("text", "  a ", "  a "),
        ("text", "C:\\dir", "C:\\dir"),
        ("text", "=1+1", "=1+1"),
        ("bytes", "AP8=", b"\0\xff"),
        ("day", "2026-01-31", "2026-01-31"),
        ("day", "2026-01-31 00:00:00", "2026-01-31"),
        ("time", "23:59", "23:59:00"),
        ("moment", "2026-01-31", "2026-01-31T00:00:00"),
        ("moment", "2026-01-31 23:59", "2026-01-31T23:59:00"),
        ("moment", "2026-01-31T23:59:01.250", "2026-01-31T23:59:01.25"),
        ("second", "2026-01-31 23:59:01.000", "2026-01-31T23:59:01"),
        ("instant", "2026-01-31 23:59", "2026-01-31T23:59:00+00:00"),
        ("instant", "2026-01-31 23:59Z", "2026-01-31T23:59:00+00:00"),
        ("instant", "2026-02-01T01:59+02:00", "2026-01-31T23:59:00+00:00"),
        ("json", '{"a": [1, null]}', '{"a": [1, null]}'),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
    ],
)
def test_what_a_cell_means(name: str, text: str, value: object) -> None:
    assert (read(name, text), type(read(name, text))) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("integer", "4.5", "'4.5' is no whole number; write one such as 42"),
        ("integer", "1_000", "'1_000' is no whole number; write one such as 42"),
        ("integer", "1,000", "'1,000' is no whole number; write one such as 42"),
        ("integer", "0x10", "'0x10' is no whole number; write one such as 42"),
        ("integer", "٤٢", "'٤٢' is no whole number; write one such as 42"),
        ("integer", "yes", "'yes' is no whole number; write one such as 42"),
        ("integer", "1e999", "'1e999' is no whole number; write one such as 42"),
        ("integer", "9" * 500, f"'{'9' * 60}…' is no whole number; write one such as 42"),
        ("float", "1,5", "'1,5' is no number; write one such as 0.5"),
        ("float", "__import__('os')", '"__import__(\'os\')" is no number; write one such as 0.5'),
        ("float", "1e999", "'1e999' does not fit into DOUBLE; write a smaller number"),
        (
            "float",
            "9007199254740993",
            "'9007199254740993' would be 9007199254740992 in DOUBLE; write fewer digits",
        ),
        ("single", "16777217", "'16777217' would be 16777216 in FLOAT; write fewer digits"),
        ("price", "1.234", "'1.234' has more than the 2 decimal places of DECIMAL(8, 2); round it"),
        ("price", "a lot", "'a lot' is no number; write one such as 0.5"),
        ("truth", "maybe", "'maybe' is neither true nor false; write one of them"),
        ("text", "ten letters", "11 characters do not fit into VARCHAR(9); shorten it"),
        ("bytes", "no base64!", "'no base64!' is not base64; write the bytes in it"),
        ("day", "31.01.2026", "'31.01.2026' is no date, such as 2026-01-31"),
        ("day", "2026-01-31 12:00", "'2026-01-31 12:00' is no date, such as 2026-01-31"),
        ("day", "2026-02-30", "'2026-02-30': there is no such day; correct it"),
        ("moment", "now", "'now' is no date and time, such as 2026-01-31 23:59"),
        ("moment", "2026-01-31\n", None),
        ("moment", "2026-01-31 23:59Z", "'2026-01-31 23:59Z' is no date and time, such as 2026-01-31 23:59"),
        ("moment", "2026-01-31 24:00", "'2026-01-31 24:00': there is no such time of day; correct it"),
        ("second", "2026-01-31 23:59:00.5", "'2026-01-31 23:59:00.5' is finer than DATETIME; round it"),
        ("json", "{", "'{' is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1));"
                      " correct it"),
        ("json", "NaN", "'NaN' is not JSON (NaN is none); correct it"),
        ("json", "[" * 100_000, "the JSON is nested too deeply; flatten it"),
        ("uuid", "none", "'none' is no UUID; write one such as a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ],
)  # fmt: skip
def test_what_a_cell_cannot_be_is_told_on_one_line(name: str, text: str, reason: str | None) -> None:
    if reason is None:  # white space around it says nothing
        assert read(name, text) == read(name, text.strip())
    else:
        assert read(name, text) == f"{name}: {reason}"


@pytest.mark.parametrize("text", ["2026-13-01", "2026-01-31 25:00", "13-01-31", "infinity", "0044-03-15 BC"])
def test_sqlite_which_would_take_any_text_takes_no_moment_that_is_none(text: str) -> None:
    assert isinstance(read("moment", text, "sqlite"), str) and read("moment", text, "sqlite").startswith("moment: ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\\", ""),
        ("\\XXX", "XXX"),
        ("\\\\", "\\"),
        ("\\\\XXX", "\\XXX"),
        ("\\ ", " "),
        ("\\a", "\\a"),
        ("XXX ", "XXX "),
    ],
)
def test_a_backslash_tells_a_text_from_what_an_empty_cell_and_the_marker_mean(text: str, value: str) -> None:
    assert read("text", text) == value


def test_each_row_has_its_own_reason() -> None:
    values, faults = read_cells(COLUMNS["integer"], "sqlite", "Street", ["1", "x", "", "x", "XXX"], NULL)
    assert values == [1, NOTHING, NOTHING, NOTHING, None]
    assert faults == dict.fromkeys((1, 3), "Street: 'x' is no whole number; write one such as 42")


def test_a_line_break_in_a_cell_makes_none_in_its_reason() -> None:
    assert read("integer", "a\nb") == r"integer: 'a\nb' is no whole number; write one such as 42"


@given(
    st.lists(st.none() | st.text(max_size=9) | st.from_regex(r"\A\\*(XXX|\s*)\Z")),
    st.sampled_from(["XXX", "NULL", "\\N", "-"]),
)
def test_any_text_is_read_as_it_was_written(values: list[str | None], null: str) -> None:
    column = Column(name="text", kind=Kind.TEXT)
    cells = write_cells(column, values, null)
    assert "" not in cells
    assert read_cells(column, "sqlite", "text", cells, null) == (values, {})


@given(st.lists(st.none() | st.binary(max_size=9)))
def test_any_bytes_are_read_as_they_were_written(values: list[bytes | None]) -> None:
    cells = write_cells(COLUMNS["bytes"], values, NULL)
    assert read_cells(COLUMNS["bytes"], "sqlite", "bytes", cells, NULL) == (values, {})


@given(st.lists(st.none() | st.floats(allow_nan=False)))
def test_any_number_is_read_as_it_was_written(values: list[float | None]) -> None:
    cells = write_cells(COLUMNS["float"], values, NULL)
    assert read_cells(COLUMNS["float"], "postgresql", "float", cells, NULL) == (values, {})


def test_a_column_is_told_in_words() -> None:
    assert about(COLUMNS["text"]) == "text, at most 9 characters"
    assert about(COLUMNS["price"]) == "number, at most 2 decimal places"
    chosen = Column(name="mood", kind=Kind.TEXT, declared="ENUM('good','it''s bad')")
    assert about(chosen) == "one of good, it's bad"
    assert [remedy(each) for each in (COLUMNS["text"], COLUMNS["integer"], COLUMNS["json"], chosen)] == [
        "shorten it",
        "write a smaller number",
        "correct it",
        "write one of these",
    ]
