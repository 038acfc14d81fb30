"""Opens the destination that a location names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pusher.config import Location, Settings, load
from pusher.errors import ConfigError
from pusher.files.destination import Destination
from pusher.files.folder import Folder
from pusher.files.job import FilesJob
from pusher.instance import only_instance
from pusher.ledger import Ledger


def _unheard(_: str) -> None:
    pass


@contextmanager
def open_destination(
    settings: Settings,
    location: Location,
    *,
    accept_host_keys: bool = False,
    note: Callable[[str], None] = _unheard,
) -> Iterator[Destination]:
    """`note` is told of the key of each SSH host on the way; one that is not known yet is trusted from now on if
    `accept_host_keys`. What each of them needs is loaded only here.

    Raises what the way there raises: AccessRefused, ConfigError, DestinationUnreachable.
    """
    if location.files is None:
        raise ConfigError([f"[{location.name}] is no location of files; its kind is {location.kind}"])
    to = location.files.to
    if to.kind == "folder":
        with closing(Folder(Path(to.path), sender(settings, location))) as folder:
            yield folder
    elif to.kind == "sftp":
        from pusher.files.sftp import sftp_destination

        name = sender(settings, location)
        with sftp_destination(location, to.path, name, accept_host_keys=accept_host_keys, note=note) as sftp:
            yield sftp
    elif to.kind == "rest":
        from pusher.files.rest import RestDestination

        token = location.token.reveal() if location.token else None
        cafile = str(location.cafile) if location.cafile else None
        with closing(RestDestination(to.text, token, cafile, _plain(location.name))) as central:
            yield central
    else:
        from pusher.files.sharepoint import open_sharepoint

        with open_sharepoint(location.files, settings.general.state, sender(settings, location)) as sharepoint:
            yield sharepoint


def sender(settings: Settings, location: Location) -> str:
    """What tells this location's parts from those of others that write to the same place."""
    return _plain(f"{settings.general.site}.{location.name}")


def _plain(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:80].lstrip(".") or "-"
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@contextmanager
def open_job(config: str | Path, location: str) -> Iterator[FilesJob]:
    """The job of one location, its destination open, while no other pusher uses the same state folder.

    Raises what `open_destination` raises, UsageError if there is no such location, AlreadyRunning.
    """
    settings = load(Path(config))
    place = settings.location(location)
    with (
        only_instance(settings.general.state),
        Ledger(settings.general.state) as ledger,
        open_destination(settings, place) as destination,
    ):
        yield FilesJob(settings, place, destination, ledger)
