"""The files of the sites on central's disk: a folder for each, in which only whole and proven files have names."""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pusher.central.beneath import hashing, open_file, open_folder, refusing, state_of, write_all
from pusher.central.filelisting import found, listing
from pusher.central.fileparts import Parts
from pusher.errors import AccessRefused, FileRefused, Occupied, UsageError
from pusher.paths.names import fault_of
from pusher.wire.files import FoundFile, Listed, Placing, WholeFile

_WRITERS = 8  # files that are written side by side: the disk takes them together


class FileStore:
    """`root`: the folder of all sites; what lies there of a site is in a folder of its name.

    Names are relative to that, with `/`. Every method raises FileRefused for a name that no file can have,
    AccessRefused for a site that can have no folder, OSError where the disk fails, and DestinationUnreachable if `root`
    is gone.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def check(self) -> None:
        """Raises UsageError if `root` is no place for files."""
        if not self._root.is_dir():
            raise UsageError(f"--files: there is no folder {self._root}; make it, or mount its disk")
        probe = self._root / f".pusher-{uuid.uuid4().hex}"
        other = probe.with_name(probe.name.upper())
        try:
            probe.touch(exist_ok=False)
            folds_case = other.exists()
            if not folds_case:
                os.link(probe, other)
        except OSError as error:
            raise UsageError(
                f"--files: {self._root}: {error.strerror}; name a folder that central may write to, on a file system "
                "with hard links"
            ) from error
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
                other.unlink(missing_ok=True)
        if folds_case:
            raise UsageError(
                f"--files: in {self._root} capital letters make no difference, so that two sites may have one folder; "
                "name one on another file system"
            )

    def parts(self, site: str, sender: str) -> Parts:
        """Raises ProtocolError if `sender` is no name of one."""
        return Parts(self._root, _checked(site), sender)

    def find(self, site: str, names: Sequence[str]) -> list[FoundFile]:
        """Those of `names` that are there."""
        files = []
        for name in names:
            with suppress(FileNotFoundError, NotADirectoryError), self._folder_of(site, name) as (folder, last):
                state = state_of(folder, last)
                if state and stat.S_ISREG(state.st_mode):
                    files.append(found(name, state))
        return files

    def listing(self, site: str, after: str, limit: int) -> Listed:
        """At most `limit` files, in order, that come after the file `after`, or from the first on if that is empty."""
        return listing(self._root, _checked(site), _names_of(after) if after else (), limit)

    def hashing(self, site: str, name: str) -> Iterator[str | None]:
        """The SHA-256 of a file, and before it None now and then; nothing more if there is no such file."""
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            self._folder_of(site, name) as (folder, last),
            open_file(folder, last) as handle,
        ):
            yield from hashing(handle)

    def place(self, site: str, sender: str, placing: Placing) -> FoundFile:
        """Gives a part its final name and time. Raises Occupied, or FileRefused if it is not what it should be."""
        _names_of(placing.name)
        with self.parts(site, sender).proven(placing.part, placing.sha256) as part:
            _finish(part.handle, placing.modified_ns)
            with refusing(placing.name), self._folder_of(site, placing.name, make=True) as (folder, last):
                _give_name(part.folder, part.name, folder, last, placing)
                os.fsync(folder)
            return found(placing.name, os.fstat(part.handle))

    def store(self, site: str, sender: str, files: Sequence[WholeFile]) -> list[FileRefused | None]:
        """Writes, proves and places whole files. Of each why it was refused, or None."""
        faults = [_fault(file) for file in files]
        sound = [file for file, fault in zip(files, faults, strict=True) if fault is None]
        stamp = uuid.uuid4().hex
        staged = {f"whole-{stamp}-{number}": file for number, file in enumerate(sound)}
        with self.parts(site, sender).folder(make=True) as folder:
            try:
                with ThreadPoolExecutor(max_workers=min(_WRITERS, len(staged) or 1)) as writers:
                    list(writers.map(partial(_write, folder), staged, sound))
                refused = iter(self._place_all(site, folder, staged))
            finally:
                for name in staged:
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=folder)
        return [fault or next(refused) for fault in faults]

    def _place_all(self, site: str, source: int, staged: dict[str, WholeFile]) -> list[FileRefused | None]:
        refused: list[FileRefused | None] = []
        touched: dict[str, str] = {}  # of each folder a file in it
        try:
            for name, file in staged.items():
                try:
                    with refusing(file.name), self._folder_of(site, file.name, make=True) as (folder, last):
                        _give_name(source, name, folder, last, file)
                except FileRefused as error:
                    refused.append(error)
                else:
                    refused.append(None)
                    touched[file.name.rpartition("/")[0]] = file.name
        finally:
            for name in touched.values():
                with self._folder_of(site, name) as (folder, _):
                    os.fsync(folder)
        return refused

    @contextmanager
    def _folder_of(self, site: str, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """A handle of the folder that a file is in, and its name there."""
        *above, last = _names_of(name)
        with open_folder(self._root, (_checked(site), *above), make=make) as folder:
            yield folder, last


def _checked(site: str) -> str:
    if fault_of(site, windows=False) or "/" in site:
        raise AccessRefused(f"central can keep no files of a site named {site}; give it another name, and a new token")
    return site


def _names_of(name: str) -> list[str]:
    """From the folder of the site down to the file."""
    if fault := fault_of(name, windows=False):
        raise FileRefused(fault)
    return name.split("/")


def _fault(file: WholeFile) -> FileRefused | None:
    if fault := fault_of(file.name, windows=False):
        return FileRefused(fault)
    if hashlib.sha256(file.content).hexdigest() != file.sha256:
        return FileRefused(f"{file.name} came otherwise than its SHA-256 says; send it again")
    return None


def _write(folder: int, name: str, file: WholeFile) -> None:
    with open_file(folder, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as handle:
        write_all(handle, file.content)
        _finish(handle, file.modified_ns)


def _finish(handle: int, modified_ns: int) -> None:
    """What must be on the disk before the file has its name."""
    os.utime(handle, ns=(modified_ns, modified_ns))
    os.fsync(handle)


def _give_name(source: int, name: str, folder: int, last: str, wanted: Placing | WholeFile) -> None:
    """A second name; unlike a rename it never takes one that is in use."""
    if wanted.replace:
        os.replace(name, last, src_dir_fd=source, dst_dir_fd=folder)
        return
    try:
        os.link(name, last, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        ours, there = state_of(source, name), state_of(folder, last)
        if not (ours and there and os.path.samestat(ours, there)):  # else it was done, and the power failed
            raise Occupied(f"{wanted.name} is there already") from None
