"""Reads the source's files as they are sent: each byte once, hashed on the way, unless it changes meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pusher.errors import FileRefused
from pusher.paths.choice import LocalFile
from pusher.paths.names import long_path

_CHUNK_BYTES = 1 << 20


class StillChanging(Exception):
    """The file is not as it was when it was looked at: it is left for the next run."""


class Reader:
    """Reads one file once, from `offset` on; what lies before is only hashed."""

    def __init__(self, root: Path, file: LocalFile) -> None:
        self._path = long_path(os.path.join(root, file.path))
        self._file = file
        self._digest = hashlib.sha256()

    def whole(self) -> bytes:
        """The content of a small file, read at once. Raises StillChanging, FileRefused."""
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_BINARY", 0))
            try:
                content = os.read(handle, self._file.size + 1)
                self._check(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise self._failure(error) from error
        if len(content) != self._file.size:
            raise StillChanging
        self._digest.update(content)
        return content

    def chunks(self, offset: int = 0, sent: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
        """The content from `offset` on. `sent` is told of the bytes of each chunk once it was taken.

        Raises StillChanging also before the last chunk is out, FileRefused if the file cannot be read.
        """
        try:
            with open(self._path, "rb", buffering=0) as handle:
                self._check(handle.fileno())
                place = 0
                while chunk := handle.read(_CHUNK_BYTES):
                    self._digest.update(chunk)
                    before, place = place, place + len(chunk)
                    if place > self._file.size:
                        raise StillChanging
                    if place > offset:
                        yield chunk[max(0, offset - before) :]
                        sent(place - max(before, offset))
                self._check(handle.fileno())
        except OSError as error:
            raise self._failure(error) from error

    @property
    def sha256(self) -> str:
        """Of all that was read, in hexadecimal."""
        return self._digest.hexdigest()

    def digest(self) -> str:
        """Reads the file for its hash alone. Raises as `chunks` does."""
        for _ in self.chunks(self._file.size):
            pass
        return self.sha256

    def _failure(self, error: OSError) -> StillChanging | FileRefused:
        if isinstance(error, FileNotFoundError):
            return StillChanging()
        return FileRefused(f"{self._path} cannot be read: {error.strerror}; correct its permissions")

    def _check(self, handle: int) -> None:
        state = os.fstat(handle)
        if (state.st_size, state.st_mtime_ns) != (self._file.size, self._file.mtime_ns):
            raise StillChanging
