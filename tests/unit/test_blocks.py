"""Blocks: which rows lie together, whatever the cursor is, and that they sort as the rows do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.wire.blocks import Tally, block_of, runs, window_start
from pusher.wire.fingerprint import EMPTY, Fingerprint, summed


@pytest.mark.parametrize(
    ("value", "block"),
    [
        ("2026-11-24 19:07:03.25", "2026-11-24 19:00"),
        ("2026-11-24T19:07:03", "2026-11-24T19:00"),
        ("2026-11-24 19:10:00+00", "2026-11-24 19:10"),
        ("2026-11-24 19:07", "2026-11-24 19:00"),
        ("2026-11-24", "2026-11-24"),
        ("0044-03-15 12:00:00 BC", "0000-00-00"),
        ("-infinity", "0000-00-00"),
        ("infinity", "9999-12-31 23:50"),
        ("12026-11-24 19:07:03", "9999-12-31 23:50"),
        (1234, 1000),
        (-1, -1000),
        (1.5, 0),
        (1_764_011_223, 1_764_010_800),
        (1_764_011_223_456, 1_764_010_800_000),
        (10**9, 10**9),
    ],
)
def test_where_a_value_lies(value: Any, block: Any) -> None:
    assert block_of(value) == block


@given(st.lists(st.integers(-(10**18), 10**18) | st.integers(10**9 - 2000, 10**9 + 2000), min_size=1))
def test_numbers_lie_in_blocks_that_sort_as_they_do(values: list[int]) -> None:
    values.sort()
    starts = [block_of(value) for value in values]
    assert starts == sorted(starts)
    assert all(start <= value for start, value in zip(starts, values, strict=True))
    assert all(block_of(start) == start for start in starts)


@given(st.lists(st.datetimes(), min_size=1), st.sampled_from(" T"))
def test_moments_lie_in_blocks_that_sort_as_they_do(moments: list[Any], separator: str) -> None:
    values = [moment.isoformat(separator) for moment in sorted(moments)]
    starts = [block_of(value) for value in values]
    assert starts == sorted(starts)
    assert all(start <= value for start, value in zip(starts, values, strict=True))


@pytest.mark.parametrize(
    ("value", "seconds", "start"),
    [
        ("2026-01-01 00:30:00", 3600, "2025-12-31 23:30"),
        ("2026-01-01T00:30:00.5", 60, "2026-01-01T00:20"),
        ("2026-01-02", 86400, "2026-01-01"),
        ("0000-00-00 00:00:00", 3600, "0000-00-00 00:00"),
        ("0001-01-01 00:00:00", 3600, "0001-01-01 00:00"),
        (2500, 3600, 1000),
        (2500, 0, 2000),
        (1_764_011_223, 3600, 1_764_007_200),
    ],
)
def test_where_a_window_begins(value: Any, seconds: float, start: Any) -> None:
    assert window_start(value, seconds) == start


def test_runs_are_the_blocks_side_by_side() -> None:
    assert list(runs([1, 2, 999, 1000, 5000, 5001])) == [(0, 0, 3), (1000, 3, 4), (5000, 4, 6)]
    assert list(runs([])) == []


@given(st.lists(st.integers(0, 5000)), st.integers(1, 7), st.integers(0, 3))
def test_a_tally_counts_the_same_however_the_rows_are_paged(values: list[int], page_rows: int, before: int) -> None:
    values.sort()
    hashes = [bytes([number % 256]) * 16 for number, _ in enumerate(values)]
    base = {0: summed([b"x" * 16] * before)}
    tally = Tally(base)
    found: dict[Any, Fingerprint] = {}
    for at in range(0, len(values), page_rows):
        found |= tally.add(values[at : at + page_rows], hashes[at : at + page_rows])
    expected: dict[Any, Fingerprint] = {}
    for value, each in zip(values, hashes, strict=True):
        start = block_of(value)
        expected[start] = expected.get(start, EMPTY) + summed([each])
    if 0 in expected and values and block_of(values[0]) == 0:
        expected[0] += base[0]
    assert found == expected


def test_a_block_of_which_nobody_knows_what_was_sent_is_left_out() -> None:
    tally = Tally({0: None})
    assert tally.add([5, 6], [b"a", b"b"]) == {}
    assert tally.add([7, 1000], [b"c", b"d"]) == {1000: summed([b"d"])}
