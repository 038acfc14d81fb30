"""Brings the files that came of an import where they belong, so that a kill at any moment does no harm.

What is to be done is on the disk before anything is; each step may be done again.
"""

from __future__ import annotations

import csv
import errno
import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec

from pusher import disk
from pusher.datacenter.names import SUFFIXES, finished_name, pending_name, stem_of
from pusher.datacenter.processing import Mode
from pusher.errors import ArchiveDamaged, FileRefused

JOURNAL = ".distribution.json"
_PART = 1 << 20
_LONGEST_HEAD = 1 << 21


class Distribution(msgspec.Struct, kw_only=True):
    """`work`: the folder that goes in the end. `rows`: of what was done, `rows_to` and `rows_at`: the file that they
    are added to and how long it was. `moves`: from where to where, in their order; `gone`: what goes."""

    storage: str
    work: str
    rows: str
    rows_to: str
    rows_at: int
    moves: list[tuple[str, str]]
    gone: list[str]

    @staticmethod
    def plan(storage: Path, ok: bool, source: Path, finished: Path, pending: Path | None, mode: Mode) -> Distribution:
        if finished.parent in (storage, *storage.parents):
            raise ValueError("the folder of the results goes in the end, so it cannot be the storage")
        stem, _, again = stem_of(source.name)
        rows_to, rows_at = _rows_target(storage / "finished", stem, mode, finished)
        moves: list[tuple[Path, Path]] = []
        if ok and again:
            originals = [storage / "unfinished" / f"{stem}{suffix}" for suffix in SUFFIXES]
            moves = [(path, _free(storage / "finished" / path.name)) for path in originals if os.path.lexists(path)]
        if not again:
            moves.append((source, _free(storage / ("finished" if ok else "unfinished") / source.name)))
        if pending is not None and not ok:
            moves.append((pending, storage / pending_name(stem, mode)))
        made = Distribution(
            storage=str(storage),
            work=str(finished.parent),
            rows=str(finished),
            rows_to=str(rows_to),
            rows_at=rows_at,
            moves=[(str(old), str(new)) for old, new in moves],
            gone=[str(source)] if again else [],
        )
        # Where the rows go back to the name of the file that they come from, that is no more than replaced.
        made.gone = [path for path in made.gone if path not in [new for _, new in made.moves]]
        disk.replace(storage / JOURNAL, msgspec.json.encode(made))
        return made

    @staticmethod
    def found(storage: Path) -> Distribution | None:
        """What a run before left undone. Raises ArchiveDamaged."""
        path = storage / JOURNAL
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                return msgspec.json.decode(file.read(), type=Distribution)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ArchiveDamaged(f"cannot read {path}: {error}; look what is in the storage, and remove it") from error

    def carry_out(self) -> None:
        """Raises WriteFailed; then it may be called again."""
        storage = Path(self.storage)
        with disk.writing(storage):
            self._add_rows()
            for old, new in self.moves:
                _move(Path(old), Path(new))
            for path in self.gone:
                Path(path).unlink(missing_ok=True)
            for folder in (storage / "finished", storage / "unfinished", storage):
                disk.sync_folder(folder)
            shutil.rmtree(self.work, ignore_errors=True)
            (storage / JOURNAL).unlink(missing_ok=True)
            disk.sync_folder(storage)

    def _add_rows(self) -> None:
        rows, target = Path(self.rows), Path(self.rows_to)
        if not rows.exists():  # these are there, and their folder is no more
            return
        handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(handle, "r+b") as out, rows.open("rb") as new:
            out.truncate(self.rows_at)
            out.seek(self.rows_at)
            if self.rows_at:
                new.seek(len(_head(rows)))
                if not _ends_line(target, self.rows_at):
                    out.write(b"\n")
            shutil.copyfileobj(new, out, _PART)
            out.flush()
            os.fsync(handle)


def _rows_target(folder: Path, stem: str, mode: Mode, rows: Path) -> tuple[Path, int]:
    """The file that rows are added to: one with the same head, or a new one; and how long it is."""
    head = _head(rows)
    for number in count(1):
        path = folder / finished_name(stem, mode, number)
        if not os.path.lexists(path):
            return path, 0
        if path.is_symlink() or not path.is_file():
            raise FileRefused(f"{path} is a link or no file; remove it")
        if not path.stat().st_size or _head(path).rstrip() == head.rstrip():
            return path, path.stat().st_size
    raise AssertionError


def _head(path: Path) -> bytes:
    """The first row of a file, as it stands in it."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        taken: list[str] = []

        def lines() -> Iterator[str]:
            for line in file:
                taken.append(line)
                yield line

        next(csv.reader(lines()), None)
        return "".join(taken)[:_LONGEST_HEAD].encode("utf-8", "surrogateescape")


def _ends_line(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"


def _free(path: Path) -> Path:
    """The name itself, or the first with a number that nothing has."""
    stem, dot, suffix = path.name.partition(".")
    names = (path.name if number == 1 else f"{stem}-{number}{dot}{suffix}" for number in count(1))
    return next(each for name in names if not os.path.lexists(each := path.with_name(name)))


def _move(old: Path, new: Path) -> None:
    """Unless it was moved before; also from another disk."""
    if not os.path.lexists(old):
        return
    try:
        os.replace(old, new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = new.with_name(f".{new.name}.part")
        with old.open("rb") as source, part.open("wb") as out:
            shutil.copyfileobj(source, out, _PART)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, new)
        old.unlink()
