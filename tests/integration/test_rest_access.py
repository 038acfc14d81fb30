"""Who may write over REST, and that nobody learns from a log with which key."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from pusher.central.tokens import list_tokens, revoke_token
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.http_central import Central, bearer, central_over, detail
from tests.servers import free_port
from tests.stage import start_pusher, wait_until

_READING = {"__table__": "Reading", "time": "2026-05-01T12:00:00", "nodeId": 37, "type": 0, "value": 1.0}
_STATUS = {"hostname": "pi", "localtime": "2026-05-01T12:00:00", "version": "1"}
# All that can be written, each in a way that changes something: method, address, body.
_WRITES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "room/", {"name": "Attic"}),
    ("POST", "reading/", _READING | {"time": "2026-05-01T13:00:00"}),
    ("PUT", "node/37", {"nodeTypeId": 1}),
    ("PUT", "node/?id=37", {"nodeTypeId": 1}),
    ("PUT", "roomtype/9", {"name": "Dry"}),
    ("DELETE", "roomtype/4", None),
    ("POST", "bulk/", [_READING | {"value": 2.0}]),
    ("POST", "pushstatus/", _STATUS),
)
_OF_NORTH = (
    {"__table__": "RoomType", "id": 4, "name": "Wet"},
    {"__table__": "Node", "id": 37},
    {"__table__": "NodeType", "id": 1},
    {"__table__": "SensorType", "id": 0, "name": "Temperature"},
    _READING,
)
_TABLES = ("RoomType", "Room", "Node", "Reading", "Server", "Pushstatus")


@pytest.fixture
def central(new_database: NewDatabase) -> Iterator[Central]:
    """With some rows of site north."""
    with central_over(new_database("sqlite")) as found:
        answer = send(found.resturl, "POST", "bulk/", list(_OF_NORTH), bearer(found.token()))
        assert answer.status_code == 201, answer.text
        yield found


def send(resturl: str, method: str, path: str, body: object, headers: dict[str, str]) -> requests.Response:
    data = None if body is None else json.dumps(body).encode()
    return requests.request(method, resturl + path, data=data, headers=headers, timeout=30)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def everything(central: Central) -> list[Any]:
    token = central.token(scope="read")
    return [central.get(f"{name}/", token).json() for name in _TABLES]


@pytest.mark.parametrize(("method", "path", "body"), _WRITES)
def test_only_a_push_token_writes(central: Central, method: str, path: str, body: object) -> None:
    before = everything(central)
    for headers in ({}, bearer("pusher_no-such-key"), basic("north", ""), basic("north", "wrong")):
        answer = send(central.resturl, method, path, body, headers)
        assert answer.status_code == 401
        assert "token" in detail(answer)
    reader = central.token(scope="read")
    for headers in (bearer(reader), basic("north", reader)):
        answer = send(central.resturl, method, path, body, headers)
        assert answer.status_code == 403
        assert "only read" in detail(answer)
    assert everything(central) == before
    answer = send(central.resturl, method, path, body, basic("anybody", central.token()))
    assert answer.ok, answer.text
    assert everything(central) != before


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "node/37", {"nodeTypeId": 1}, 403),
        ("PUT", "node/?id=37", {"nodeTypeId": 1}, 403),
        ("PUT", "reading/?time=2026-05-01T12:00&nodeId=37&type=0", {"value": 2.0}, 403),
        ("DELETE", "roomtype/4", None, 403),
        ("POST", "roomtype/", {"id": 4, "name": "Dry"}, 409),
        ("POST", "reading/", _READING | {"value": 2.0}, 409),
        ("POST", "bulk/", [_READING | {"value": 2.0}], 409),
        ("POST", "bulk/", [{"__table__": "Room", "name": "New"}, {"__table__": "RoomType", "id": 4, "name": "x"}], 409),
    ],
)
def test_the_rows_of_another_site_stay_as_they_are(
    central: Central, method: str, path: str, body: object, status: int
) -> None:
    before = everything(central)
    answer = send(central.resturl, method, path, body, bearer(central.token("south")))
    assert answer.status_code == status
    assert (status == 409) or "site north" in detail(answer)
    assert everything(central) == before


def test_a_site_may_say_again_what_another_has_said(central: Central) -> None:
    before, south = everything(central), bearer(central.token("south"))
    for method, path, body in (
        ("POST", "bulk/", list(_OF_NORTH)),
        ("POST", "roomtype/", {"id": None, "name": "Wet"}),
        ("PUT", "roomtype/4", {"name": "Wet"}),
        ("POST", "reading/", _READING),
    ):
        assert send(central.resturl, method, path, body, south).status_code == 201
    assert everything(central) == before


def test_a_revoked_token_writes_no_more(central: Central) -> None:
    token = central.token()
    for headers in (bearer(token), basic("north", token)):
        assert send(central.resturl, "POST", "room/", {"name": "Attic"}, headers).status_code == 201
    revoke_token(central.engine, list_tokens(central.engine)[-1].id)
    for headers in (bearer(token), basic("north", token)):
        for method, path, body in _WRITES:
            answer = send(central.resturl, method, path, body, headers)
            assert answer.status_code == 401
            assert "revoked" in detail(answer)


def test_bookkeeping_is_out_of_reach(central: Central) -> None:
    headers = bearer(central.token())
    for name in ("pusher_token", "PUSHER_AUTHOR", "pusher_audit", "alembic_version", "alembic_version_bookkeeping"):
        for method, path in (
            ("POST", f"{name}/"),
            ("PUT", f"{name}/1"),
            ("PUT", f"{name}/?id=1"),
            ("DELETE", f"{name}/1"),
        ):
            assert send(central.resturl, method, path, {"id": 1, "site": "north"}, headers).status_code == 404
        answer = send(central.resturl, "POST", "bulk/", [{"__table__": name, "id": 1}], headers)
        assert answer.status_code == 400 and "no table" in detail(answer)


@contextmanager
def talkative(db: str, log: Path) -> Iterator[str]:
    """`pusher --verbose serve`; gives its address."""
    port = free_port()
    with log.open("ab") as stderr:
        service = start_pusher("--verbose", "serve", "--db", db, "--port", str(port), stderr=stderr)
    try:
        wait_until(lambda: b"central serves" in log.read_bytes())
        yield f"http://127.0.0.1:{port}/rest/"
    finally:
        service.terminate()
        service.communicate(timeout=30)


def test_no_log_tells_a_token(new_database: NewDatabase, tmp_path: Path) -> None:
    db, log = new_database("postgresql"), tmp_path / "log"
    with central_over(db) as prepared:
        tokens = [prepared.token("north"), prepared.token("south", "read"), "pusher_mistyped"]
    with talkative(db, log) as resturl:
        for token in tokens:
            address = resturl.replace("://", f"://north:{token}@")
            for method, path, body in (*_WRITES, ("GET", "room/", None), ("GET", "nothing/", None)):
                send(address, method, path, body, {})
                send(resturl, method, path, body, bearer(token))
            send(address, "POST", "bulk/", [{"name": "x"}], {})
        with opened(db) as engine, engine.begin() as connection:
            connection.exec_driver_sql('drop table "Reading" cascade')
        time.sleep(0.1)  # what central knows of its tables is not older than a moment
        for path in ("room/", "reading/"):
            send(resturl.replace("://", f"://north:{tokens[0]}@"), "POST", path, {"name": "Hall"}, {})
        with opened(db) as engine, engine.begin() as connection:
            connection.exec_driver_sql('drop table "pusher_audit" cascade')
        send(resturl, "POST", "room/", {"name": "Cellar"}, bearer(tokens[0]))
    said = log.read_text()
    assert "central serves" in said
    for token in tokens:
        assert token not in said
        assert basic("north", token)["Authorization"].split()[1] not in said
