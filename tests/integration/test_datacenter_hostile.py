"""Whoever may drop files into a storage means harm: one clear line, and nothing outside it is read or written."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import resource
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pusher.datacenter.csvform import digest_of, examine
from pusher.datacenter.intake import MOST_PENDING, add
from pusher.datacenter.names import FOLDERS
from pusher.datacenter.outcome import Choice
from pusher.datacenter.processing import Mode
from pusher.datacenter.storage import DataCenter, DataCenterFile
from pusher.datacenter.work import Order, Work
from pusher.errors import FileRefused, PusherError

_PROCESSES = multiprocessing.get_context("fork")
_SECONDS = 15.0  # to read 2 GB would take longer
_MOST_MEMORY = 96 << 20
_PAST = 2 << 30


@pytest.fixture
def center(tmp_path: Path) -> DataCenter:
    return DataCenter(tmp_path / "datacenter")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is none of the storage's, with a file of somebody else."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.csv").write_text("a\nsecret\n")
    return folder


def _never(_digest: str) -> None:
    return None


def _add(center: DataCenter, source: Path, name: str | None = None) -> DataCenterFile:
    return add(center, source, name=name, known=_never)


def _refused(work: Callable[[], object]) -> str:
    with pytest.raises(PusherError) as caught:
        work()
    said = str(caught.value)
    assert said.isprintable() and len(said) < 600, said
    return said


def _distribute(center: DataCenter, *, ok: bool = True) -> None:
    work = center.storage / ".work"
    work.mkdir(exist_ok=True)
    for name in ("a.csv", "finished.csv", "pending.csv"):
        (work / name).write_text("a\n1\n")
    center.distribute(ok, work / "a.csv", work / "finished.csv", None if ok else work / "pending.csv", "create")


def _is_untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["secret.csv"] and (
        outside / "secret.csv"
    ).read_text() == "a\nsecret\n"


# --- names


@pytest.mark.parametrize(
    "name",
    ["../evil.csv", "../../etc/evil.csv", "/tmp/evil.csv", "a\0.csv", "x" * 296 + ".csv", "a\udcff.csv", "a\n.csv"]
    + ["..", ".lock", ".work", "finished", "", "logs/evil.csv", "..\\evil.csv", ".distribution.json"],
)
def test_a_hostile_name_is_refused_and_nothing_is_written(name: str, center: DataCenter, outside: Path) -> None:
    before = sorted(outside.parent.rglob("*"))
    _refused(lambda: _add(center, outside / "secret.csv", name))
    _refused(lambda: center.file(name))
    assert sorted(outside.parent.rglob("*")) == before


@pytest.mark.parametrize("source", ["none.csv", "a\0.csv", "a\ud800.csv", "x" * 300 + ".csv", "."])
def test_a_source_that_cannot_be_read_is_refused(source: str, center: DataCenter, tmp_path: Path) -> None:
    _refused(lambda: _add(center, tmp_path / source, "a.csv"))
    assert center.pending_files() == []


# --- what may be added


def test_what_is_added_is_a_copy(center: DataCenter, outside: Path) -> None:
    file = _add(center, outside / "secret.csv")
    assert file.path == center.storage / "secret.csv" and file.path.read_text() == "a\nsecret\n"
    assert _is_untouched(outside)
    assert "already" in _refused(lambda: _add(center, outside / "secret.csv"))


def test_no_more_than_twenty_files_wait(center: DataCenter, outside: Path) -> None:
    for number in range(MOST_PENDING):
        (center.storage / f"{number}.csv").write_text("a\n")
    assert f"{MOST_PENDING} files wait" in _refused(lambda: _add(center, outside / "secret.csv"))


def test_what_was_imported_before_is_refused_by_its_content(center: DataCenter, outside: Path) -> None:
    digest = digest_of(outside / "secret.csv")
    known = {digest: "on Monday"}.get
    said = _refused(lambda: add(center, outside / "secret.csv", name="other.csv", known=known))
    assert "on Monday" in said and center.pending_files() == []


def test_a_name_that_waits_to_be_mended_is_refused_until_it_is(center: DataCenter, outside: Path) -> None:
    pending = "secret.create.pending.csv"
    _refused(lambda: _add(center, outside / "secret.csv", pending))
    (center.unfinished / "secret.csv").write_text("a\n")
    (center.storage / pending).write_text("a\nbad\n")
    assert pending in _refused(lambda: _add(center, outside / "secret.csv"))
    assert _add(center, outside / "secret.csv", pending).path.read_text() == "a\nsecret\n"


def test_what_is_no_csv_leaves_nothing_behind(center: DataCenter, outside: Path) -> None:
    (outside / "secret.csv").write_bytes(b"a\n\0\n")
    _refused(lambda: _add(center, outside / "secret.csv"))
    assert sorted(os.listdir(center.storage)) == sorted(FOLDERS)


# --- links, pipes, folders


@pytest.mark.parametrize("name", ["link.csv", "dangling.csv", "folder.csv", "pipe.csv", "socket.csv"])
def test_links_pipes_and_folders_in_the_root_are_no_files(name: str, center: DataCenter, outside: Path) -> None:
    root = center.storage
    (root / "link.csv").symlink_to(outside / "secret.csv")
    (root / "dangling.csv").symlink_to(outside / "none.csv")
    (root / "folder.csv").mkdir()
    os.mkfifo(root / "pipe.csv")
    os.mknod(root / "socket.csv", stat.S_IFSOCK | 0o600)
    assert center.pending_files() == []
    _refused(lambda: center.file(name))
    _refused(lambda: examine(root / name))
    _refused(lambda: digest_of(root / name))
    _refused(lambda: _add(center, root / name, "a.csv"))
    assert _is_untouched(outside)


@pytest.mark.parametrize("name", [*FOLDERS, ".work"])
def test_a_folder_that_leads_elsewhere_is_refused(name: str, center: DataCenter, outside: Path) -> None:
    folder = center.storage / name
    if folder.exists():
        folder.rmdir()
    folder.symlink_to(outside)
    assert name in _refused(lambda: DataCenter(center.storage))
    assert name in _refused(center.resume)

    def hold() -> None:
        with center.locked():
            pass

    assert name in _refused(hold)
    assert name in _refused(lambda: center.distribute(True, folder / "a.csv", folder / "b.csv", None, "create"))
    assert _is_untouched(outside)


def _hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def _pipe(path: Path, _target: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [Path.symlink_to, _hard_link, _pipe])
def test_rows_are_not_added_to_a_file_of_elsewhere(
    make: Callable[[Path, Path], None], center: DataCenter, outside: Path
) -> None:
    make(center.finished / "a.create.finished.csv", outside / "secret.csv")
    assert "a.create.finished.csv" in _refused(lambda: _distribute(center))
    assert _is_untouched(outside) and (center.storage / ".work" / "a.csv").exists()


def test_a_storage_may_be_configured_by_a_link(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    center = DataCenter(tmp_path / "link")
    assert _add(center, outside / "secret.csv").lines == 2
    _distribute(center)
    assert (tmp_path / "real" / "finished" / "a.csv").exists()


def test_the_way_to_a_source_may_have_links(center: DataCenter, outside: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    assert _add(center, tmp_path / "link" / "secret.csv").lines == 2


@pytest.mark.parametrize("name", [".part.x", "..distribution.json.x", ".results.x"])
def test_folders_called_like_what_a_kill_leaves_are_in_nobodys_way(name: str, center: DataCenter) -> None:
    (center.storage / name).mkdir()
    with center.locked(), center.adding():
        center.resume()
    assert center.pending_files() == []


def test_of_a_file_that_has_gone_one_line_is_said(center: DataCenter) -> None:
    (center.storage / "a.csv").write_text("a\n")
    (file,) = center.pending_files()
    file.path.unlink()
    for ask in (lambda: file.size, lambda: file.date, lambda: file.lines):
        assert "a.csv cannot be read" in _refused(ask)


@pytest.mark.parametrize("ok", [True, False])
def test_links_where_files_should_go_stay_and_are_not_followed(ok: bool, center: DataCenter, outside: Path) -> None:
    links = [center.finished / "a.csv", center.unfinished / "a.csv", center.storage / "a.create.pending.csv"]
    for link in links:
        link.symlink_to(outside / "secret.csv")
    _distribute(center, ok=ok)
    assert _is_untouched(outside) and all(link.is_symlink() for link in links)
    moved = center.finished if ok else center.unfinished
    assert (moved / "a-2.csv").read_text() == "a\n1\n"


@pytest.mark.parametrize("name", [".lock", ".distribution.json"])
def test_links_in_place_of_what_pusher_keeps_for_itself_are_refused(
    name: str, center: DataCenter, outside: Path
) -> None:
    (center.storage / name).symlink_to(outside / "secret.csv")

    def work() -> None:
        with center.locked():
            center.resume()

    assert name in _refused(work)
    assert _is_untouched(outside)


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("name", ["order.json.new", "finished.csv", "pending.csv"])
def test_links_in_the_work_folder_are_not_written_through(
    name: str, link: Callable[[Path, Path], None], center: DataCenter, outside: Path
) -> None:
    (center.storage / "a.csv").write_text("a\n1\n")
    (center.storage / ".work").mkdir()
    link(outside / "secret.csv", center.storage / ".work" / name)
    order = Order(run="0" * 32, name="a.csv", form=examine(center.storage / "a.csv"))
    with suppress(PusherError), Work.begin(center, order) as work:
        work.belong_to(Choice(processor="House", mode=Mode.CREATE))
        work.add([["1"]], [["2", "no"]])
        work.cut_back({})
    assert _is_untouched(outside)


def test_what_is_moved_to_another_storage_is_no_link(center: DataCenter, outside: Path, tmp_path: Path) -> None:
    (center.storage / "link.csv").symlink_to(outside / "secret.csv")
    (center.storage / "folder").symlink_to(outside)
    assert center.set_storage_path(tmp_path / "new", move=True) == ["folder", "link.csv"]
    assert _is_untouched(outside)


# --- a list of moves that somebody has dropped


def _journal(**named: object) -> str:
    honest = {"work": ".work", "rows": ".work/finished.csv", "rows_to": "finished/a.csv", "rows_at": 0, "moves": []}
    return json.dumps(honest | named)


@pytest.mark.parametrize(
    "journal",
    [
        _journal(work="../outside"),
        _journal(work=".."),
        _journal(work="finished"),
        _journal(work=""),
        _journal(work=".work/../../outside"),
        _journal(rows="../outside/secret.csv"),
        _journal(rows_to="../outside/secret.csv"),
        _journal(rows_to="finished/../../outside/secret.csv"),
        _journal(moves=[["../outside/secret.csv", "finished/a.csv", None]]),
        _journal(moves=[["a.csv", "../outside/new.csv", None]]),
        _journal(moves=[["/etc/passwd", "finished/a.csv", None]]),
        _journal(moves=[["logs/a.csv", "finished/a.csv", None]]),
        _journal(moves=[{"old": "../outside/secret.csv", "new": "finished/a.csv"}]),
        "[]",
        "{",
    ],
)
def test_a_dropped_list_of_moves_reaches_nothing_outside(journal: str, center: DataCenter, outside: Path) -> None:
    (center.storage / ".distribution.json").write_text(journal)
    (center.storage / "a.csv").write_text("a\n")
    assert ".distribution.json" in _refused(center.resume)
    assert _is_untouched(outside) and (center.storage / "a.csv").exists()


def _links_in_its_folder(storage: Path, outside: Path) -> None:
    (storage / ".work").mkdir()
    for name in ("finished.csv", "secret.csv"):
        (storage / ".work" / name).symlink_to(outside / "secret.csv")


def _link_for_its_folder(storage: Path, outside: Path) -> None:
    (storage / ".hidden").symlink_to(outside)


@pytest.mark.parametrize(
    ("make", "work"), [(_links_in_its_folder, ".work"), (_link_for_its_folder, ".hidden"), (_link_for_its_folder, ".")]
)
@pytest.mark.parametrize("rows", ["secret.csv", "none.csv"])
def test_what_a_dropped_list_names_is_no_link(
    make: Callable[[Path, Path], None], work: str, rows: str, center: DataCenter, outside: Path
) -> None:
    make(center.storage, outside)
    moves = [{"old": f"{work}/secret.csv", "new": "finished/moved.csv"}]
    journal = _journal(work=work, rows=f"{work}/{rows}", moves=moves)
    (center.storage / ".distribution.json").write_text(journal)
    with suppress(PusherError):
        center.resume()
    found = [path for path in center.storage.rglob("*") if path.is_file() and not path.is_symlink()]
    assert _is_untouched(outside) and all("secret\n" not in path.read_text() for path in found)


@pytest.mark.parametrize("at", [7, 1 << 40, 1 << 63])
def test_no_dropped_list_makes_a_file_longer_than_its_rows(at: int, center: DataCenter) -> None:
    (center.storage / ".work").mkdir()
    (center.storage / ".work" / "finished.csv").write_text("a\n1\n")
    (center.storage / ".distribution.json").write_text(_journal(rows_at=at))
    with suppress(PusherError):
        center.resume()
    assert not (center.finished / "a.csv").exists() or (center.finished / "a.csv").read_text() == "a\n1\n"


def test_a_list_of_moves_to_a_folder_that_is_no_more_does_nothing(center: DataCenter) -> None:
    (center.storage / "a.csv").write_text("a\n")
    moves = [{"old": "a.csv", "new": ".work/a.csv"}]
    (center.storage / ".distribution.json").write_text(_journal(moves=moves))
    center.resume()
    assert [file.name for file in center.pending_files()] == ["a.csv"]


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"x":' * 100_000, b'"\xff"', b"", b" " * (1 << 21)])
def test_a_dropped_list_that_is_none_is_refused(content: bytes, center: DataCenter) -> None:
    (center.storage / ".distribution.json").write_bytes(content)
    assert ".distribution.json" in _refused(center.resume)


def test_a_dropped_list_of_an_old_kind_reaches_nothing_outside(center: DataCenter, outside: Path) -> None:
    storage = str(center.storage)
    paths = {"storage": storage, "work": str(outside), "rows": f"{outside}/none", "rows_to": f"{storage}/finished/a"}
    moves = {"rows_at": 0, "moves": [[str(outside / "secret.csv"), f"{storage}/a.csv"]], "gone": []}
    (center.storage / ".distribution.json").write_text(json.dumps(paths | moves))
    _refused(center.resume)
    assert _is_untouched(outside)


# --- sizes


def _sparse(path: Path) -> None:
    path.write_bytes(b"a\n")
    os.truncate(path, _PAST)


def _sparse_within(path: Path) -> None:
    path.write_bytes(b"a\n")
    os.truncate(path, _PAST - 1)


def _one_packed_line(path: Path) -> None:
    with gzip.open(path, "wb", 1) as file:
        file.write(b"a\n")
        for _ in range(64):
            file.write(b"x" * (1 << 20))


def _packed_rows(path: Path) -> None:
    """Over 2 GB of rows that are well formed, in 2 MB."""
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2222222222222\n" * (1 << 20)) * 140)


def _many_ends(path: Path) -> None:
    path.write_bytes(gzip.compress(b"a\n" + b"\n" * (96 << 20), 1))


def _zeros(path: Path) -> None:
    """1 GB, in 1 MB."""
    path.write_bytes(gzip.compress(b"\0" * (16 << 20)) * 64)


def _nested(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.compress(b"a\n" + b"1\n" * (1 << 20))))


def _open_quote(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'a\n"')
        for _ in range(64):
            file.write(b"x\n" * (1 << 19))


def _many_columns(path: Path) -> None:
    path.write_bytes(b"," * (1 << 20))


@pytest.mark.parametrize(
    "make",
    [_sparse, _sparse_within, _one_packed_line, _packed_rows, _many_ends, _zeros, _nested, _open_quote, _many_columns],
)
def test_what_is_too_large_is_refused_soon_and_in_little_memory(
    make: Callable[[Path], None], center: DataCenter, outside: Path
) -> None:
    path = outside / "large.csv.gz"
    make(path)
    began = time.monotonic()
    said = _limited(_say_refusal, path, center)
    assert time.monotonic() - began < _SECONDS
    assert said.startswith("large.csv.gz") and "; " in said and said.isprintable()
    assert sorted(os.listdir(center.storage)) == sorted(FOLDERS)


def _limited(work: Callable[..., str], *arguments: object) -> str:
    """What it says in a process that cannot have much more memory than this one."""
    ours, theirs = _PROCESSES.Pipe(duplex=False)

    def run() -> None:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _MOST_MEMORY, used + _MOST_MEMORY))
        theirs.send(work(*arguments))

    child = _PROCESSES.Process(target=run)
    child.start()
    theirs.close()
    try:
        said = ours.recv()
    finally:
        child.join()
    assert isinstance(said, str)
    return said


def _say_refusal(path: Path, center: DataCenter) -> str:
    try:
        _add(center, path)
    except FileRefused as refusal:
        return str(refusal)
    return "was taken"


# --- what is opened


def test_nothing_outside_the_storage_is_opened(center: DataCenter, outside: Path) -> None:
    """All that is done with files, while links lead out of every place where one may be dropped."""
    root = center.storage
    for place in (root, center.finished, center.unfinished, center.deleted, center.logs):
        (place / "evil.csv").symlink_to(outside / "secret.csv")
        (place / "evil").symlink_to(outside)
    source = outside.parent / "a.csv"
    source.write_text("a\n1\n")
    touched = _limited(_what_is_touched, center, source)
    ours = (str(source), str(source.parent))
    strange = [path for path in touched.split("\n") if not Path(path).is_relative_to(root) and path not in ours]
    assert touched.count(str(root)) > 12 and strange == []
    assert _is_untouched(outside)


def _what_is_touched(center: DataCenter, source: Path) -> str:
    touched: set[str] = set()
    watched = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in watched:
            named = arguments[:2] if event in ("os.rename", "os.link", "os.symlink") else arguments[:1]
            stays = event != "open" or bool(arguments[2] & os.O_NOFOLLOW)
            for path in named:
                if isinstance(path, str | bytes | os.PathLike):
                    touched.update(_places(Path(os.fsdecode(path)), stays))

    sys.addaudithook(hook)
    with center.locked():
        center.resume()
        _add(center, source)
        examine(center.file("a.csv").path)
        for files in (center.pending_files(), center.finished_files(), center.unfinished_files()):
            assert [(file.size, file.lines) for file in files if file.name.startswith("evil")] == []
        (center.storage / "a.csv").unlink()
        for ok in (False, True):
            _distribute(center, ok=ok)
        center.set_storage_path(center.storage, move=True)
    return "\n".join(sorted(touched))


def _places(path: Path, stays: bool) -> set[str]:
    """Where it may lead: one that is not absolute lies in one of the folders that are open. `stays`: a link in its own
    place is not followed."""
    folders = (Path(f"/proc/self/fd/{handle}") for handle in range(64))
    found = {folder / path for folder in folders if folder.is_dir()} if not path.is_absolute() else {path}
    return {
        os.path.join(os.path.realpath(each.parent), each.name) if stays else os.path.realpath(each) for each in found
    }
