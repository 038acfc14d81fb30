"""Who may look at the status pages: sessions of a browser, how they begin and end, and that nobody can forge one."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import uvicorn

from pusher.central.tokens import list_tokens, revoke_token
from pusher.rest.app import make_app
from pusher.rest.server import listen
from tests.certificates import write_certificate
from tests.http_central import Central, central_over, message
from tests.stage import serving


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    with central_over(f"sqlite:///{tmp_path_factory.mktemp('empty') / 'central.db'}") as found:
        yield found


def _logged_in(url: str, token: str) -> requests.Session:
    browser = requests.Session()
    form = re.search(r'name="form" value="([^"]+)"', browser.get(url + "/login", timeout=30).text)
    assert form
    answer = browser.post(
        url + "/login", data={"form": form[1], "token": token, "next": "/tables"}, timeout=30, allow_redirects=False
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/tables"), answer.text
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"))
    assert "Secure" not in cookie and token not in cookie
    return browser


def test_without_a_session_a_page_leads_to_the_login(empty: Central) -> None:
    url = empty.resturl.removesuffix("/rest/")
    answer = requests.get(url + "/tables/Node?id=1", timeout=30, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2Ftables%2FNode%3Fid%3D1")
    assert requests.get(url + "/tables.json", timeout=30).status_code == 401
    assert requests.get(url + "/", headers={"Authorization": "Bearer x"}, timeout=30).status_code == 401
    assert requests.get(url + "/static/pusher.css", timeout=30).status_code == 200


def test_a_session_ends_with_its_token(empty: Central) -> None:
    url, token = empty.resturl.removesuffix("/rest/"), empty.token("office", "read")
    browser = _logged_in(url, token)
    assert browser.get(url + "/", timeout=30).status_code == 200
    assert browser.get(empty.resturl + "house/", timeout=30).status_code == 200
    revoke_token(empty.engine, max(each.id for each in list_tokens(empty.engine)))
    assert browser.get(url + "/", timeout=30, allow_redirects=False).headers["Location"] == "/login"
    assert browser.get(empty.resturl + "house/", timeout=30).status_code == 401


def test_a_session_writes_nothing(empty: Central) -> None:
    url = empty.resturl.removesuffix("/rest/")
    browser = _logged_in(url, empty.token("north", "push"))
    assert browser.post(url + "/sync/v1/hello", data=message(), timeout=30).status_code == 401


@pytest.mark.parametrize(
    "spoil",
    [
        lambda id_, expiry, sign: f"{id_ + 1}.{expiry}.{sign}",
        lambda id_, expiry, sign: f"{id_}.{expiry + 1}.{sign}",
        lambda id_, expiry, sign: f"{id_}.{expiry}.{sign[::-1]}",
        lambda id_, expiry, sign: f"{id_}.{expiry}.",
        lambda id_, expiry, sign: f"{id_}.{expiry}",
        lambda id_, expiry, sign: f"{10**30}.{expiry}.{sign}",
        lambda id_, expiry, sign: "x" * 5000,
    ],
)
def test_a_forged_session_is_none(empty: Central, spoil: Any) -> None:
    url = empty.resturl.removesuffix("/rest/")
    browser = _logged_in(url, empty.token("office", "read"))
    id_, expiry, sign = browser.cookies["pusher_session"].split(".")
    cookies = {"pusher_session": spoil(int(id_), int(expiry), sign)}
    assert requests.get(url + "/", cookies=cookies, timeout=30, allow_redirects=False).status_code == 303


def test_an_old_session_is_none(empty: Central, monkeypatch: pytest.MonkeyPatch) -> None:
    url, token = empty.resturl.removesuffix("/rest/"), empty.token("office", "read")
    browser = _logged_in(url, token)
    monkeypatch.setattr("pusher.rest.session.time.time", lambda: dt.datetime.now().timestamp() + 12 * 3600 + 1)
    assert browser.get(url + "/", timeout=30, allow_redirects=False).status_code == 303


def test_a_wrong_token_does_not_log_in(empty: Central) -> None:
    url, browser = empty.resturl.removesuffix("/rest/"), requests.Session()
    form = re.search(r'name="form" value="([^"]+)"', browser.get(url + "/login", timeout=30).text)
    assert form
    answer = browser.post(
        url + "/login", data={"form": form[1], "token": "pusher_wrong", "next": "//x.org"}, timeout=30
    )
    assert answer.status_code == 401 and "unknown, or revoked" in answer.text and "x.org" not in answer.text
    assert "pusher_session" not in browser.cookies and "pusher_wrong" not in answer.text


def test_a_form_of_somebody_else_is_refused(empty: Central) -> None:
    url, token = empty.resturl.removesuffix("/rest/"), empty.token("office", "read")
    assert requests.post(url + "/login", data={"token": token}, timeout=30).status_code == 403
    browser = _logged_in(url, token)
    for data in ({}, {"form": ""}, {"form": "x" * 64}, {"form": "ü"}):
        assert browser.post(url + "/logout", data=data, timeout=30, allow_redirects=False).status_code == 403
    form = re.search(r'name="form" value="([^"]+)"', browser.get(url + "/", timeout=30).text)
    assert form
    answer = browser.post(url + "/logout", data={"form": form[1]}, timeout=30, allow_redirects=False)
    assert answer.headers["Location"] == "/login" and "pusher_session" not in browser.cookies
    assert browser.post(url + "/login", data="x" * 20_000, timeout=30).status_code == 413


def test_the_cookie_stays_within_https(tmp_path: Path) -> None:
    db, certificate = f"sqlite:///{tmp_path / 'central.db'}", write_certificate(tmp_path / "tls.pem", "localhost")
    with central_over(db) as central, serving(db, certfile=certificate) as resturl:
        url = resturl.replace("127.0.0.1", "localhost").removesuffix("/rest/")
        with requests.Session() as browser:
            browser.trust_env, browser.verify = False, str(certificate)
            browser.headers["Connection"] = "close"  # else the server waits half a minute for the end of TLS
            form = re.search(r'name="form" value="([^"]+)"', browser.get(url + "/login", timeout=30).text)
            assert form
            data = {"form": form[1], "token": central.token("office", "read")}
            answer = browser.post(url + "/login", data=data, timeout=30, allow_redirects=False)
            assert answer.status_code == 303 and "Secure" in answer.headers["Set-Cookie"]
            assert browser.get(url + "/", timeout=30).status_code == 200


def test_where_reading_is_open_nobody_needs_to_log_in(tmp_path: Path) -> None:
    with central_over(f"sqlite:///{tmp_path / 'central.db'}") as central, closing(listen("127.0.0.1", 0)) as listening:
        app = make_app(central.engine, read_public=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            page = requests.get(f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout=30)
            assert page.status_code == 200 and "Log out" not in page.text
        finally:
            server.should_exit = True
            thread.join()
