"""Which files of a folder are taken, and that none is passed over in silence."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pusher.errors import SourceUnreachable
from pusher.paths.choice import Choice, LocalFile, scan


def nanoseconds(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 10**6) * 1000


@pytest.mark.parametrize(
    ("choice", "suiting"),
    [
        (Choice(), {"a.res", "b.CSV", "raw/cell_1.res", "raw/old/cell_2.tmp", "[x].csv"}),
        (Choice(include=("*.RES", "*.csv")), {"a.res", "b.CSV", "raw/cell_1.res", "[x].csv"}),
        (Choice(exclude=("*.tmp", "?.res")), {"b.CSV", "raw/cell_1.res", "[x].csv"}),
        (Choice(include=("*.res",), exclude=("*.res",)), set()),
        (Choice(include=("raw/*",)), {"raw/cell_1.res", "raw/old/cell_2.tmp"}),
        (Choice(include=("/RAW/*.res",)), {"raw/cell_1.res"}),
        (Choice(exclude=("raw/old/*",)), {"a.res", "b.CSV", "raw/cell_1.res", "[x].csv"}),
        (Choice(include=("b.*", "raw/*.tmp")), {"b.CSV", "raw/old/cell_2.tmp"}),
        (Choice(include=("[[]x].csv",)), {"[x].csv"}),
        (Choice(include=("cell",)), set()),
        (Choice(include=("[!a]*",)), {"b.CSV", "raw/cell_1.res", "raw/old/cell_2.tmp", "[x].csv"}),
        (Choice(startswith=("cell_", "b")), {"b.CSV", "raw/cell_1.res", "raw/old/cell_2.tmp"}),
        (Choice(startswith=("raw",)), set()),
        (Choice(contains=("_2", "x")), {"raw/old/cell_2.tmp", "[x].csv"}),
        (Choice(contains=("old",)), set()),
        (Choice(include=("*.res",), startswith=("cell",), contains=("_1",)), {"raw/cell_1.res"}),
    ],
)
def test_patterns(choice: Choice, suiting: set[str]) -> None:
    files = ["a.res", "b.CSV", "raw/cell_1.res", "raw/old/cell_2.tmp", "[x].csv"]
    assert {file for file in files if choice.suits(file, 0)} == suiting


def test_times_are_local_and_count_to_the_microsecond() -> None:
    first, last = dt.datetime(2026, 1, 31, 12, 0, 0, 3), dt.datetime(2026, 1, 31, 12, 0, 1, 7)
    choice = Choice(not_before=first, not_after=last)
    assert choice.suits("a", nanoseconds(first)) and not choice.suits("a", nanoseconds(first) - 1)
    assert choice.suits("a", nanoseconds(last)) and not choice.suits("a", nanoseconds(last) + 1)


def test_times_at_the_ends_of_the_calendar() -> None:
    always = Choice(not_before=dt.datetime.min, not_after=dt.datetime.max)
    assert always.suits("a", 0) and always.suits("a", nanoseconds(dt.datetime(2026, 1, 31)))
    assert not Choice(not_before=dt.datetime.max).suits("a", 0)
    assert not Choice(not_after=dt.datetime.min).suits("a", 0)
    assert Choice().suits("a", 10**30) and Choice().suits("a", -(10**30))


def test_many_files_are_chosen_at_once() -> None:
    choice = Choice(
        include=("*.res", "*.csv", "raw/*/x*"),
        exclude=("*.tmp", "~*"),
        contains=("_run", "cell"),
        not_before=dt.datetime(2020, 1, 1),
    )
    moment = nanoseconds(dt.datetime(2026, 1, 31))
    names = [f"folder {number % 100}/cell_{number}.csv" for number in range(10_000)]
    assert all(choice.suits(name, moment) for name in names)
    began = time.process_time()
    for name in names:
        choice.suits(name, moment)
    assert time.process_time() - began < 0.2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.res", "z/2.csv", "z/10.csv", "m/n/1.csv", "z.csv"):
        put(tmp_path / name)
    return tmp_path


def put(path: Path, content: bytes = b"1;2\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def paths(root: Path, choice: Choice | None = None) -> list[str]:
    return [file.path for file in scan(root, choice or Choice())]


def test_the_order_is_the_same_each_time(root: Path) -> None:
    assert paths(root) == ["a.res", "b.csv", "z.csv", "m/n/1.csv", "z/10.csv", "z/2.csv"]


def test_a_file_comes_with_its_size_and_time(root: Path) -> None:
    put(root / "m/n/1.csv", b"12345")
    os.utime(root / "m/n/1.csv", ns=(1, 1_700_000_000_123_456_789))
    (found,) = scan(root, Choice(include=("1.csv",)))
    assert found == LocalFile("m/n/1.csv", 5, 1_700_000_000_123_456_789)


def test_without_subdirs_only_the_top(root: Path) -> None:
    assert paths(root, Choice(subdirs=False)) == ["a.res", "b.csv", "z.csv"]


def test_a_pattern_prunes_no_folder(root: Path) -> None:
    assert paths(root, Choice(include=("1*",), exclude=("m", "z"))) == ["m/n/1.csv", "z/10.csv"]


def test_links_and_what_is_no_file_are_left_alone(root: Path) -> None:
    before = paths(root)
    (root / "file").symlink_to(root / "b.csv")
    (root / "folder").symlink_to(root / "z", target_is_directory=True)
    (root / "m/up").symlink_to(root, target_is_directory=True)
    (root / "gone").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe")
    assert paths(root) == before


def test_the_root_may_be_a_link(root: Path) -> None:
    link = root.with_name(f"{root.name}-link")
    link.symlink_to(root, target_is_directory=True)
    assert paths(link) == paths(root)


@pytest.mark.parametrize("folder", [".pusher", ".PUSHER", "m/.pusher"])
def test_what_is_under_way_to_a_folder_is_not_taken_for_a_result(root: Path, folder: str) -> None:
    before = paths(root)
    put(root / folder / "pc-7.instrument/part-1")
    assert paths(root) == before


def test_names_that_only_resemble_it_are_taken(root: Path) -> None:
    put(root / ".pusher2/1.csv")
    put(root / "m/.pusher")
    assert {".pusher2/1.csv", "m/.pusher"} < set(paths(root))


def test_names_that_are_no_text_come_as_they_are(root: Path) -> None:
    with open(os.fsencode(root) + b"/m/\xff.csv", "wb"):
        pass
    assert "m/\udcff.csv" in paths(root)


def test_what_vanishes_meanwhile_is_skipped(root: Path) -> None:
    unread: list[str] = []
    files = scan(root, Choice(), lambda folder, _: unread.append(folder))
    assert next(files).path == "a.res"
    (root / "b.csv").unlink()
    (root / "m/n/1.csv").unlink()
    (root / "m/n").rmdir()
    (root / "m").rmdir()
    assert [file.path for file in files] == ["z.csv", "z/10.csv", "z/2.csv"]
    assert unread == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable) as caught:
        next(scan(tmp_path / "raw", Choice()))
    assert f"{tmp_path / 'raw'} cannot be read: No such file or directory; correct from" in str(caught.value)


def test_a_folder_that_is_a_file(root: Path) -> None:
    with pytest.raises(SourceUnreachable, match="Not a directory"):
        next(scan(root / "a.res", Choice()))


@contextmanager
def unprivileged() -> Iterator[Path]:
    """An empty folder, and no more rights than any user has, although tests often run as root."""
    with tempfile.TemporaryDirectory() as name:
        user = os.geteuid()
        if user == 0:
            os.chown(name, 65534, -1)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(user)


@pytest.mark.parametrize("mode", [0o000, 0o100])
def test_a_folder_that_may_not_be_read(mode: int) -> None:
    with unprivileged() as folder:
        (folder / "raw").mkdir(mode)
        with pytest.raises(SourceUnreachable, match=r"raw cannot be read: Permission denied; .* or let us in"):
            next(scan(folder / "raw", Choice()))


@pytest.mark.parametrize("mode", [0o000, 0o100, 0o400])
def test_a_subfolder_that_may_not_be_read_is_told(mode: int) -> None:
    """Also one whose names may be read and no more."""
    unread: list[tuple[str, str]] = []
    with unprivileged() as folder:
        for name in ("a/1", "b/c/1", "b/c/2", "d/1"):
            put(folder / name)
        (folder / "b/c").chmod(mode)
        found = [file.path for file in scan(folder, Choice(), lambda *each: unread.append(each))]
        (folder / "b/c").chmod(0o700)
    assert found == ["a/1", "d/1"]
    assert unread == [("b/c", "Permission denied")]


def test_a_root_whose_names_alone_may_be_read_is_told() -> None:
    unread: list[tuple[str, str]] = []
    with unprivileged() as folder:
        put(folder / "1")
        folder.chmod(0o400)
        found = list(scan(folder, Choice(), lambda *each: unread.append(each)))
        folder.chmod(0o700)
    assert found == [] and unread == [("", "Permission denied")]
