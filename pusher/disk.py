"""Writing that a power cut cannot halve: a whole file at once, or the end of one, on the disk before it returns."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pusher.errors import WriteFailed

PART_NAMES = ".*.????????"
_PRIVATE = 0o600
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises WriteFailed for what the system says."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteFailed(f"cannot write {path}: {reason}; free some room, or correct its permissions") from error


def replace(path: Path, content: bytes) -> None:
    """Whoever reads sees the old file or the new one. Raises WriteFailed."""
    with writing(path):
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(handle)
            os.replace(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
        sync_folder(path.parent)


def append(path: Path, content: bytes) -> int:
    """Returns where the content begins. What fails leaves the file as it was, as far as the disk allows that. Raises
    WriteFailed."""
    with writing(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _FLAGS, _PRIVATE)
        try:
            start = append_to(handle, content)
        finally:
            os.close(handle)
        if start == 0:
            sync_folder(path.parent)
        return start


def append_to(handle: int, content: bytes) -> int:
    """The same for a file that is open to be appended to. Raises OSError."""
    start = os.fstat(handle).st_size
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, start)
        raise
    return start


def cut(path: Path, size: int) -> None:
    """Takes off what stands behind `size`. Raises WriteFailed."""
    with writing(path):
        handle = os.open(path, os.O_WRONLY | _FLAGS)
        try:
            os.ftruncate(handle, size)
            os.fsync(handle)
        finally:
            os.close(handle)


def read_back(path: Path, start: int) -> bytes:
    """What stands behind `start`, from the disk and not from memory, where the system allows that."""
    with writing(path):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(start)
            return file.read()


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
