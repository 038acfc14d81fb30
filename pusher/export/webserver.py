"""The web server of questionnaires, over HTTP: what it is asked, how long that may take, and what its errors mean."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlencode

import urllib3

import pusher
from pusher.config import Location
from pusher.errors import AccessRefused, ConfigError, ProtocolError, PusherError, SourceUnreachable
from pusher.export.answers import Answer, Number, rows_of
from pusher.transport.answers import cause, retry_after
from pusher.transport.proxy import pool_for

LINES = 4  # rows that are deleted at once
_MOST_BYTES = 256 << 20
_READ_BYTES = 1 << 16
_ERROR_BYTES = 10_000
_LEAST_BYTES = 256  # in as long as an answer is waited for
_TRIES = 3
_PAUSE_SECONDS = 0.5
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """`size`: how many rows the server says that it has."""

    name: str
    size: int
    deleteable: bool


class Forbidden(Exception):
    """The server allows no deleting in this scale."""


class NotDeleted(Exception):
    """A row that the server did not delete now."""


class WebServer:
    """Safe to use from several threads. `asked_at`: the server's own clock at its last answer, UTC."""

    def __init__(self, location: Location, sleep: Callable[[float], None] = time.sleep) -> None:
        """Raises ConfigError if the location is of another kind."""
        settings = location.export
        if settings is None:
            raise ConfigError([f"[{location.name}] is no location to export from; its kind is {location.kind}"])
        self._url = settings.url
        self._sleep = sleep
        self._headers = {"User-Agent": f"pusher/{pusher.__version__}", "Accept": "application/json"}
        if settings.user is not None:
            login = f"{settings.user}:{settings.password.reveal() if settings.password else ''}"
            self._headers |= urllib3.make_headers(basic_auth=login)
        self._timeout_seconds = settings.timeout_seconds
        self._timeout = urllib3.Timeout(
            connect=min(settings.timeout_seconds, _CONNECT_SECONDS), read=settings.timeout_seconds
        )
        self.asked_at: dt.datetime | None = None
        cafile = str(location.cafile) if location.cafile else None
        with self._reaching():
            self._pool = pool_for(self._url, maxsize=LINES, cert_reqs="CERT_REQUIRED", ca_certs=cafile)

    def close(self) -> None:
        self._pool.clear()

    def scales(self) -> list[Scale]:
        """All that the server has. Asking it also tells it that somebody exports."""
        found = [_scale(answer) for answer in self._rows("export/", numbered=True)]
        if len({scale.name for scale in found}) < len(found):
            raise ProtocolError(f"{self._url}export/ names a scale twice; ask its administrator")
        return found

    def rows(self, scale: str, after: dt.datetime | None = None) -> list[Answer]:
        """`after`: only those that are newer, by the server's clock, UTC; else all."""
        query = "?" + urlencode({"after": f"{after:%Y-%m-%d-%H-%M-%S}"}) if after else ""
        return self._rows(f"export/{quote(scale, safe='')}{query}")

    def study(self) -> list[Answer]:
        """The schedule: each study is a row, numbered by its place."""
        return self._rows("study", numbered=True)

    def delete(self, scale: str, number: int) -> None:
        """A row that is gone already is no error. Raises Forbidden, NotDeleted, AccessRefused."""
        try:
            with self._answer("DELETE", f"export/{quote(scale, safe='')}/{number}") as answer:
                status, content = answer.status, self._content(answer, _ERROR_BYTES)
        except SourceUnreachable as error:
            raise NotDeleted(str(error)) from error
        if status == 403:
            raise Forbidden
        if status == 401:
            raise self._refused()
        if status not in (200, 202, 204, 404, 410):
            raise NotDeleted(f"HTTP {status}")
        if status == 200 and content.lstrip()[:1] == b"<":
            raise NotDeleted("an HTML page came as the answer")

    def _rows(self, path: str, *, numbered: bool = False) -> list[Answer]:
        """Tries more than once: a line that breaks off is no rarity."""
        for attempt in range(1, _TRIES + 1):
            try:
                return rows_of(self._get(path), numbered=numbered)
            except ProtocolError as error:
                fault: PusherError = ProtocolError(
                    f"the answer of {self._url}{path} cannot be used: {error}; nothing of it was taken"
                )
                fault.__cause__ = error
            except SourceUnreachable as error:
                if error.retry_after_seconds:
                    raise
                fault = error
            if attempt < _TRIES:
                self._sleep(_PAUSE_SECONDS * attempt)
        raise fault

    def _get(self, path: str) -> bytes:
        with self._answer("GET", path) as answer:
            if answer.status != 200:
                raise self._failure(path, answer)
            self.asked_at = _moment(answer.headers.get("Date"))
            content = self._content(answer, _MOST_BYTES)
            if len(content) > _MOST_BYTES:
                raise ProtocolError(f"it is longer than {_MOST_BYTES >> 20} MB")
            return content

    def _content(self, answer: urllib3.BaseHTTPResponse, most: int) -> bytes:
        """All of it, or a little more than `most` bytes."""
        content, seen, since = bytearray(), 0, time.monotonic()
        while len(content) <= most and (chunk := answer.read1(_READ_BYTES, decode_content=True)):
            content += chunk
            if time.monotonic() - since > self._timeout_seconds:
                if len(content) - seen < _LEAST_BYTES:
                    raise SourceUnreachable(f"{self._url} sends next to nothing; is the network up?")
                seen, since = len(content), time.monotonic()
        return bytes(content)

    @contextmanager
    def _answer(self, method: str, path: str) -> Iterator[urllib3.BaseHTTPResponse]:
        with self._reaching():
            answer = self._pool.request(
                method,
                self._url + path,
                headers=self._headers,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            with closing(answer):
                yield answer

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceUnreachable(f"{self._url} cannot be reached: {cause(error)}; is the network up?") from error

    def _failure(self, path: str, answer: urllib3.BaseHTTPResponse) -> PusherError:
        status = answer.status
        if status in (401, 403):
            return self._refused(status)
        if status == 429 or status >= 500:
            error = SourceUnreachable(f"{self._url}{path}: HTTP {status}; it is tried again")
            error.retry_after_seconds = retry_after(answer)
            return error
        what = "leads elsewhere; correct url" if 300 <= status < 400 else "is not there; is url right?"
        return ProtocolError(f"{what} (HTTP {status})")

    def _refused(self, status: int = 401) -> AccessRefused:
        return AccessRefused(
            f"{self._url} does not let us in (HTTP {status}); correct user and password, "
            "or give the account the role ADMIN"
        )


def _scale(answer: Answer) -> Scale:
    name, size = answer.values.get("name"), answer.values.get("size")
    if not isinstance(name, str):
        raise ProtocolError("the list of scales names none; is url right?")
    return Scale(
        name=name,
        size=int(size) if isinstance(size, Number) and size.isdecimal() else 0,
        deleteable=answer.values.get("deleteable") is True,
    )


def _moment(text: str | None) -> dt.datetime | None:
    """The server's own time, None if it does not tell it."""
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)
