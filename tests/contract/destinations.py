"""The destinations that keep to the contract; a new one adds a function and a line to DESTINATIONS.

A way yields a `Place`: `connect` opens the destination for a sender, and `root` is where its files can be looked at
from outside, a folder, or None where they cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pusher.config import Location
from pusher.files.destination import Destination
from pusher.files.folder import Folder
from pusher.files.sftp import sftp_destination
from tests.servers import SshServer


@dataclass(frozen=True)
class Place:
    connect: Callable[[str], Destination]
    root: Path | None


@contextmanager
def folder(path: Path) -> Iterator[Place]:
    """`path`: an empty folder for whatever the way needs."""
    root = path / "there"
    root.mkdir()
    yield Place(lambda sender: Folder(root, sender), root)


@dataclass(frozen=True)
class Sent:
    """Where a site's files job sends to: `to` and more lines of its section, and the folder behind it."""

    to: str
    root: Path
    extra: str = ""


@contextmanager
def to_folder(path: Path) -> Iterator[Sent]:
    root = path / "there"
    root.mkdir()
    yield Sent(to=str(root), root=root)


@contextmanager
def _sftp(path: Path, *options: str) -> Iterator[Place]:
    root = path / "there"
    root.mkdir()
    with SshServer(*options, "Subsystem sftp internal-sftp") as sshd, ExitStack() as stack:
        location = Location(
            name="instrument",
            on=True,
            kind="files",
            url="127.0.0.1",
            sshport=sshd.port,
            sshfolder=sshd.clients,
            sshkey="id_ed25519",
        )

        def connect(sender: str) -> Destination:
            return stack.enter_context(sftp_destination(location, str(root), sender, note=lambda _: None))

        yield Place(connect, root)


@contextmanager
def sftp(path: Path) -> Iterator[Place]:
    with _sftp(path) as place:
        yield place


@contextmanager
def sftp_only(path: Path) -> Iterator[Place]:
    """A host without a shell."""
    with _sftp(path, "ForceCommand internal-sftp") as place:
        yield place


@contextmanager
def to_sftp(path: Path) -> Iterator[Sent]:
    root = path / "there"
    root.mkdir()
    with SshServer("Subsystem sftp internal-sftp") as sshd:
        extra = f"sshfolder = {sshd.clients}\nsshkey = id_ed25519"
        yield Sent(to=f"sftp://127.0.0.1:{sshd.port}{root}", root=root, extra=extra)


DESTINATIONS: tuple[Callable[[Path], AbstractContextManager[Place]], ...] = (folder, sftp, sftp_only)

# Those that a killed job is tried with.
KILLED: tuple[Callable[[Path], AbstractContextManager[Sent]], ...] = (to_folder, to_sftp)
