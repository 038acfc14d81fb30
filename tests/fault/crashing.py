"""Runs the command `pusher` with a death sentence: `python -m tests.fault.crashing POINT COUNT ARGUMENT…`.

The process kills itself, as a power failure would, the COUNTth time that it comes to POINT, a boundary between two
steps. The product knows nothing of it: its functions are wrapped from outside.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pusher.push.marker
from pusher.central.store import Store
from pusher.cli.main import main
from pusher.ledger import Ledger
from pusher.transport.rest import RestCentral

Wrap = Callable[[Callable[..., Any], Callable[[], None]], Callable[..., Any]]


def _before(function: Callable[..., Any], strike: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        strike()
        return function(*arguments, **named)

    return wrapped


def _after(function: Callable[..., Any], strike: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = function(*arguments, **named)
        strike()
        return result

    return wrapped


AGENT: dict[str, tuple[Any, str, Wrap]] = {
    "agent before request": (RestCentral, "push", _before),
    "agent after receipt": (RestCentral, "push", _after),
    "agent after resolve": (RestCentral, "resolve", _after),
    "agent before checkpoint": (Ledger, "advance", _before),
    "agent after checkpoint": (Ledger, "advance", _after),
    "agent before identities": (Ledger, "note_identities", _before),
    "agent after marker in ledger": (Ledger, "write_marker", _after),
    "agent before config": (pusher.push.marker, "write_lastupdate", _before),
    "agent after config": (pusher.push.marker, "write_lastupdate", _after),
}
CENTRAL: dict[str, tuple[Any, str, Wrap]] = {
    "central before apply": (Store, "_apply", _before),
    "central before commit": (Store, "_apply", _after),
    "central before reply": (Store, "push", _after),
    "central resolve before reply": (Store, "resolve", _after),
}


def _sentence(point: str, count: int) -> None:
    owner, name, wrap = {**AGENT, **CENTRAL}[point]
    left = [count]

    def strike() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, wrap(getattr(owner, name), strike))


if __name__ == "__main__":
    _sentence(sys.argv[1], int(sys.argv[2]))
    sys.argv[1:] = sys.argv[3:]
    main()
