"""Central over HTTP for tests that write their own requests, by hand where they have to be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import requests
import sqlalchemy as sa
import zstandard

from pusher.central.tokens import new_token
from pusher.schema.engine import opened, writing
from pusher.wire.batch import encode
from pusher.wire.messages import Hello
from tests.prepared import prepare
from tests.stage import serving


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


@contextmanager
def central_over(db: str) -> Iterator[Central]:
    """A service over a database that is prepared for it."""
    with opened(db, create=True) as engine:
        prepare(engine)
        with serving(db) as resturl:
            yield Central(resturl, engine)


def message(**values: Any) -> bytes:
    return compress(json.dumps({"protocol": 1, "site": "north", **values}).encode())


def compress(raw: bytes, *, tell_size: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=tell_size).compress(raw)


ROWS = {"names": ["address"], "kinds": ["text"], "columns": [["1 High St"]]}
BATCH: dict[str, Any] = {
    "table": "House", "epoch": "e", "sequence": 1, "key": ["address"], "origin": None, "first": [], "last": [],
    "fingerprint": [1, "0" * 32], "rows": ROWS,
}  # fmt: skip
MESSAGES = {
    "hello": hello(),
    "resolve": message(table="House", key=["address"], agree=[], local_keys=[[1]], rows=ROWS),
    "push": message(**BATCH),
    "entities": message(table="House", names=["address"], digest=None),
    "report": message(hostname="pi", agent_version="1", localtime="2026-01-01T00:00:00", tables={}),
}
