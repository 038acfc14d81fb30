"""Brings the files that came of an import where they belong, so that a kill at any moment does no harm.

What is to be done is on the disk before anything is; each step may be done again. All of it happens within the storage:
what is written down has names alone, since anybody who may drop files there may drop such a list, too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from io import BufferedReader
from itertools import count
from pathlib import Path, PurePosixPath

import msgspec

from pusher import disk
from pusher.datacenter.folder import Folder, opened
from pusher.datacenter.names import SUFFIXES, finished_name, numbered, pending_name, stem_of
from pusher.datacenter.processing import Mode
from pusher.errors import ArchiveDamaged, FileRefused

JOURNAL = ".distribution.json"
_FINISHED, _UNFINISHED = "finished", "unfinished"
_PART = 1 << 20
_LONGEST_HEAD = 1 << 21
_LONGEST_JOURNAL = 1 << 20

Mark = tuple[int, int]  # what tells a file from a later one of its name


class Move(msgspec.Struct, frozen=True):
    """`old`, `new`: of a file, by its path in the storage. `mark`: of the file that is meant, if others can put one
    there."""

    old: str
    new: str
    mark: Mark | None = None


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """By their paths in the storage: `work`, the folder that goes in the end; `rows`, of what was done; `rows_to` and
    `rows_at`, the file that they are added to and how long it was. `moves`: in their order."""

    work: str
    rows: str
    rows_to: str
    rows_at: int
    moves: tuple[Move, ...]

    @staticmethod
    def plan(storage: Path, ok: bool, source: Path, finished: Path, pending: Path | None, mode: Mode) -> Distribution:
        """Raises FileRefused if the files are not in the storage, or a link is in the way; WriteFailed."""
        work = finished.parent
        if work.parent != storage or {path.parent for path in (source, pending or finished)} - {storage, work}:
            raise FileRefused(f"{source.name} and what came of it must lie in {storage}; put them there")
        with disk.writing(storage):
            rows_to, rows_at = _rows_target(storage, stem_of(source.name)[0], mode, finished)
            moves = tuple(_moves(storage, ok, source, work, pending, mode))
        made = Distribution(
            work=work.name,
            rows=f"{work.name}/{finished.name}",
            rows_to=f"{_FINISHED}/{rows_to}",
            rows_at=rows_at,
            moves=moves,
        )
        disk.replace(storage / JOURNAL, msgspec.json.encode(made))
        return made

    @staticmethod
    def found(storage: Path) -> Distribution | None:
        """What a run before left undone. Raises ArchiveDamaged or FileRefused."""
        path = storage / JOURNAL
        try:
            with opened(storage) as root:
                found = msgspec.json.decode(root.read(JOURNAL, _LONGEST_JOURNAL), type=Distribution)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            raise ArchiveDamaged(f"cannot read {path}: {error}; look what is in the storage, and remove it") from error
        if not found.stays_within():
            raise ArchiveDamaged(f"{path} names what is no file of a run; look what is in the storage, and remove it")
        return found

    def stays_within(self) -> bool:
        """Whether nothing but files in a hidden folder of the storage, its root, or those for results is named."""
        paths = [self.rows, *(path for move in self.moves for path in (move.old, move.new))]
        places = {"", self.work, _FINISHED, _UNFINISHED}
        hidden = self.work[:1] == "." and self.work not in (".", "..") and "/" not in self.work
        named = all(_place(path) in places for path in paths)
        added = _place(self.rows_to) == _FINISHED and _place(self.rows) == self.work and self.rows_at >= 0
        return hidden and named and added

    def carry_out(self, storage: Path) -> None:
        """Raises WriteFailed, or FileRefused for a link in the way; then it may be called again."""
        with disk.writing(storage), ExitStack() as stack:
            names = [name for name in ("", _FINISHED, _UNFINISHED, self.work) if os.path.lexists(storage / name)]
            places = {name: stack.enter_context(opened(storage / name)) for name in names}
            if self.work in places:  # else its rows are there, and it is no more
                self._add_rows(places[self.work], places[_FINISHED])
            for move in self.moves:
                _move(places, move)
            for place in (_FINISHED, _UNFINISHED, ""):
                places[place].sync()
            root = places[""]
            shutil.rmtree(self.work, ignore_errors=True, dir_fd=root.handle)
            if root.stat(JOURNAL):
                os.unlink(JOURNAL, dir_fd=root.handle)
            root.sync()

    def _add_rows(self, work: Folder, finished: Folder) -> None:
        rows, target = PurePosixPath(self.rows).name, PurePosixPath(self.rows_to).name
        if not work.stat(rows):
            return
        with open(work.open(rows), "rb") as new, open(finished.open(target, os.O_RDWR | os.O_CREAT), "r+b") as out:
            at = min(self.rows_at, os.fstat(out.fileno()).st_size)  # what somebody cut meanwhile is not made up for
            out.truncate(at)
            if at:
                new.seek(len(_head(new)))
                out.seek(at - 1)
                if out.read(1) != b"\n":
                    out.write(b"\n")
            out.seek(0, os.SEEK_END)
            shutil.copyfileobj(new, out, _PART)
            out.flush()
            os.fsync(out.fileno())


def _moves(storage: Path, ok: bool, source: Path, work: Path, pending: Path | None, mode: Mode) -> Iterator[Move]:
    stem, _, again = stem_of(source.name)
    old, mark = (
        (source.name, _mark(source.lstat())) if source.parent == storage else (f"{work.name}/{source.name}", None)
    )
    if again:
        if mark:
            yield Move(old, f"{work.name}/{source.name}", mark)
        for suffix in SUFFIXES if ok else ():
            if os.path.lexists(storage / _UNFINISHED / f"{stem}{suffix}"):
                yield Move(f"{_UNFINISHED}/{stem}{suffix}", f"{_FINISHED}/{stem}{suffix}")
    elif ok:
        yield Move(old, f"{_FINISHED}/{source.name}", mark)
    else:
        name = next(name for n in count(1) if not _is_waited_for(storage, name := numbered(source.name, n)))
        stem = stem_of(name)[0]
        yield Move(old, f"{_UNFINISHED}/{name}", mark)
    if pending is not None and not ok:
        yield Move(f"{work.name}/{pending.name}", pending_name(stem, mode))


def _is_waited_for(storage: Path, name: str) -> bool:
    """Whether refused rows of another file of this name are there: the two would be taken for each other's."""
    stem = stem_of(name)[0]
    originals = (storage / _UNFINISHED / f"{stem}{suffix}" for suffix in SUFFIXES)
    return any(map(os.path.lexists, (*originals, *(storage / pending_name(stem, mode) for mode in Mode))))


