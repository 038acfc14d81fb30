"""The status pages as a person sees them: a real service, a real browser, a phone and a wide screen, light and dark.

PAGE_READINGS=1000000 makes central that large; UPDATE_SCREENSHOTS=1 writes docs/screenshots anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect

from pusher.central.sites import utc_now
from pusher.schema.engine import opened
from tests.browsing import SCREENS, Visit, chromium, screen_name, visiting
from tests.fourteen_sites import SITES, make_fourteen_sites
from tests.stage import CentralService

_READINGS = int(os.environ.get("PAGE_READINGS", "50000"))
# That the server may take for a page: with a million readings it has the machine for itself, else it shares it.
_SECONDS = 1.0 if _READINGS >= 1_000_000 else 5.0


@dataclass(frozen=True)
class Central:
    url: str
    token: str


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    db = f"sqlite:///{tmp_path_factory.mktemp('fourteen') / 'central.db'}"
    with opened(db, create=True) as engine:
        token = make_fourteen_sites(engine, _READINGS, utc_now())
    with CentralService(db, prepare=False) as service:
        yield Central(service.resturl.removesuffix("/rest/"), token)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(params=SCREENS, ids=screen_name)
def visit(request: pytest.FixtureRequest, browser: Browser, central: Central) -> Iterator[Visit]:
    with visiting(browser, central.url, request.param, _SECONDS) as started:
        yield started


def test_every_page(visit: Visit, central: Central) -> None:
    page = visit.page
    page.goto(central.url)
    expect(page).to_have_url(central.url + "/login")
    visit.look("login")
    page.get_by_label("Token").fill(central.token)
    page.get_by_role("button", name="Log in").click()
    _look_at_sites(visit)
    _look_at_plot(visit)
    _look_at_tables(visit)
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(central.url + "/login")
    page.goto(central.url + "/tables")
    expect(page).to_have_url(central.url + "/login?next=%2Ftables")
    assert visit.faults == [] and visit.seen >= 9


def _look_at_sites(visit: Visit) -> None:
    page = visit.page
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"of {len(SITES)} sites current")
    assert page.get_by_role("article").count() == len(SITES)
    visit.look("sites")
    visit.open("laboratory", "/sites/laboratory")
    expect(page.get_by_role("table")).to_contain_text("18 missing")
    visit.look("site")
    page.go_back()
    visit.open("school-north", "/sites/school-north")
    visit.open("Coverage by day", "/sites/school-north/coverage")
    expect(page.get_by_role("table")).to_contain_text("0 of")
    expect(page.get_by_role("list").last).to_contain_text("pusher verify LOCATION --table Reading --since")
    visit.look("coverage")
    page.get_by_label("Days").select_option("90")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("days=90"))
    visit.look(again=True)


def _look_at_plot(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("rowheader").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Temperature")
    canvas = page.locator("#plot canvas")
    expect(canvas).to_be_visible()
    visit.look("plot")
    whole = page.get_by_role("button", name="Show all of it")
    expect(whole).to_be_disabled()
    page.locator("#plot .u-over").scroll_into_view_if_needed()
    box = page.locator("#plot .u-over").bounding_box()
    assert box
    with page.expect_response(re.compile(r"/plot\.json\?.*since=")) as answer:
        visit.drag(box["x"] + box["width"] * 0.9, box["x"] + box["width"] * 0.98, box["y"] + 40)
    finer = answer.value.json()
    expect(whole).to_be_enabled()
    assert 1 < len(finer["time"]) <= 2000
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV of what is shown").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "time,mean,min,max,rows" and len(lines) - 1 == sum(each is not None for each in finer["mean"])
    visit.faults[:] = [
        each for each in visit.faults if "/plot.csv" not in each or "ERR_ABORTED" not in each
    ]  # a download
    whole.click()
    expect(whole).to_be_disabled()


def _look_at_tables(visit: Visit) -> None:
    page = visit.page
    visit.open("Tables", "/tables")
    visit.look("tables")
    page.get_by_role("rowheader", name="Reading").get_by_role("link").click()
    expect(page.get_by_role("row")).to_have_count(51)
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("Rows 51 to 100")).to_be_visible()
    page.get_by_role("combobox", name="Column").select_option("nodeId")
    page.get_by_role("textbox", name="Value").fill("121")
    page.get_by_role("button", name="Add the filter").click()
    expect(page.get_by_text("nodeId is 121")).to_be_visible()
    visit.look("table")
    page.get_by_role("cell").get_by_role("link", name="121", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Node")
    expect(page.get_by_role("row")).to_have_count(2)
    visit.look(again=True)


def test_the_keyboard_reaches_the_content(visit: Visit, central: Central) -> None:
    visit.page.goto(central.url + "/login")
    visit.page.keyboard.press("Tab")
    expect(visit.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("main")).to_be_focused()
    assert visit.faults == []
