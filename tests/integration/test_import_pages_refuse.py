"""What is refused on the pages of the import job: forms, files, tokens and addresses that will not do."""

from __future__ import annotations

import http.client
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pusher.rest.limits import Limits
from tests.http_central import bearer, detail
from tests.import_scene import ADDRESSES, AS_JSON, HOUSES, Clerk, Scene, import_pages
from tests.stage import wait_until

_UPLOAD_BYTES = 200_000


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with import_pages(tmp_path, Limits(upload_bytes=_UPLOAD_BYTES)) as found:
        yield found


# --- files and forms


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("../houses.csv", HOUSES, "houses.csv"),
        ("/etc/houses.csv", HOUSES, "houses.csv"),
        (".houses.csv", HOUSES, "houses.csv"),
        ("houses.exe", HOUSES, "houses.exe"),
        ("h" * 300 + ".csv", HOUSES, "h"),
        ("houses.csv", "a,a\n1,2\n", "line 1"),
        ("houses.csv", "", "empty"),
        ("houses.csv", b"a,b\n1,\0\n", "NUL"),
        ("", HOUSES, "no file was chosen"),
    ],
)
def test_a_file_that_will_not_do(scene: Scene, name: str, content: str | bytes, words: str) -> None:
    """One line says why, above the form for another try; a program gets the same as a problem."""
    clerk = scene.clerk()
    page = clerk.upload(name, content)
    assert page.status_code == 422
    (alert,) = re.findall(r'<p class="error"[^>]*role="alert">(.*)</p>', page.text)
    assert words in alert and "CSV file for registry" in page.text and "Traceback" not in page.text
    answer = scene.script("POST", "/import/registry/upload", files={"file": (name, content)})
    assert answer.status_code == 422 and words in detail(answer)
    assert scene.registry.files() == {}


def test_a_file_that_was_imported_is_taken_once_more_if_it_is_meant(scene: Scene) -> None:
    clerk = scene.clerk()
    good = "address\n1 High St\n"
    clerk.upload("houses.csv", good)
    clerk.post("/import/registry/houses.csv", {"do": "run"})
    assert clerk.upload("other.csv", good).status_code == 422
    assert "imported already" in clerk.page.text
    assert clerk.upload("other.csv", good, again="1").url == f"{scene.url}/import/registry/other.csv"


_BOUNDARY = "----aBoundary"


def form(*parts: tuple[str, str, str | None]) -> dict[str, Any]:
    """A form as no browser makes it: name, content and name of a file of each part."""
    text = ""
    for name, content, filename in parts:
        called = "" if filename is None else f'; filename="{filename}"'
        text += f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{called}\r\n\r\n{content}\r\n'
    kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    return {"data": f"{text}--{_BOUNDARY}--\r\n".encode(), "headers": kind}


_FILE = ("file", HOUSES, "houses.csv")
_WHOLE = form(_FILE)


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (_WHOLE | {"data": _WHOLE["data"].replace(b"houses.csv", b"h\xff.csv")}, 422, "cannot be printed"),
        (_WHOLE | {"data": _WHOLE["data"].replace(b"houses.csv", b"h\0.csv")}, 422, "cannot be printed"),
        ({"data": HOUSES.encode()}, 415, "curl -F"),
        ({"data": {"file": "x"}}, 415, "curl -F"),
        (_WHOLE | {"headers": {"Content-Type": "multipart/form-data"}}, 415, "curl -F"),
        (_WHOLE | {"headers": {"Content-Type": "multipart/form-data; boundary=other"}}, 400, "cannot be understood"),
        (_WHOLE | {"data": _WHOLE["data"][:-20]}, 400, "ends in the middle"),
        (_WHOLE | {"data": _WHOLE["data"][:60]}, 400, "ends in the middle"),
        (_WHOLE | {"data": b""}, 400, "ends in the middle"),
        (form(_FILE, ("file", HOUSES, "more.csv")), 400, "another file"),
        (form(("other", HOUSES, "houses.csv")), 400, "another file"),
        (form(*[("again", "1", None)] * 11, _FILE), 400, "more than 10 parts"),
        (form(("again", "1" * 2000, None), _FILE), 400, "more than 1,000 bytes"),
        (form(("file", HOUSES, "h" * 20_000)), 400, ""),
        (form(("file", "x" * _UPLOAD_BYTES, "houses.csv")), 413, "larger than"),
        (form(("again", "1", None)), 422, "no file was chosen"),
    ],
)
def test_a_form_that_will_not_do(scene: Scene, sent: dict[str, Any], status: int, words: str) -> None:
    answer = scene.script("POST", "/import/registry/upload", **sent)
    assert answer.status_code == status and words in detail(answer)
    assert scene.registry.files() == {}


