"""The destinations that keep to the contract; a new one adds a function and a line to DESTINATIONS.

A way yields a `Place`: `connect` opens the destination for a sender, and `root` is where its files can be looked at
from outside, a folder, or None where they cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pusher.config import Location
from pusher.files.destination import Destination
from pusher.files.folder import Folder
from pusher.files.sftp import sftp_destination
from tests.files_central import files_central
from tests.servers import SshServer
from tests.sharepoint_stub import sharepoint_stub


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


@contextmanager
def central(path: Path) -> Iterator[Place]:
    with files_central(path) as service, ExitStack() as stack:
        token = service.token("pc-7")
        root = service.root / "pc-7"

        def connect(sender: str) -> Destination:
            return stack.enter_context(closing(service.connect(token, sender)))

        yield Place(connect, root)


@contextmanager
def to_central(path: Path) -> Iterator[Sent]:
    with files_central(path) as service:
        token = path / "token"
        token.write_text(service.token("pc-7"))
        yield Sent(to=service.resturl, root=service.root / "pc-7", extra=f"token = file:{token}")


@contextmanager
def sharepoint(path: Path) -> Iterator[Place]:
    with sharepoint_stub() as stub, ExitStack() as stack:
        sessions: dict[str, dict[str, str]] = {}

        def connect(sender: str) -> Destination:
            return stack.enter_context(closing(stub.connect(sender, sessions.setdefault(sender, {}))))

        yield Place(connect, None)


DESTINATIONS: tuple[Callable[[Path], AbstractContextManager[Place]], ...] = (
    folder,
    sftp,
    sftp_only,
    central,
    sharepoint,
)

# Those that a killed job is tried with.
KILLED: tuple[Callable[[Path], AbstractContextManager[Sent]], ...] = (to_folder, to_sftp, to_central)
