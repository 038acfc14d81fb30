"""The work folder of a run: what is to be done, the file itself, and the files with what came of its rows.

It is there from when a run begins until its files are where they belong, so whatever breaks a run off, the next one
finds it and goes on.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, takewhile
from pathlib import Path
from urllib.parse import quote

import msgspec

from pusher import disk
from pusher.datacenter.csvform import ERRORS, Form, examine, row_text
from pusher.datacenter.names import check_name, numbered
from pusher.datacenter.outcome import Choice
from pusher.datacenter.storage import DataCenter
from pusher.errors import ArchiveDamaged, FileRefused, WriteFailed

FOLDER = ".work"
_ORDER, _FINISHED, _PENDING = "order.json", "finished.csv", "pending.csv"
_PRIVATE = 0o700
_LONGEST_ORDER = 1 << 20
DELETED_DATE = "del_date"


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which run of which file this is. `run`: 32 letters that no other has. `graves`: the bytes of each file of removed
    rows, before the run."""

    run: str
    name: str
    form: Form
    graves: dict[str, int] = field(default_factory=dict)


class Work:
    """One run's work folder; whoever uses it holds the storage's lock."""

    def __init__(self, center: DataCenter, order: Order) -> None:
        self._center = center
        self._folder = center.storage / FOLDER
        self._choice: Choice | None = None
        self.order = order
        self.source = self._folder / order.name

    @staticmethod
    def begin(center: DataCenter, order: Order) -> Work:
        """Takes the file out of the root, so that nobody changes it meanwhile. Raises WriteFailed."""
        folder = center.storage / FOLDER
        with disk.writing(folder):
            folder.mkdir(mode=_PRIVATE, exist_ok=True)
        if os.path.lexists(folder / _ORDER):
            raise WriteFailed(f"{folder} holds a run that is not completed; import once more, which completes it")
        graves = {path.name: path.stat().st_size for path in center.deleted.glob("*.csv")}
        work = Work(center, replace(order, graves=graves))
        work._note()
        work._take()
        return work

    @staticmethod
    def found(center: DataCenter) -> Work | None:
        """What a run before left undone, if any. Raises ArchiveDamaged."""
        path = center.storage / FOLDER / _ORDER
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                order = msgspec.json.decode(file.read(_LONGEST_ORDER), type=Order)
            check_name(order.name)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, RecursionError, FileRefused) as error:
            raise ArchiveDamaged(f"cannot use {path}: {error}; move the folder {path.parent} away") from error
        work = Work(center, order)
        if not os.path.lexists(work.source) and not os.path.lexists(center.storage / order.name):
            work._remove()  # the run had only begun, and its file is gone
            return None
        work._take()
        return work

    def belong_to(self, choice: Choice) -> None:
        """Says how the file is processed: by what and to what."""
        self._choice = choice

    def examined(self) -> Form:
        """That of the file as it is now: somebody may have gone on writing to it. Raises FileRefused."""
        if self.source.lstat().st_size != self.order.form.bytes:
            self.order = replace(self.order, form=examine(self.source))
            self._note()
        return self.order.form

    def give_back(self) -> None:
        """Puts the file back to where it waits, as if it had never been taken. Raises WriteFailed."""
        root = self._center.storage
        names = (numbered(self.order.name, number) for number in count(1))
        with disk.writing(root):
            self.source.rename(next(root / name for name in names if not os.path.lexists(root / name)))
            disk.sync_folder(root)
        self._remove()

    def _note(self) -> None:
        disk.replace(self._folder / _ORDER, msgspec.json.encode(self.order))

    def _take(self) -> None:
        """Moves the file here, unless it is here. Raises WriteFailed."""
        if not os.path.lexists(self.source):
            with disk.writing(self.source):
                (self._center.storage / self.order.name).rename(self.source)
                disk.sync_folder(self._folder)
                disk.sync_folder(self._center.storage)

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def cut_back(self, sizes: Mapping[str, int]) -> None:
        """Takes off the result files what stands behind `sizes`: of rows that are not done. Raises WriteFailed."""
        for path in (self._folder / _FINISHED, self._folder / _PENDING):
            _cut(path, sizes.get(path.name, 0))
        for path in self._graves():
            _cut(path, sizes.get(_grave_key(path), self.order.graves.get(path.name, 0)))

    def sizes(self) -> dict[str, int]:
        """The bytes of the files of this run, and of those that removed rows went to."""
        results = (path for path in (self._folder / _FINISHED, self._folder / _PENDING) if path.exists())
        sizes = {path.name: path.stat().st_size for path in results}
        return sizes | {_grave_key(path): path.stat().st_size for path in self._graves()}

    def add(self, finished: Sequence[Sequence[str]], refused: Sequence[Sequence[str]]) -> None:
        """Rows by the columns of the file; those that were refused have the reason behind them. Raises WriteFailed."""
        columns = self.order.form.columns
        self._append(self._folder / _FINISHED, columns, finished)
        self._append(self._folder / _PENDING, (*columns, ERRORS), refused)

    def bury(self, rows: Sequence[Mapping[str, str]], now: dt.datetime) -> None:
        """Rows that are about to go, all with the same columns. Raises WriteFailed."""
        if rows:
            columns = (*rows[0], DELETED_DATE)
            moment = now.isoformat(sep=" ", timespec="seconds")
            cells = [[*row.values(), moment] for row in rows]
            self._append(self._grave(columns), columns, cells)

    def distribute(self, *, ok: bool) -> None:
        """Brings all files where they belong; then the work folder is no more."""
        finished, pending = self._folder / _FINISHED, self._folder / _PENDING
        for path, columns in ((finished, self.order.form.columns), (pending, (*self.order.form.columns, ERRORS))):
            self._append(path, columns, [])
        assert self._choice
        self._center.distribute(ok, self.source, finished, None if ok else pending, self._choice.mode)

    def pending_digest(self) -> str:
        """SHA-256 of the file of refused rows."""
        with (self._folder / _PENDING).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _append(self, path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        text = "".join(map(row_text, rows))
        if not path.exists() or not path.stat().st_size:
            text = row_text(columns) + text
        if text:
            disk.append(path, text.encode())

    def _grave(self, columns: Sequence[str]) -> Path:
        """The file of removed rows that has these columns."""
        head = row_text(columns).encode()
        with disk.writing(self._center.deleted):
            return next(path for path in self._numbered_graves() if _begins_with(path, head))

    def _graves(self) -> Iterator[Path]:
        """The files of removed rows of the processor that are there."""
        return takewhile(Path.exists, self._numbered_graves())

    def _numbered_graves(self) -> Iterator[Path]:
        assert self._choice
        stem = quote(self._choice.processor, safe=" ")
        names = (f"{stem}.csv" if number == 1 else f"{stem}-{number}.csv" for number in count(1))
        return (self._center.deleted / name for name in names)


def _begins_with(path: Path, head: bytes) -> bool:
    """Whether a file begins so, or may: it is empty, or is not there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    with open(handle, "rb") as file:
        return file.read(len(head)) in (head, b"")


def _grave_key(path: Path) -> str:
    return f"deleted/{path.name}"


def _cut(path: Path, size: int) -> None:
    if path.exists() and path.stat().st_size > size:
        disk.cut(path, size)
