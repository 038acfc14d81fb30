"""Looks whether an export could run: the data pool, the key, the web server and the account there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

from pusher.config import Location
from pusher.config_export import SELECTIONS, is_scale_name
from pusher.errors import ConfigError
from pusher.export.pool import Pool
from pusher.export.webserver import Scale, WebServer


def waiting(location: Location) -> list[Scale]:
    """What the web server has. Raises what it raises."""
    with closing(WebServer(location)) as server:
        return server.scales()


def probe(location: Location) -> Iterator[str]:
    """What was found in order, a line each. Raises what is not, as a run would."""
    settings = location.export
    if settings is None:
        raise ConfigError([f"[{location.name}] is no location to export from; its kind is {location.kind}"])
    pool = Pool(settings.pool, location.name)
    pool.create()
    if not os.access(pool.raw, os.W_OK | os.X_OK):
        raise ConfigError([f"the data pool's folder {pool.raw} cannot be written; correct path, or its permissions"])
    yield f"data pool {pool.folder}"
    if settings.key:
        from pusher.export.sealing import opener_for

        yield f"key {opener_for(settings.key.reveal()).fingerprint} opens {', '.join(settings.sealed)}"
    with closing(WebServer(location)) as server:
        scales = server.scales()
    deleteable = sum(scale.deleteable for scale in scales)
    yield f"{settings.url} answers: {len(scales):,} scales, {deleteable:,} of them deleteable"
    for scale in scales:
        if not is_scale_name(scale.name):
            yield f"scale {scale.name[:100]!a} is left alone: no file can have this name"
    missing = set(settings.scales) - {*SELECTIONS, *(scale.name for scale in scales)}
    if missing:
        raise ConfigError([f"the server has no scale {', '.join(sorted(missing))}; correct scales"])
    if not settings.delete:
        yield "delete = no: what is archived stays on the server"