def test_a_body_that_does_not_say_how_long_it_is(scene: Scene) -> None:
    def endless() -> Iterator[bytes]:
        yield _WHOLE["data"][:200]
        for _ in range(100):
            yield b"x" * 10_000

    answer = scene.script("POST", "/import/registry/upload", data=endless(), headers=_WHOLE["headers"])
    assert answer.status_code == 413 and scene.registry.files() == {}


def test_an_upload_under_way_takes_no_room_from_others(tmp_path: Path) -> None:
    """It is on the disk, not in memory."""
    with import_pages(tmp_path, Limits(bodies_bytes=3 << 20)) as scene:
        headers = bearer(scene.central.token("office", "import")) | _WHOLE["headers"]
        uploading = http.client.HTTPConnection(scene.url.removeprefix("http://"), timeout=30)
        uploading.putrequest("POST", "/import/registry/upload")
        for name, value in {**headers, "Content-Length": str(50 << 20)}.items():
            uploading.putheader(name, value)
        uploading.endheaders(_WHOLE["data"][:200])
        wait_until(lambda: list(scene.temporary.rglob("houses.csv")))
        assert requests.post(f"{scene.url}/nowhere", data=b"x" * (1 << 20), timeout=30).status_code == 404
        uploading.close()
        wait_until(lambda: not list(scene.temporary.iterdir()))


def test_only_an_upload_may_be_large(scene: Scene) -> None:
    scene.script("POST", "/import/registry/upload", files={"file": ("houses.csv", HOUSES)})
    answer = scene.script("POST", "/import/registry/houses.csv", data={"map": "x" * (1 << 20)})
    assert answer.status_code == 413
    for headers in ("[", '{"a": 1}', "[1]"):
        assert scene.script("POST", "/import/registry/houses.csv", data={"headers": headers}).status_code == 400


# --- who may


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_only_an_import_token_imports(scene: Scene, method: str, path: str) -> None:
    sent: dict[str, Any] = {"files": {"file": ("other.csv", HOUSES)}} if path.endswith("upload") else {}
    scene.script("POST", "/import/registry/upload", files={"file": ("houses.csv", HOUSES)})
    for scope in ("push", "read"):
        answer = scene.script(method, path, scope, **sent)
        assert answer.status_code == 403
        assert detail(answer) == (
            f"this token is of scope {scope} and may not import; make one with: pusher token new office --scope import"
        )
    assert scene.script(method, path, headers=bearer("pusher_wrong"), **sent).status_code == 401
    assert requests.request(method, scene.url + path, headers=AS_JSON, timeout=30, **sent).status_code == 401
    if not path.endswith(".json"):
        login = requests.request(method, scene.url + path, timeout=30, allow_redirects=False, **sent)
        assert login.status_code == 303 and login.headers["Location"].startswith("/login")
    assert list(scene.registry.files()) == ["houses.csv"]


def test_in_a_browser_the_refusal_is_a_page(scene: Scene) -> None:
    reader = Clerk.__new__(Clerk)
    reader.url, reader.browser = scene.url, requests.Session()
    reader.page = reader.get("/login")
    page = reader.post("/login", {"token": scene.central.token("office", "read"), "next": "/import"})
    assert page.status_code == 403 and "pusher token new office --scope import" in page.text
    assert "<h1>" in page.text and "Log out" in page.text


def test_an_import_token_reads_and_does_no_more(scene: Scene) -> None:
    assert scene.script("GET", "/rest/house/").status_code == 200
    assert scene.script("GET", "/").status_code == 200
    answer = scene.script("POST", "/rest/house/", json={"address": "1 High St"})
    assert answer.status_code == 403 and "can only import" in detail(answer)
    assert scene.script("DELETE", "/rest/house/1").status_code == 403
    assert scene.script("POST", "/files/v1/place", data=b"").status_code in (403, 404)


