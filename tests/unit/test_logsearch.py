"""Finding lines in log files, also in those of days before."""

from __future__ import annotations

from pathlib import Path

import pytest

from pusher.errors import UsageError
from pusher.logsearch import Found, search


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three days, one of them with two files, and others' files beside them."""
    days = {
        "DEBUG.log": "2026-11-26 10:00:00,000 INFO import_ended path=d.csv failed=0\n",
        "DEBUG.log.2026-11-25": "2026-11-25 10:00:00,000 INFO import_ended path=b.csv failed=2\n"
        "2026-11-25 11:00:00,000 DEBUG other\n",
        "DEBUG.log.2026-11-25.2": "2026-11-25 12:00:00,000 INFO import_ended path=c.csv failed=0\n",
        "DEBUG.log.2026-11-24": "2026-11-24 10:00:00,000 INFO import_ended path=a.csv failed=0\n",
        "Daily.log": "2026-11-26 10:00:00,000 INFO import_ended path=d.csv failed=0\n",
        "DEBUG.log.2026-11-23.gz": "import_ended\n",
        "DEBUG.log.2026-11-25.10": "2026-11-25 13:00:00,000 INFO import_ended path=c10.csv failed=0\n",
    }
    for name, text in days.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def _paths(found: list[Found]) -> list[str]:
    return [each.text.split("path=")[1].split()[0] for each in found]


def test_lines_are_found_in_the_order_of_time_each_once(folder: Path) -> None:
    found = search(folder, "import_ended")
    assert _paths(found) == ["a.csv", "b.csv", "c.csv", "c10.csv", "d.csv"]
    assert found[1] == Found(
        file="DEBUG.log.2026-11-25",
        line=1,
        text="2026-11-25 10:00:00,000 INFO import_ended path=b.csv failed=2",
    )


def test_a_part_of_them_may_be_asked_for(folder: Path) -> None:
    assert _paths(search(folder, "import_ended", start=1, limit=2)) == ["b.csv", "c.csv"]
    assert search(folder, "import_ended", start=5) == []


def test_the_pattern_is_a_regular_expression(folder: Path) -> None:
    assert _paths(search(folder, r"failed=[1-9]")) == ["b.csv"]
    assert search(folder, r"^2026-11-25 11")[0].line == 2
    assert search(folder, "IMPORT_ENDED") == []


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("(", r"'\(' is no regular expression: missing \)"), ("a" * 1001, "longer than 1000 letters")],
)
def test_what_is_none_is_said(folder: Path, pattern: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        search(folder, pattern)


def test_without_log_files_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no log files in"):
        search(tmp_path / "logs", "x")


def test_damaged_and_endless_lines_are_found_by_their_beginning(tmp_path: Path) -> None:
    (tmp_path / "DEBUG.log").write_bytes(b"x\xff\n" + b"y" * 200_000 + b"end\nlast")
    assert [each.text for each in search(tmp_path, "x")] == ["x\\xff"]
    (long,) = search(tmp_path, "y")
    assert len(long.text) == 1 << 16 and long.line == 2
    assert [(each.line, each.text) for each in search(tmp_path, "last")] == [(3, "last")]
