"""Brings the files that came of an import where they belong, so that a kill at any moment does no harm.

What is to be done is on the disk before anything is; each step may be done again. All of it happens within the storage:
what is written down has names alone, since anybody who may drop files there may drop such a list, too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path, PurePosixPath

import msgspec

from pusher import disk
from pusher.datacenter.names import SUFFIXES, finished_name, numbered, pending_name, stem_of
from pusher.datacenter.processing import Mode
from pusher.errors import ArchiveDamaged, FileRefused

JOURNAL = ".distribution.json"
_FINISHED, _UNFINISHED = "finished", "unfinished"
_PART = 1 << 20
_LONGEST_HEAD = 1 << 21

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
        rows_to, rows_at = _rows_target(storage / _FINISHED, stem_of(source.name)[0], mode, finished)
        made = Distribution(
            work=work.name,
            rows=f"{work.name}/{finished.name}",
            rows_to=f"{_FINISHED}/{rows_to.name}",
            rows_at=rows_at,
            moves=tuple(_moves(storage, ok, source, work, pending, mode)),
        )
        disk.replace(storage / JOURNAL, msgspec.json.encode(made))
        return made

    @staticmethod
    def found(storage: Path) -> Distribution | None:
        """What a run before left undone. Raises ArchiveDamaged."""
        path = storage / JOURNAL
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                found = msgspec.json.decode(file.read(), type=Distribution)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
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
        return hidden and named and _place(self.rows_to) == _FINISHED and _place(self.rows) == self.work

    def carry_out(self, storage: Path) -> None:
        """Raises WriteFailed; then it may be called again."""
        with disk.writing(storage):
            self._add_rows(storage)
            for move in self.moves:
                _move(storage, move)
            for folder in (storage / _FINISHED, storage / _UNFINISHED, storage):
                disk.sync_folder(folder)
            shutil.rmtree(storage / self.work, ignore_errors=True)
            (storage / JOURNAL).unlink(missing_ok=True)
            disk.sync_folder(storage)

    def _add_rows(self, storage: Path) -> None:
        rows, target = storage / self.rows, storage / self.rows_to
        if not rows.exists():  # these are there, and their folder is no more
            return
        handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(handle, "r+b") as out, rows.open("rb") as new:
            out.truncate(self.rows_at)
            if self.rows_at:
                new.seek(len(_head(rows)))
                out.seek(self.rows_at - 1)
                if out.read(1) != b"\n":
                    out.write(b"\n")
            out.seek(0, os.SEEK_END)
            shutil.copyfileobj(new, out, _PART)
            out.flush()
            os.fsync(handle)


def _moves(storage: Path, ok: bool, source: Path, work: Path, pending: Path | None, mode: Mode) -> Iterator[Move]:
    stem, _, again = stem_of(source.name)
    old, mark = (source.name, _mark(source)) if source.parent == storage else (f"{work.name}/{source.name}", None)
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


def _rows_target(folder: Path, stem: str, mode: Mode, rows: Path) -> tuple[Path, int]:
    """The file that rows are added to: one with the same head, or a new one; and how long it is."""
    head = _head(rows).rstrip(b"\r\n")
    for number in count(1):
        path = folder / finished_name(stem, mode, number)
        if not os.path.lexists(path):
            return path, 0
        if path.is_symlink() or not path.is_file():
            raise FileRefused(f"{path} is a link or no file; remove it")
        if not path.stat().st_size or _head(path).rstrip(b"\r\n") == head:
            return path, path.stat().st_size
    raise AssertionError


def _head(path: Path) -> bytes:
    """The first row of a file, as it stands in it."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
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


def _mark(path: Path) -> Mark:
    found = path.lstat()
    return found.st_ino, found.st_mtime_ns


def _move(storage: Path, move: Move) -> None:
    """Unless it was moved before. What has its name by now stays, and the file gets a number."""
    old = storage / move.old
    if not os.path.lexists(old) or (move.mark and _mark(old) != move.mark):
        return
    wanted = storage / move.new
    names = (wanted.with_name(numbered(wanted.name, number)) for number in count(1))
    os.rename(old, next(path for path in names if not os.path.lexists(path)))
