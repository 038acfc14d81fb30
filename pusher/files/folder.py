"""A folder of this machine, or one that it has mounted, as a destination."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pusher.errors import AccessRefused, DestinationUnreachable, FileRefused, Occupied
from pusher.files.destination import PARTS, Found, Part, Whole

_CHUNK_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK)
_BAD_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


class Folder:
    """`root` must be there: a folder that is made on the spot would hide that a disk is not mounted."""

    windows = False

    def __init__(self, root: Path, sender: str) -> None:
        """Raises DestinationUnreachable if there is no such folder."""
        self._root = root
        self._parts = root / PARTS / sender
        if not root.is_dir():
            raise DestinationUnreachable(f"the folder {root} is not there; make it, or mount its disk")
        self.folds_case = _folds_case(root)

    def find(self, names: Sequence[str]) -> dict[str, Found]:
        found = {}
        for name in names:
            with self._reaching(name), suppress(FileNotFoundError, NotADirectoryError):
                state = os.lstat(self._root / name)
                found[name] = Found(name=name, size=state.st_size, modified=int(state.st_mtime))
        return found

    def listing(self) -> Iterator[Found]:
        folders = [""]
        while folders:
            folder = folders.pop()
            with self._reaching(folder), os.scandir(self._root / folder) as entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if name != PARTS:
                            folders.append(name)
                    else:
                        state = entry.stat(follow_symlinks=False)
                        yield Found(name=name, size=state.st_size, modified=int(state.st_mtime))

    def digests(self, names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
        for name in names:
            with self._reaching(name):
                yield name, _digest(self._root / name)

    def parts(self) -> list[Part]:
        with self._reaching(PARTS):
            try:
                return [Part(name=each.name, size=each.stat().st_size) for each in os.scandir(self._parts)]
            except FileNotFoundError:
                return []

    def append(self, part: str, offset: int, chunks: Iterable[bytes]) -> None:
        with self._reaching(part):
            self._parts.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._parts / part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            with open(handle, "wb", buffering=0) as file:
                file.truncate(offset)
                file.seek(offset)
                for chunk in chunks:
                    _write(file.fileno(), chunk)
                os.fsync(handle)

    def part_digest(self, part: str) -> str:
        with self._reaching(part):
            digest = _digest(self._parts / part)
        if digest is None:
            raise FileRefused(f"{self._parts / part} is gone; it is sent again")
        return digest

    def discard(self, part: str) -> None:
        with self._reaching(part):
            (self._parts / part).unlink(missing_ok=True)

    def place(self, part: str, name: str, modified_ns: int, *, replace: bool) -> None:
        source, target = self._parts / part, self._root / name
        with self._reaching(name):
            os.utime(source, ns=(modified_ns, modified_ns))
            _sync(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            if replace:
                os.replace(source, target)
            else:
                self._name_anew(source, target)
            _sync(target.parent)

    def store(self, files: Sequence[Whole]) -> list[FileRefused | None]:
        return [self._store(file, f"whole-{number}") for number, file in enumerate(files)]

    def close(self) -> None:
        with suppress(OSError):  # not empty: somebody's parts wait there
            self._parts.rmdir()
            self._parts.parent.rmdir()

    def _store(self, file: Whole, part: str) -> FileRefused | None:
        try:
            self.append(part, 0, [file.content])
            if self.part_digest(part) != file.sha256:
                raise FileRefused(f"{self._root / file.name}: what was written reads otherwise; is the disk sound?")
            self.place(part, file.name, file.modified_ns, replace=file.replace)
        except FileRefused as refused:
            self.discard(part)
            return refused
        return None

    def _name_anew(self, source: Path, target: Path) -> None:
        """A second name, then one less: unlike a rename it never takes a name that is in use."""
        try:
            os.link(source, target)
        except FileExistsError:
            raise Occupied(f"{target} is there already") from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):  # a file system without links: as near as it gets
                raise Occupied(f"{target} is there already") from None
            os.rename(source, target)
        else:
            os.unlink(source)

    @contextmanager
    def _reaching(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place, reason = self._root / name, error.strerror or str(error)
            if error.errno in _FULL:
                raise DestinationUnreachable(f"no room at {self._root}: {reason}; free some") from error
            if error.errno in _BAD_NAME:
                raise FileRefused(f"{place}: {reason}; rename the file, or what is in its way") from error
            if error.errno in _NOT_ALLOWED:
                raise AccessRefused(f"{place}: {reason}; give us the right to write there") from error
            raise DestinationUnreachable(f"{place}: {reason}") from error


def _digest(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return None
    return digest.hexdigest()


def _write(handle: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _folds_case(root: Path) -> bool:
    """Whether `root` is also found by its name in other letters, as on the file systems of Windows and macOS."""
    other = root.with_name(root.name.swapcase())
    with suppress(OSError):
        return other != root and os.path.samefile(root, other)
    return False
