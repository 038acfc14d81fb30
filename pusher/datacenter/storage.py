"""The data center: a folder of CSV files that wait, and folders within it for what became of others."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pusher.datacenter.distribution import JOURNAL, Distribution
from pusher.datacenter.folder import open_strictly, opened
from pusher.datacenter.names import check_name
from pusher.datacenter.processing import Mode
from pusher.disk import writing
from pusher.errors import AlreadyRunning, FileRefused

FOLDERS = ("deleted", "finished", "logs", "unfinished")
_PRIVATE = 0o700
_LOCK, _LOCK_OF_ADDING = ".lock", ".adding"
_RESULTS = ".results."
PART = ".part."  # how what is not yet whole is called
_READ_BYTES = 1 << 20
_UNITS = (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10))


@dataclass(frozen=True)
class DataCenterFile:
    """A file of a storage, as people see it. What is asked of one that has gone raises FileRefused."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def bytes(self) -> int:
        return self._found().st_size

    @property
    def modified(self) -> float:
        """Seconds since 1970."""
        return self._found().st_mtime

    @property
    def size(self) -> str:
        """`13 bytes`, `1.2 MB`."""
        size = self.bytes
        for unit, length in _UNITS:
            if size >= length:
                return f"{size / length:.1f} {unit}"
        return f"{size} byte{'s' * (size != 1)}"

    @property
    def date(self) -> str:
        """When it was changed, in local time."""
        return dt.datetime.fromtimestamp(self.modified).isoformat(sep=" ", timespec="seconds")

    @property
    def lines(self) -> int:
        """How many lines it has, as they stand in it."""
        count, last = 0, b"\n"
        try:
            with open(open_strictly(self.path), "rb") as file:
                while part := file.read(_READ_BYTES):
                    count += part.count(b"\n")
                    last = part[-1:]
        except OSError as error:
            raise self._gone(error) from error
        return count + (last != b"\n")

    def _found(self) -> os.stat_result:
        try:
            return self.path.lstat()
        except OSError as error:
            raise self._gone(error) from error

    def _gone(self, error: OSError) -> FileRefused:
        return FileRefused(f"{self.name} cannot be read: {error.strerror}; look for it with: pusher import list")


