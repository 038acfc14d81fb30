"""Addresses of uploads under way, by the name of their part, kept between runs in a file of the state folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

import msgspec


class Sessions(MutableMapping[str, str]):
    """Who has such an address may write there: the file is for its owner alone. If it is lost, uploads begin anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._addresses: dict[str, str] = {}
        with suppress(FileNotFoundError, msgspec.MsgspecError, UnicodeError):
            self._addresses = msgspec.json.decode(path.read_bytes(), type=dict[str, str])

    def __getitem__(self, part: str) -> str:
        return self._addresses[part]

    def __setitem__(self, part: str, address: str) -> None:
        self._addresses[part] = address
        self._keep()

    def __delitem__(self, part: str) -> None:
        del self._addresses[part]
        self._keep()

    def __iter__(self) -> Iterator[str]:
        return iter(self._addresses)

    def __len__(self) -> int:
        return len(self._addresses)

    def _keep(self) -> None:
        handle, temporary = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with open(handle, "wb") as file:  # mkstemp lets nobody else read it
                file.write(msgspec.json.encode(self._addresses))
            os.replace(temporary, self._path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
