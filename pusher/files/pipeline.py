"""SFTP requests, many under way at once, so that a slow line costs one round trip and not one for each."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import paramiko
from paramiko import sftp
from paramiko.message import Message

_PIECE_BYTES = 1 << 15  # as much as every server takes
_LARGE_PIECE_BYTES = 1 << 17  # OpenSSH takes more, which halves the work
_LARGE_PIECES = re.compile(r"SSH-2\.0-OpenSSH_")
_BYTES_UNDER_WAY = 1 << 21  # as wide as the window of OpenSSH is
_UNDER_WAY = 64
_STEPS_UNDER_WAY = 320
_READ_AHEAD = 4
_NOT_OFFERED = 8
_NEW = sftp.SFTP_FLAG_READ | sftp.SFTP_FLAG_WRITE | sftp.SFTP_FLAG_CREATE | sftp.SFTP_FLAG_EXCL

Answer = TypeVar("Answer")
Question = tuple[Any, ...]
Step = tuple[Question, Callable[[int, Message], Answer]]  # a question, and what is made of the answer to it


class Pipeline:
    """The parts of SFTP where paramiko asks one after the other, or does not look at each answer.

    Every method raises what paramiko raises.
    """

    def __init__(self, client: paramiko.SFTPClient, remote_version: str) -> None:
        self._client: Any = client
        self._piece_bytes = _LARGE_PIECE_BYTES if _LARGE_PIECES.match(remote_version) else _PIECE_BYTES
        self._pieces_under_way = _BYTES_UNDER_WAY // self._piece_bytes
        self._answers: dict[int, tuple[int, Message]] = {}

    def states(self, paths: Sequence[str]) -> list[paramiko.SFTPAttributes | None]:
        """Of each what it is, without following a link; None if nothing is seen there."""

        def state(kind: int, message: Message) -> paramiko.SFTPAttributes | None:
            if self._error(kind, message):
                return None
            return paramiko.SFTPAttributes._from_msg(message)  # type: ignore[attr-defined,no-any-return]

        return list(self._asked(((sftp.CMD_LSTAT, encoded(path)) for path in paths), state, _UNDER_WAY))

    def entries(self, path: str) -> Iterator[tuple[str, paramiko.SFTPAttributes]]:
        """What is in a folder, also under names that are not UTF-8."""
        handle = self._handle(*self._answer(self._ask(sftp.CMD_OPENDIR, encoded(path))))
        under_way = deque(self._ask(sftp.CMD_READDIR, handle) for _ in range(_READ_AHEAD))
        ended = False
        while under_way:
            kind, message = self._answer(under_way.popleft())
            try:
                self._check(kind, message)
            except EOFError:  # the one of SFTP: a lost connection raises another error here
                ended = True
                continue
            yield from _names(message)
            if not ended:
                under_way.append(self._ask(sftp.CMD_READDIR, handle))
        self._answer(self._ask(sftp.CMD_CLOSE, handle))

    def read(self, file: paramiko.SFTPFile, size: int) -> Iterator[bytes]:
        """The first `size` bytes, or those that there are."""
        most = self._piece_bytes
        questions = _reads(file.handle, size, most)
        place = 0
        for piece in self._asked(questions, self._piece, self._pieces_under_way):
            yield piece
            place += len(piece)
            wanted = min(-place % most, size - place)
            while wanted and (piece := self._piece(*self._answer(self._ask(*_read(file.handle, place, wanted))))):
                yield piece  # of a server that gives less at a time
                place, wanted = place + len(piece), wanted - len(piece)

    def write(self, file: paramiko.SFTPFile, offset: int, chunks: Iterable[bytes]) -> None:
        """Returns when all of it is written and, where the server can be told to, on its disk."""
        questions = _writes(file.handle, offset, chunks, self._piece_bytes)
        for _ in self._asked(questions, self._check, self._pieces_under_way):
            pass
        self._synced(*self._answer(self._ask(*_sync(file.handle))))

    def write_new(self, files: Sequence[tuple[str, bytes, int]]) -> list[str]:
        """Writes whole files, each a path, its content and its time, to the disk; the SHA-256 of what reads there."""
        begun = ((sftp.CMD_OPEN, encoded(path), _NEW, paramiko.SFTPAttributes()) for path, _, _ in files)
        handles = list(self._asked(begun, self._handle, _UNDER_WAY))
        digests = [hashlib.sha256() for _ in files]
        steps = (
            step
            for handle, digest, (_, content, seconds) in zip(handles, digests, files, strict=True)
            for step in self._write_steps(handle, digest, content, seconds)
        )
        largest = max((len(content) for _, content, _ in files), default=0)
        most = max(self._pieces_under_way, min(_STEPS_UNDER_WAY, _BYTES_UNDER_WAY // max(largest, 1)))
        for _ in self._answered(steps, most):
            pass
        return [digest.hexdigest() for digest in digests]

    def _write_steps(self, handle: bytes, digest: Any, content: bytes, seconds: int) -> Iterator[Step[None]]:
        times = paramiko.SFTPAttributes()
        times.st_atime = times.st_mtime = seconds
        for question in _writes(handle, 0, [content], self._piece_bytes):
            yield question, self._check
        yield _sync(handle), self._synced
        for question in _reads(handle, len(content) + 1, _PIECE_BYTES):
            yield question, lambda *answer: digest.update(self._piece(*answer))
        yield (sftp.CMD_FSETSTAT, handle, times), self._check
        yield (sftp.CMD_CLOSE, handle), self._check

    def rename(self, changes: Sequence[tuple[str, str, bool]]) -> list[OSError | None]:
        """Gives what is at a path another, also one in use if it may be replaced; what was wrong, of each."""
        questions = (
            (sftp.CMD_EXTENDED, "posix-rename@openssh.com", encoded(path), encoded(target))
            if replace
            else (sftp.CMD_RENAME, encoded(path), encoded(target))
            for path, target, replace in changes
        )
        return list(self._asked(questions, self._error, _UNDER_WAY))

    def remove(self, paths: Sequence[str]) -> None:
        """Those that are there."""
        list(self._asked(((sftp.CMD_REMOVE, encoded(path)) for path in paths), self._error, _UNDER_WAY))

    def _asked(
        self, questions: Iterable[Question], taken: Callable[[int, Message], Answer], most: int
    ) -> Iterator[Answer]:
        return self._answered(((question, taken) for question in questions), most)

    def _answered(self, steps: Iterable[Step[Answer]], most: int) -> Iterator[Answer]:
        """What is taken from each answer, in the order of the questions, of which `most` are under way at once."""
        under_way: deque[tuple[int, Callable[[int, Message], Answer]]] = deque()
        for question, taken in steps:
            under_way.append((self._ask(*question), taken))
            if len(under_way) == most:
                number, first = under_way.popleft()
                yield first(*self._answer(number))
        for number, taken in under_way:
            yield taken(*self._answer(number))

    def _ask(self, *question: Any) -> int:
        return int(self._client._async_request(self, *question))

    def _async_response(self, kind: int, message: Message, number: int) -> None:
        """Called by paramiko with each answer to what was asked here."""
        self._answers[number] = kind, message

    def _answer(self, number: int) -> tuple[int, Message]:
        while number not in self._answers:
            self._client._read_response()
        return self._answers.pop(number)

    def _check(self, kind: int, message: Message) -> None:
        if kind == sftp.CMD_STATUS:
            self._client._convert_status(message)

    def _error(self, kind: int, message: Message) -> OSError | None:
        try:
            self._check(kind, message)
        except OSError as error:
            return error
        return None

    def _handle(self, kind: int, message: Message) -> bytes:
        self._check(kind, message)
        return message.get_binary()

    def _synced(self, kind: int, message: Message) -> None:
        if message.get_int() != _NOT_OFFERED:
            message.rewind()
            message.get_int()  # its number
            self._check(kind, message)

    def _piece(self, kind: int, message: Message) -> bytes:
        try:
            self._check(kind, message)
        except EOFError:
            return b""
        return message.get_binary()


def _read(handle: Any, place: int, size: int) -> Question:
    return sftp.CMD_READ, handle, sftp.int64(place), size


def _reads(handle: Any, size: int, most: int) -> Iterator[Question]:
    for place in range(0, size, most):
        yield _read(handle, place, min(most, size - place))


def _sync(handle: Any) -> Question:
    return sftp.CMD_EXTENDED, "fsync@openssh.com", handle


def _writes(handle: Any, offset: int, chunks: Iterable[bytes], most: int) -> Iterator[Question]:
    for chunk in chunks:
        for place in range(0, len(chunk), most):
            piece = chunk[place : place + most]
            yield sftp.CMD_WRITE, handle, sftp.int64(offset), piece
            offset += len(piece)


def _names(message: Message) -> Iterator[tuple[str, paramiko.SFTPAttributes]]:
    for _ in range(message.get_int()):
        name = message.get_binary().decode("utf-8", "surrogateescape")
        message.get_binary()  # as `ls -l` writes it
        state = paramiko.SFTPAttributes._from_msg(message)  # type: ignore[attr-defined]
        if name not in (".", ".."):
            yield name, state


def encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
