"""Connections to a host, through the HTTP proxy that the environment names for it, if any."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3


def pool_for(url: str, **options: Any) -> urllib3.PoolManager:
    """`options`: as urllib3 has them. Raises ValueError, one of urllib3's, if what is named is no HTTP proxy."""
    proxy = _proxy_for(url)
    if proxy is None:
        return urllib3.PoolManager(**options)
    parts = urlsplit(proxy)
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    return urllib3.ProxyManager(proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=login), **options)


def _proxy_for(url: str) -> str | None:
    """By the customs of `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, in small or capital letters."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass  # seldom needed

    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc) or _is_within(parts.hostname, proxies.get("no")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_within(host: str | None, networks: str | None) -> bool:
    """Whether `host` is an address in one of the networks, such as 10.0.0.0/8; what is no network is a name."""
    from ipaddress import ip_address, ip_network

    for text in (networks or "").split(","):
        try:
            if ip_address(host or "") in ip_network(text.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
