"""Deletes rows on the web server, several at once; what fails is tried once more, and then left for the next run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from pusher.errors import PusherError
from pusher.export.webserver import LINES, Forbidden, NotDeleted

_AT_ONCE = 5 * LINES  # where all of so many fail, the rest waits for the next run
_NOTED_AT_ONCE = 10 * _AT_ONCE


class Deletes(Protocol):
    """The web server. Raises Forbidden, NotDeleted, AccessRefused."""

    def delete(self, scale: str, number: int) -> None: ...


@dataclass(kw_only=True)
class Deletion:
    """`gone`: how many rows. `failed`: by id why a row is still there. `untried`: rows that were left alone."""

    gone: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    untried: int = 0
    forbidden: bool = False


class Deleter:
    """`note_gone` is told of the ids of rows that went, some at a time."""

    def __init__(self, server: Deletes, scale: str, note_gone: Callable[[Sequence[int]], None]) -> None:
        self._server = server
        self._scale = scale
        self._note_gone = note_gone
        self._gone: list[int] = []

    def delete(self, ids: Sequence[int], advance: Callable[[int], None]) -> Deletion:
        """`advance` is told of rows that were tried, and may raise to end it. Raises AccessRefused."""
        done = Deletion(untried=len(ids))
        try:
            with ThreadPoolExecutor(max_workers=LINES, thread_name_prefix="delete") as pool:
                for batch in _batches(ids):
                    self._try(pool, batch, done)
                    done.untried -= len(batch)
                    advance(len(batch))
                    if done.forbidden or (len(batch) == _AT_ONCE and all(number in done.failed for number in batch)):
                        break
        finally:
            self._note()
        return done

    def _try(self, pool: ThreadPoolExecutor, batch: Sequence[int], done: Deletion) -> None:
        for _ in range(2):
            answers = list(zip(batch, pool.map(self._attempt, batch), strict=True))
            gone = [number for number, fault in answers if fault is None]
            self._gone += gone
            done.gone += len(gone)
            for _, fault in answers:
                if isinstance(fault, PusherError):
                    raise fault
                done.forbidden = done.forbidden or isinstance(fault, Forbidden)
            batch = [number for number, fault in answers if fault]
            if done.forbidden or not batch:
                break
        done.failed |= {number: str(fault) for number, fault in answers if fault}
        if len(self._gone) >= _NOTED_AT_ONCE:
            self._note()

    def _attempt(self, number: int) -> Exception | None:
        """What hindered it."""
        try:
            self._server.delete(self._scale, number)
        except (Forbidden, NotDeleted, PusherError) as fault:
            return fault
        return None

    def _note(self) -> None:
        if self._gone:
            self._note_gone(self._gone)
            self._gone = []


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """The first row goes alone: it may tell that all are forbidden."""
    if ids:
        yield ids[:1]
    for start in range(1, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
