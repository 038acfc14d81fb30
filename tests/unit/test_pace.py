from __future__ import annotations

from pusher.push.pace import Pace


def test_it_grows_while_receipts_come_quickly() -> None:
    pace = Pace(20_000)
    seen = []
    for _ in range(5):
        seen.append(pace.rows())
        pace.took(0.1, pace.rows())
    assert seen == [5000, 10_000, 20_000, 20_000, 20_000]


def test_a_short_batch_says_nothing_of_long_ones() -> None:
    pace = Pace(20_000)
    pace.took(0.1, 10)
    assert pace.rows() == 5000


def test_it_shrinks_where_the_line_is_slow_and_recovers() -> None:
    pace = Pace(20_000)
    for _ in range(20):
        pace.took(60.0, pace.rows())
    assert pace.rows() == 100
    pace.took(10.0, 100)
    assert pace.rows() == 100
    pace.took(1.0, 100)
    assert pace.rows() == 200


def test_it_keeps_to_the_limit() -> None:
    pace = Pace(50)
    assert pace.rows() == 50
    pace.took(60.0, 50)
    assert pace.rows() == 50
    pace.took(0.1, 50)
    assert pace.rows() == 50
