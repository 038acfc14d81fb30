"""The ways to central that keep to the contract; a new transport adds a function and a line to WAYS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from pusher.central.store import Store
from pusher.central.tokens import new_token
from pusher.config import Location, Secret
from pusher.schema.engine import opened
from pusher.transport.central import Central
from pusher.transport.reach import reach
from pusher.transport.rest import RestCentral
from tests.servers import SshServer
from tests.stage import serving

Connect = Callable[[str], Central]  # central as a site reaches it


@contextmanager
def store(db: str) -> Iterator[Connect]:
    with opened(db) as engine:
        central = Store(engine)
        yield lambda _site: central


@contextmanager
def rest(db: str) -> Iterator[Connect]:
    with opened(db) as engine, serving(db) as resturl, ExitStack() as stack:

        def connect(site: str) -> Central:
            central = RestCentral(resturl, new_token(engine, site, "push"))
            stack.callback(central.close)
            return central

        yield connect


@contextmanager
def tunnel(db: str) -> Iterator[Connect]:
    with SshServer() as sshd:
        location = Location(
            name="lab",
            on=True,
            kind="push",
            url="127.0.0.1",
            sshport=sshd.port,
            sshfolder=sshd.clients,
            sshkey="id_ed25519",
            dbstring=Secret(db),
        )
        with reach(location) as central:
            yield lambda _site: central


WAYS: tuple[tuple[Callable[[str], AbstractContextManager[Connect]], str], ...] = (
    (store, "sqlite"),
    (store, "mariadb"),
    (store, "postgresql"),
    (rest, "sqlite"),
    (tunnel, "mariadb"),
    (tunnel, "postgresql"),
)
