"""Long answers over /rest/: compressed on their way, broken off where they cannot be whole, ended with the client."""

from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
import sqlalchemy as sa
import zstandard

from models import Base, House, RoomType
from pusher.rest import selection, streaming, tables
from pusher.rest.streaming import Look
from pusher.schema import reading
from pusher.schema.engine import opened
from tests.conftest import DIALECTS, NewDatabase
from tests.http_central import MESSAGES, Central, bearer, central_over
from tests.servers import DatabaseServer
from tests.stage import wait_until

_HOUSES = 12_000
_LONG = {  # what runs for a minute, or for ever
    "mariadb": "select sleep(60)",
    "postgresql": "select pg_sleep(60)",
    "sqlite": "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n",
}


@pytest.fixture(scope="module", params=DIALECTS)
def central(
    request: pytest.FixtureRequest,
    servers: Callable[[str], DatabaseServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Central]:
    db = (
        f"sqlite:///{tmp_path_factory.mktemp('central') / 'central.db'}"
        if request.param == "sqlite"
        else servers(request.param).new_database()
    )
    with central_over(db) as found:
        tables_ = Base.metadata.tables
        houses = [{"id": number, "address": f"{number} High St {'x' * 200}"} for number in range(1, _HOUSES + 1)]
        found.insert(tables_[House.__tablename__], *houses)
        found.insert(tables_[RoomType.__tablename__], {"id": 1, "name": "Loft"})
        yield found


def raw(central: Central, path: str, encoding: str | None, **headers: str) -> tuple[requests.Response, bytes]:
    """The answer and its body as it was sent."""
    sent = bearer(central.token(scope="read")) | {"Accept-Encoding": encoding or "identity"} | headers
    with requests.get(central.resturl + path, headers=sent, stream=True, timeout=60) as answer:
        return answer, answer.raw.read(decode_content=False)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("zstd, gzip", "zstd"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("gzip;q=0, zstd;q=0, *", None),
        ("*", "zstd"),
        ("*;q=0.5, zstd;q=0", "gzip"),
        ("br, deflate", None),
        ("GZIP", "gzip"),
        ("identity, gzip;q=0.5", None),
        (None, None),
    ],
)
def test_an_answer_is_compressed_as_the_client_likes(
    central: Central, accepted: str | None, encoding: str | None
) -> None:
    for path in ("house/?id__lte=100", "house/?limit=100"):
        plain = raw(central, path, None)[1]
        answer, body = raw(central, path, accepted)
        assert answer.headers.get("Content-Encoding") == encoding
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
        if "limit" in path:
            assert int(answer.headers["Content-Length"]) == len(body)
        assert opened_up(body, encoding) == plain
        assert encoding is None or len(body) < len(plain) / 5


def opened_up(body: bytes, encoding: str | None) -> bytes:
    if encoding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return gzip.decompress(body) if encoding else body


def test_what_is_small_or_compressed_already_is_left_alone(central: Central) -> None:
    for path in ("roomtype/", "roomtype/?limit=1", "nothing/"):
        assert "Content-Encoding" not in raw(central, path, "gzip")[0].headers
    answer = central.post("hello", MESSAGES["hello"], bearer(central.token()) | {"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "zstd"
    assert "Vary" not in answer.headers


@pytest.mark.parametrize("encoding", [None, "gzip", "zstd"])
def test_parts_arrive_one_by_one(central: Central, encoding: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    _each_part_but_the_first(monkeypatch, lambda: held.wait(30))
    sent = bearer(central.token(scope="read")) | {"Accept-Encoding": encoding or "identity"}
    with requests.get(central.resturl + "house/?sort=-id", headers=sent, stream=True, timeout=60) as answer:
        parts = answer.raw.stream(decode_content=False)
        first = next(parts)
        assert b'"id":12000,' in begun(first, encoding)
        held.set()
        body = first + b"".join(parts)
    assert len(json.loads(opened_up(body, encoding))) == _HOUSES


def begun(body: bytes, encoding: str | None) -> bytes:
    """What can be read of a part."""
    if encoding == "gzip":
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(body)
    return opened_up(body, encoding)


def _each_part_but_the_first(monkeypatch: pytest.MonkeyPatch, before: Callable[[], object]) -> None:
    calls: list[int] = []

    def held_back(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            before()
        return reading.plain_columns(*arguments)

    monkeypatch.setattr(selection, "plain_columns", held_back)


@pytest.mark.parametrize("encoding", [None, "gzip", "zstd"])
@pytest.mark.parametrize("form", ["json", "csv", "ndjson"])
def test_an_error_on_the_way_breaks_the_answer_off(
    central: Central, form: str, encoding: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise sa.exc.OperationalError("", None, Exception("the disk is gone"))

    _each_part_but_the_first(monkeypatch, fail)
    sent = bearer(central.token(scope="read")) | {"Accept-Encoding": encoding or "identity"}
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(f"{central.resturl}house.{form}", headers=sent, timeout=60)


def test_an_error_before_it_has_a_status(central: Central, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise sa.exc.OperationalError("", None, Exception("the disk is gone"))

    monkeypatch.setattr(selection, "plain_columns", fail)
    for path in ("house/", "house/?limit=5"):
        assert raw(central, path, None)[0].status_code == 503


def test_a_client_that_goes_away_ends_the_query(central: Central, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Look] = []

    class Noted(Look):
        def __init__(self, engine: sa.Engine) -> None:
            super().__init__(engine)
            looks.append(self)

    monkeypatch.setattr(tables, "Look", Noted)
    looked, held = threading.Event(), threading.Event()
    for path in ("house/", "house/?sort=address"):
        looked.clear()
        _each_part_but_the_first(monkeypatch, lambda: looked.wait(10) and held.wait(0.5))
        sent = bearer(central.token(scope="read"))
        with requests.get(central.resturl + path, headers=sent, stream=True, timeout=60) as answer:
            assert next(answer.iter_content(1000))
            assert looks[-1]._connection is not None
            looked.set()
        wait_until(lambda: looks[-1]._connection is None, 10)
    held.set()
    assert len(central.get("house/?fields=id", central.token(scope="read")).json()) == _HOUSES


def test_what_the_database_is_doing_is_ended(dialect: str, new_database: NewDatabase) -> None:
    with opened(new_database(dialect)) as engine:
        look = Look(engine)
        timer = threading.Timer(0.5, look.stop)
        timer.start()
        began = time.monotonic()
        with suppress(Exception), look.connected(snapshot=True) as connection:
            connection.exec_driver_sql(_LONG[dialect]).all()
        assert time.monotonic() - began < 20
        timer.join()
        with pytest.raises(streaming.Stopped), look.connected(snapshot=False):
            pass
        with engine.connect() as connection:  # the pool is as it was
            assert connection.scalar(sa.select(1)) == 1
