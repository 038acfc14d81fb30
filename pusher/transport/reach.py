"""Opens the way to central that a location asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url

from pusher.config import Location
from pusher.config_keys import SERVER_PORTS
from pusher.transport.central import CountedCentral
from pusher.transport.rest import RestCentral

_HTTP_PORTS = {"http": 80, "https": 443}


def _unheard(_: str) -> None:
    pass


@contextmanager
def reach(
    location: Location, *, accept_host_keys: bool = False, note: Callable[[str], None] = _unheard
) -> Iterator[CountedCentral]:
    """Central as `location` reaches it. `note` is told of the key of each SSH host on the way; one that is not known
    yet is trusted from now on if `accept_host_keys`.

    Raises what the way there raises: AccessRefused, CentralUnreachable, ConfigError, SchemaMismatch.
    """
    with ExitStack() as stack:
        way = None
        if location.url:
            from pusher.transport.tunnel import tunnel  # and with it paramiko, which takes its time

            address = _far_end(location)
            way = stack.enter_context(tunnel(location, address, accept_host_keys=accept_host_keys, note=note))
        if location.dbstring:
            from pusher.transport.sql import sql_central

            url = make_url(location.dbstring.reveal())
            if way:
                url = url.set(host="127.0.0.1", port=way.port)
            yield stack.enter_context(sql_central(url.render_as_string(hide_password=False), way))
        else:
            token = location.token.reveal() if location.token else None
            cafile = str(location.cafile) if location.cafile else None
            central = RestCentral(location.resturl or "", token, cafile, through_port=way.port if way else None)
            stack.callback(central.close)
            yield central


def _far_end(location: Location) -> tuple[str, int]:
    """Host and port of central as the SSH host sees them."""
    if location.dbstring:
        url = make_url(location.dbstring.reveal())
        return url.host or "127.0.0.1", url.port or SERVER_PORTS[url.get_backend_name()]
    parts = urlsplit(location.resturl or "")
    return parts.hostname or "", parts.port or _HTTP_PORTS[parts.scheme]
