"""Log files as tests look at them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def package_logger() -> Iterator[logging.Logger]:
    """The logger of the package, set back afterwards to what other tests expect."""
    found = logging.getLogger("pusher")
    before = found.handlers[:], found.level, found.propagate
    try:
        yield found
    finally:
        for handler in set(found.handlers) - set(before[0]):
            handler.close()
        found.handlers[:], found.level, found.propagate = before


def said(path: Path) -> list[str]:
    """The messages, without time and level."""
    return [line.split(" ", 3)[3] for line in path.read_text().splitlines()] if path.exists() else []


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
