"""A clerk imports a CSV file with a real browser, and mends what was refused.

UPDATE_SCREENSHOTS=1 writes docs/import.png anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browsing import DOCS, SCREENS, Visit, chromium, screen_name, visiting
from tests.import_scene import HOUSES, Registry
from tests.stage import CentralService

_SECONDS = 30.0  # that the server may take: how fast it is, is not what these look at


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


_ON_A_PHONE = pytest.mark.parametrize("visit", SCREENS[:1], ids=screen_name, indirect=True)


@pytest.fixture(params=SCREENS, ids=screen_name)
def visit(request: pytest.FixtureRequest, browser: Browser, registry: Registry, tmp_path: Path) -> Iterator[Visit]:
    """By a clerk who has logged in."""
    options = ("--imports", str(registry.config))
    with CentralService(f"sqlite:///{tmp_path / 'central.db'}", options=options) as service:
        url = service.resturl.removesuffix("/rest/")
        with visiting(browser, url, request.param, _SECONDS) as started:
            started.page.goto(f"{url}/import")
            started.page.get_by_label("Token").fill(service.token("office", "import"))
            started.page.get_by_role("button", name="Log in").click()
            expect(started.page).to_have_url(f"{url}/import")
            yield started


def test_a_clerk_imports_a_file_and_mends_it(visit: Visit, registry: Registry, tmp_path: Path) -> None:
    page = visit.page
    visit.look()
    _hand_in(visit, tmp_path / "houses.csv", HOUSES)
    visit.look()
    page.get_by_label("Street", exact=True).select_option("address")
    page.get_by_label("Deployment", exact=True).select_option("Deployment.name")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_role("heading", name="What would happen")).to_be_visible()
    expect(page.get_by_role("definition").nth(1)).to_have_text("2")
    expect(page.get_by_role("table").first).to_contain_text("there is no Deployment with name =")
    expect(page.get_by_label("Street", exact=True)).to_have_value("address")
    visit.look()
    if visit.name == "1440-light":
        visit.photograph(DOCS / "import.png")
    expect(page.get_by_text("line 3")).to_be_visible()
    assert registry.houses() == []
    _run(visit)
    expect(page.get_by_text("2 of 4 rows are in; 2 were refused.")).to_be_visible()
    visit.look()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the refused rows").click()
    assert download.value.suggested_filename == "houses.create.pending.csv"
    failed = download.value.path().read_text()
    assert [line.split(",")[0] for line in failed.splitlines()] == ["Street", "2 High St", "3 High St"]
    mended = failed.replace("Nowhere", "Pilot").replace("many", "7")
    _hand_in(visit, tmp_path / "houses.create.pending.csv", mended)
    expect(page.get_by_label("Deployment", exact=True)).to_have_value("Deployment.name")
    _run(visit)
    expect(page.get_by_text("All 2 rows are in.")).to_be_visible()
    assert [row[:2] for row in registry.houses()] == [
        ("1 High St", 3), ("2 High St", 4), ("3 High St", 7), ("4 High St", None),
    ]  # fmt: skip
    visit.open("Import", "/import")
    expect(page.get_by_role("row").filter(has_text="houses.csv")).to_have_count(2)
    visit.look()
    assert visit.faults == []


@_ON_A_PHONE
def test_a_page_of_a_run_looks_again_by_itself(visit: Visit, registry: Registry, tmp_path: Path) -> None:
    page = visit.page
    _hand_in(visit, tmp_path / "houses.csv", "address\n1 High St\n")
    with registry.held():
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_text("It is being imported")).to_be_visible()
        visit.look()
    expect(page.get_by_text("The row is in.")).to_be_visible()
    assert visit.faults == []


@_ON_A_PHONE
def test_why_a_file_is_not_taken_is_said_where_it_was_chosen(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    _hand_in(visit, tmp_path / "houses.csv", "address,address\n")
    expect(page.get_by_role("alert")).to_contain_text("houses.csv, line 1")
    expect(page.get_by_label("CSV file for registry")).to_be_visible()
    visit.look()
    assert [fault for fault in visit.faults if "422" not in fault] == []


@_ON_A_PHONE
def test_the_keyboard_is_enough(visit: Visit, registry: Registry, tmp_path: Path) -> None:
    page = visit.page
    _hand_in(visit, tmp_path / "houses.csv", "Street\n1 High St\n")
    _tab_to(visit, "column-0")
    page.keyboard.type("address")
    _tab_to(visit, "Dry run")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What would happen")).to_be_visible()
    _tab_to(visit, "Run")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The row is in.")).to_be_visible()
    assert registry.houses() == [("1 High St", None, None)] and visit.faults == []


def _hand_in(visit: Visit, path: Path, content: str) -> None:
    path.write_text(content)
    visit.page.locator("input[type=file]").set_input_files(path)
    visit.page.get_by_role("button", name=re.compile("Hand it in")).click()


def _run(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Run", exact=True).click()
    expect(visit.page).to_have_url(re.compile("/result"))


def _tab_to(visit: Visit, what: str) -> None:
    """The control that is called so, or has these words on it."""
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        if what in visit.page.evaluate("[document.activeElement.name, document.activeElement.textContent]"):
            return
    raise AssertionError(f"the keyboard does not reach {what}")
