"""Central over HTTP: who may what, what damaged or hostile requests get, and the tables for anybody to look at."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
import requests
import sqlalchemy as sa
import zstandard

from models import Base, House, Node, Reading, RoomType, SensorType
from pusher.central.migrate import upgrade
from pusher.central.tokens import list_tokens, new_token, revoke_token
from pusher.errors import AccessRefused, CentralUnreachable, ProtocolError
from pusher.schema.engine import opened, writing
from pusher.transport.rest import RestCentral
from pusher.wire.batch import CONTENT_TYPE, MAX_BYTES, MAX_COMPRESSED_BYTES, decode, encode
from pusher.wire.messages import Hello, Welcome
from tests.conftest import NewDatabase
from tests.stage import CentralService, serving


@dataclass(frozen=True)
class Central:
    """A service in this process and the database behind it."""

    resturl: str
    engine: sa.Engine

    def token(self, site: str = "north", scope: str = "push") -> str:
        return new_token(self.engine, site, scope)

    def get(self, path: str, token: str) -> requests.Response:
        return requests.get(self.resturl + path, headers=bearer(token), timeout=30)

    def post(self, name: str, body: bytes, headers: dict[str, str]) -> requests.Response:
        url = self.resturl.replace("/rest/", f"/sync/v1/{name}")
        return requests.post(url, data=body, headers=headers, timeout=30, stream=True)

    def insert(self, table: sa.Table, *rows: dict[str, Any]) -> None:
        with writing(self.engine).begin() as connection:
            connection.execute(sa.insert(table), list(rows))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


HELLO = Hello(protocol=1, site="north", epoch="e", agent_version="1", hostname="pi", clock="2026-01-01T00:00:00Z")


def hello(site: str = "north") -> bytes:
    return encode(msgspec.structs.replace(HELLO, site=site))


def detail(answer: requests.Response) -> str:
    """What a problem says; that it is one, and that nothing of the inside shows."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    text = answer.text
    assert "Traceback" not in text and ".py" not in text
    problem = json.loads(text)
    assert problem["status"] == answer.status_code and problem["title"]
    return str(problem["detail"])


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    """One for all tests, which therefore count on nothing but what they put there."""
    db = f"sqlite:///{tmp_path_factory.mktemp('central') / 'central.db'}"
    with opened(db, create=True) as engine:
        upgrade(engine)
        with serving(db) as resturl:
            yield Central(resturl, engine)


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


# --- damaged and hostile requests ---


def _message(**values: Any) -> bytes:
    return compress(json.dumps({"protocol": 1, "site": "north", **values}).encode())


def compress(raw: bytes, *, tell_size: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=tell_size).compress(raw)


