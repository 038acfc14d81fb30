"""The pages of the import job: what a clerk can do on them, a program can do by them, and nobody else can."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from models import bookkeeping
from pusher.central.tokens import new_token
from pusher.config import load
from pusher.rest.imports_runs import Imports
from pusher.rest.limits import Limits
from pusher.schema.engine import opened
from tests.http_central import Central, bearer, central_over, detail
from tests.import_scene import HOUSES, MAPPED, Clerk, Registry
from tests.limited import limited
from tests.stage import CentralService, pusher, start_pusher, wait_until

_UPLOAD_BYTES = 200_000
_AS_JSON = {"Accept": "application/json"}


class Scene:
    def __init__(self, central: Central, registry: Registry, imports: Imports) -> None:
        self.central, self.registry, self.imports = central, registry, imports
        self.url = central.resturl.removesuffix("/rest/")
        self.desk = imports.desks["registry"]

    def clerk(self, scope: str = "import") -> Clerk:
        return Clerk(self.url, self.central.token("office", scope))

    def script(self, method: str, path: str, scope: str = "import", **options: Any) -> requests.Response:
        headers = bearer(self.central.token("office", scope)) | _AS_JSON | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def audit(self) -> list[tuple[Any, ...]]:
        table = bookkeeping.audit
        columns = (table.c.site, table.c.method, table.c.table_name, table.c.row_key, table.c.rows, table.c.status)
        with self.central.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(table.c.id))]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where uploads are while they last."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def scene(tmp_path: Path, temporary: Path) -> Iterator[Scene]:
    registry = Registry(tmp_path)
    imports = Imports(load(registry.config))
    with limited(tmp_path, Limits(upload_bytes=_UPLOAD_BYTES), locations=imports) as central:
        yield Scene(central, registry, imports)
    assert list(temporary.iterdir()) == []


def mapping(**fields: str) -> dict[str, str]:
    """As the form of houses.csv says it."""
    columns = HOUSES.partition("\n")[0].split(",")
    places = {f"column-{place}": MAPPED.get(column, column) for place, column in enumerate(columns)}
    return {"headers": json.dumps(columns)} | places | fields


# --- what a clerk does


def test_a_file_goes_all_the_way(scene: Scene) -> None:
    clerk = scene.clerk()
    page = clerk.upload("houses.csv", HOUSES)
    assert page.url == f"{scene.url}/import/registry/houses.csv"
    assert "no column gives address" in page.text and "2 High St" in page.text
    tried = clerk.post("/import/registry/houses.csv", mapping())
    assert tried.status_code == 200 and scene.registry.houses() == []
    assert "What would happen" in tried.text and "there is no Deployment with name = " in tried.text
    assert re.search(r"<dt>Would be created</dt><dd>2</dd>", tried.text)
    assert "line 3" in tried.text and "line 4" in tried.text
    ended = clerk.post("/import/registry/houses.csv", mapping(do="run"))
    assert ended.url == f"{scene.url}/import/registry/houses.csv/result"
    assert "2 of 4 rows are in; 2 were refused" in ended.text
    assert scene.registry.houses() == [("1 High St", 3, "Pilot"), ("4 High St", None, "Main")]
    failed = clerk.get("/import/registry/pending/houses.create.pending.csv")
    assert failed.text.splitlines()[0] == "Street,Deployment,rooms,--ERRORS--"
    mended = failed.text.replace("Nowhere", "Pilot").replace("many", "7")
    page = clerk.upload("houses.create.pending.csv", mended)
    assert re.search(r'<option value="address" selected>', page.text), "the map of the whole file goes for its rest"
    tried = clerk.post("/import/registry/houses.create.pending.csv", mapping())
    assert re.search(r"<dt>Would be created</dt><dd>2</dd>", tried.text)
    ended = clerk.post("/import/registry/houses.create.pending.csv", mapping(do="run"))
    assert "All 2 rows are in" in ended.text
    assert [row[:2] for row in scene.registry.houses()] == [
        ("1 High St", 3), ("2 High St", 4), ("3 High St", 7), ("4 High St", None),
    ]  # fmt: skip
    assert sorted(scene.registry.files()) == ["finished/houses.create.finished.csv", "finished/houses.csv"]
    assert scene.audit() == [
        ("office", "IMPORT", "House", "registry/houses.csv", 2, 200),
        ("office", "IMPORT", "House", "registry/houses.create.pending.csv", 2, 200),
    ]
    page = clerk.get("/import")
    assert "No file waits." in page.text and "/import/registry/finished/houses.csv" in page.text
    again = clerk.get("/import/registry/houses.csv", allow_redirects=False)
    assert again.headers["Location"] == "/import/registry/houses.csv/result"


def test_a_program_does_the_same(scene: Scene) -> None:
    sent = scene.script("POST", "/import/registry/upload", files={"file": ("houses.csv", HOUSES)})
    assert (sent.status_code, sent.json()) == (
        201,
        {
            "location": "registry",
            "name": "houses.csv",
            "bytes": len(HOUSES),
            "page": "/import/registry/houses.csv",
        },
    )
    found = scene.script("GET", "/import/registry/houses.csv.json").json()
    assert found["columns"] == ["Street", "Deployment", "rooms"] and found["rows"] == 4
    assert found["mapping"] == {"Street": None, "Deployment": None, "rooms": "rooms"}
    wishes = {"map": "Street:address, Deployment:Deployment.name", "mode": "upsert"}
    tried = scene.script("POST", "/import/registry/houses.csv", data=wishes).json()
    assert (tried["tally"]["created"], tried["tally"]["refused"], scene.registry.houses()) == (2, 2, [])
    assert [example["line"] for example in tried["tally"]["examples"]] == [3, 4]
    ended = scene.script("POST", "/import/registry/houses.csv", data=wishes | {"do": "run"}).json()
    assert (ended["state"], ended["run"]["pending"]) == ("ended", "houses.upsert.pending.csv")
    assert ended["run"]["mode"] == "upsert" and len(scene.registry.houses()) == 2
    (location,) = scene.script("GET", "/import.json").json()["locations"]
    assert [file["name"] for file in location["pending"]] == ["houses.upsert.pending.csv"]
    assert location["pending"][0]["lines"] == 3 and location["pending"][0]["size"].endswith("bytes")
    assert [run["name"] for run in location["runs"]] == ["houses.csv"] and location["processor"] == "House"


def test_what_is_left_out_is_left_out(scene: Scene) -> None:
    """Also a column that is called as a field is."""
    clerk = scene.clerk()
    clerk.upload("houses.csv", "address,rooms\n1 High St,3\n")
    columns = {"headers": '["address", "rooms"]', "column-0": "address", "column-1": ""}
    clerk.post("/import/registry/houses.csv", columns | {"do": "run"})
    assert scene.registry.houses() == [("1 High St", None, None)]


def test_a_template_is_the_head_of_a_file(scene: Scene) -> None:
    answer = scene.script("GET", "/import/registry/template?processor=Deployment&mode=create")
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''Deployment.create.csv"
    assert "name" in answer.text.splitlines()[0].split(",")


def test_another_table_has_other_fields(scene: Scene) -> None:
    clerk = scene.clerk()
    clerk.upload("houses.csv", "name\nThird\n")
    page = clerk.get("/import/registry/houses.csv?processor=Deployment&mode=create")
    assert '<option value="name" selected>' in page.text and "deploymentId" not in page.text
    clerk.post("/import/registry/houses.csv", {"processor": "Deployment", "mode": "create", "do": "run"})
    with opened(scene.registry.url) as engine, engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM Deployment")) == 3


@pytest.mark.parametrize("wish", ["processor=os:system", "processor=pusher_import", "processor=", "mode=destroy"])
def test_nobody_names_a_processor_of_his_own(scene: Scene, wish: str) -> None:
    scene.script("POST", "/import/registry/upload", files={"file": ("houses.csv", HOUSES)})
    name, _, value = wish.partition("=")
    for method, path, options in (
        ("GET", f"/import/registry/houses.csv?{wish}", {}),
        ("GET", f"/import/registry/template?{wish}", {}),
        ("POST", "/import/registry/houses.csv", {"data": {name: value or " "}}),
        ("POST", "/import/registry/houses.csv", {"data": {name: value or " ", "do": "run"}}),
    ):
        answer = scene.script(method, path, **options)
        assert answer.status_code == 422 and "there is no" in detail(answer)
    assert scene.registry.houses() == []


# --- what is refused


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


def test_an_upload_under_way_takes_no_room_from_others(tmp_path: Path, temporary: Path) -> None:
    """It is on the disk, not in memory."""
    imports = Imports(load(Registry(tmp_path).config))
    with limited(tmp_path, Limits(bodies_bytes=3 << 20), locations=imports) as central:
        headers = bearer(central.token("office", "import")) | _WHOLE["headers"]
        url = central.resturl.removesuffix("/rest/")
        uploading = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        uploading.putrequest("POST", "/import/registry/upload")
        for name, value in {**headers, "Content-Length": str(50 << 20)}.items():
            uploading.putheader(name, value)
        uploading.endheaders(_WHOLE["data"][:200])
        wait_until(lambda: list(temporary.rglob("houses.csv")))
        other = requests.post(f"{url}/nowhere", data=b"x" * (1 << 20), timeout=30)
        assert other.status_code == 404
        uploading.close()
        wait_until(lambda: not list(temporary.iterdir()))


def test_only_an_upload_may_be_large(scene: Scene) -> None:
    scene.script("POST", "/import/registry/upload", files={"file": ("houses.csv", HOUSES)})
    answer = scene.script("POST", "/import/registry/houses.csv", data={"map": "x" * (1 << 20)})
    assert answer.status_code == 413
    for headers in ("[", '{"a": 1}', "[1]"):
        assert scene.script("POST", "/import/registry/houses.csv", data={"headers": headers}).status_code == 400


# --- who may

_ADDRESSES = (
    ("GET", "/import"),
    ("GET", "/import.json"),
    ("GET", "/import/registry/houses.csv"),
    ("GET", "/import/registry/houses.csv.json"),
    ("GET", "/import/registry/houses.csv/result"),
    ("GET", "/import/registry/pending/houses.csv"),
    ("GET", "/import/registry/finished/houses.csv"),
    ("GET", "/import/registry/unfinished/houses.csv"),
    ("GET", "/import/registry/template"),
    ("POST", "/import/registry/upload"),
    ("POST", "/import/registry/houses.csv"),
)


@pytest.mark.parametrize(("method", "path"), _ADDRESSES)
def test_only_an_import_token_imports(scene: Scene, method: str, path: str) -> None:
    sent = {"files": {"file": ("other.csv", HOUSES)}} if path.endswith("upload") else {}
    scene.script("POST", "/import/registry/upload", files={"file": ("houses.csv", HOUSES)})
    for scope in ("push", "read"):
        answer = scene.script(method, path, scope, **sent)
        assert answer.status_code == 403
        assert detail(answer) == (
            f"this token is of scope {scope} and may not import; make one with: pusher token new office --scope import"
        )
    assert scene.script(method, path, headers=bearer("pusher_wrong"), **sent).status_code == 401
    assert requests.request(method, scene.url + path, headers=_AS_JSON, timeout=30, **sent).status_code == 401
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


# --- what goes out


def test_a_download_is_never_shown(scene: Scene) -> None:
    name = "Häuser, neu.csv"
    (scene.registry.storage / name).write_text(HOUSES)
    answer = scene.script("GET", "/import/registry/pending/H%C3%A4user%2C%20neu.csv")
    assert answer.content == HOUSES.encode()
    assert answer.headers["Content-Type"] == "text/csv" and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''H%C3%A4user%2C%20neu.csv"


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


# --- runs


def test_a_run_that_takes_long_is_followed(scene: Scene) -> None:
    clerk = scene.clerk()
    clerk.upload("houses.csv", "address\n1 High St\n")
    scene.desk.runs()
    with scene.registry.held():
        page = clerk.post("/import/registry/houses.csv", {"do": "run"})
        assert page.status_code == 200 and page.headers["Refresh"] == "2" and "is being imported" in page.text
        again = clerk.post("/import/registry/houses.csv", {"do": "run"})
        other = clerk.upload("other.csv", HOUSES)
        assert other.status_code == 409 and 'role="alert"' in other.text
    assert again.status_code in (404, 409)
    wait_until(lambda: "The row is in" in clerk.get("/import/registry/houses.csv/result").text)
    ended = clerk.get("/import/registry/houses.csv/result")
    assert "Refresh" not in ended.headers and scene.registry.houses() == [("1 High St", None, None)]


def test_a_second_run_on_a_storage_is_refused(scene: Scene) -> None:
    clerk = scene.clerk()
    clerk.upload("houses.csv", HOUSES)
    with scene.desk.center.locked():
        page = clerk.post("/import/registry/houses.csv", mapping(do="run"))
        assert page.status_code == 409
        assert len(re.findall(r'<p class="error"[^>]*role="alert">.*</p>', page.text)) == 1
        assert "Which column gives which field" in page.text and '<option value="address" selected>' in page.text
        answer = scene.script("POST", "/import/registry/houses.csv", data=mapping(do="run"))
        assert answer.status_code == 409 and detail(answer)
    assert scene.registry.houses() == [] and [line[-1] for line in scene.audit()] == [409, 409]


def test_a_mapping_that_will_not_do_is_refused(scene: Scene) -> None:
    clerk = scene.clerk()
    clerk.upload("houses.csv", HOUSES)
    for wishes in ({"do": "run"}, {}):
        answer = clerk.post("/import/registry/houses.csv", mapping(**{"column-1": "address"} | wishes))
        assert "both give address" in answer.text and answer.status_code == (422 if wishes else 200)
    assert scene.registry.houses() == [] and list(scene.registry.files()) == ["houses.csv"]


def test_a_target_that_is_gone_hides_no_file(scene: Scene) -> None:
    clerk = scene.clerk()
    clerk.upload("houses.csv", HOUSES)
    path = Path(scene.registry.url.removeprefix("sqlite:///"))
    path.rename(path.with_suffix(".away"))
    page = clerk.get("/import")
    assert page.status_code == 200 and "no database at" in page.text and "houses.csv" in page.text
    assert clerk.get("/import/registry/houses.csv").status_code == 503
    assert scene.script("POST", "/import/registry/houses.csv", data=mapping(do="run")).status_code == 503


# --- serving


def test_without_imports_there_are_no_pages(tmp_path: Path) -> None:
    with central_over(f"sqlite:///{tmp_path / 'central.db'}") as central:
        url, key = central.resturl.removesuffix("/rest/"), central.token("office", "import")
        assert 'href="/import"' not in requests.get(url, headers=bearer(key), timeout=30).text
        for method, path in _ADDRESSES:
            answer = requests.request(method, url + path, headers=bearer(key) | _AS_JSON, timeout=30)
            assert answer.status_code == 404 and "--imports" in detail(answer)


def test_a_configuration_that_will_not_do_ends_it_at_once(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    text = registry.config.read_text()
    for wrong, words in (
        (text.replace("registry = 1", "registry = 0"), "kind = import is switched on"),
        (text.replace("processor = House", ""), "processor is missing"),
    ):
        registry.config.write_text(wrong)
        done = pusher("serve", "--port", "0", "--imports", registry.config, cwd=tmp_path)
        assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Its file is no longer in the root then, and must not seem to be lost."""
    registry = Registry(tmp_path)
    with CentralService(f"sqlite:///{tmp_path / 'central.db'}", options=_imports(registry)) as service:
        clerk = Clerk(service.resturl.removesuffix("/rest/"), service.token("office", "import"))
        clerk.upload("before.csv", "address\n2 High St\n")
        assert "The row is in" in clerk.post("/import/registry/before.csv", {"do": "run"}).text
        clerk.page = clerk.get("/import")
        clerk.upload("houses.csv", "address\n1 High St\n")
        with registry.held():
            assert "is being imported" in clerk.post("/import/registry/houses.csv", {"do": "run"}).text
            service.kill()
        assert "houses.csv" not in registry.files()
        service.start()
        assert len(registry.houses()) == 1
        assert "A run of houses.csv broke off" in clerk.get("/import").text
        clerk.page = clerk.get("/import/registry/houses.csv")
        assert clerk.page.url.endswith("/result") and "broke off" in clerk.page.text
        ended = clerk.post("/import/registry/houses.csv", {"do": "run"})
        assert "The row is in" in ended.text and len(registry.houses()) == 2


