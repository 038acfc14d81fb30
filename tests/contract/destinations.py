"""The destinations that keep to the contract; a new one adds a function and a line to DESTINATIONS.

A way yields a `Place`: `connect` opens the destination for a sender, and `root` is where its files can be looked at
from outside, a folder, or None where they cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pusher.files.destination import Destination
from pusher.files.folder import Folder


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


DESTINATIONS: tuple[Callable[[Path], AbstractContextManager[Place]], ...] = (folder,)

# Those that a killed job is tried with.
KILLED: tuple[Callable[[Path], AbstractContextManager[Sent]], ...] = (to_folder,)
