"""Hostile bodies against a real service: it always blames the sender, answers soon, and does not grow.

HYPOTHESIS_PROFILE=search looks for new ones.
"""

from __future__ import annotations

import json
import subprocess
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.http_central import BATCH, MESSAGES, ROWS, bearer
from tests.stage import PUSHER, CentralService, wait_until

_ANSWER_SECONDS = 10
_GROWTH_BYTES = 60 << 20
_SYNC = ("hello", "resolve", "push", "entities", "compare", "look", "remove", "verified", "report")
_NAMES = (
    "House", "Reading", "house", "pusher_token", "sqlite_master", "", "\0", "House\0", "\ud800", "é" * 200,
    "x" * 100_000,
    "House; drop table House", "House\"; drop table \"House", "House'--", "House` ; --", "../House", "%", "🌡",
    "__table__",
)  # fmt: skip
_NUMBERS = (
    "1e400",
    "-1e400",
    "1" * 400,
    "-" + "9" * 5000,
    "1e-400",
    "0.1e-99999",
    "NaN",
    "Infinity",
    "2e308",
    "-0",
    "1.5",
    "9" * 19,
)


@dataclass(frozen=True)
class Service:
    base: str
    headers: dict[str, str]
    process_id: int

    def send(self, path: str, body: bytes, **headers: str) -> None:
        """Whatever the body, the answer comes soon, and it is the sender's fault, or nobody's."""
        begun = time.monotonic()
        try:
            answer = requests.post(
                self.base + path, data=body, headers=self.headers | headers, timeout=_ANSWER_SECONDS, stream=True
            )
        except requests.RequestException as error:
            raise AssertionError(f"{path} {body[:200]!r}: {error}") from error
        text = answer.raw.read(65536)
        assert answer.status_code < 500, (path, answer.status_code, body[:200], text[:300])
        if answer.status_code >= 400:
            problem = json.loads(text)
            assert problem["status"] == answer.status_code and b"Traceback" not in text
        assert time.monotonic() - begun < _ANSWER_SECONDS, (path, body[:200])

    def sync(self, name: str, raw: bytes) -> None:
        self.send(f"/sync/v1/{name}", zstandard.ZstdCompressor().compress(raw))

    def bulk(self, raw: bytes) -> None:
        self.send("/rest/bulk/", raw)

    def memory(self) -> int:
        """Bytes that it holds in RAM."""
        return int(Path(f"/proc/{self.process_id}/statm").read_text().split()[1]) * 4096


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all tests: what one leaves behind, the next would meet."""
    folder = tmp_path_factory.mktemp("central")
    with Fuzzed(f"sqlite:///{folder / 'central.db'}", log=folder / "log") as process:
        assert isinstance(process, Fuzzed)
        token = process.token("north")
        with opened(process.db) as engine:
            Datagen().bulk(engine, 500)
        headers = bearer(token) | {"Accept-Encoding": "identity"}
        found = Service(process.resturl.removesuffix("/rest/"), headers, process.process_id)
        _warm(found)
        before = found.memory()
        yield found
        _warm(found)
        grown = found.memory() - before
        log = (folder / "log").read_text()
    assert "Traceback" not in log, log[-5000:]
    assert token not in log
    assert grown < _GROWTH_BYTES, f"it has grown by {grown >> 20} MB"


class Fuzzed(CentralService):
    """It lets as many requests through as there are."""

    def start(self) -> None:
        command = [str(PUSHER), "serve", "--db", self.db, "--port", str(self.port), "--requests-per-minute", "1000000"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log)
        wait_until(lambda: "central serves" in self.log.read_text())

    @property
    def process_id(self) -> int:
        assert self._process
        return self._process.pid


def _warm(service: Service) -> None:
    """It has done each thing once, a large one among them, and so has the memory that it keeps for that."""
    for name, body in MESSAGES.items():
        service.send(f"/sync/v1/{name}", body)
    for _ in range(3):
        service.sync("push", _batch([["x" * 50] * 200_000]))
        service.bulk(json.dumps([{"__table__": "House", "adress": "x" * 50}] * 50_000).encode())


def _message(**values: Any) -> bytes:
    return json.dumps({"protocol": 1, "site": "north", **values}).encode("utf-8", "surrogatepass")


def _batch(columns: list[list[Any]], names: list[str] | None = None, kinds: list[str] | None = None) -> bytes:
    rows = {"names": names or ["address"], "kinds": kinds or ["text"], "columns": columns}
    return _message(**BATCH | {"rows": rows, "key": (names or ["address"])[:1]})


def _nested(depth: int, opening: str, middle: str, closing: str) -> str:
    return opening * depth + middle + closing * depth


# --- known evils ---


def _raw_texts() -> Iterator[bytes]:
    """As the JSON of any message."""
    yield from (
        b"",
        b" ",
        b"null",
        b"[]",
        b"{}",
        b"[{}]",
        b"[[]]",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe",
        b'"\xff"',
        b"{" * 9,
    )
    for depth in (100, 1000, 100_000):
        yield _nested(depth, "[", "", "]").encode()
        yield _nested(depth, "[", "", "").encode()
        yield _nested(depth, '{"a":', "1", "}").encode()
        yield _nested(depth, '[{"__table__":', "1", "}]").encode()
    for number in _NUMBERS:
        yield f'[{{"__table__": "House", "id": {number}, "deploymentId": {number}}}]'.encode()
        yield f'[{{"__table__": "Reading", "value": {number}, "time": {number}, "nodeId": {number}}}]'.encode()
        yield f'{{"protocol": {number}, "site": "north"}}'.encode()
        yield f'{{"protocol": 1, "site": "north", "sequence": {number}, "tables": {{"House": {number}}}}}'.encode()
    yield b'{"site": "north", "site": "south", "protocol": 1, "protocol": 2}'
    yield b'[{"__table__": "House", "__table__": "Reading", "id": 1, "ID": 2, "id": 3}]'
    yield b'[{"__table__": "House", "address": "\\ud800"}, {"__table__": "House", "address": "\\u0000"}]'
    yield b"[" + b"0," * 1_000_000 + b"0]"
    yield b"[" + b"{}," * 200_000 + b"{}]"
    yield b'[{"__table__": "House"' + b"".join(b', "c%d": 1' % number for number in range(100_000)) + b"}]"
    for name in _NAMES:
        yield json.dumps([{"__table__": name, name: name, "id": name}]).encode()
        yield json.dumps([{"__table__": "House", "address": name, "deploymentId": name}]).encode()


def test_nasty_json(service: Service) -> None:
    for raw in _raw_texts():
        service.bulk(raw)
        for name in _SYNC:
            service.sync(name, raw)
        for table in ("house", "reading"):
            service.send(f"/rest/{table}/", raw)


def _frames() -> Iterator[bytes]:
    whole = MESSAGES["push"]
    yield from (whole[:cut] for cut in range(0, len(whole), 37))
    yield from (whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :] for at in range(0, len(whole), 29))
    yield whole + whole
    bomb = zstandard.ZstdCompressor().compress(b" " * (512 << 20))
    yield bomb
    yield zstandard.ZstdCompressor().compress(bomb * 100)
    yield zstandard.ZstdCompressor().compress(b" " * (200 << 20))
    yield b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + b"\x00" * 10
    yield b"\x28\xb5\x2f\xfd\x00" + b"\xff" * 4
    yield b"\x50\x2a\x4d\x18\xff\xff\xff\xff"  # a frame to skip, of 4 GB
    deflated = zlib.compress(json.dumps([{"__table__": "House", "address": "1 High St"}]).encode())
    yield from (deflated[:cut] for cut in range(len(deflated)))
    yield from (deflated[:at] + bytes([deflated[at] ^ 255]) + deflated[at + 1 :] for at in range(2, len(deflated)))
    small = zlib.compress(b" " * (300 << 20), 9)
    yield small
    yield zlib.compress(small)
    yield zlib.compress(zlib.compress(small))
    yield zlib.compress(b"[" + b"[" * 5_000_000)
    yield deflated + b"x" * 1000


def test_nasty_compression(service: Service) -> None:
    for frame in _frames():
        for path in ("/sync/v1/push", "/sync/v1/hello", "/rest/bulk/"):
            service.send(path, frame)
    for encoding in ("zstd", "deflate", "gzip", "br", "x" * 1000):
        service.send("/rest/bulk/", b"[]", **{"Content-Encoding": encoding})
        service.send("/sync/v1/hello", MESSAGES["hello"], **{"Content-Encoding": encoding, "Content-Type": "text/html"})


def _shapes() -> Iterator[tuple[str, bytes]]:
    """Messages that are right but for one thing."""
    columns: Any
    for columns in (
        [],
        [[]],
        [["a"], ["b"]],
        [["a"], []],
        [[None] * 100_000],
        [[["a"]]],
        [[{"bytes": 1}]],
        [["a", 1, None, True]],
    ):
        yield "push", _batch(columns)
        yield "push", _batch(columns, ["address", "id"], ["text", "integer"])
    for kind in ("text", "integer", "float", "bytes", "datetime", "instant", "json", "uuid", "nonsense"):
        for value in (
            10**400,
            -(10**30),
            1.5,
            "x",
            "\0",
            "AA=",
            True,
            None,
            {"float": "NaN"},
            {"raw": "/w=="},
            {"text": "1"},
        ):
            for column in ("address", "id"):
                yield "push", _batch([[value]], [column], [kind])
                packed = {"names": [column], "kinds": [kind], "columns": [[value]]}
                yield "resolve", _message(table="House", key=[column], agree=[], local_keys=[[value]], rows=packed)
    for name in _NAMES:
        yield "push", _batch([["a"]], [name])
        yield "entities", _message(table=name, names=[name], digest=name)
        yield "resolve", _message(table="House", key=[name], agree=[name], local_keys=[[name]], rows=ROWS)
        for form in ("compare", "look"):
            yield (
                form,
                _message(
                    table="Reading",
                    mapped=False,
                    key=["time"],
                    names=["time"],
                    cursor=name,
                    segments=[],
                    buckets=[],
                    ranges=[],
                    of=1,
                ),
            )
        yield "remove", _message(table="House", mapped=False, key=[name], keys=[name], forgotten=[name], cursor=name)
        yield (
            "report",
            _message(
                hostname=name, agent_version=name, localtime=name, tables={name: {"sent": 1, "held": 1, "pending": 1}}
            ),
        )
        yield "hello", _message(epoch=name, agent_version=name, hostname=name, clock=name)
    yield from _comparisons()


_BY_BUCKETS = {"cursor": None, "key": ["time", "nodeId", "type"]}


def _comparisons() -> Iterator[tuple[str, bytes]]:
    at = {"table": "Reading", "mapped": False, "key": ["time", "nodeId"], "names": ["time", "value"], "cursor": "time"}
    mark = [1, "0" * 32]
    edge: Any
    for edge in (None, "", "x", 10**30, "2026-01-01", [], {}, True, "\0", 1e300):
        segment = {"low": edge, "edges": [edge, edge], "high": edge, "prints": [mark] * 3}
        for noted in (False, True):
            yield "compare", _message(**at, segments=[segment], buckets=[], noted=noted)
        yield "compare", _message(**at, segments=[segment | {"prints": []}], buckets=[])
        yield "look", _message(**at, ranges=[[edge, edge]], buckets=[], of=256)
        found = {
            "deep": True, "verdict": "equal", "rows_here": 2**63, "rows_there": -1, "missing": 0, "different": 0,
            "only_central": 0, "cursor": "time", "proven": [[edge, edge, [edge], [mark]]],
        }  # fmt: skip
        yield "verified", _message(tables={"Reading": found})
        yield "remove", _message(table="Reading", mapped=False, key=["time"], keys=[json.dumps([edge])], cursor="time")
        yield (
            "remove",
            _message(table="House", mapped=True, key=[], keys=[json.dumps(edge)], forgotten=[json.dumps([edge])]),
        )
    for number in (-1, 0, 257, 2**63, 10**400):
        yield "look", _message(**at | {"cursor": None}, ranges=[], buckets=[number], of=number)
        yield "compare", _message(**at | {"cursor": None}, segments=[], buckets=[[number, "z"]])
        yield "compare", _message(**at | _BY_BUCKETS, segments=[], buckets=[])
        yield "look", _message(**at | _BY_BUCKETS, ranges=[], buckets=[number], of=number)
        yield "push", _message(**BATCH | {"fingerprint": [number, "f" * 32], "before": [number, "x"]})
    yield (
        "compare",
        _message(**at, segments=[{"low": None, "edges": [], "high": None, "prints": [mark]}] * 20_000, buckets=[]),
    )
    yield "look", _message(**at, ranges=[[None, None]] * 20_000, buckets=[], of=256)
    yield "look", _message(**at | {"cursor": None}, ranges=[], buckets=list(range(100_000)), of=256)
    yield "entities", _message(table="House", names=["address"] * 50_000, digest=None)


def test_nasty_messages(service: Service) -> None:
    for name, raw in _shapes():
        service.sync(name, raw)


# --- what nobody has thought of ---

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(_NAMES[:9]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
_TEMPLATES: dict[str, dict[str, Any]] = {
    name: json.loads(zstandard.decompress(body)) for name, body in MESSAGES.items()
} | {
    "compare": {
        "protocol": 1, "site": "north", "table": "Reading", "mapped": False, "key": ["time", "nodeId"],
        "names": ["time", "value"], "cursor": "time", "segments": [], "buckets": [], "noted": False,
    },
    "look": {
        "protocol": 1, "site": "north", "table": "House", "mapped": True, "key": [], "names": ["address"],
        "cursor": None, "ranges": [], "buckets": [0], "of": 1,
    },
    "remove": {
        "protocol": 1, "site": "north", "table": "House", "mapped": True, "key": [], "keys": ["[1]"], "forgotten": [],
    },
}  # fmt: skip
_COLUMNS = (
    "__table__",
    "id",
    "address",
    "time",
    "nodeId",
    "type",
    "typeId",
    "value",
    "locationId",
    "name",
    "deploymentId",
)


@given(name=st.sampled_from(sorted(_TEMPLATES)), data=st.data())
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_messages_with_something_else_in_them(service: Service, name: str, data: st.DataObject) -> None:
    message = dict(_TEMPLATES[name])
    for key in data.draw(st.lists(st.sampled_from(sorted(message)), max_size=2, unique=True)):
        message[key] = data.draw(_values)
    service.sync(name, json.dumps(message).encode())


@given(
    st.lists(
        st.dictionaries(st.sampled_from(_COLUMNS), _values, max_size=6)
        | st.builds(lambda table, row: row | {"__table__": table}, st.sampled_from(("House", "Reading", "Node")),
                    st.dictionaries(st.sampled_from(_COLUMNS[1:]), _values, max_size=6)),
        max_size=4,
    )
)  # fmt: skip
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_objects_with_anything_in_them(service: Service, objects: list[dict[str, Any]]) -> None:
    raw = json.dumps(objects).encode()
    service.bulk(raw)
    service.bulk(zlib.compress(raw))


@given(st.binary(max_size=200), st.sampled_from(_SYNC))
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_any_bytes(service: Service, raw: bytes, name: str) -> None:
    service.send(f"/sync/v1/{name}", raw)
    service.sync(name, raw)
    service.bulk(raw)
    service.bulk(b"\x78" + raw)
