"""Central over HTTP: who may what, the tables for anybody to look at, and what leaks."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest
import requests
import sqlalchemy as sa
import urllib3

from models import Base, House, Node, Reading, RoomType, SensorType
from pusher.central.tokens import list_tokens, revoke_token
from pusher.errors import AccessRefused, CentralUnreachable, ProtocolError
from pusher.schema.engine import opened
from pusher.transport import rest
from pusher.transport.rest import RestCentral
from pusher.wire.batch import CONTENT_TYPE, decode
from pusher.wire.messages import Welcome
from tests.conftest import NewDatabase
from tests.http_central import HELLO, MESSAGES, Central, bearer, central_over, detail, hello
from tests.stage import CentralService


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    """One for all tests, which therefore count on nothing but what they put there."""
    with central_over(f"sqlite:///{tmp_path_factory.mktemp('central') / 'central.db'}") as found:
        yield found


# --- tokens ---


def test_a_valid_token_opens(central: Central) -> None:
    answer = central.post("hello", hello(), bearer(central.token()))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, CONTENT_TYPE)
    assert decode(answer.raw.read(), Welcome).dialect == "sqlite"
    assert list_tokens(central.engine)[-1].last_used is not None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer pusher_no-such-key"},
        {"Authorization": "Basic bm8tY29sb24="},
        {"Authorization": "Basic *"},
        {"Authorization": "Digest x"},
        {"Authorization": "Bearer \xe9"},
    ],
)
def test_no_token_or_a_wrong_one_gets_401(central: Central, headers: dict[str, str]) -> None:
    for answer in (
        central.post("hello", hello(), headers),
        requests.get(central.resturl + "house/", headers=headers, timeout=30),
    ):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "pusher token new" in detail(answer)


def test_a_revoked_token_fails_at_once(central: Central) -> None:
    token = central.token()
    assert central.post("hello", hello(), bearer(token)).status_code == 200
    revoke_token(central.engine, list_tokens(central.engine)[-1].id)
    answer = central.post("hello", hello(), bearer(token))
    assert answer.status_code == 401
    assert "revoked" in detail(answer)
    assert central.get("house/", token).status_code == 401


@pytest.mark.parametrize("name", ["hello", "resolve", "push", "entities", "report"])
def test_a_site_writes_only_as_itself(central: Central, name: str) -> None:
    reader, other = central.token(scope="read"), central.token("south")
    body = MESSAGES[name]
    for token, reason in ((reader, "only read"), (other, "site south, not to north")):
        answer = central.post(name, body, bearer(token))
        assert answer.status_code == 403
        assert reason in detail(answer)
    assert central.get("deployment/", reader).json() == []


def test_an_old_client_gives_the_token_as_password(central: Central) -> None:
    token = central.token("south")
    resturl = central.resturl.replace("://", f"://north:{token}@")
    assert requests.get(resturl + "deployment/", timeout=30).json() == []
    basic = base64.b64encode(f"south:{token}".encode()).decode()
    assert central.post("hello", hello("south"), {"Authorization": f"Basic {basic}"}).status_code == 200
    assert central.post("hello", hello("north"), {"Authorization": f"Basic {basic}"}).status_code == 403


# --- the tables ---

KINDS = sa.Table(
    "Kinds",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.TIMESTAMP(timezone=True)),
    sa.Column("day", sa.Date),
    sa.Column("amount", sa.Numeric(8, 3)),
    sa.Column("raw", sa.LargeBinary),
    sa.Column("local time", sa.DateTime),
)


def test_every_kind_of_value_as_an_old_client_reads_it(dialect: str, new_database: NewDatabase) -> None:
    moment = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    with central_over(new_database(dialect)) as central:
        KINDS.create(central.engine)
        central.insert(
            KINDS,
            {"id": 1, "at": moment, "day": moment.date(), "amount": 2.5, "raw": b"\0\xff", "local time": None},
            {"id": 2, "at": None, "day": None, "amount": None, "raw": None, "local time": datetime(2026, 1, 1)},
        )
        central.insert(table_of(SensorType), {"id": 0, "name": None, "c0": 0.1})
        central.insert(table_of(Node), {"id": 37})
        central.insert(
            table_of(Reading),
            {"time": datetime(2026, 1, 1, 0, 0, 0, 250_000), "nodeId": 37, "type": 0, "value": 1e-7},
        )
        token = central.token(scope="read")
        one, two = central.get("kinds/", token).json()
        (sensor_type,) = central.get("SENSORTYPE/", token).json()
        (reading,) = central.get("reading/", token).json()
    assert one | {"amount": float(one["amount"])} == {
        "__table__": "Kinds",
        "id": 1,
        "at": "2026-03-29T01:30:00",
        "day": "2026-03-29",
        "amount": 2.5,
        "raw": "AP8=",
        "local time": None,
    }
    assert two == dict.fromkeys(one) | {"__table__": "Kinds", "id": 2, "local time": "2026-01-01T00:00:00"}
    assert (sensor_type["__table__"], sensor_type["name"], sensor_type["c0"]) == ("SensorType", None, 0.1)
    assert reading | {"time": datetime.fromisoformat(reading["time"])} == {
        "__table__": "Reading",
        "time": datetime(2026, 1, 1, 0, 0, 0, 250_000),
        "nodeId": 37,
        "type": 0,
        "locationId": None,
        "value": 1e-7,
    }


def table_of(model: type[Base]) -> sa.Table:
    return Base.metadata.tables[model.__tablename__]


def test_a_table_by_its_name_in_any_case(central: Central) -> None:
    central.insert(table_of(RoomType), {"id": 2, "name": "Loft"}, {"id": 1, "name": "Wet Room"})
    for name in ("roomtype", "RoomType", "ROOMTYPE"):
        answer = central.get(f"{name}/", central.token())
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json() == [
            {"__table__": "RoomType", "id": 1, "name": "Wet Room"},
            {"__table__": "RoomType", "id": 2, "name": "Loft"},
        ]


@pytest.mark.parametrize("name", ["nothing", "pusher_token", "sqlite_master", "Ro%6Fm%00", "%F0%9F%8C%A1"])
def test_what_is_no_table_gets_404(central: Central, name: str) -> None:
    answer = central.get(f"{name}/", central.token())
    assert answer.status_code == 404
    assert "no table" in detail(answer)


def test_another_method_or_address_is_a_problem_too(central: Central) -> None:
    answer = requests.delete(central.resturl + "house/", headers=bearer(central.token()), timeout=30)
    assert answer.status_code == 405
    assert detail(answer)
    answer = central.get("../nothing", central.token())
    assert answer.status_code == 404
    assert detail(answer)


def test_a_large_table_comes_in_parts(central: Central) -> None:
    houses = [{"id": number, "address": f"{number} High St"} for number in range(1, 10_001)]
    central.insert(table_of(House), *houses)
    headers = bearer(central.token(scope="read"))
    with requests.get(central.resturl + "house/", headers=headers, stream=True, timeout=30) as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        parts = list(answer.iter_content(chunk_size=None))
    assert len(parts) > 2
    assert [house["address"] for house in json.loads(b"".join(parts))] == [house["address"] for house in houses]


# --- what a site makes of it ---


def test_the_token_counts_and_not_a_password_in_netrc(
    central: Central, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert requests.get(central.resturl + "house/", timeout=30).status_code == 401
    with closing(RestCentral(central.resturl, central.token())) as way:
        assert way.hello(HELLO).dialect == "sqlite"


class Slow(BaseHTTPRequestHandler):
    """Takes what comes bit by bit, as a slow line does, and is busy then."""

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        super().setup()

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 18)))
            time.sleep(0.03)
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_slow_line_has_the_time_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout is for a line on which nothing goes."""
    monkeypatch.setattr(rest, "_TIMEOUT", urllib3.Timeout(connect=0.3, read=30))
    large = msgspec.structs.replace(HELLO, hostname=os.urandom(6 << 20).hex())
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            way = RestCentral(f"http://127.0.0.1:{server.server_port}/rest/", "key")
            began = time.monotonic()
            with closing(way), pytest.raises(CentralUnreachable, match="HTTP 503"):
                way.hello(large)
            assert time.monotonic() - began > 0.6
        finally:
            server.shutdown()
            thread.join()


