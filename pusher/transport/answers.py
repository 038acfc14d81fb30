"""What every way over HTTP reads from an answer, or from a failure to get one."""

from __future__ import annotations

import ssl

import urllib3

_LONGEST_SECONDS = 86_400.0


def retry_after(answer: urllib3.BaseHTTPResponse) -> float | None:
    """How many seconds the other side wants to be left alone, if it says so; a day at most."""
    try:
        return min(max(0.0, float(answer.headers["Retry-After"])), _LONGEST_SECONDS)
    except (KeyError, ValueError):
        return None


def cause(error: BaseException) -> str:
    """The innermost reason, which is the one an operator can act on."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
