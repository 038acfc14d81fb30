"""Files on their way to central: the parts of one sender, which grow at their ends until they are proven."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pusher.central.beneath import hashing, locked, open_file, open_folder, state_of, write_all
from pusher.errors import FileRefused, ProtocolError, SequenceConflict
from pusher.paths.names import PARTS
from pusher.wire.files import PART_NAME, SENDER_NAME, SizedPart

_PROOF = ".sha256"  # no part has a dot in its name
_PROOF_BYTES = 200


@dataclass(frozen=True)
class Part:
    """One that is open: the handle of its folder, its name there, its own handle."""

    folder: int
    name: str
    handle: int


class Parts:
    """`root`: the folder of all sites. Every method raises OSError where the disk fails."""

    def __init__(self, root: Path, site: str, sender: str) -> None:
        """Raises ProtocolError if `sender` is no name of one."""
        if not SENDER_NAME.fullmatch(sender):
            raise ProtocolError("a sender's name has 1 to 100 letters, digits and . _ -, and no dot first")
        self._root = root
        self._names = (site, PARTS, sender)

    def sized(self) -> list[SizedPart]:
        found = []
        with suppress(FileNotFoundError), self.folder() as folder, os.scandir(folder) as entries:
            for entry in entries:
                state = state_of(folder, entry.name) if PART_NAME.fullmatch(entry.name) else None
                if state and stat.S_ISREG(state.st_mode):
                    found.append(SizedPart(name=entry.name, size=state.st_size))
        return found

    def writer(self, name: str, offset: int) -> Writer:
        """To write on from byte `offset`, where the part must end, or from 0, which begins it anew.

        Raises SequenceConflict, which knows where it ends, if that is elsewhere.
        """
        _check_name(name)
        flags = os.O_WRONLY if offset else os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(self.folder(make=not offset))
                if not offset:
                    _discard(folder, name)
                handle = stack.enter_context(open_file(folder, name, flags))
            except (FileNotFoundError, FileExistsError) as error:
                raise _moved(name, offset, 0) from error
            return Writer(Part(folder, name, handle), offset, stack)

    def proving(self, name: str) -> Iterator[str | None]:
        """The SHA-256 of a part, once the disk has all of it; before that None, now and then.

        Raises FileRefused if it is gone.
        """
        with self._opened(name) as part:
            yield from _proving(part)

    @contextmanager
    def proven(self, name: str, sha256: str) -> Iterator[Part]:
        """A part that nobody writes to meanwhile. Raises FileRefused if it is gone, or holds something else."""
        with self._opened(name) as part, locked(part.handle):
            if not _is_named(part):
                raise _gone(name)
            found = _proof(part) or [each for each in _proving(part) if each][-1]
            if found != sha256:
                raise FileRefused(f"the part {name} has the SHA-256 {found}, not {sha256}; send it again")
            yield part
            _remove(part.folder, name)

    def discard(self, name: str) -> None:
        _check_name(name)
        with suppress(FileNotFoundError), self.folder() as folder:
            _discard(folder, name)

    @contextmanager
    def folder(self, *, make: bool = False) -> Iterator[int]:
        """A handle of the folder of this sender's parts. Raises FileNotFoundError if there is none."""
        with open_folder(self._root, self._names, make=make) as handle:
            yield handle

    @contextmanager
    def _opened(self, name: str) -> Iterator[Part]:
        _check_name(name)
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(self.folder())
                handle = stack.enter_context(open_file(folder, name))
            except FileNotFoundError as error:
                raise _gone(name) from error
            yield Part(folder, name, handle)


class Writer:
    """Writes at the end of a part, as long as nobody else does."""

    def __init__(self, part: Part, size: int, handles: ExitStack) -> None:
        """Raises as `write` does. From then on the handles are its own."""
        self._part = part
        self.size = size
        self._check()
        os.lseek(part.handle, size, os.SEEK_SET)
        self._handles = handles.pop_all()

    def write(self, content: bytes | bytearray) -> None:
        """Raises SequenceConflict if the part no longer ends where it did, or is another one by now."""
        with locked(self._part.handle):
            self._check()
            write_all(self._part.handle, content)
            self.size += len(content)

    def close(self) -> None:
        self._handles.close()

    def _check(self) -> None:
        name, state = self._part.name, os.fstat(self._part.handle)
        if not _is_named(self._part) or state.st_nlink > 1:  # it may have become a file
            raise _moved(name, self.size, 0)
        if state.st_size != self.size:
            raise _moved(name, self.size, state.st_size)


def _check_name(name: str) -> None:
    if not PART_NAME.fullmatch(name):
        raise ProtocolError("a part's name has 1 to 100 letters, digits and -")


def _moved(name: str, offset: int, size: int) -> SequenceConflict:
    return SequenceConflict(f"the part {name} has {size} bytes, not {offset}; go on there", expected=size)


def _gone(name: str) -> FileRefused:
    return FileRefused(f"the part {name} is gone; send it again")


def _is_named(part: Part) -> bool:
    """Whether it still has its name, or another one has it by now."""
    named = state_of(part.folder, part.name)
    return named is not None and os.path.samestat(named, os.fstat(part.handle))


def _discard(folder: int, name: str) -> None:
    """Waits for whoever is about to give it another name: that must not go to what comes after it."""
    removed = False
    while not removed:
        try:
            with open_file(folder, name) as handle, locked(handle):
                if removed := _is_named(Part(folder, name, handle)):
                    _remove(folder, name)
        except FileNotFoundError:  # or it is no file
            _remove(folder, name)
            removed = True


def _remove(folder: int, name: str) -> None:
    """The proof first: none may be left for another part of this name."""
    for each in (name + _PROOF, name):
        with suppress(FileNotFoundError):
            os.unlink(each, dir_fd=folder)


def _proving(part: Part) -> Iterator[str | None]:
    os.fsync(part.handle)
    os.lseek(part.handle, 0, os.SEEK_SET)
    form = _form(part)
    for sha256 in hashing(part.handle):
        if sha256:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with open_file(part.folder, part.name + _PROOF, flags) as handle:
                write_all(handle, f"{form} {sha256}".encode())
        yield sha256


def _proof(part: Part) -> str | None:
    """The hash that was noted when the part was proven, unless it has changed since: a part only ever grows."""
    with suppress(FileNotFoundError), open_file(part.folder, part.name + _PROOF) as handle:
        form, _, sha256 = os.read(handle, _PROOF_BYTES).decode(errors="replace").rpartition(" ")
        return sha256 if form == _form(part) else None
    return None


def _form(part: Part) -> str:
    state = os.fstat(part.handle)
    return f"{state.st_ino} {state.st_size}"
