"""Where log lines go; every line is an event with fields, and holds neither rows nor secrets."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pusher.config_logging import LoggingSettings

_FORMAT = "%(asctime)s %(levelname)s %(message)s"

# Nothing is written until `configure` or `to_files` says so: a command tells its user itself what went wrong.
logging.getLogger("pusher").addHandler(logging.NullHandler())


def configure(*, verbose: bool) -> None:
    """To standard error: a line a cycle, or every step if `verbose`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.DEBUG if verbose else logging.INFO)
    _add(handler)


def to_files(settings: LoggingSettings | None) -> None:
    """To files, too, every step: until the process ends, whatever befalls the disk."""
    if settings is None:
        return
    from pusher.logfiles import LogFiles

    _add(LogFiles(settings.folder, settings.keep))


def _add(handler: logging.Handler) -> None:
    """In the place of the one of its kind; NullHandler's goes."""
    handler.setFormatter(logging.Formatter(_FORMAT))
    logger = logging.getLogger("pusher")
    others = [each for each in logger.handlers if type(each) not in (type(handler), logging.NullHandler)]
    logger.handlers[:] = [*others, handler]
    logger.setLevel(max(logging.DEBUG, min(each.level for each in logger.handlers)))
    logger.propagate = False


def event(name: str, **fields: object) -> str:
    """`batch_applied table=Reading rows=20000`: a field with a blank in it is quoted."""
    parts = [f"{key}={_shown(value)}" for key, value in fields.items() if value is not None]
    return " ".join([name, *parts])


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(letter.isspace() for letter in text) else text
