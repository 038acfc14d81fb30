"""Where log lines go; every line is an event with fields, and holds neither rows nor secrets."""

from __future__ import annotations

import logging
import sys

_FORMAT = "%(asctime)s %(levelname)s %(message)s"

# Nothing is written until `configure` says so: a command tells its user itself what went wrong.
logging.getLogger("pusher").addHandler(logging.NullHandler())


def configure(*, verbose: bool) -> None:
    """To standard error: a line a cycle, or every step if `verbose`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    logger = logging.getLogger("pusher")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False


def event(name: str, **fields: object) -> str:
    """`batch_applied table=Reading rows=20000`: a field with a blank in it is quoted."""
    parts = [f"{key}={_shown(value)}" for key, value in fields.items() if value is not None]
    return " ".join([name, *parts])


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(letter.isspace() for letter in text) else text
