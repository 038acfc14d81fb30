"""Configurations that several tests begin with, and what they are asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pusher.config import (
    load,
)
from pusher.errors import ConfigError

EXAMPLE = Path(__file__).parents[1] / "synchronise.conf.example"

MINIMAL = """\
[locations]
central = 1
[central]
resturl = https://central.example.org/rest
"""

MARKERS = [
    "2026-01-31",
    "2026-01-31 23:59",
    "2026-01-31T23:59:59",
    "2026-01-31 23:59:59.1",
    "2026-01-31T00:00:00.123456",
]


def put(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


def faults(path: Path, text: str, environ: dict[str, str] | None = None, mode: int = 0o600) -> list[str]:
    """The faults of `text`, without the folder of the file."""
    with pytest.raises(ConfigError) as caught:
        load(put(path, text, mode), environ or {})
    return [fault.replace(f"{path.parent}{os.sep}", "") for fault in caught.value.faults]


def with_general(line: str) -> str:
    return f"[general]\n{line}\n{MINIMAL}"


def with_central(line: str) -> str:
    return f"{MINIMAL}{line}\n"


@contextmanager
def nobody(path: Path) -> Iterator[None]:
    """Nobody may read `path`, not even the root that tests often run as."""
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
