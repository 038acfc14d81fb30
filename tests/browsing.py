"""A person with a real browser, a phone or a wide screen, light or dark, who notices all that goes wrong.

UPDATE_SCREENSHOTS=1 writes the pictures in docs/ anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, Response, expect, sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
_CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
_WIDE = """[...document.querySelectorAll("body *")].filter(each =>
    each.getBoundingClientRect().right > innerWidth && !each.closest(".scroll"))
    .map(each => each.outerHTML.slice(0, 90))"""
_WAIT_MILLISECONDS = 30_000  # on a machine that has other work
expect.set_options(timeout=_WAIT_MILLISECONDS)
_UPDATE = os.environ.get("UPDATE_SCREENSHOTS") == "1"
# Colours do not depend on the width, nor what fits on the colours.
SCREENS = [(390, 844, "light"), (1440, 900, "dark")] + _UPDATE * [(390, 844, "dark"), (1440, 900, "light")]


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        yield started
        started.close()


@contextmanager
def visiting(browser: Browser, url: str, screen: tuple[int, int, str], seconds: float = 5.0) -> Iterator[Visit]:
    """Somebody who comes to the service at `url`. `seconds`: that it may take for a page."""
    width, height, scheme = screen
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        locale="en-GB",
        timezone_id="Asia/Tokyo",
        has_touch=width < 500,
    )
    yield Visit(context.new_page(), url, f"{width}-{scheme}", width < 500, seconds)
    context.close()


def screen_name(screen: tuple[int, int, str]) -> str:
    return f"{screen[0]}-{screen[2]}"


@dataclass
class Visit:
    """`name`: of the screen. `faults`: what went wrong. `seen`: pages that were looked at."""

    page: Page
    url: str
    name: str
    phone: bool
    seconds: float
    faults: list[str] = field(default_factory=list)
    seen: int = 0

    def __post_init__(self) -> None:
        self.page.set_default_timeout(_WAIT_MILLISECONDS)
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def _failed(self, asked: Request) -> None:
        """What the browser itself breaks off, since it goes to another page, is no fault."""
        if asked.failure != "net::ERR_ABORTED":
            self.faults.append(f"{asked.url}: {asked.failure}")

    def _answered(self, answer: Response) -> None:
        if answer.status >= 400:
            self.faults.append(f"{answer.url}: {answer.status}")
        timing = re.search(r"total;dur=([\d.]+)", answer.headers.get("server-timing", ""))
        if timing and float(timing[1]) > self.seconds * 1000:
            self.faults.append(f"{answer.url}: {timing[1]} ms at the server")

    def look(self, screenshot: str | None = None, *, again: bool = False) -> None:
        """What is on the screen fits it, and can be used by everybody; `again`: a page of a kind that was looked at."""
        self.page.wait_for_load_state("load")
        self.seen += 1
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{self.page.url} is {wide} px too wide: {self.page.evaluate(_WIDE)}"
        if again:
            return
        self.page.evaluate(_AXE)
        found: dict[str, Any] = self.page.evaluate("axe.run()")
        assert found["passes"]
        assert [_violation(each) for each in found["violations"]] == [], self.page.url
        if screenshot:
            self.photograph(DOCS / f"screenshots/{screenshot}-{self.name}.png")

    def photograph(self, path: Path) -> None:
        """If pictures are made anew."""
        if _UPDATE:
            path.parent.mkdir(exist_ok=True)
            self.page.mouse.move(0, 0)
            self.page.screenshot(path=path)

    def drag(self, start: float, end: float, y: float) -> None:
        """Sideways, with a finger on a phone and else with a mouse."""
        if not self.phone:
            self.page.mouse.move(start, y)
            self.page.mouse.down()
            self.page.mouse.move(end, y + 20, steps=4)
            self.page.mouse.up()
            return
        fingers = self.page.context.new_cdp_session(self.page)
        for kind, places in (("Start", [start]), ("Move", [(start + end) / 2]), ("Move", [end]), ("End", [])):
            points = [{"x": place, "y": y} for place in places]
            fingers.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    def open(self, link: str, path: str) -> None:
        self.page.get_by_role("link", name=link, exact=True).first.click()
        expect(self.page).to_have_url(re.compile(re.escape(self.url + path)))


def _violation(found: dict[str, Any]) -> str:
    return f"{found['id']}: {found['nodes'][0]['html'][:200]} {found['nodes'][0]['failureSummary'][:300]}"
