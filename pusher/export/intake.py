"""Asks the web server for a scale and archives what is new of it."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pusher.config import ExportSettings
from pusher.export.answers import Answer
from pusher.export.archive import Archive
from pusher.export.pool import STUDY
from pusher.export.rawfile import hash_together, stamp
from pusher.export.register import Asked, Content, Known, Register
from pusher.export.webserver import Scale, WebServer
from pusher.log import event

log = logging.getLogger(__name__)

_WHOLE_EVERY = dt.timedelta(hours=20)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """`there`: the contents that the server has. `known`: which of its rows were archived before, in this content or
    another one. `fresh`: how many contents were not. `note`: what is odd about it."""

    there: dict[Content, Answer] = field(default_factory=dict)
    known: Mapping[Content, Known] = field(default_factory=dict)
    fresh: int = 0
    note: str | None = None


class Intake:
    """`clock`: aware."""

    def __init__(
        self,
        settings: ExportSettings,
        server: WebServer,
        archive: Archive,
        register: Register,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._settings = settings
        self._server = server
        self._archive = archive
        self._register = register
        self._clock = clock

    def rows(self, scale: Scale) -> Taken:
        """Of a scale whose rows come and go. Raises what the server raises, and WriteFailed: then nothing is taken."""
        asked = self._register.asked(scale.name)
        after = self._after(asked)
        answers = self._server.rows(scale.name, after)
        if after and self._is_short(scale, answers):
            after, answers = None, self._server.rows(scale.name)
        moment = self._server.asked_at
        there = {(answer.id, answer.hash): answer for answer in answers}
        known = self._register.known(scale.name, {answer.id for answer in answers})
        fresh = [answer for content, answer in there.items() if content not in known]
        if fresh:
            self._archive.store(scale.name, fresh)
            log.debug(event("rows_archived", scale=scale.name, rows=len(fresh)))
        if moment:  # only now: what could not be archived is asked for again
            self._register.note_asked(scale.name, stamp(moment), None if after else stamp(self._clock()))
        back = [content for content in there if content in known and known[content].gone is not None]
        self._register.note_back(scale.name, back)
        note = None
        if after is None:
            note = _shortage(scale, len(answers))
            self._note_vanished(scale, there)
        return Taken(there=there, known=known, fresh=len(fresh), note=note)

    def snapshot(self, scale: Scale) -> Taken:
        """Of a scale that does not change, or seldom: whole, if it is another one than before. An empty one takes the
        place of none. Raises as `rows` does."""
        answers = self._server.study() if scale.name == STUDY else self._server.rows(scale.name)
        there = {(answer.id, answer.hash): answer for answer in answers}
        before = self._register.asked(scale.name).snapshot
        if there and hash_together(hash_ for _, hash_ in there) != before:
            self._archive.store_snapshot(scale.name, list(there.values()))
            return Taken(there=there, fresh=len(there), note=_shortage(scale, len(answers)))
        if not there and before:
            return Taken(note=f"{scale.name}: the server sends no rows any more; the last ones stay")
        return Taken(there=there, note=_shortage(scale, len(answers)))

    def _after(self, asked: Asked) -> dt.datetime | None:
        """Since when to ask for rows; None for all: where they leave the server, once a day, and whenever in doubt."""
        if self._settings.delete or not asked.asked or not asked.asked_whole:
            return None
        if not dt.timedelta() <= self._clock() - dt.datetime.fromisoformat(asked.asked_whole) < _WHOLE_EVERY:
            return None
        return dt.datetime.fromisoformat(asked.asked) - dt.timedelta(seconds=self._settings.overlap_seconds)

    def _is_short(self, scale: Scale, answers: list[Answer]) -> bool:
        """Whether the server says that it has more than what came and what is known."""
        there = {id_ for id_, _ in self._register.still_there(scale.name)}
        return len(there.union(answer.id for answer in answers)) < scale.size

    def _note_vanished(self, scale: Scale, there: Mapping[Content, Answer]) -> None:
        if there or not scale.size:
            vanished = [content for content in self._register.still_there(scale.name) if content not in there]
            self._register.note_gone(scale.name, vanished, "")


def _shortage(scale: Scale, rows: int) -> str | None:
    if rows >= scale.size or scale.name == STUDY:
        return None
    return f"{scale.name}: the server says {scale.size:,} rows and sent {rows:,}"
