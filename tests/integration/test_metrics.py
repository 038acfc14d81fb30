"""What a monitor, a balancer and a supervisor are told."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request

from models import bookkeeping
from pusher.central.sites import utc_now
from pusher.errors import Unreachable
from pusher.rest.app import make_app
from pusher.rest.health import _ready
from pusher.rest.metrics import Metrics, _moment
from pusher.schema.engine import opened
from pusher.transport.rest import RestCentral
from pusher.wire.batch import encode
from tests.conftest import NewDatabase
from tests.contract.site import Site
from tests.http_central import MESSAGES, Central, bearer, central_over, detail
from tests.servers import free_port

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    with central_over(f"sqlite:///{tmp_path_factory.mktemp('central') / 'central.db'}") as found:
        yield found


def asked(central: Central, path: str, token: str | None = None) -> requests.Response:
    url = central.resturl.removesuffix("/rest/") + path
    return requests.get(url, headers=bearer(token) if token else {}, timeout=30)


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def note(central: Central, **tables: dict[str, Any]) -> None:
    for name, row in tables.items():
        central.insert(bookkeeping.metadata.tables[f"pusher_{name}"], row)


def test_what_each_site_and_table_is_doing(dialect: str, new_database: NewDatabase) -> None:
    now = utc_now()
    hour = dt.timedelta(hours=1)
    place = {"site": "north", "table_name": "Reading"}
    with central_over(new_database(dialect)) as central:
        note(
            central,
            site={
                "name": "north", "clock_skew_seconds": -2.5, "resolved": 0, "first_contact": now,
                "last_contact": now - hour,
            },
            checkpoint=place
            | {
                "epoch": "e", "sequence": 7, "rows_total": 7000, "updated": now - hour,
                "cursor": f'["{(now - 2 * hour).isoformat()}",37,"x"]',
            },
            report=place | {"sent": 10, "held": 3, "pending": 40, "reported": now},
            verdict=place
            | {
                "verified": now - hour, "deep": False, "verdict": "different", "rows_here": 9, "rows_there": 8,
                "missing": 1, "different": 2, "only_central": 0, "passed": now - 24 * hour,
            },
            event={"site": "north", "kind": "error", "detail": "x", "happened": now},
        )  # fmt: skip
        note(
            central,
            checkpoint=place | {"table_name": "House", "epoch": "e", "sequence": 1, "rows_total": 1, "updated": now},
        )
        answer = asked(central, "/metrics", central.token(scope="read"))
    assert answer.headers["Content-Type"].startswith("text/plain")
    found = samples(answer.text)
    labels = {"site": "north", "table": "Reading"}
    seconds = (now - 2 * hour).replace(tzinfo=dt.UTC).timestamp()
    assert value(found, "pusher_last_row_timestamp_seconds", **labels) == pytest.approx(seconds, abs=1e-3)
    assert value(found, "pusher_lag_seconds", **labels) == pytest.approx(7200, abs=30)
    assert value(found, "pusher_batch_age_seconds", **labels) == pytest.approx(3600, abs=30)
    assert value(found, "pusher_backlog_rows", **labels) == 40
    assert value(found, "pusher_held_rows", **labels) == 3
    assert value(found, "pusher_batches_total", **labels) == 7
    assert value(found, "pusher_rows_total", **labels) == 7000
    assert value(found, "pusher_verify_age_seconds", **labels) == pytest.approx(3600, abs=30)
    assert value(found, "pusher_verify_passed_age_seconds", **labels) == pytest.approx(86400, abs=30)
    differences = [
        value(found, "pusher_verify_differences", **labels, kind=kind)
        for kind in ("missing", "different", "only_central")
    ]
    assert differences == [1, 2, 0]
    assert value(found, "pusher_site_contact_age_seconds", site="north") == pytest.approx(3600, abs=30)
    assert value(found, "pusher_site_clock_skew_seconds", site="north") == -2.5
    assert value(found, "pusher_events_total", site="north", kind="error") == 1
    assert ("pusher_lag_seconds", frozenset({("site", "north"), ("table", "House")})) not in found


def test_requests_are_counted_by_route_and_never_by_address(central: Central) -> None:
    token = central.token()
    central.get("house/", token)
    central.get("no_such_table_anywhere/", token)
    asked(central, "/nothing/of/this/name", token)
    requests.request("BREW", central.resturl + "house/", timeout=30)
    for name, body in MESSAGES.items():
        central.post(name, body, bearer(token)).raw.read()
    text = asked(central, "/metrics", token).text
    assert "no_such_table_anywhere" not in text and "of/this" not in text and "BREW" not in text
    assert token not in text
    counted: dict[tuple[str, str, str], float] = {}
    for (name, labels), number in samples(text).items():
        if name == "pusher_http_requests_total":
            found = dict(labels)
            counted[found["route"], found["method"], found["status"]] = number
    assert counted["/rest/{table}/", "GET", "200"] == 1
    assert counted["/rest/{table}/", "GET", "404"] == 1
    assert counted["none", "GET", "404"] == 1
    assert counted["/sync/v1/hello", "POST", "200"] == 1
    assert 'pusher_http_request_seconds_bucket{le="0.005"' in text
    assert "pusher_http_received_bytes_total" in text


def test_batches_are_weighed(central: Central, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pusher.rest.metrics._KEPT_SECONDS", 0.0)
    token = central.token("south")
    with closing(RestCentral(central.resturl, token)) as rest:
        site = Site(rest, "south")
        batches = [site.readings(sequence, sequence) for sequence in (1, 2)]
        for batch in batches:
            rest.push(batch)
    found = samples(asked(central, "/metrics", token).text)
    weights = [
        number
        for (name, labels), number in found.items()
        if name == "pusher_batch_bytes_total" and {("site", "south"), ("table", "Reading")} < labels
    ]
    assert weights == [sum(len(encode(batch)) for batch in batches)]


def test_each_worker_has_series_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(f"sqlite:///{tmp_path / 'central.db'}", create=True) as engine:
        monkeypatch.setattr("os.getpid", lambda: 42)
        metrics = Metrics(engine)
        metrics.count("GET", "/live", 200, 0.1, 0, 3)
        families = [family for family in metrics.registry._collector_to_names if "Site" not in type(family).__name__]
        assert all(
            sample.labels["worker"] == "42" for each in families for sample in next(iter(each.collect())).samples
        )


def test_metrics_need_what_reading_needs(central: Central) -> None:
    assert asked(central, "/metrics").status_code == 401
    assert asked(central, "/metrics", central.token(scope="read")).status_code == 200


def test_ready_is_more_than_live(central: Central) -> None:
    for _ in range(2):
        answer = asked(central, "/ready")
        assert (answer.status_code, answer.text) == (200, "ready\n")
    assert asked(central, "/live").text == "ok\n"


def test_it_is_not_ready_without_its_tables(new_database: NewDatabase) -> None:
    with central_over(new_database("sqlite")) as central:
        with central.engine.begin() as connection:
            connection.exec_driver_sql("drop table pusher_alembic_version")
        answer = asked(central, "/ready")
        assert answer.status_code == 503 and "db upgrade" in detail(answer) and answer.headers["Retry-After"]
        assert asked(central, "/live").ok


def test_it_is_not_ready_without_its_database() -> None:
    url = f"mysql+pymysql://somebody:secret@127.0.0.1:{free_port()}/central"
    with opened(url) as engine:
        app = make_app(engine)
        answer = asyncio.run(_ready(Request({"type": "http", "method": "GET", "headers": [], "app": app})))
        assert answer.status_code == 503 and b"cannot be reached" in answer.body and b"127" not in bytes(answer.body)
        with pytest.raises(Unreachable):
            app.state.metrics.text()


def test_a_cursor_that_is_no_time_has_no_age() -> None:
    assert [_moment(text) for text in (None, "[]", "[7]", '["x"]', "[null]", '[{"a": 1}]')] == [None] * 6
    assert _moment('["2026-01-01T00:00:00"]') == _moment('["2026-01-01T01:00:00+01:00"]')