ROWS = {"names": ["address"], "kinds": ["text"], "columns": [["1 High St"]]}
_BATCH: dict[str, Any] = {
    "table": "House", "epoch": "e", "sequence": 1, "key": ["address"], "origin": None, "first": [], "last": [],
    "fingerprint": [1, "0" * 32], "rows": ROWS,
}  # fmt: skip
MESSAGES = {
    "hello": hello(),
    "resolve": _message(table="House", key=["address"], agree=[], local_keys=[[1]], rows=ROWS),
    "push": _message(**_BATCH),
    "entities": _message(table="House", names=["address"], digest=None),
    "report": _message(hostname="pi", agent_version="1", localtime="2026-01-01T00:00:00", tables={}),
}
BOMB = compress(b"\0" * (512 << 20))
DAMAGED = {
    "empty": b"",
    "no zstd": b"{}",
    "truncated": hello()[:-7],
    "one bit wrong": hello()[:-20] + bytes([hello()[-20] ^ 1]) + hello()[-19:],
    "something behind": hello() + b"x",
    "bomb": BOMB,
    "does not tell its size": compress(b"{}", tell_size=False),
    "no JSON": compress(b"{"),
    "no UTF-8": compress(b'{"site": "\xff"}'),
    "another message": compress(b'{"a": 1}'),
    "deep": compress(b"[" * 100_000),
    "a huge number": compress(b'{"protocol": ' + b"1" * 5000 + b"}"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_message_gets_400(central: Central, damage: str) -> None:
    headers = bearer(central.token())
    for name in MESSAGES:
        answer = central.post(name, DAMAGED[damage], headers)
        assert answer.status_code == 400, name
        assert detail(answer)


def test_a_bomb_is_small() -> None:
    assert len(BOMB) < 64 << 10 and zstandard.get_frame_parameters(BOMB).content_size > MAX_BYTES


def test_a_body_that_is_too_large_gets_413(central: Central) -> None:
    headers = bearer(central.token())
    answer = central.post("push", b"\0" * (MAX_COMPRESSED_BYTES + (4 << 20)), headers)
    assert answer.status_code == 413
    assert "larger" in detail(answer)
    assert central.post("hello", hello(), headers).status_code == 200


def test_a_large_body_without_a_token_gets_401(central: Central) -> None:
    answer = central.post("push", b"\0" * (8 << 20), {})
    assert answer.status_code == 401


STRANGE: list[Any] = [
    None, True, -1, 0, 2**63, -(2**63) - 1, 2**64 - 1, 1e308, "", "x" * 300, "\0", "NaN", "2026-13-45", [], [1], {},
    {"bytes": "AA=="}, {"bytes": "*"}, {"text": "x"}, {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_strange_values_are_the_senders_fault(dialect: str, new_database: NewDatabase) -> None:
    """Whatever stands in a message, central never says that it is at fault itself, and goes on."""
    db = new_database(dialect)
    with opened(db) as engine:
        upgrade(engine)
        with serving(db) as resturl:
            central = Central(resturl, engine)
            headers = bearer(central.token())
            for name, body in _strange_messages():
                status = central.post(name, body, headers).status_code
                assert status in (200, 400, 409, 422), (name, zstandard.decompress(body))
            assert central.post("hello", hello(), headers).status_code == 200


def _strange_messages() -> Iterator[tuple[str, bytes]]:
    kinds = ("text", "integer", "bytes", "datetime")
    columns = (("House", "address"), ("Node", "id"), ("Reading", "time"), ("NodeType", "blink"))
    for number, value in enumerate(STRANGE):
        for place, (table, column) in enumerate(columns):
            rows = {"names": [column], "kinds": [kinds[(place + number) % len(kinds)]], "columns": [[value]]}
            yield "resolve", _message(table=table, key=[column], agree=[], local_keys=[[1]], rows=rows)
        yield "resolve", _message(table="House", key=[], agree=[], local_keys=[[value]], rows=ROWS)
        yield "push", _message(**_BATCH | {"sequence": value})
        yield "push", _message(**_BATCH | {"epoch": value})
        yield "push", _message(**_BATCH | {"key": value})
        yield "push", _message(**_BATCH | {"first": [value], "last": [value], "origin": [[value]], "key": []})
        yield "push", _message(**_BATCH | {"table": value})
        yield "entities", _message(table="House", names=[value], digest=value)
        yield "report", _message(hostname=value, agent_version=value, localtime=value, tables={})
        yield "hello", _message(epoch=value, agent_version=value, hostname=value, clock=value)


# --- the tables ---

_extra = sa.MetaData()
KINDS = sa.Table(
    "Kinds",
    _extra,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.TIMESTAMP(timezone=True)),
    sa.Column("day", sa.Date),
    sa.Column("amount", sa.Numeric(8, 3)),
    sa.Column("raw", sa.LargeBinary),
    sa.Column("local time", sa.DateTime),
)


def test_every_kind_of_value_as_an_old_client_reads_it(dialect: str, new_database: NewDatabase) -> None:
    db = new_database(dialect)
    moment = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    with opened(db) as engine:
        upgrade(engine)
        _extra.create_all(engine)
        with serving(db) as resturl:
            central = Central(resturl, engine)
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
