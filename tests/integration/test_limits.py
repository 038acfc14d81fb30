"""What one client can take from the service: so much and no more, and never what others need."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models import House
from pusher.central.tokens import new_token
from pusher.rest import server
from pusher.rest.limits import Limits, Rate
from tests.http_central import Central, bearer, detail, hello
from tests.limited import limited


def call(central: Central, text: str, *, seconds: float = 20) -> str:
    """What comes back on a connection on which just `text` was sent."""
    host, port = central.resturl.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as line:
        line.sendall(text.encode("latin-1"))
        parts = []
        try:
            while part := line.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass  # since the service did not take all that was sent
    return b"".join(parts).decode("latin-1")


def head(method: str, path: str, token: str = "", **headers: object) -> str:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: central",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    lines += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([*lines, "", ""])


# --- how often ---


def test_a_rate_is_a_burst_and_then_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    rate = Rate(60)
    assert [rate.take("a", 0) for _ in range(60)] == [0] * 60
    assert rate.take("a", 0) == pytest.approx(1) and rate.take("b", 0) == 0
    now += 1
    assert rate.take("a", 0) == 0
    assert rate.take("a", 2) == pytest.approx(1)
    assert rate.take("a", 0) == pytest.approx(2)


def test_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    with limited(tmp_path, Limits(requests_per_minute=6)) as central:
        token, other = central.token(scope="read"), central.token("south", "read")
        answers = [central.get("house/", token) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 6 + [429]
        assert detail(answers[-1]) == "too many requests"
        assert 8 <= int(answers[-1].headers["Retry-After"]) <= 10
        assert central.get("house/", other).status_code == 200
        assert requests.get(central.resturl.replace("/rest/", "/live"), timeout=30).ok


def test_one_request_after_the_other_is_only_slowed_down(tmp_path: Path) -> None:
    """An old client takes a 429 for success; it never asks for two things at a time."""
    with limited(tmp_path, Limits(requests_per_minute=120)) as central, requests.Session() as session:
        token = central.token(scope="read")
        session.headers.update(bearer(token))
        begun = time.monotonic()
        statuses = [session.get(central.resturl + "house/", timeout=30).status_code for _ in range(124)]
        assert statuses == [200] * 124
        assert time.monotonic() - begun > 1
        with ThreadPoolExecutor(12) as many:
            found = list(many.map(lambda _: central.get("house/", token), range(12)))
        assert 429 in {answer.status_code for answer in found}


def test_guessing_tokens_is_stopped_but_not_for_those_who_have_one(tmp_path: Path) -> None:
    with limited(tmp_path, Limits(failures_per_minute=5)) as central:
        token, fresh = central.token(scope="read"), central.token("south", "read")
        assert central.get("house/", token).status_code == 200
        statuses = [central.get("house/", f"pusher_guess-{number}").status_code for number in range(8)]
        assert statuses == [401] * 5 + [429] * 3
        answer = central.get("house/", fresh)  # nobody can tell it from a guess
        assert answer.status_code == 429 and "Retry-After" in answer.headers and "valid token" in detail(answer)
        assert central.get("house/", token).status_code == 200


def test_no_more_at_once_than_there_are_hands(tmp_path: Path) -> None:
    inside, done = threading.Semaphore(0), threading.Event()

    def slow(_request: Request) -> Response:
        inside.release()
        done.wait(20)
        return Response("done")

    with limited(tmp_path, Limits(concurrent=3), Route("/slow", slow)) as central, ThreadPoolExecutor(3) as many:
        base, token = central.resturl.removesuffix("/rest/"), central.token(scope="read")
        waiting = [many.submit(requests.get, base + "/slow", timeout=30) for _ in range(3)]
        try:
            assert all(inside.acquire(timeout=10) for _ in waiting)
            answer = central.get("house/", token)
            assert answer.status_code == 503 and answer.headers["Retry-After"] and detail(answer)
            assert requests.get(base + "/live", timeout=30).ok
        finally:
            done.set()
        assert [each.result().status_code for each in waiting] == [200] * 3
        assert central.get("house/", token).status_code == 200


def test_no_more_bytes_at_once_than_there_is_room_for(tmp_path: Path) -> None:
    inside, done = threading.Semaphore(0), threading.Event()

    async def read(request: Request) -> Response:
        return Response(str(len(await request.body())))

    async def slow(request: Request) -> Response:
        answer = await read(request)
        inside.release()
        await asyncio.get_running_loop().run_in_executor(None, done.wait, 20)
        return answer

    routes = (Route("/slow", slow, methods=["POST"]), Route("/quick", read, methods=["POST"]))
    with limited(tmp_path, Limits(bodies_bytes=1000), *routes) as central, ThreadPoolExecutor(1) as other:
        base = central.resturl.removesuffix("/rest/")
        assert requests.post(base + "/quick", b"x" * 2000, timeout=30).text == "2000"  # alone it may be larger
        waiting = other.submit(requests.post, base + "/slow", b"x" * 600, timeout=30)
        try:
            assert inside.acquire(timeout=10)
            assert requests.post(base + "/quick", b"x" * 400, timeout=30).text == "400"
            refused = requests.post(base + "/quick", b"x" * 401, timeout=30)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
            chunks = requests.post(base + "/quick", iter([b"x"]), timeout=30)  # it may become as long as is allowed
            assert chunks.status_code == 503
        finally:
            done.set()
        assert waiting.result().text == "600"
        assert requests.post(base + "/quick", b"x" * 401, timeout=30).text == "401"


# --- how much ---


@pytest.mark.parametrize(
    ("path", "limit"), [("/sync/v1/hello", 64 << 20), ("/rest/bulk/", 64 << 20), ("/login", 8 << 20)]
)
def test_a_body_that_says_it_is_too_large_is_not_waited_for(tmp_path: Path, path: str, limit: int) -> None:
    with limited(tmp_path, Limits(idle_seconds=3)) as central:
        headers = {"Content-Length": limit + 1, "Expect": "100-continue"}
        answer = call(central, head("POST", path, central.token(), **headers))
        assert answer.startswith("HTTP/1.1 413 ") and "larger than" in answer


def test_a_body_that_does_not_say_so_is_given_up_on_the_way(tmp_path: Path) -> None:
    with limited(tmp_path, Limits(large_body_bytes=1 << 20)) as central:
        parts = (b"\0" * 65536 for _ in range(40))
        url = central.resturl.replace("/rest/", "/sync/v1/hello")
        answer = requests.post(url, data=parts, headers=bearer(central.token()), timeout=30)
        assert answer.status_code == 413 and detail(answer)


def test_an_address_or_a_head_that_is_too_long(tmp_path: Path) -> None:
    with limited(tmp_path, Limits()) as central:
        answer = central.get("house/?" + "a" * 9000, central.token())
        assert answer.status_code == 414 and detail(answer)
        assert call(central, head("GET", "/ready", Padding="x" * 20_000)).startswith("HTTP/1.1 431 ")
        assert call(central, "GET /live HTTP/1.1\r\nPadding: " + "x" * 400_000)[:13] in ("", "HTTP/1.1 400 ")


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 400, "0x10", "१"])
def test_a_length_that_is_none(tmp_path: Path, length: str) -> None:
    with limited(tmp_path, Limits(idle_seconds=2)) as central:
        text = head("POST", "/sync/v1/hello", central.token(), **{"Content-Length": length.encode().decode("latin-1")})
        assert call(central, text)[:12] in ("HTTP/1.1 400", "HTTP/1.1 413")


# --- how long ---


def test_a_body_that_does_not_come(tmp_path: Path) -> None:
    with limited(tmp_path, Limits(idle_seconds=1)) as central:
        begun = time.monotonic()
        text = head("POST", "/sync/v1/hello", central.token(), **{"Content-Length": 100})
        answer = call(central, text + "begun")
        assert answer.startswith("HTTP/1.1 408 ") and "problem+json" in answer
        assert 1 <= time.monotonic() - begun < 5


def test_a_body_that_comes_drop_by_drop(tmp_path: Path) -> None:
    with limited(tmp_path, Limits(idle_seconds=1, body_seconds=2)) as central:

        def drops() -> Iterator[bytes]:
            for _ in range(100):
                time.sleep(0.2)
                yield b"x"

        url = central.resturl.replace("/rest/", "/sync/v1/hello")
        begun = time.monotonic()
        try:
            assert requests.post(url, data=drops(), headers=bearer(central.token()), timeout=30).status_code == 408
        except requests.ConnectionError:
            pass  # it was still writing when the line was closed
        assert 1.5 < time.monotonic() - begun < 10


def test_a_head_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_HEAD_SECONDS", 0.5)
    with limited(tmp_path, Limits()) as central:
        assert call(central, "") == call(central, "GET /live HT") == ""
        again = call(central, head("GET", "/live").replace("close", "keep-alive") + "GET /live")
        assert again.startswith("HTTP/1.1 200") and again.count("HTTP/1.1") == 1


def test_who_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    """What he asked for is let go of: here the only connection to the database."""
    with limited(tmp_path, Limits(idle_seconds=1)) as central:
        houses = [{"id": number, "address": "x" * 200 + str(number)} for number in range(60_000)]
        central.insert(sa.Table(House.__tablename__, sa.MetaData(), autoload_with=central.engine), *houses)
        host, port = central.resturl.split("/")[2].split(":")
        with socket.create_connection((host, int(port))) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.sendall(head("GET", "/rest/house/", central.token()).encode())
            time.sleep(0.5)
            taken = central.engine.pool.checkedout()  # type: ignore[attr-defined]
            until = time.monotonic() + 15
            while central.engine.pool.checkedout() and time.monotonic() < until:  # type: ignore[attr-defined]
                time.sleep(0.05)
            assert (taken, central.engine.pool.checkedout()) == (1, 0)  # type: ignore[attr-defined]


# --- what else is asked ---


@pytest.mark.parametrize("path", ["/rest/house/", "/sync/v1/hello", "/live", "/openapi.json"])
def test_methods(tmp_path: Path, path: str) -> None:
    with limited(tmp_path, Limits()) as central:
        base, headers = central.resturl.removesuffix("/rest/"), bearer(central.token())
        options = requests.options(base + path, timeout=30)
        assert options.status_code == 204 and not options.content
        allowed = set(options.headers["Allow"].split(", "))
        assert "OPTIONS" in allowed and ("POST" in allowed or {"GET", "HEAD"} <= allowed)
        for method in ("TRACE", "PATCH", "BREW"):
            answer = requests.request(method, base + path, headers=headers, timeout=30)
            assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, allowed)
            assert detail(answer)
        if "HEAD" in allowed:
            looked = requests.head(base + path, headers=headers, timeout=30)
            assert looked.status_code == 200 and not looked.content


def test_hello_still_works_within_the_limits(tmp_path: Path) -> None:
    with limited(tmp_path, Limits(requests_per_minute=600)) as central:
        token = new_token(central.engine, "north", "push")
        assert central.post("hello", hello(), bearer(token)).status_code == 200
