"""The status pages over real databases: what they say, to whom, and what they never let through."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from statistics import fmean
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import requests
import sqlalchemy as sa

from models import Base, bookkeeping
from pusher.central.sites import utc_now
from pusher.central.store import Store
from pusher.central.tokens import new_token
from pusher.wire.messages import Report, TableReport, TableResult, Verified
from tests.conftest import DIALECTS, NewDatabase
from tests.fourteen_sites import SITES, make_fourteen_sites
from tests.http_central import Central, bearer, central_over

_READINGS = 7800
_READING = Base.metadata.tables["Reading"]
_PAGES = (
    "/", "/sites/mill", "/sites/school-north/coverage", "/sites/boathouse", "/sites/boathouse/coverage", "/plot",
    "/tables", "/tables/Reading", "/tables/house",
)  # fmt: skip
_EXPECTED = {
    "attic-flat": ["stale"], "boathouse": ["never"], "greenhouse": ["held"], "laboratory": ["gaps"],
    "lighthouse": ["late", "stale"], "mill": ["late"], "school-north": ["gaps"],
}  # fmt: skip


class Fourteen:
    def __init__(self, central: Central, token: str, now: dt.datetime) -> None:
        self.central, self.token, self.now = central, token, now
        self.url = central.resturl.removesuffix("/rest/")

    def get(self, path: str, **options: Any) -> requests.Response:
        headers = bearer(self.token) | options.pop("headers", {})
        return requests.get(self.url + path, headers=headers, timeout=30, **options)

    def json(self, path: str) -> Any:
        answer = self.get(path, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module", params=DIALECTS)
def fourteen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fourteen]:
    """One for all tests of a dialect, which leave it as it is."""
    if request.param == "sqlite":
        db = f"sqlite:///{tmp_path_factory.mktemp('fourteen') / 'central.db'}"
    else:
        db = request.getfixturevalue("servers")(request.param).new_database()
    with central_over(db) as central:
        now = utc_now()
        yield Fourteen(central, make_fourteen_sites(central.engine, _READINGS, now), now)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    with central_over(f"sqlite:///{tmp_path_factory.mktemp('empty') / 'central.db'}") as found:
        yield found


# --- what they say ---


def test_every_site_is_in_its_state(fourteen: Fourteen) -> None:
    found = fourteen.json("/")
    expected = {site.name: _EXPECTED.get(site.name, ["current"]) for site in SITES}
    assert {site["name"]: site["states"] for site in found["sites"]} == expected
    assert found["verdict"] == (
        "7 of 14 sites current, 2 late, 2 with gaps, 1 with held rows, 1 without new data, 1 never seen"
    )
    assert [site["state"] for site in found["sites"][:2]] == ["late", "late"]
    mast = next(site for site in found["sites"] if site["name"] == "weather-mast")
    assert mast["clock_is_wrong"] and mast["rows_last_day"] > 0


@pytest.mark.parametrize("path", _PAGES)
def test_a_page_and_its_twin(fourteen: Fourteen, path: str) -> None:
    page, twin = fourteen.get(path), fourteen.json(path)
    named = fourteen.get("/index.json" if path == "/" else f"{path}.json").json()
    assert page.status_code == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert named.keys() == twin.keys()
    assert float(page.headers["Server-Timing"].removeprefix("total;dur=")) >= 0
    assert page.headers["X-Content-Type-Options"] == "nosniff" and page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    text = page.text
    assert not re.search(r"<script(?![^>]* src=\"/static/)|<style|\bstyle=|\bon\w+=", text)
    assert text.count("<h1") == 1 and "<main" in text and 'lang="en"' in text and "Traceback" not in text


def test_a_site_table_by_table(fourteen: Fourteen) -> None:
    found = fourteen.json("/sites/laboratory")
    tables = {table["name"]: table for table in found["tables"]}
    reading = tables["Reading"]
    assert (reading["verdict"], reading["missing"], reading["deep"]) == ("different", 18, True)
    assert reading["rows_total"] == 600 and reading["passed"] < reading["verified"]
    assert [event["kind"] for event in found["events"]] == ["verify", "agent"]
    gaps = fourteen.json("/sites/school-north")["tables"][0]["gaps"]
    assert gaps == [(fourteen.now - dt.timedelta(days=days)).date().isoformat() for days in (9, 8, 7, 6)]


def test_coverage_is_what_is_there(fourteen: Fourteen) -> None:
    found = fourteen.json("/sites/house-31/coverage?days=30")
    nodes = sorted({sensor["sensor"]["nodeId"] for sensor in found["sensors"]})
    assert len(found["sensors"]) == 6 and [len(sensor["days"]) for sensor in found["sensors"]] == [30] * 6
    assert found["sensors"][0]["label"] == f"node {nodes[0]} · Temperature"
    days = [(fourteen.now - dt.timedelta(days=n)).date().isoformat() for n in (6, 3)]
    assert found["sensors"][0]["gaps"] == [{"since": days[0], "until": days[1]}]
    assert all(not sensor["gaps"] for sensor in found["sensors"][1:])
    with fourteen.central.engine.connect() as connection:
        query = sa.select(sa.func.count()).where(
            _READING.c.nodeId == nodes[0],
            _READING.c.type == 2,
            _READING.c.time >= dt.datetime.fromisoformat(found["since"]),
        )
        assert sum(day["received"] for day in found["sensors"][1]["days"]) == connection.scalar(query)
    page = fourteen.get("/sites/house-31/coverage").text
    assert f"pusher verify LOCATION --table Reading --since {days[0]} --until {days[1]} --deep --repair" in page


def test_a_plot_is_made_of_all_rows(fourteen: Fourteen) -> None:
    since, until = fourteen.now - dt.timedelta(days=50), fourteen.now + dt.timedelta(days=1)
    found = fourteen.json(f"/plot?node=101&type=8&since={since.isoformat()}&until={until.isoformat()}")
    with fourteen.central.engine.connect() as connection:
        query = sa.select(_READING.c.value).where(_READING.c.nodeId == 101, _READING.c.type == 8)
        values = list(connection.scalars(query))
    assert found["rows"] == len(values) == 100 and found["units"] == "ppm"
    assert (found["low"], found["high"]) == (min(values), max(values))
    assert fmean(each for each in found["mean"] if each is not None) == pytest.approx(fmean(values), rel=0.01)
    assert len(found["time"]) == len(found["min"]) <= 2000 and found["time"] == sorted(found["time"])


def test_a_gap_is_shown_as_one(fourteen: Fourteen) -> None:
    school = next(
        sensor["plot"]
        for sensor in fourteen.json("/sites/school-north/coverage")["sensors"]
        if sensor["sensor"]["type"] == 0
    )
    found = fourteen.json(school)
    assert found["mean"].count(None) == 1
    hole = found["mean"].index(None)
    assert found["time"][hole + 1] - found["time"][hole - 1] > 4 * 86400
    lines = fourteen.get(school.replace("/plot?", "/plot.csv?")).text.splitlines()
    assert lines[0] == "time,mean,min,max,rows" and len(lines) == len(found["mean"])


def test_without_a_wish_the_newest_sensor_is_drawn(fourteen: Fourteen) -> None:
    found = fourteen.json("/plot")
    assert found["table"] == "Reading" and found["rows"] > 0 and set(found["key"]) == {"nodeId", "type"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("since=nonsense", 400), ("since=2026-01-02&until=2026-01-01", 400), ("column=type", 400), ("table=House", 400),
        ("table=nothing", 404), ("node=x", 400), ("other=1", 400), ("since=9999-01-01&until=9999-02-01", 400),
    ],
)  # fmt: skip
def test_a_wish_that_makes_no_sense_is_told(fourteen: Fourteen, query: str, status: int) -> None:
    page = fourteen.get(f"/plot?{query}")
    assert page.status_code == status and "<h1>" in page.text
    twin = fourteen.get(f"/plot.json?{query}")
    assert twin.status_code == status and twin.headers["Content-Type"] == "application/problem+json"
    assert fourteen.get(f"/plot.csv?{query}").status_code == status


def test_tables_can_be_leafed_through(fourteen: Fourteen) -> None:
    first = fourteen.json("/tables/reading?nodeId=101&type=8&sort=value&limit=60")
    second = fourteen.json("/tables/reading?nodeId=101&type=8&sort=value&limit=60&next=60")
    values = [row["value"] for row in first["rows"] + second["rows"]]
    assert values == sorted(values) and len(values) == 100
    assert (first["next"], second["next"]) == (60, None)
    times = [row["time"] for row in fourteen.json("/tables/Reading")["rows"]]
    assert times == sorted(times, reverse=True)
    page = fourteen.get("/tables/Reading?nodeId=101&type=8").text
    assert 'href="/tables/Node?id=101"' in page and "/rest/Reading/?nodeId=101&amp;type=8&amp;format=csv" in page
    listed = {table["name"]: table for table in fourteen.json("/tables")["tables"]}
    assert listed["House"]["rows"] == 13 and listed["Reading"]["refers_to"] == ["Location", "Node", "SensorType"]


def test_a_filter_is_added_and_taken_away(fourteen: Fourteen) -> None:
    form = "filter-column=value&filter-is=gte&filter-value=600"
    answer = fourteen.get(f"/tables/Reading?type=8&next=50&{form}", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/tables/Reading?type=8&value__gte=600")
    found = fourteen.json(answer.headers["Location"])["rows"]
    assert found and all(row["value"] >= 600 for row in found)
    page = fourteen.get(answer.headers["Location"]).text
    assert "value is at least 600" in page and 'href="/tables/Reading?type=8"' in page


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "nodeId=99999999999999999999",
        "value=x",
        "limit=501",
        "next=10001",
        "next=-1",
        "nothing=1",
        "filter-column=x",
        "sort=x",
    ],
)
def test_a_table_refuses_what_it_does_not_know(fourteen: Fourteen, query: str) -> None:
    assert fourteen.get(f"/tables/Reading?{query}").status_code == 400


@pytest.mark.parametrize(
    "path", ["/sites/nobody", "/sites/nobody/coverage", "/tables/nothing", "/sites/mill/coverage?table=x"]
)
def test_what_is_not_there_is_not_found(fourteen: Fourteen, path: str) -> None:
    page = fourteen.get(path)
    assert page.status_code == 404 and "<h1>Not found</h1>" in page.text
    assert fourteen.get(path, headers={"Accept": "application/json"}).status_code == 404


def test_an_empty_central_has_pages(empty: Central) -> None:
    token = empty.token("office", "read")
    url = empty.resturl.removesuffix("/rest/")
    for path in ("/", "/plot", "/plot.json", "/tables", "/tables/Reading"):
        assert requests.get(url + path, headers=bearer(token), timeout=30).status_code == 200, path


def test_what_sites_say_is_never_taken_for_a_page(empty: Central) -> None:
    name, evil = "a/b <i>&\"'", "<script>alert(1)</script>"
    store = Store(empty.engine)
    new_token(empty.engine, name, "push")
    store.report(_report(name, {"Reading": TableReport(sent=1, held=2, pending=None)}, agent=evil))
    empty.insert(Base.metadata.tables["RoomType"], {"name": evil})
    token, url = empty.token("office", "read"), empty.resturl.removesuffix("/rest/")
    path = "/sites/" + quote(name, safe="")
    for each in ("/", path, path + "/coverage", "/tables/RoomType", f"/tables/RoomType?name={evil}", f"/sites/{evil}"):
        text = requests.get(url + each, headers=bearer(token), timeout=30).text
        assert "<script>" not in text and "<i>" not in text, each


# --- what sites report ---


def _report(site: str, tables: dict[str, TableReport], agent: str = "1") -> Report:
    return Report(
        protocol=1, site=site, hostname="pi", agent_version=agent, localtime="2026-01-01T00:00:00", tables=tables
    )


def test_a_report_is_noted_and_a_change_is_an_event(dialect: str, new_database: NewDatabase) -> None:
    with central_over(new_database(dialect)) as central:
        store = Store(central.engine)
        for held in (0, 0, 3, 3, 1):
            store.report(_report("north", {"Reading": TableReport(sent=9, held=held, pending=None)}))
        store.report(_report("north", {"Reading": TableReport(sent=9, held=1, pending=7)}, agent="2"))
        for failure in ("2026-01-01: central is away", "2026-01-01: central is away", None, "x" * 1000):
            store.report(msgspec.structs.replace(_report("north", {}, agent="2"), failure=failure))
        equal = TableResult(
            deep=False, verdict="equal", rows_here=5, rows_there=4, missing=0, different=0, only_central=0
        )
        for missing in (0, 1, 1, 0):
            verdict = "different" if missing else "equal"
            table = msgspec.structs.replace(equal, verdict=verdict, missing=missing)
            store.verified(Verified(protocol=1, site="north", tables={"Reading": table}))
        with central.engine.connect() as connection:
            report = connection.execute(sa.select(bookkeeping.report)).one()
            event = bookkeeping.event
            events = connection.execute(sa.select(event.c.kind, event.c.detail).order_by(event.c.id)).all()
        assert (report.table_name, report.sent, report.held, report.pending) == ("Reading", 9, 1, 7)
        assert [tuple(each) for each in events] == [
            ("agent", "agent 1 on pi"),
            ("held", "Reading: 3 rows held, 3 more than before"),
            ("released", "Reading: 1 rows held, 2 fewer than before"),
            ("agent", "agent 2 on pi"),
            ("failure", "2026-01-01: central is away"),
            ("failure", "x" * 500),
            ("verify", "Reading: different: 1 missing"),
            ("verify", "Reading: equal again"),
        ]
