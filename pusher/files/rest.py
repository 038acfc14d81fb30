"""Central over HTTP as a destination: the files of a site go into a folder of its own there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TypeVar
from urllib.parse import urlencode, urljoin

import msgspec
import urllib3
import zstandard

import pusher
from pusher.errors import AccessRefused, DestinationUnreachable, FileRefused, Occupied, ProtocolError, PusherError
from pusher.files.destination import Found, Part, Whole
from pusher.transport.answers import cause, retry_after
from pusher.transport.proxy import pool_for
from pusher.wire.batch import CONTENT_ENCODING, MAX_COMPRESSED_BYTES, decode, encode
from pusher.wire.files import (
    CHUNK_BYTES,
    MOST_NAMES,
    OFFSET,
    SENDER,
    Failure,
    FoundFile,
    FoundFiles,
    Line,
    Listed,
    Names,
    Placing,
    SizedParts,
    Stored,
    Storing,
    WholeFile,
    pack_files,
)
from pusher.wire.messages import Problem

_Answer = TypeVar("_Answer", bound=msgspec.Struct)
_TIMEOUT = urllib3.Timeout(connect=10, read=300)
_FILES = "../files/v1/"  # beside /rest/
_FIRST_BYTES = 1 << 20  # of a request, until the line has shown that it is quick
_PIECES = 64  # of a request: each must be out before the timeout of the connection, also where the line is slow
_LEAST_PIECE_BYTES = 16 << 10
_STORE_BYTES = 7 << 20  # of whole files in one request, which goes through then even where nothing can be compressed
_QUICK_SECONDS = 2.0
_TEXT_BYTES = 10_000  # the most that one line, or an error, has to say


class RestDestination:
    """`resturl`: the address of central's `/rest/`. `sender`: letters, digits and . _ -, no dot first."""

    folds_case = False
    windows = False

    def __init__(self, resturl: str, token: str | None, cafile: str | None, sender: str) -> None:
        self._resturl = resturl
        self._base = urljoin(resturl, _FILES)
        self._headers = {
            "User-Agent": f"pusher/{pusher.__version__}",
            "Accept-Encoding": CONTENT_ENCODING,
            SENDER: sender,
        }
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._request_bytes = _FIRST_BYTES
        self._proven: dict[str, str] = {}  # the hash of each part, as central last told it
        with self._reaching():
            self._pool = pool_for(self._base, cert_reqs="CERT_REQUIRED", ca_certs=cafile)

    def find(self, names: Sequence[str]) -> dict[str, Found]:
        found: dict[str, Found] = {}
        for some in _some_of(names):
            answer = self._ask("POST", "find", FoundFiles, encode(Names(names=some)))
            found |= {file.name: _found(file) for file in answer.files}
        return found

    def listing(self) -> Iterator[Found]:
        after: str | None = ""
        while after is not None:
            listed = self._ask("GET", "list?" + urlencode({"after": after}), Listed)
            yield from map(_found, listed.files)
            after = listed.after

    def digests(self, names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
        for some in _some_of(names):
            with self._lines("POST", "digests", encode(Names(names=some))) as lines:
                for name in some:
                    yield name, self._digest(lines)

    def parts(self) -> list[Part]:
        return [Part(name=part.name, size=part.size) for part in self._ask("GET", "parts", SizedParts).parts]

    def append(self, part: str, offset: int, chunks: Iterable[bytes]) -> None:
        self._proven.pop(part, None)
        feed = _Feed(chunks)
        anew = offset == 0  # then also what is empty has to be made
        while feed.more() or anew:
            before, anew = feed.taken, False
            with self._timed():
                headers = self._send("PATCH", f"parts/{part}", feed.some(self._request_bytes), {OFFSET: str(offset)})
            offset += feed.taken - before
            if headers.get(OFFSET) != str(offset):
                raise self._stranger("it does not say how much has come")

    def part_digest(self, part: str) -> str:
        with self._lines("GET", f"parts/{part}/digest") as lines:
            digest = self._digest(lines)
        if digest is None:
            raise self._stranger("it has no hash of a part")
        self._proven[part] = digest
        return digest

    def discard(self, part: str) -> None:
        self._send("DELETE", f"parts/{part}")

    def place(self, part: str, name: str, modified_ns: int, *, replace: bool) -> None:
        if part not in self._proven:
            self.part_digest(part)
        sha256 = self._proven.pop(part)
        placing = Placing(part=part, name=name, modified_ns=modified_ns, sha256=sha256, replace=replace)
        if self._ask("POST", "place", FoundFile, encode(placing)).name != name:
            raise self._stranger("it placed another file")

    def store(self, files: Sequence[Whole]) -> list[FileRefused | None]:
        refused: list[FileRefused | None] = []
        while len(refused) < len(files):
            some = _fitting(files[len(refused) :], min(self._request_bytes, _STORE_BYTES))
            body = pack_files(Storing(files=[_whole(file) for file in some]))
            with self._timed():
                answer = self._ask("POST", "store", Stored, body)
            if len(answer.refused) != len(some):
                raise self._stranger("it stored other files")
            for each in answer.refused:
                kind = Occupied if each and each.occupied else FileRefused
                refused.append(kind(f"central: {each.reason}") if each else None)
        return refused

    def close(self) -> None:
        self._pool.clear()

    # ---

    def _ask(self, method: str, path: str, form: type[_Answer], body: bytes = b"") -> _Answer:
        with self._answer(method, path, *_in_pieces(body)) as answer:
            content = answer.read(MAX_COMPRESSED_BYTES + 1, decode_content=False)
        if answer.headers.get("Content-Encoding") != CONTENT_ENCODING:
            raise self._stranger("its answer is of another kind")
        return decode(content, form)

    def _send(
        self, method: str, path: str, body: Iterable[bytes] | None = None, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, str]:
        """Returns the headers of an answer that has nothing else."""
        with self._answer(method, path, body, headers or {}) as answer:
            answer.read(_TEXT_BYTES, decode_content=False)
        if answer.status != 204:
            raise self._stranger("its answer is of another kind")
        return answer.headers

    @contextmanager
    def _lines(self, method: str, path: str, body: bytes = b"") -> Iterator[Iterator[bytes]]:
        """An answer that comes line by line, some of them empty: then central is still at it."""
        pieces, headers = _in_pieces(body)
        with self._answer(method, path, pieces, {**headers, "Accept-Encoding": "identity"}) as answer:
            lines = self._split(answer)
            yield lines
            next(lines, None)  # to the end, so that the connection can be used again

    def _split(self, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        rest = b""
        for piece in answer.stream(_TEXT_BYTES, decode_content=False):
            *lines, rest = (rest + piece).split(b"\n")
            yield from filter(None, lines)
            if len(rest) > _TEXT_BYTES:
                raise self._stranger("its answer is of another kind")

    def _digest(self, lines: Iterator[bytes]) -> str | None:
        digest: str | Failure | None
        try:
            digest = msgspec.json.decode(next(lines, b""), type=Line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise self._stranger("its answer is of another kind") from error
        if isinstance(digest, Failure):
            raise DestinationUnreachable(f"central at {self._resturl}: {digest.detail}")
        return digest

    @contextmanager
    def _answer(
        self, method: str, path: str, body: Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        with self._reaching():
            answer = self._pool.request(
                method,
                self._base + path,
                body=body,
                headers={**self._headers, **headers},
                timeout=_TIMEOUT,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            with closing(answer):
                if answer.status not in (200, 204):
                    raise self._failure(answer, answer.read(_TEXT_BYTES, decode_content=False))
                yield answer

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """The next request is larger where one goes quickly: what a line drops in its midst has to come again."""
        began = time.monotonic()
        yield
        if time.monotonic() - began < _QUICK_SECONDS:
            self._request_bytes = min(2 * self._request_bytes, CHUNK_BYTES)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DestinationUnreachable(
                f"central at {self._resturl} cannot be reached: {cause(error)}; is the address right, and is it up?"
            ) from error

    def _failure(self, answer: urllib3.BaseHTTPResponse, content: bytes) -> PusherError:
        status, detail = answer.status, _detail(answer, content)
        where = f"central at {self._resturl}"
        if status in (401, 403) or (status == 404 and detail):
            return AccessRefused(f"{where} refuses: {detail or 'the token is not accepted'}")
        if status in (408, 429) or status >= 500 or (status == 409 and OFFSET in answer.headers):
            error = DestinationUnreachable(f"{where}: {detail or f'HTTP {status}'}")
            error.retry_after_seconds = retry_after(answer)
            return error
        if detail and status in (409, 422):
            return (Occupied if status == 409 else FileRefused)(f"central: {detail}")
        if detail and status in (400, 413):
            return ProtocolError(f"{where} did not understand: {detail}")
        moved = answer.headers.get("Location")
        return self._stranger(f"HTTP {status}" + (f", it points to {moved}" if moved else ""))

    def _stranger(self, why: str) -> DestinationUnreachable:
        return DestinationUnreachable(
            f"what answers at {self._resturl} is not a pusher central that takes files: {why}; correct the address"
        )


class _Feed:
    """Chunks of any size, handed on in pieces. `taken`: the bytes that are out."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self.taken = 0

    def more(self) -> bool:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._rest = memoryview(chunk)
        return True

    def some(self, most_bytes: int) -> Iterator[bytes]:
        end, piece_bytes = self.taken + most_bytes, max(most_bytes // _PIECES, _LEAST_PIECE_BYTES)
        while self.taken < end and self.more():
            size = min(piece_bytes, end - self.taken)
            piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
            self.taken += len(piece)
            yield piece


def _in_pieces(body: bytes) -> tuple[Iterable[bytes] | None, dict[str, str]]:
    """A body, and the headers that belong to it."""
    if not body:
        return None, {}
    return _Feed([body]).some(len(body)), {"Content-Encoding": CONTENT_ENCODING, "Content-Length": str(len(body))}


def _some_of(names: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), MOST_NAMES):
        yield list(names[start : start + MOST_NAMES])


def _fitting(files: Sequence[Whole], most_bytes: int) -> Sequence[Whole]:
    """The first few that go into one request, one at least."""
    size = 0
    for number, file in enumerate(files[:MOST_NAMES]):
        size += len(file.content)
        if number and size > most_bytes:
            return files[:number]
    return files[:MOST_NAMES]


def _whole(file: Whole) -> WholeFile:
    return WholeFile(
        name=file.name,
        content=file.content,
        modified_ns=file.modified_ns,
        sha256=file.sha256,
        replace=file.replace,
    )


def _found(file: FoundFile) -> Found:
    return Found(name=file.name, size=file.size, modified=file.modified)


def _detail(answer: urllib3.BaseHTTPResponse, content: bytes) -> str:
    """What an error says; nothing if it is no pusher that says it."""
    try:
        if answer.headers.get("Content-Encoding") == CONTENT_ENCODING:
            content = zstandard.ZstdDecompressor().stream_reader(content).read(_TEXT_BYTES)
        return msgspec.json.decode(content, type=Problem).detail
    except (msgspec.MsgspecError, UnicodeError, zstandard.ZstdError):
        return ""
