"""The data center, told as its first users were: storage, waiting files, and where the files of a run go."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from pusher.datacenter.names import check_name, stem_of
from pusher.datacenter.processing import Mode
from pusher.datacenter.storage import FOLDERS, DataCenter
from pusher.errors import AlreadyRunning, FileRefused

SOURCE, PENDING = "mysource.csv", "mysource.create.pending.csv"
FINISHED = "mysource.create.finished.csv"


def _names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# --- its story, step by step


def test_a_data_center_has_a_storage_with_its_folders(tmp_path: Path) -> None:
    center = DataCenter(tmp_path / "storage")
    assert center.storage == tmp_path / "storage"
    assert _names(center.storage) == ["deleted", "finished", "logs", "unfinished"]
    assert center.deleted.is_dir() and center.deleted == center.storage / "deleted"


def test_the_storage_can_be_moved_with_its_files(tmp_path: Path) -> None:
    center = DataCenter(tmp_path / "first")
    new, newer = tmp_path / "newlocation", tmp_path / "verynewlocation"
    new.mkdir()
    assert center.set_storage_path(new) == []
    (new / "myfile.txt").write_text("hello")
    newer.mkdir()
    assert center.set_storage_path(newer, move=True) == []
    assert center.storage == newer
    assert (newer / "myfile.txt").read_text() == "hello"
    assert not (new / "myfile.txt").exists()


def test_files_that_wait_are_listed_with_size_date_and_lines(tmp_path: Path) -> None:
    center = DataCenter(tmp_path)
    assert center.pending_files() == []
    (tmp_path / "data.csv").write_text("Some Content\n")
    (file,) = center.pending_files()
    assert (file.name, file.size, file.lines) == ("data.csv", "13 bytes", 1)
    assert abs(dt.datetime.fromisoformat(file.date) - dt.datetime.now()) < dt.timedelta(minutes=1)


@dataclass(frozen=True)
class Results:
    """What a run leaves in its folder, and the file that it was of."""

    folder: Path
    source: Path
    finished: Path
    pending: Path | None

    @staticmethod
    def fake(center: DataCenter, name: str, *, pending: bool = True, text: str = "blah") -> Results:
        folder = Path(tempfile.mkdtemp(dir=center.storage.parent))
        found = Results(
            folder=folder,
            source=center.storage / name,
            finished=folder / "myfinishedsource.csv",
            pending=folder / "mypendingsource.csv" if pending else None,
        )
        for path in (found.source, found.finished, found.pending):
            if path is not None:
                path.write_text(text)
        return found


def _distribute(center: DataCenter, name: str, *, ok: bool, text: str = "blah") -> Results:
    found = Results.fake(center, name, pending=not ok, text=text)
    center.distribute(ok, found.source, found.finished, found.pending, "create")
    return found


@pytest.fixture
def center(tmp_path: Path) -> DataCenter:
    return DataCenter(tmp_path / "storage")


def _assert_all_is_done(center: DataCenter) -> None:
    assert _names(center.storage) == ["deleted", "finished", "logs", "unfinished"]
    assert _names(center.finished) == [FINISHED, SOURCE]
    assert _names(center.unfinished) == []


def _assert_some_rows_wait(center: DataCenter) -> None:
    assert _names(center.storage) == ["deleted", "finished", "logs", PENDING, "unfinished"]
    assert _names(center.finished) == [FINISHED]
    assert _names(center.unfinished) == [SOURCE]


def test_a_file_that_succeeds_is_finished(center: DataCenter) -> None:
    results = _distribute(center, SOURCE, ok=True)
    _assert_all_is_done(center)
    assert not results.folder.exists()


def test_a_file_that_fails_waits_and_is_finished_when_its_pending_file_succeeds(center: DataCenter) -> None:
    results = _distribute(center, SOURCE, ok=False)
    _assert_some_rows_wait(center)
    assert not results.folder.exists()
    results = _distribute(center, PENDING, ok=True)
    _assert_all_is_done(center)
    assert not results.folder.exists()


def test_a_pending_file_that_fails_again_and_again_is_replaced_until_it_succeeds(center: DataCenter) -> None:
    _distribute(center, SOURCE, ok=False)
    _distribute(center, PENDING, ok=False)
    results = Results.fake(center, PENDING)
    assert results.pending
    results.pending.write_text("blub")
    center.distribute(False, results.source, results.finished, results.pending, "create")
    _assert_some_rows_wait(center)
    assert (center.storage / PENDING).read_text() == "blub"
    _distribute(center, PENDING, ok=True)
    _assert_all_is_done(center)
    first, second = center.finished_files()
    assert (first.name, second.name) == (FINISHED, SOURCE)
    assert second.size == "4 bytes" and second.date
    shutil.rmtree(center.storage)
    assert not center.storage.exists()


# --- and what it does not tell


def test_rows_that_are_done_are_added_below_one_head(center: DataCenter) -> None:
    _distribute(center, SOURCE, ok=False, text="a,b\n1,2\n")
    _distribute(center, PENDING, ok=False, text="a,b\n3,4")
    _distribute(center, PENDING, ok=True, text='a,b\n5,"6\n7"\n')
    assert (center.finished / FINISHED).read_text() == 'a,b\n1,2\n3,4\n5,"6\n7"\n'


def test_rows_with_other_columns_get_a_file_of_their_own(center: DataCenter) -> None:
    for text in ("a,b\n1,2\n", "a,c\n1,2\n", "a,b\n3,4\n", "a,c\n5,6\n"):
        _distribute(center, SOURCE, ok=True, text=text)
    assert (center.finished / FINISHED).read_text() == "a,b\n1,2\n3,4\n"
    assert (center.finished / "mysource.create.finished-2.csv").read_text() == "a,c\n1,2\n5,6\n"


def test_no_file_takes_the_place_of_another(center: DataCenter) -> None:
    for text in ("a\n1\n", "a\n2\n", "a\n3\n"):
        _distribute(center, SOURCE, ok=True, text=text)
    assert [(center.finished / name).read_text() for name in (SOURCE, "mysource-2.csv", "mysource-3.csv")] == [
        "a\n1\n",
        "a\n2\n",
        "a\n3\n",
    ]


def test_moving_leaves_what_is_there_unless_told_otherwise(tmp_path: Path) -> None:
    center = DataCenter(tmp_path / "old")
    for folder in ("old", "new"):
        DataCenter(tmp_path / folder)
        (tmp_path / folder / "a.csv").write_text(folder)
    (center.finished / "b.csv").write_text("b")
    (center.storage / "link.csv").symlink_to("/etc/hostname")
    assert center.set_storage_path(tmp_path / "new", move=True) == ["a.csv", "link.csv"]
    assert (tmp_path / "new/a.csv").read_text() == "new" and (tmp_path / "old/a.csv").read_text() == "old"
    assert (tmp_path / "new/finished/b.csv").read_text() == "b"
    center = DataCenter(tmp_path / "old")
    assert center.set_storage_path(tmp_path / "new", move=True, overwrite=True) == ["link.csv"]
    assert (tmp_path / "new/a.csv").read_text() == "old"
    assert not (tmp_path / "new/link.csv").exists()


def test_only_one_holds_the_storage(center: DataCenter) -> None:
    with center.locked(), pytest.raises(AlreadyRunning, match="another import works in"), center.locked():
        pass
    with center.locked():
        pass


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1024, "1.0 kB"), (1_500_000, "1.4 MB"), (3 << 30, "3.0 GB")],
)
def test_sizes_are_for_people(center: DataCenter, size: int, shown: str) -> None:
    with (center.storage / "a.csv").open("wb") as file:
        file.truncate(size)
    (found,) = center.pending_files()
    assert found.size == shown


@pytest.mark.parametrize(("text", "lines"), [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("a\n\n", 2)])
def test_lines_are_counted_as_they_stand(center: DataCenter, text: str, lines: int) -> None:
    (center.storage / "a.csv").write_text(text)
    assert center.pending_files()[0].lines == lines


# --- names


@pytest.mark.parametrize(
    "name",
    ["houses.csv", "houses.csv.gz", "Häuser 2026.csv", "a.b.csv", "-.csv", "'x'.csv", PENDING, "x.finished.csv"],
)
def test_names_that_a_file_may_have(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../houses.csv", "leads to a folder"),
        ("/etc/houses.csv", "leads to a folder"),
        ("a\\houses.csv", "leads to a folder"),
        ("..", "begins with a dot"),
        (".houses.csv", "begins with a dot"),
        ("houses.xlsx", "does not end in .csv or .csv.gz"),
        ("houses", "does not end in .csv or .csv.gz"),
        ("", "does not end in .csv or .csv.gz"),
        ("x" * 300 + ".csv", "is longer than 200 bytes"),
        ("ä" * 150 + ".csv", "is longer than 200 bytes"),
        ("a\0.csv", "holds a character that cannot be printed"),
        ("a\n.csv", "holds a character that cannot be printed"),
        ("a\x1b[31m.csv", "holds a character that cannot be printed"),
        ("a\udce4.csv", "holds a character that cannot be printed"),
        (FINISHED, "is called like a file that pusher writes"),
        ("x.create.finished-2.csv", "is called like a file that pusher writes"),
        ("x.create.pending.csv.gz", "is called like a file that pusher writes"),
    ],
)
def test_names_that_none_may_have_are_refused_in_one_line(name: str, said: str) -> None:
    with pytest.raises(FileRefused) as raised:
        check_name(name)
    assert said in str(raised.value)
    assert str(raised.value).isprintable() and len(str(raised.value)) < 200


def test_a_name_tells_what_a_file_is() -> None:
    assert stem_of(PENDING) == ("mysource", Mode.CREATE, True)
    assert stem_of("a.remove.pending.csv") == ("a", Mode.REMOVE, True)
    assert stem_of("a.delete.pending.csv") == ("a.delete.pending", None, False)
    assert stem_of("a.csv.gz") == ("a", None, False)


def test_the_folders_are_those_of_the_contract() -> None:
    assert FOLDERS == ("deleted", "finished", "logs", "unfinished")
