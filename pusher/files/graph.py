"""Microsoft Graph over HTTP: requests that carry a token, answers that are bounded, and what its errors mean here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from io import BytesIO
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
import urllib3

import pusher
from pusher.errors import AccessRefused, DestinationUnreachable, FileRefused, Occupied, PusherError
from pusher.transport.answers import cause, retry_after
from pusher.transport.proxy import pool_for

GRAPH_URL = "https://graph.microsoft.com/v1.0"
LINES = 4  # requests under way at once; a site that is asked for more than a few is throttled
_Answer = TypeVar("_Answer", bound=msgspec.Struct)
_DONE = (200, 201, 202, 204)
_GONE = (404, 410)
_ELSEWHERE = (301, 302, 303, 307, 308)
_ANSWER_BYTES = 8 << 20
_ERROR_BYTES = 10_000
_READ_BYTES = 1 << 20
_NO_HEADERS: Mapping[str, str] = {}


class Hashes(msgspec.Struct, rename={"sha256": "sha256Hash", "quick_xor": "quickXorHash"}):
    sha256: str | None = None
    quick_xor: str | None = None


class Content(msgspec.Struct):
    hashes: Hashes | None = None


class Times(msgspec.Struct, rename={"modified": "lastModifiedDateTime"}):
    modified: str | None = None


class Folder(msgspec.Struct, rename="camel"):
    child_count: int = 0


class Item(msgspec.Struct, rename={"times": "fileSystemInfo"}):
    """A driveItem: a file if it has `file`, a folder if it has `folder`."""

    id: str
    name: str = ""
    size: int = 0
    file: Content | None = None
    folder: Folder | None = None
    times: Times | None = None


class Items(msgspec.Struct, rename={"next": "@odata.nextLink"}):
    value: list[Item]
    next: str | None = None


class Uploading(msgspec.Struct, rename={"address": "uploadUrl", "missing": "nextExpectedRanges"}):
    """An upload session. `missing`: ranges of bytes that it waits for, such as 26-, the first one first."""

    address: str = ""
    missing: list[str] = []


class _Said(msgspec.Struct):
    message: str = ""


class _Failure(msgspec.Struct):
    error: _Said


class Gone(Exception):
    """What was asked for is not there, or its address, which was its own permission, has run out."""


class Graph:
    """`token` gives a bearer token, at each request. `where`: what a person calls the place, for errors."""

    def __init__(
        self, base_url: str, token: Callable[[], str], where: str, *, connect_seconds: float, read_seconds: float
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._token = token
        self.where = where
        self._timeout = urllib3.Timeout(connect=connect_seconds, read=read_seconds)
        with self._reaching():
            self._pool = pool_for(self._base_url, maxsize=LINES, cert_reqs="CERT_REQUIRED")

    def get(self, path: str, form: type[_Answer], what: str) -> _Answer:
        """`path`: below the address of the service, or an address that it gave. Raises Gone."""
        return self._ask("GET", path, form, what)

    def find(self, path: str, what: str) -> Item | None:
        try:
            return self.get(path, Item, what)
        except Gone:
            return None

    def send(self, method: str, path: str, message: object, form: type[_Answer], what: str) -> _Answer:
        """Raises Gone, and Occupied where something has that name."""
        body = msgspec.json.encode(message)
        return self._ask(method, path, form, what, body, {"Content-Type": "application/json"})

    def put(self, path: str, content: bytes, what: str) -> Item:
        """The content of a small file."""
        return self._ask("PUT", path, Item, what, content, {"Content-Type": "application/octet-stream"})

    def delete(self, path: str, what: str) -> None:
        try:
            with self._answer("DELETE", self._url(path), what, headers=self._signed()):
                pass
        except Gone:
            pass

    def content(self, path: str, what: str) -> Iterator[bytes]:
        """Of a file, in pieces. Raises Gone before the first."""
        with self._answer("GET", self._url(path), what, headers=self._signed(), ok=(*_DONE, *_ELSEWHERE)) as answer:
            if answer.status not in _ELSEWHERE:
                yield from answer.stream(_READ_BYTES, decode_content=False)
                return
            elsewhere = self._checked(answer.headers.get("Location", ""))
        with self._answer("GET", elsewhere, what) as answer:  # the address is its own permission
            yield from answer.stream(_READ_BYTES, decode_content=False)

    # --- an upload session, whose address is its own permission: a token with it would be refused

    def waits_for(self, address: str, what: str) -> int:
        """The first byte that an upload session does not have. Raises Gone."""
        with self._answer("GET", self._checked(address), what) as answer:
            return self._first_missing(self._decoded(answer, Uploading))

    def put_range(self, address: str, chunk: bytes, offset: int, total: int, what: str) -> Item | None:
        """Returns the file if that was the last of it. Raises Gone if there is no such session any more."""
        end = offset + len(chunk)
        headers = {"Content-Range": f"bytes {offset}-{end - 1}/{total}"}
        with self._answer("PUT", self._checked(address), what, chunk, headers) as answer:
            if answer.status != 202:
                return self._decoded(answer, Item)
            if self._first_missing(self._decoded(answer, Uploading)) != end:
                raise self._stranger("it waits for other bytes than the next ones")
            return None

    def cancel(self, address: str, what: str) -> None:
        try:
            with self._answer("DELETE", self._checked(address), what):
                pass
        except Gone:
            pass

    def close(self) -> None:
        self._pool.clear()

    # ---

    def _ask(
        self,
        method: str,
        path: str,
        form: type[_Answer],
        what: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> _Answer:
        with self._answer(method, self._url(path), what, body, {**headers, **self._signed()}) as answer:
            return self._decoded(answer, form)

    def _signed(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token()}"}

    def _url(self, path: str) -> str:
        """The token goes to the service alone, whatever address an answer gives."""
        if path.startswith(f"{self._base_url}/"):
            return path
        if "://" in path:
            raise self._stranger("it points elsewhere for more")
        return self._base_url + path

    def _checked(self, address: str) -> str:
        if urlsplit(address).scheme != urlsplit(self._base_url).scheme:
            raise self._stranger("it gives no address, or one that is not safe")
        return address

    @contextmanager
    def _answer(
        self,
        method: str,
        url: str,
        what: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        ok: tuple[int, ...] = _DONE,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        head = {"User-Agent": f"pusher/{pusher.__version__}", "Accept-Encoding": "identity", **headers}
        if body is not None:
            head["Content-Length"] = str(len(body))
        with self._reaching():
            answer = self._pool.request(
                method,
                url,
                # A file is sent in small pieces: each must be out before the timeout, also where the line is slow.
                body=None if body is None else BytesIO(body),
                headers=head,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            with closing(answer):
                if answer.status not in ok:
                    content = answer.read(_ERROR_BYTES, decode_content=False)
                    if answer.status in _GONE or ("Authorization" not in head and answer.status in (401, 403)):
                        raise Gone(f"{what} at {self.where}")
                    raise self._failure(answer, content, what)
                yield answer
                answer.read(_ERROR_BYTES, decode_content=False)  # to the end, so that the connection can be used again

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DestinationUnreachable(
                f"{self.where} cannot be reached: {cause(error)}; is the network up?"
            ) from error

    def _decoded(self, answer: urllib3.BaseHTTPResponse, form: type[_Answer]) -> _Answer:
        content = answer.read(_ANSWER_BYTES + 1, decode_content=False)
        try:
            if len(content) > _ANSWER_BYTES:
                raise self._stranger("its answer is too long")
            return msgspec.json.decode(content, type=form)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise self._stranger("its answer is of another kind") from error

    def _first_missing(self, uploading: Uploading) -> int:
        start = uploading.missing[0].partition("-")[0] if uploading.missing else ""
        if not start.isdecimal():
            raise self._stranger("it does not say how much has come")
        return int(start)

    def _failure(self, answer: urllib3.BaseHTTPResponse, content: bytes, what: str) -> PusherError:
        status = answer.status
        why = _message(content) or f"HTTP {status}"
        place = f"{what} at {self.where}"
        if status == 401:
            return AccessRefused(f"{self.where} does not take our token: {why}; correct tenant and client_id")
        if status == 403:
            return AccessRefused(f"{place}: {why}; give the application the role write on this site")
        if status == 409:
            return Occupied(f"{place} is there already")
        if status == 423:
            return FileRefused(f"{place} is locked: {why}; close it there")
        if status in (400, 413, 414):
            return FileRefused(f"{place} is not taken: {why}; rename the file, or use exclude")
        if status == 507:
            return DestinationUnreachable(f"no room at {self.where}: {why}; free some")
        if status in (408, 412, 416, 429) or status >= 500:
            error = DestinationUnreachable(f"{place}: {why}; it is tried again")
            error.retry_after_seconds = retry_after(answer)
            return error
        return self._stranger(f"HTTP {status}")

    def _stranger(self, why: str) -> DestinationUnreachable:
        return DestinationUnreachable(
            f"what answers for {self.where} is not Microsoft Graph: {why}; is there a proxy in between?"
        )


def _message(content: bytes) -> str:
    try:
        return " ".join(msgspec.json.decode(content, type=_Failure).error.message.split())[:300].rstrip(". ")
    except (msgspec.MsgspecError, UnicodeError):
        return ""
