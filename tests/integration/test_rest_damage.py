"""What damaged, hostile and senseless requests get from central: never a 5xx, and never more than their due."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import zstandard

from pusher.wire.batch import MAX_BYTES, MAX_COMPRESSED_BYTES
from tests.conftest import NewDatabase
from tests.http_central import BATCH, MESSAGES, ROWS, Central, bearer, central_over, compress, detail, hello, message


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    """One for all tests, which therefore count on nothing but what they put there."""
    with central_over(f"sqlite:///{tmp_path_factory.mktemp('central') / 'central.db'}") as found:
        yield found


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
    with central_over(new_database(dialect)) as central:
        headers = bearer(central.token())
        for name, body in strange_messages():
            status = central.post(name, body, headers).status_code
            assert status in (200, 400, 409, 422), (name, zstandard.decompress(body))
        assert central.post("hello", hello(), headers).status_code == 200


def strange_messages() -> Iterator[tuple[str, bytes]]:
    kinds = ("text", "integer", "bytes", "datetime")
    columns = (("House", "address"), ("Node", "id"), ("Reading", "time"), ("NodeType", "blink"))
    for number, value in enumerate(STRANGE):
        for place, (table, column) in enumerate(columns):
            rows = {"names": [column], "kinds": [kinds[(place + number) % len(kinds)]], "columns": [[value]]}
            yield "resolve", message(table=table, key=[column], agree=[], local_keys=[[1]], rows=rows)
        yield "resolve", message(table="House", key=[], agree=[], local_keys=[[value]], rows=ROWS)
        yield "push", message(**BATCH | {"sequence": value})
        yield "push", message(**BATCH | {"epoch": value})
        yield "push", message(**BATCH | {"key": value})
        yield "push", message(**BATCH | {"first": [value], "last": [value], "origin": [[value]], "key": []})
        yield "push", message(**BATCH | {"table": value})
        yield "entities", message(table="House", names=[value], digest=value)
        yield "report", message(hostname=value, agent_version=value, localtime=value, tables={})
        yield "hello", message(epoch=value, agent_version=value, hostname=value, clock=value)
