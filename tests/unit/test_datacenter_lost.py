"""Nobody's rows are lost where two files want one name in a storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from pusher.datacenter.storage import DataCenter


@pytest.fixture
def center(tmp_path: Path) -> DataCenter:
    return DataCenter(tmp_path / "datacenter")


def _fail(center: DataCenter, source: Path, refused: str) -> None:
    work = center.storage / ".work"
    work.mkdir(exist_ok=True)
    (work / "finished.csv").write_text("a\n")
    (work / "pending.csv").write_text(refused)
    center.distribute(False, source, work / "finished.csv", work / "pending.csv", "create")


def _texts(center: DataCenter) -> dict[str, str]:
    return {path.name: path.read_text() for path in center.storage.iterdir() if path.is_file()}


def test_refused_rows_of_an_earlier_file_stay_and_keep_their_original(center: DataCenter) -> None:
    for content in ("first", "second"):
        (center.storage / "a.csv").write_text(content)
        _fail(center, center.storage / "a.csv", content)
    assert _texts(center) == {"a.create.pending.csv": "first", "a-2.create.pending.csv": "second"}
    assert (center.unfinished / "a.csv").read_text() == "first"
    assert (center.unfinished / "a-2.csv").read_text() == "second"


def test_a_file_that_was_mended_again_meanwhile_stays(center: DataCenter) -> None:
    """The run has taken the file away, and its clerk saves it once more."""
    work = center.storage / ".work"
    work.mkdir()
    (work / "a.create.pending.csv").write_text("tried")
    (center.storage / "a.create.pending.csv").write_text("mended")
    _fail(center, work / "a.create.pending.csv", "refused")
    assert _texts(center) == {"a.create.pending.csv": "mended", "a-2.create.pending.csv": "refused"}


def test_of_a_folder_elsewhere_nothing_goes_but_the_results(center: DataCenter, tmp_path: Path) -> None:
    source = center.storage / "a.csv"
    source.write_text("a\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("finished.csv", "pending.csv", "other.txt"):
        (elsewhere / name).write_text("a\n")
    center.distribute(False, source, elsewhere / "finished.csv", elsewhere / "pending.csv", "create")
    assert [path.name for path in elsewhere.iterdir()] == ["other.txt"]
    assert _texts(center) == {"a.create.pending.csv": "a\n"}
    assert sorted(path.name for path in center.storage.iterdir() if path.name[0] == ".") == []