@pytest.mark.parametrize("given", [{}, {"form": ""}, {"form": "x" * 64}, {"form": "ü"}])
def test_a_form_of_somebody_else_is_refused(scene: Scene, given: dict[str, str]) -> None:
    clerk = scene.clerk()
    clerk.upload("houses.csv", "address\n1 High St\n")
    path = f"{scene.url}/import/registry"
    file = {"file": ("other.csv", HOUSES)}
    answer = clerk.browser.post(f"{path}/upload", data=given, files=file, timeout=30)
    assert answer.status_code == 403 and "has expired" in answer.text
    answer = clerk.browser.post(f"{path}/houses.csv", data=given | {"do": "run"}, timeout=30)
    assert answer.status_code == 403 and "has expired" in answer.text
    assert list(scene.registry.files()) == ["houses.csv"] and scene.registry.houses() == []


def test_the_secret_of_a_form_stands_before_its_file(scene: Scene) -> None:
    """Else the file would be on the disk before it is known who sends it."""
    clerk = scene.clerk()
    sent = form(_FILE, ("form", clerk.secret()["form"], None))
    answer = clerk.browser.post(f"{scene.url}/import/registry/upload", timeout=30, **sent)
    assert answer.status_code == 403 and scene.registry.files() == {}


def test_a_password_that_a_browser_keeps_is_no_proof_of_a_form(scene: Scene) -> None:
    """It sends it by itself, whoever made the page."""
    key = scene.central.token("office", "import")
    answer = requests.post(
        f"{scene.url}/import/registry/upload", auth=("clerk", key), files={"file": ("houses.csv", HOUSES)}, timeout=30
    )
    assert answer.status_code == 403 and scene.registry.files() == {}


# --- and addresses


@pytest.mark.parametrize("wish", ["processor=os:system", "processor=pusher_import", "processor=", "mode=destroy"])
def test_nobody_names_a_processor_of_his_own(scene: Scene, wish: str) -> None:
    scene.script("POST", "/import/registry/upload", files={"file": ("houses.csv", HOUSES)})
    name, _, value = wish.partition("=")
    tries: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("GET", f"/import/registry/houses.csv?{wish}", {}),
        ("GET", f"/import/registry/template?{wish}", {}),
        ("POST", "/import/registry/houses.csv", {"data": {name: value or " "}}),
        ("POST", "/import/registry/houses.csv", {"data": {name: value or " ", "do": "run"}}),
    )
    for method, path, options in tries:
        answer = scene.script(method, path, **options)
        assert answer.status_code == 422 and "there is no" in detail(answer)
    assert scene.registry.houses() == []


@pytest.mark.parametrize(
    "path",
    [
        "/import/registry/pending/..%2Fregistry.db",
        "/import/registry/pending/..%2F..%2Fregistry.db",
        "/import/registry/pending/%2Fetc%2Fpasswd",
        "/import/registry/pending/.lock",
        "/import/registry/pending/link.csv",
        "/import/registry/pending/finished",
        "/import/registry/pending/none.csv",
        "/import/registry/finished/link.csv",
        "/import/registry/deleted/old.csv",
        "/import/registry/link.csv",
        "/import/registry/link.csv/result",
        "/import/registry/none.csv",
        "/import/nowhere/pending/link.csv",
        "/import/nowhere/template",
    ],
)
def test_nothing_else_goes_out(scene: Scene, path: str) -> None:
    outside = scene.registry.config
    for folder in (scene.registry.storage, scene.registry.storage / "finished"):
        os.symlink(outside, folder / "link.csv")
    (scene.registry.storage / "deleted" / "old.csv").write_text("secret\n")
    answer = scene.script("GET", path)
    assert answer.status_code == 404, answer.text
    assert "localurl" not in answer.text and "secret" not in answer.text


def test_what_is_in_a_file_is_no_markup(scene: Scene) -> None:
    evil = "<script>alert(1)</script>"
    clerk = scene.clerk()
    clerk.upload(f"{evil.replace('/', '')}.csv", f'"{evil}",address\n"{evil}","{evil}"\n')
    page = clerk.page
    assert page.status_code == 200 and evil not in page.text and "&lt;script&gt;" in page.text
    secret = json.dumps([evil, "address"])
    path = page.url.removeprefix(scene.url)
    for wish in ({}, {"do": "run"}):
        answer = clerk.post(path, {"headers": secret, "column-0": evil, "column-1": "address"} | wish)
        assert evil not in answer.text
