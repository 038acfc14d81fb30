"""Folders of a storage, opened so that no link is followed, whenever somebody puts one there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pusher import disk
from pusher.errors import FileRefused

_STRICTLY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not be waited for
_CHANGING = os.O_WRONLY | os.O_RDWR
_PRIVATE = 0o600


class Folder:
    """Held open, so that it stays the same whatever is put in its place; its files by their names. `path`: what people
    call it. Raises OSError unless it says otherwise."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self.handle = handle

    def stat(self, name: str) -> os.stat_result | None:
        """Of a file, or of a link in its place; None if there is neither."""
        try:
            return os.stat(name, dir_fd=self.handle, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        return os.listdir(self.handle)

    def size(self, name: str) -> int:
        """In bytes, 0 if there is no such file."""
        found = self.stat(name)
        return found.st_size if found else 0

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Raises FileRefused for what is no file, or would change a file elsewhere."""
        try:
            handle = os.open(name, flags | _STRICTLY, _PRIVATE, dir_fd=self.handle)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise FileRefused(f"{self.path / name} is a link; put the file itself there") from error
            raise
        found = os.fstat(handle)
        if stat.S_ISREG(found.st_mode) and not (flags & _CHANGING and found.st_nlink > 1):
            return handle
        os.close(handle)
        what = "has another name, too" if stat.S_ISREG(found.st_mode) else "is no file"
        raise FileRefused(f"{self.path / name} {what}; put a file in its place")

    def read(self, name: str, most: int) -> bytes:
        """At most `most` bytes. Raises FileRefused, too."""
        with open(self.open(name), "rb") as file:
            return file.read(most)

    def append(self, name: str, content: bytes) -> None:
        """What fails leaves the file as it was. Raises FileRefused, too."""
        handle = self.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            start = disk.append_to(handle, content)
        finally:
            os.close(handle)
        if start == 0:
            self.sync()

    def cut(self, name: str, size: int) -> None:
        """Takes off what stands behind `size`, if anything does. Raises FileRefused, too."""
        if self.size(name) > size:
            with open(self.open(name, os.O_WRONLY), "wb") as file:
                file.truncate(size)
                os.fsync(file.fileno())

    def replace(self, name: str, content: bytes) -> None:
        """Whoever reads sees the old file or the new one. Raises FileRefused, too."""
        new = f"{name}.new"
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=self.handle)
        with open(self.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.move(new, self, name)
        self.sync()

    def move(self, name: str, to: Folder, new: str) -> None:
        os.rename(name, new, src_dir_fd=self.handle, dst_dir_fd=to.handle)

    def sync(self) -> None:
        os.fsync(self.handle)


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """Raises FileRefused for a link and for what is no folder, FileNotFoundError if there is nothing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _STRICTLY)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise FileRefused(f"{path} is a link or no folder; put a folder in its place") from error
        raise
    try:
        yield Folder(path, handle)
    finally:
        os.close(handle)


def open_strictly(path: Path) -> int:
    """A handle to read from, be it a file or not. Neither it nor the folder that it is in may be a link. Raises
    OSError, or ValueError for a path that no system has."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | _STRICTLY)
    try:
        return os.open(path.name, os.O_RDONLY | _STRICTLY, dir_fd=folder)
    finally:
        os.close(folder)
