"""Which proxy the environment names for which host."""

from __future__ import annotations

import os

import pytest
import urllib3

from pusher.transport.proxy import pool_for

_CENTRAL = "http://central.example.org/rest/"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def proxy(url: str = _CENTRAL) -> urllib3.util.Url | None:
    pool = pool_for(url)
    return pool.proxy if isinstance(pool, urllib3.ProxyManager) else None


def test_none_is_named() -> None:
    assert proxy() is None


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize("value", ["http://proxy.example.org:3128", "proxy.example.org:3128"])
def test_one_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    found = proxy()
    assert found is not None
    assert (found.host, found.port) == ("proxy.example.org", 3128)


def test_one_for_the_other_scheme_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.org")
    assert proxy() is None
    assert proxy(_CENTRAL.replace("http", "https")) is not None


@pytest.mark.parametrize(
    ("url", "exempt"),
    [
        (_CENTRAL, "central.example.org"),
        (_CENTRAL, "localhost, .example.org"),
        (_CENTRAL, "*"),
        ("http://10.1.2.3:8080/rest/", "192.168.0.0/16,10.0.0.0/8"),
    ],
)
def test_hosts_that_are_reached_without(monkeypatch: pytest.MonkeyPatch, url: str, exempt: str) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.org")
    assert proxy(url) is not None
    monkeypatch.setenv("no_proxy", exempt)
    assert proxy(url) is None


def test_it_asks_for_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://site:p%40ss@proxy.example.org")
    pool = pool_for(_CENTRAL)
    assert isinstance(pool, urllib3.ProxyManager)
    assert pool.proxy_headers == urllib3.make_headers(proxy_basic_auth="site:p@ss")


def test_what_is_no_proxy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://proxy.example.org")
    with pytest.raises(urllib3.exceptions.ProxySchemeUnknown):
        pool_for(_CENTRAL)