def _rows_target(storage: Path, stem: str, mode: Mode, rows: Path) -> tuple[str, int]:
    """The file that rows are added to: one with the same head, or a new one; and how long it is."""
    with opened(storage / _FINISHED) as finished, opened(rows.parent) as work:
        head = _head_of(work, rows.name)
        for number in count(1):
            name = finished_name(stem, mode, number)
            found = finished.stat(name)
            if found is None:
                return name, 0
            with open(finished.open(name, os.O_RDWR), "rb") as file:
                if not found.st_size or _head(file).rstrip(b"\r\n") == head:
                    return name, found.st_size
    raise AssertionError


def _head_of(folder: Folder, name: str) -> bytes:
    with open(folder.open(name), "rb") as file:
        return _head(file).rstrip(b"\r\n")


def _head(file: BufferedReader) -> bytes:
    """The first row of a file, as it stands in it; the file is at some place behind."""
    content = file.read(_LONGEST_HEAD)
    end = content.find(b"\n") + 1
    while end and content.count(b'"', 0, end) % 2:
        end = content.find(b"\n", end) + 1
    return content[:end] if end else content


def _place(path: str) -> str | None:
    """The folder of a file, by its path in the storage; None if it is no such path."""
    parts = PurePosixPath(path).parts
    if not parts or len(parts) > 2 or "/".join(parts) != path or {"..", "/"} & {*parts} or "\0" in path:
        return None
    return parts[0] if len(parts) == 2 else ""


def _mark(found: os.stat_result) -> Mark:
    return found.st_ino, found.st_mtime_ns


def _move(places: Mapping[str, Folder], move: Move) -> None:
    """Unless it was moved before. What has its name by now stays, and the file gets a number."""
    old, new = PurePosixPath(move.old), PurePosixPath(move.new)
    place, to = (places.get(_place(path) or "") for path in (move.old, move.new))
    found = place and place.stat(old.name)
    if not place or not to or not found or (move.mark and _mark(found) != move.mark):
        return
    names = (numbered(new.name, number) for number in count(1))
    place.move(old.name, to, next(name for name in names if not to.stat(name)))
