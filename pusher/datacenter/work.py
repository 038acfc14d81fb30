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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, takewhile
from urllib.parse import quote

import msgspec

from pusher import disk
from pusher.datacenter.csvform import ERRORS, Form, examine, row_text
from pusher.datacenter.folder import Folder, opened
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
    """One run's work folder; whoever uses it holds the storage's lock. Its folders are held open: whatever somebody
    puts in their places, nothing is written elsewhere."""

    def __init__(self, center: DataCenter, root: Folder, folder: Folder, deleted: Folder, order: Order) -> None:
        self._center = center
        self._root = root
        self._folder = folder
        self._deleted = deleted
        self._choice: Choice | None = None
        self.order = order
        self.source = folder.path / order.name

    @staticmethod
    @contextmanager
    def begin(center: DataCenter, order: Order) -> Iterator[Work]:
        """Takes the file out of the root, so that nobody changes it meanwhile. Raises WriteFailed or FileRefused."""
        path = center.storage / FOLDER
        with disk.writing(path):
            path.mkdir(mode=_PRIVATE, exist_ok=True)
        with _places(center) as (root, folder, deleted):
            if folder.stat(_ORDER):
                raise WriteFailed(f"{path} holds a run that is not completed; import once more, which completes it")
            graves = {name: deleted.size(name) for name in deleted.names() if name.endswith(".csv")}
            work = Work(center, root, folder, deleted, replace(order, graves=graves))
            work._note()
            work._take()
            yield work

    @staticmethod
    @contextmanager
    def found(center: DataCenter) -> Iterator[Work | None]:
        """What a run before left undone, if any. Raises WriteFailed, FileRefused or ArchiveDamaged."""
        if not os.path.lexists(center.storage / FOLDER):
            yield None
            return
        with _places(center) as (root, folder, deleted):
            order = _order_in(folder)
            work = Work(center, root, folder, deleted, order) if order else None
            yield work if work and work._is_there() else None

    def belong_to(self, choice: Choice) -> None:
        """Says how the file is processed: by what and to what."""
        self._choice = choice

    def examined(self) -> Form:
        """That of the file as it is now: somebody may have gone on writing to it. Raises FileRefused."""
        if self.has_grown():
            self.order = replace(self.order, form=examine(self.source))
            self._note()
        return self.order.form

    def has_grown(self) -> bool:
        """Whether somebody has written to the file since it was examined."""
        return self._folder.size(self.order.name) != self.order.form.bytes

    def give_back(self) -> None:
        """Puts the file back to where it waits, as if it had never been taken. Raises WriteFailed."""
        names = (numbered(self.order.name, number) for number in count(1))
        with disk.writing(self._root.path):
            self._folder.move(self.order.name, self._root, next(name for name in names if not self._root.stat(name)))
            self._root.sync()
        self._remove()

    def _is_there(self) -> bool:
        """Takes the file, too, if it still waits; a run that had only begun, and whose file is gone, is no more."""
        if self._folder.stat(self.order.name) or self._root.stat(self.order.name):
            self._take()
            return True
        self._remove()
        return False

    def _note(self) -> None:
        with disk.writing(self._folder.path):
            self._folder.replace(_ORDER, msgspec.json.encode(self.order))

    def _take(self) -> None:
        """Moves the file here, unless it is here. Raises WriteFailed."""
        if not self._folder.stat(self.order.name):
            with disk.writing(self.source):
                self._root.move(self.order.name, self._folder, self.order.name)
                self._folder.sync()
                self._root.sync()

    def _remove(self) -> None:
        shutil.rmtree(FOLDER, ignore_errors=True, dir_fd=self._root.handle)

    def cut_back(self, sizes: Mapping[str, int]) -> None:
        """Takes off the result files what stands behind `sizes`: of rows that are not done. Raises WriteFailed."""
        with disk.writing(self._center.storage):
            for name in (_FINISHED, _PENDING):
                self._folder.cut(name, sizes.get(name, 0))
            for name in self._graves():
                self._deleted.cut(name, sizes.get(_grave_key(name), self.order.graves.get(name, 0)))

    def sizes(self) -> dict[str, int]:
        """The bytes of the files of this run, and of those that removed rows went to."""
        sizes = {name: self._folder.size(name) for name in (_FINISHED, _PENDING)}
        return sizes | {_grave_key(name): self._deleted.size(name) for name in self._graves()}

    def add(self, finished: Sequence[Sequence[str]], refused: Sequence[Sequence[str]]) -> None:
        """Rows by the columns of the file; those that were refused have the reason behind them. Raises WriteFailed."""
        columns = self.order.form.columns
        _append(self._folder, _FINISHED, columns, finished)
        _append(self._folder, _PENDING, (*columns, ERRORS), refused)

    def bury(self, rows: Sequence[Mapping[str, str]], now: dt.datetime) -> None:
        """Rows that are about to go, all with the same columns. Raises WriteFailed."""
        if rows:
            columns = (*rows[0], DELETED_DATE)
            moment = now.isoformat(sep=" ", timespec="seconds")
            cells = [[*row.values(), moment] for row in rows]
            _append(self._deleted, self._grave(columns), columns, cells)

    def distribute(self, *, ok: bool) -> None:
        """Brings all files where they belong; then the work folder is no more."""
        self.add([], [])
        finished, pending = (self._folder.path / name for name in (_FINISHED, _PENDING))
        assert self._choice
        self._center.distribute(ok, self.source, finished, None if ok else pending, self._choice.mode)

    def pending_digest(self) -> str:
        """SHA-256 of the file of refused rows."""
        with open(self._folder.open(_PENDING), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _grave(self, columns: Sequence[str]) -> str:
        """The file of removed rows that has these columns."""
        head = row_text(columns).encode()
        with disk.writing(self._deleted.path):
            return next(name for name in self._numbered_graves() if self._may_begin_with(name, head))

    def _may_begin_with(self, name: str, head: bytes) -> bool:
        return not self._deleted.size(name) or self._deleted.read(name, len(head)) == head

    def _graves(self) -> Iterator[str]:
        """The files of removed rows of the processor that are there."""
        return takewhile(self._deleted.stat, self._numbered_graves())

    def _numbered_graves(self) -> Iterator[str]:
        assert self._choice
        stem = quote(self._choice.processor, safe=" ")
        return (f"{stem}.csv" if number == 1 else f"{stem}-{number}.csv" for number in count(1))


@contextmanager
def _places(center: DataCenter) -> Iterator[tuple[Folder, Folder, Folder]]:
    """The root, the work folder and that of removed rows. Raises WriteFailed or FileRefused."""
    with ExitStack() as stack:
        with disk.writing(center.storage):
            paths = (center.storage, center.storage / FOLDER, center.deleted)
            root, folder, deleted = (stack.enter_context(opened(path)) for path in paths)
        yield root, folder, deleted


def _order_in(folder: Folder) -> Order | None:
    """Raises ArchiveDamaged for what is none."""
    try:
        order = msgspec.json.decode(folder.read(_ORDER, _LONGEST_ORDER), type=Order)
        check_name(order.name)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, RecursionError, FileRefused) as error:
        path = folder.path / _ORDER
        raise ArchiveDamaged(f"cannot use {path}: {error}; move the folder {folder.path} away") from error
    return order


def _append(folder: Folder, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Below the head, which a new file begins with. Raises WriteFailed or FileRefused."""
    with disk.writing(folder.path / name):
        head = "" if folder.size(name) else row_text(columns)
        text = head + "".join(map(row_text, rows))
        if text:
            folder.append(name, text.encode())


def _grave_key(name: str) -> str:
    return f"deleted/{name}"
