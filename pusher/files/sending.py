"""Sends files: small ones many at once, large ones alone and going on where a line was cut; each proven, then noted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pusher.errors import FileRefused
from pusher.filelist import Arrival, Coming, FileList
from pusher.files.decide import Copy
from pusher.files.destination import BATCH_BYTES, BATCH_FILES, SMALL_BYTES, Destination, Whole
from pusher.files.reading import Reader, StillChanging
from pusher.paths.choice import LocalFile

_ATTEMPTS = 2  # a part that another run left may be torn: the second one begins anew

Sent = Callable[[int], None]


@dataclass(kw_only=True)
class Sendings:
    """What came of it. `changing`: files that were written while they were read; the next run takes them."""

    arrived: list[str] = field(default_factory=list)
    changing: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


@dataclass(kw_only=True)
class _Batch:
    files: list[Copy] = field(default_factory=list)
    wholes: list[Whole] = field(default_factory=list)
    size: int = 0


class Sender:
    """`sent` is told of bytes as they are on their way; what it raises ends the sending between two files."""

    def __init__(self, root: Path, destination: Destination, filelist: FileList, sent: Sent) -> None:
        self._root = root
        self._destination = destination
        self._filelist = filelist
        self._sent = sent
        self.done = Sendings()

    def send(self, copies: Sequence[Copy]) -> None:
        """Raises what the destination raises; what arrived until then is noted."""
        small = [copy for copy in copies if copy.file.size <= SMALL_BYTES]
        large = [copy for copy in copies if copy.file.size > SMALL_BYTES]
        self._send_small(small)
        parts = self._parts({part_name(copy.file) for copy in large})
        for copy in large:
            self._send_large(copy, parts.get(part_name(copy.file), 0))

    def _parts(self, wanted: set[str]) -> dict[str, int]:
        """What is there of the files to send; what is left of others goes."""
        found = {part.name: part.size for part in self._destination.parts()}
        for name in found.keys() - wanted:
            self._destination.discard(name)
        return {name: size for name, size in found.items() if name in wanted}

    # --- small ones

    def _send_small(self, copies: Sequence[Copy]) -> None:
        """The next batch is read while one is under way."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="store") as line:
            before: tuple[_Batch, Future[list[FileRefused | None]]] | None = None
            for batch in self._batches(copies):
                if before:
                    self._settle(*before)
                self._announce(
                    [(copy, len(whole.content)) for copy, whole in zip(batch.files, batch.wholes, strict=True)]
                )
                before = batch, line.submit(self._destination.store, batch.wholes)
            if before:
                self._settle(*before)

    def _batches(self, copies: Iterable[Copy]) -> Iterator[_Batch]:
        batch = _Batch()
        for copy in copies:
            reader = Reader(self._root, copy.file)
            try:
                content = reader.whole()
            except StillChanging:
                self.done.changing.append(copy.file.path)
                continue
            except FileRefused as refused:
                self.done.refused.append((copy.file.path, str(refused)))
                continue
            if batch.files and (batch.size + len(content) > BATCH_BYTES or len(batch.files) == BATCH_FILES):
                yield batch
                batch = _Batch()
            batch.files.append(copy)
            batch.wholes.append(
                Whole(
                    name=copy.name,
                    content=content,
                    sha256=reader.sha256,
                    modified_ns=copy.file.mtime_ns,
                    replace=copy.replace,
                )
            )
            batch.size += len(content)
        if batch.files:
            yield batch

    def _settle(self, batch: _Batch, storing: Future[list[FileRefused | None]]) -> None:
        arrivals = []
        for copy, whole, refused in zip(batch.files, batch.wholes, storing.result(), strict=True):
            if refused:
                self.done.refused.append((copy.file.path, str(refused)))
            else:
                arrivals.append(arrival(copy.file, copy.name, whole.sha256))
        self._note(arrivals)
        self._sent(batch.size)

    # --- large ones

    def _send_large(self, copy: Copy, there: int) -> None:
        part = part_name(copy.file)
        try:
            self._announce([(copy, copy.file.size)])
            sha256 = self._send_part(copy, part, there)
            self._destination.place(part, copy.name, copy.file.mtime_ns, replace=copy.replace)
        except StillChanging:
            self._destination.discard(part)
            self.done.changing.append(copy.file.path)
        except FileRefused as refused:
            self._destination.discard(part)
            self.done.refused.append((copy.file.path, str(refused)))
        else:
            self._note([arrival(copy.file, copy.name, sha256)])

    def _send_part(self, copy: Copy, part: str, there: int) -> str:
        """Returns the hash of the file, which that of the part is, too. Raises StillChanging, FileRefused."""
        offset = there if there <= copy.file.size else 0
        for attempt in range(_ATTEMPTS):
            reader = Reader(self._root, copy.file)
            self._sent(offset)  # that far it went before
            self._destination.append(part, offset, reader.chunks(offset, self._sent))
            if self._destination.part_digest(part) == reader.sha256:
                return reader.sha256
            if offset == 0 or attempt:
                break
            offset = 0
        raise FileRefused(f"{copy.name} arrived otherwise than it was sent; is the disk there sound?")

    # --- the ledger

    def _announce(self, copies: Iterable[tuple[Copy, int]]) -> None:
        coming = {
            copy.file.path: Coming(destination=copy.name, size=size, modified=seconds(copy.file))
            for copy, size in copies
        }
        self._filelist.note_coming(coming)

    def _note(self, arrivals: Sequence[Arrival]) -> None:
        self._filelist.note_arrived(arrivals)
        self.done.arrived += [each.path for each in arrivals]


def arrival(file: LocalFile, name: str, sha256: str, there_modified: int | None = None) -> Arrival:
    """`there_modified`: where the destination has another time than the file."""
    return Arrival(
        path=file.path,
        size=file.size,
        modified_ns=file.mtime_ns,
        sha256=sha256,
        destination=name,
        there_modified=seconds(file) if there_modified is None else there_modified,
    )


def seconds(file: LocalFile) -> int:
    """When it was changed, as the destination keeps it."""
    return file.mtime_ns // 10**9


def part_name(file: LocalFile) -> str:
    """Another one for each file, and for each content that it ever has."""
    return hashlib.sha256(f"{file.path}\0{file.size}\0{file.mtime_ns}".encode(errors="surrogateescape")).hexdigest()[
        :32
    ]