class Sulky(BaseHTTPRequestHandler):
    """Answers with the status that the address names, as a proxy before central may."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_what_a_proxy_says_is_understood() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Sulky) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            for status, error, words in (
                (401, AccessRefused, "the token is not accepted"),
                (413, ProtocolError, "lower pushlimit"),
                (429, CentralUnreachable, "HTTP 429"),
                (502, CentralUnreachable, "HTTP 502"),
                (599, CentralUnreachable, "HTTP 599"),
            ):
                resturl = f"http://127.0.0.1:{server.server_port}/{status}/rest/"
                with closing(RestCentral(resturl, "key")) as way, pytest.raises(error, match=words) as caught:
                    way.hello(HELLO)
                if isinstance(caught.value, CentralUnreachable):
                    assert caught.value.retry_after_seconds == 7
        finally:
            server.shutdown()
            thread.join()


# --- what leaks ---


def test_a_fault_of_centrals_own_tells_the_log_but_not_the_caller(new_database: NewDatabase, tmp_path: Path) -> None:
    db, log = new_database("postgresql"), tmp_path / "log"
    with CentralService(db, log=log) as service:
        token = service.token("north", "read")
        resturl = service.resturl.replace("://", f"://north:{token}@")
        assert requests.get(resturl + "house/", timeout=30).status_code == 200
        with opened(db) as engine, engine.begin() as connection:
            connection.exec_driver_sql('drop table "House" cascade')
        answer = requests.get(resturl + "house/", timeout=30)
        until = time.monotonic() + 10
        while "UndefinedTable" not in (logged := log.read_text()) and time.monotonic() < until:
            time.sleep(0.01)
    assert answer.status_code == 500
    assert "log" in detail(answer) and "House" not in answer.text
    assert "Traceback" in logged and 'relation "House" does not exist' in logged
    assert token not in logged and base64.b64encode(f"north:{token}".encode()).decode() not in logged


def test_only_the_hash_of_a_token_is_kept(central: Central) -> None:
    token = central.token()
    for name, body in MESSAGES.items():
        central.post(name, body, bearer(token))
    tables = sa.MetaData()
    tables.reflect(central.engine)
    with central.engine.connect() as connection:
        everything = str([connection.execute(sa.select(table)).all() for table in tables.tables.values()])
    assert token not in everything
    assert sha256(token.encode()).hexdigest() in everything