def test_any_worker_tells_of_a_run(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with start_pusher(
        "serve", "--port", "0", "--workers", "2", *_imports(registry), cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as service:
        try:
            assert service.stderr
            url = service.stderr.readline().removeprefix("central serves ").strip().removesuffix("/rest/")
            with opened(f"sqlite:///{tmp_path / 'central.db'}") as engine:
                clerk = Clerk(url, new_token(engine, "office", "import"))
            clerk.upload("houses.csv", "address\n1 High St\n")
            clerk.browser.headers["Connection"] = "close"  # so that any worker may take the next request
            with registry.held():
                assert "is being imported" in clerk.post("/import/registry/houses.csv", {"do": "run"}).text
                pages = [clerk.get("/import/registry/houses.csv/result") for _ in range(10)]
                assert all("is being imported" in page.text for page in pages)
            wait_until(lambda: "The row is in" in clerk.get("/import/registry/houses.csv/result").text)
            pages = [clerk.get("/import/registry/houses.csv/result") for _ in range(10)]
            assert all("The row is in" in page.text for page in pages)
        finally:
            service.terminate()
    assert "import_ended location=registry" in (tmp_path / "datacenter/logs/Daily.log").read_text()


def _imports(registry: Registry) -> tuple[str, str]:
    return "--imports", str(registry.config)