class DataCenter:
    """`storage`: the root, where files wait. Anybody may have put there what is in it, so no link is followed."""

    def __init__(self, path: Path) -> None:
        """Makes the folders that are missing. Raises WriteFailed, or FileRefused where one of them is none."""
        self.storage = path.resolve()  # whoever configures it may well use links
        self._make()

    @property
    def deleted(self) -> Path:
        return self.storage / "deleted"

    @property
    def finished(self) -> Path:
        return self.storage / "finished"

    @property
    def logs(self) -> Path:
        return self.storage / "logs"

    @property
    def unfinished(self) -> Path:
        return self.storage / "unfinished"

    def _make(self) -> None:
        with writing(self.storage):
            self.storage.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            for name in FOLDERS:
                folder = self.storage / name
                if not os.path.lexists(folder):
                    folder.mkdir(mode=_PRIVATE, exist_ok=True)
        self.check()

    def check(self) -> None:
        """Raises FileRefused if a folder of the storage is none, or leads elsewhere."""
        for name in (*FOLDERS, ".work"):
            folder = self.storage / name
            if os.path.lexists(folder) and not stat.S_ISDIR(folder.lstat().st_mode):
                raise FileRefused(f"{folder} is a link or no folder; put a folder in its place")

    def set_storage_path(self, path: Path, *, move: bool = False, overwrite: bool = False) -> list[str]:
        """From now on the storage is at `path`. With `move` all files go there; returns the names of those that could
        not: what is there already stays as it is, unless `overwrite` is true. Raises WriteFailed or FileRefused."""
        old, new = self.storage, DataCenter(path)
        left: list[str] = []
        if move and old.exists() and not old.samefile(path):
            left = [name for name in _within(old) if not _moved(old / name, path / name, overwrite)]
        self.storage = new.storage
        return left

    def pending_files(self) -> list[DataCenterFile]:
        return _files(self.storage)

    def finished_files(self) -> list[DataCenterFile]:
        return _files(self.finished, of_ours=True)

    def unfinished_files(self) -> list[DataCenterFile]:
        return _files(self.unfinished)

    def file(self, name: str) -> DataCenterFile:
        """One that waits. Raises FileRefused."""
        check_name(name)
        for file in self.pending_files():
            if file.name == name:
                return file
        raise FileRefused(f"there is no file {name} in {self.storage}; pusher import list shows all")

    def distribute(self, ok: bool, source: Path, finished: Path, pending: Path | None, mode: Mode | str) -> None:
        """Brings what came of `source` where it belongs, and removes the folder that `finished` is in.

        `ok`: all rows were done. `finished`: the rows that were, `pending`: those that were not. Raises WriteFailed;
        then, as after a kill, `resume` completes it.
        """
        self.check()
        given = [] if finished.parent.parent == self.storage else [path for path in (finished, pending) if path]
        if given:
            finished, pending = self._brought_in(finished, pending)
        Distribution.plan(self.storage, ok, source, finished, pending, Mode(mode)).carry_out(self.storage)
        with suppress(OSError):  # of a folder elsewhere nothing goes that was not given
            for path in given:
                path.unlink(missing_ok=True)
            for folder in {path.parent for path in given}:
                folder.rmdir()

    def _brought_in(self, finished: Path, pending: Path | None) -> tuple[Path, Path | None]:
        """Copies of results that are elsewhere, in a folder of the storage: what is renamed is on one disk."""
        with writing(self.storage):
            path = Path(tempfile.mkdtemp(prefix=_RESULTS, dir=self.storage))
            with opened(path) as folder:
                for given in filter(None, (finished, pending)):
                    handle = folder.open(given.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                    with open(handle, "wb") as out, given.open("rb") as content:
                        shutil.copyfileobj(content, out)
        return path / finished.name, path / pending.name if pending else None

    def resume(self) -> None:
        """Completes a distribution that was broken off. Raises WriteFailed or ArchiveDamaged."""
        self.check()
        found = Distribution.found(self.storage)
        if found:
            found.carry_out(self.storage)
        for left in self.storage.glob(f"{_RESULTS}*"):  # copies that no distribution came of
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Waits until nobody else adds files, and holds that."""
        with self._hold(_LOCK_OF_ADDING, fcntl.LOCK_EX):
            self._clear(f"{PART}*")
            yield

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the storage: nobody else imports. Raises AlreadyRunning."""
        try:
            with self._hold(_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB):
                self._clear(f".{JOURNAL}.*")
                yield
        except BlockingIOError:
            raise AlreadyRunning(f"another import works in {self.storage}; try again when it has ended") from None

    def _clear(self, left: str) -> None:
        """Of files that a process has left that was killed: nobody else is at work."""
        for path in self.storage.glob(left):
            with suppress(OSError):  # it is a folder, and so none of ours
                path.unlink()

    @contextmanager
    def _hold(self, name: str, how: int) -> Iterator[None]:
        with writing(self.storage / name):
            handle = os.open(self.storage / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, how)
            self.check()
            yield
        finally:
            os.close(handle)


def _files(folder: Path, *, of_ours: bool = False) -> list[DataCenterFile]:
    """Those with a name that a file may have; `of_ours`: or that pusher gives."""
    found = []
    for entry in os.scandir(folder):
        if entry.is_file(follow_symlinks=False) and (_may_be(entry.name) or (of_ours and entry.name[0] != ".")):
            found.append(DataCenterFile(Path(entry.path)))
    return sorted(found, key=lambda file: file.name)


def _may_be(name: str) -> bool:
    try:
        check_name(name)
    except FileRefused:
        return False
    return True


def _within(storage: Path) -> list[str]:
    """All files of a storage, by their path in it; not the folders, and not what pusher works with itself."""
    hidden = (_LOCK, _LOCK_OF_ADDING, JOURNAL)
    found = [path for path in storage.rglob("*") if path.is_symlink() or not path.is_dir()]
    return sorted(str(path.relative_to(storage)) for path in found if path.name not in hidden)


def _moved(old: Path, new: Path, overwrite: bool) -> bool:
    if old.is_symlink() or not old.is_file() or (os.path.lexists(new) and (new.is_symlink() or not overwrite)):
        return False
    try:
        new.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        shutil.move(old, new)
    except OSError:
        return False
    return True
