"""Where files arrive: one protocol for a folder, SFTP, central and SharePoint, and what a destination may answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pusher.errors import FileRefused
from pusher.paths.names import PARTS as PARTS

SMALL_BYTES = 256 << 10  # files up to this size may go many at once
BATCH_BYTES = 8 << 20
BATCH_FILES = 500


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file at the destination. `name`: relative to its root, with `/`. `modified`: whole seconds since 1970."""

    name: str
    size: int
    modified: int


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A small file on its way. `sha256`: of its content, in hexadecimal. `replace`: what stands under its name may be
    overwritten, since it came from here."""

    name: str
    content: bytes
    sha256: str
    modified_ns: int
    replace: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file that is not whole yet, by the name that the sender gave it: letters, digits and `-` alone."""

    name: str
    size: int


class Destination(Protocol):
    """A place for files, for one sender at a time, whose parts no other sees. Names are relative, with `/`.

    Nothing is ever seen under a final name but a whole file that has been proven. Every method raises Unreachable
    where it is worth trying again, AccessRefused and ConfigError where a person must look, and FileRefused where only
    the one file is concerned. Each step may be repeated, and each may be the last before the power fails.
    """

    folds_case: bool  # `A` and `a` are one name there
    windows: bool  # names must keep to the rules of Windows

    def find(self, names: Sequence[str]) -> dict[str, Found]:
        """Those of `names` that are there."""

    def listing(self) -> Iterator[Found]:
        """All files that are there, in no order; no parts."""

    def digests(self, names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
        """Each name, in their order, with the SHA-256 of what is there, computed there where that can be; None if it
        is gone, or is nothing that can be read: one such file must not keep the others waiting."""

    def parts(self) -> list[Part]:
        """What of this sender has not become whole."""

    def append(self, part: str, offset: int, chunks: Iterable[bytes]) -> None:
        """Writes `chunks` from byte `offset` on, which is the size that `parts` gave, or 0 to begin anew."""

    def part_digest(self, part: str) -> str:
        """The SHA-256 of what has come, computed there where that can be."""

    def discard(self, part: str) -> None:
        """The part is gone, if it was there."""

    def place(self, part: str, name: str, modified_ns: int, *, replace: bool) -> None:
        """Gives a proven part its final name and time, at once and lasting. Makes the folders above.

        Raises Occupied if something has that name and `replace` is False.
        """

    def store(self, files: Sequence[Whole]) -> list[FileRefused | None]:
        """Writes, proves and places whole files; why not, of each, or None. At most BATCH_FILES and BATCH_BYTES."""

    def close(self) -> None: ...
