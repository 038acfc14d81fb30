"""Tables on a screen: numbers to the right, nothing wider than the screen, nothing lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pusher.cli.table import table_lines


def _lines(columns: Sequence[str], rows: Iterable[Sequence[object]], width: int = 80) -> list[str]:
    return list(table_lines(columns, rows, width, "-"))


def test_numbers_stand_to_the_right() -> None:
    rows = [("Reading", 1234567, 2.5), ("House", 8, None)]
    assert _lines(("table", "rows", "lag, s"), rows) == [
        " table          rows   lag, s",
        " ----------------------------",
        " Reading   1,234,567     2.50",
        " House             8",
    ]


def test_without_rows_there_is_the_head() -> None:
    assert _lines(("a", "bb"), []) == [" a   bb", " ------"]


def test_what_is_too_wide_is_folded_at_blanks_or_anywhere() -> None:
    lines = _lines(("key", "reason"), [("k" * 12, "central refuses this row")], width=22)
    assert lines == [
        " key         reason",
        " ---------------------",
        " kkkkkkkkk   central",
        " kkk         refuses",
        "             this row",
    ]


def test_wide_characters_take_two_places() -> None:
    assert _lines(("a", "b"), [("日本語", "x"), ("né", "y")], width=7) == [
        " a    b",
        " ------",
        " 日   x",
        " 本",
        " 語",
        " né   y",
    ]


def test_nothing_moves_the_cursor() -> None:
    assert _lines(("a",), [("x\x1b[2J\udc80\ny",)])[2:] == [
        " x\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}",
        " y",
    ]


def test_however_narrow_each_column_keeps_a_place() -> None:
    assert _lines(("ab", "cd"), [("x", "y")], width=3) == [" a   c", " b   d", " -----", " x   y"]
