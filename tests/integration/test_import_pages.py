"""The pages of the import job: what a clerk does on them, and a program by them, and how runs are followed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

from pusher.central.tokens import new_token
from pusher.rest.limits import Limits
from pusher.schema.engine import opened
from tests.http_central import bearer, central_over, detail
from tests.import_scene import ADDRESSES, AS_JSON, HOUSES, Clerk, Registry, Scene, import_pages, mapping
from tests.stage import CentralService, pusher, start_pusher, wait_until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with import_pages(tmp_path, Limits()) as found:
        yield found


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


# --- what goes out


def test_a_download_is_never_shown(scene: Scene) -> None:
    name = "Häuser, neu.csv"
    (scene.registry.storage / name).write_text(HOUSES)
    answer = scene.script("GET", "/import/registry/pending/H%C3%A4user%2C%20neu.csv")
    assert answer.content == HOUSES.encode()
    assert answer.headers["Content-Type"] == "text/csv" and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''H%C3%A4user%2C%20neu.csv"


# --- runs


def test_a_run_that_takes_long_is_followed(scene: Scene) -> None:
    clerk = scene.clerk()
    clerk.upload("houses.csv", "address\n1 High St\n")
    scene.desk.runs()
    with scene.registry.held():
        page = clerk.post("/import/registry/houses.csv", {"do": "run"})
        assert page.status_code == 200 and page.headers["Refresh"] == "2" and "is being imported" in page.text
        clerk.page = clerk.get("/import")
        assert "A file is being imported here now." in clerk.page.text
        other = clerk.upload("other.csv", HOUSES)
        assert other.url == f"{scene.url}/import/registry/other.csv"
        second = clerk.post("/import/registry/other.csv", mapping(do="run"))
        assert second.status_code == 409 and "registry is importing houses.csv; wait" in second.text
    wait_until(lambda: "The row is in" in clerk.get("/import/registry/houses.csv/result").text)
    ended = clerk.get("/import/registry/houses.csv/result")
    assert "Refresh" not in ended.headers and scene.registry.houses() == [("1 High St", None, None)]


def test_a_run_is_not_taken_for_the_one_before(scene: Scene) -> None:
    clerk = scene.clerk()
    for address in ("1 High St", "2 High St"):
        clerk.page = clerk.get("/import")
        clerk.upload("houses.csv", f"address\n{address}\n")
        with scene.registry.held() if address == "2 High St" else nullcontext():
            page = clerk.post("/import/registry/houses.csv", {"do": "run"})
            assert ("is being imported" in page.text) == (address == "2 High St")
    wait_until(lambda: "The row is in" in clerk.get(page.url.removeprefix(scene.url)).text)
    assert len(scene.registry.houses()) == 2


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


def test_a_file_that_was_never_run_has_no_result(scene: Scene) -> None:
    clerk = scene.clerk()
    clerk.upload("houses.csv", HOUSES)
    assert clerk.get("/import/registry/houses.csv/result").url == f"{scene.url}/import/registry/houses.csv"
    assert scene.script("GET", "/import/registry/houses.csv/result.json").status_code == 404


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
        for method, path in ADDRESSES:
            answer = requests.request(method, url + path, headers=bearer(key) | AS_JSON, timeout=30)
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
