"""Who works on a large message, and who waits: only a few do at once, so that they hold up no small ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_LARGE_BYTES = 2 << 10  # some hundred rows


class Turns:
    """`at_once`: so many large messages are worked on at the same time, in the order in which they came."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._waiting = 0

    @property
    def crowded(self) -> bool:
        """Whether others wait for their turn."""
        return self._waiting > 0

    @asynccontextmanager
    async def turn(self, body: bytes) -> AsyncIterator[None]:
        """As long as it lasts the message with this body may be worked on."""
        if len(body) < _LARGE_BYTES:
            yield
            return
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
