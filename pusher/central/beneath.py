"""Opens folders and files beneath a folder, one step after the other, so that no link on the way leads elsewhere."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pusher.errors import DestinationUnreachable, FileRefused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # not to wait for whoever writes to a pipe
_READ_BYTES = 1 << 20
_STEP_BYTES = 64 << 20
_BAD_NAME = (
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP),
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ),
)


@contextmanager
def open_folder(root: Path, names: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """A handle of the folder that `names`, none of which may be `..`, lead to from `root`. `make`: if it is not there.

    Raises FileNotFoundError, NotADirectoryError also where a link is on the way, DestinationUnreachable without `root`.
    """
    try:
        handle = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise DestinationUnreachable("central's folder of files is gone; make it, or mount its disk") from error
    try:
        for name in names:
            below = _below(handle, name, make=make)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def _below(above: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # somebody else was quicker
        os.mkdir(name, dir_fd=above)
    os.fsync(above)
    return os.open(name, _FOLDER, dir_fd=above)


@contextmanager
def open_file(folder: int, name: str, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A handle of a regular file. Raises FileNotFoundError also where something else has its name."""
    try:
        handle = os.open(name, flags | _FILE, 0o644, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):  # a link, a folder, a pipe
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        yield handle
    finally:
        os.close(handle)


def state_of(folder: int, name: str) -> os.stat_result | None:
    """Of the file itself, not of what it may be a link to; None if there is none."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def write_all(handle: int, content: bytes | bytearray) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def hashing(handle: int) -> Iterator[str | None]:
    """The SHA-256 of a file, and before it None after each step, so that whoever waits may hear of it."""
    digest, since = hashlib.sha256(), 0
    while chunk := os.read(handle, _READ_BYTES):
        digest.update(chunk)
        since += len(chunk)
        if since >= _STEP_BYTES:
            since = 0
            yield None
    yield digest.hexdigest()


@contextmanager
def locked(handle: int) -> Iterator[None]:
    """No other request does the same meanwhile, in whichever process."""
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """What the system has against one name, or one file, concerns no other."""
    try:
        yield
    except OSError as error:
        if error.errno not in _BAD_NAME:
            raise
        raise FileRefused(f"{name}: {error.strerror}; rename the file, or what is in its way at central") from error
