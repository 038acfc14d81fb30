"""Opens the way to central that a location asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pusher.config import Location
from pusher.transport.rest import RestCentral


@contextmanager
def reach(location: Location) -> Iterator[RestCentral]:
    """Central as `location` reaches it; nothing is sent before the first message."""
    token = location.token.reveal() if location.token else None
    central = RestCentral(location.resturl, token, str(location.cafile) if location.cafile else None)
    try:
        yield central
    finally:
        central.close()
