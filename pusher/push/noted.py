"""Compares what both sides noted of a stream's blocks as they were sent and stored: no row is read, only counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pusher.ledger import Ledger
from pusher.push.late import miscounted, stretches
from pusher.push.parts import Part
from pusher.push.position import Position
from pusher.push.questions import Question
from pusher.push.source import Source
from pusher.push.verdict import TableVerdict
from pusher.schema.keyset import Before, Place
from pusher.transport.central import Central
from pusher.wire.batch import unpack_cursor
from pusher.wire.blocks import Start, block_of
from pusher.wire.fingerprint import EMPTY, Fingerprint

_WAYS = 16
_MOST_PARTS = 64  # more that differ are not cut further, lest the question outgrow the answer


class Notes:
    """The notes of one location's streams."""

    def __init__(self, location: str, source: Source, central: Central, ledger: Ledger) -> None:
        self._location = location
        self._source = source
        self._central = central
        self._ledger = ledger

    def suspects(self, verdict: TableVerdict, question: Question, position: Position) -> list[Part]:
        """The parts of a stream of which the notes differ, or do not fit the number of rows at the site.

        The whole, if its rows were hashed in another form than they would be now.
        """
        table = position.table
        if self._ledger.block_form(self._location, table.name) != position.form:
            return [Part(low=None, high=None)]
        known = self._ledger.blocks(self._location, table.name)
        windows, others = stretches(position)
        miscount = [
            Part(low=_start(each.low), high=_start(each.high) if isinstance(each.high, Before) else None)
            for stretch in windows + others
            for each in miscounted(self._source, table, stretch, self._ledger, self._location)
        ]
        return joined([*miscount, *self._differing(verdict, question, known)])

    def outdated(self, table: str, prints: Mapping[Start, Fingerprint]) -> list[Part]:
        """The blocks of which other rows were sent than `prints`, all that there are now, tell."""
        known = self._ledger.blocks(self._location, table)
        starts = sorted(known.keys() | prints.keys())
        places = (at for at, start in enumerate(starts) if known.get(start) != prints.get(start))
        return [_part(starts, range(at, at + 1)) for at in places]

    def _differing(self, verdict: TableVerdict, question: Question, known: Mapping[Start, Fingerprint]) -> list[Part]:
        """The whole stream at first, and what differs 16 ways, down to the block."""
        starts = list(known)
        found: list[Part] = []
        spans, ways = [range(len(starts))], 1
        while spans:
            cut = [_cut(span, ways) for span in spans]
            segments = [
                question.segment(_part(starts, span), _prints(known, starts, pieces))
                for span, pieces in zip(spans, cut, strict=True)
            ]
            verdict.parts += sum(map(len, cut))
            answer = self._central.compare(question.compare(segments, noted=True))
            differing = [pieces[at] for pieces, places in zip(cut, answer.differing, strict=True) for at, _ in places]
            small = [piece for piece in differing if len(piece) < 2 or len(differing) > _MOST_PARTS]
            found += [_part(starts, piece) for piece in small]
            spans, ways = [piece for piece in differing if piece not in small], _WAYS
        return found


def joined(parts: Iterable[Part]) -> list[Part]:
    """The same parts in their order, those that touch as one."""
    found: list[Part] = []
    for part in sorted(parts, key=lambda part: (part.low is not None, part.low or 0)):
        last = found[-1] if found else None
        if last and (last.high is None or (part.low is None or part.low <= last.high)):
            ends = last.high is None or part.high is None
            found[-1] = Part(low=last.low, high=None if ends else max(last.high, part.high))
        else:
            found.append(part)
    return found


def _cut(span: range, ways: int) -> list[range]:
    size = -(-len(span) // ways) or 1
    return [span[at : at + size] for at in range(0, len(span), size)] or [span]


def _prints(
    known: Mapping[Start, Fingerprint], starts: Sequence[Start], pieces: Iterable[range]
) -> dict[Start, Fingerprint]:
    return dict(_summed(known, starts[each.start : each.stop]) for each in pieces)


def _summed(known: Mapping[Start, Fingerprint], starts: Sequence[Start]) -> tuple[Start, Fingerprint]:
    """Where these blocks begin, and what they amount to."""
    each = [known[start] for start in starts]
    if not each:
        return None, EMPTY
    return starts[0], Fingerprint.of(sum(one.count for one in each), sum(int(one.total, 16) for one in each))


def _part(starts: Sequence[Start], piece: range) -> Part:
    """A part of the stream around these blocks; the first begins with the stream, the last ends with it."""
    low = starts[piece.start] if piece.start else None
    return Part(low=low, high=starts[piece.stop] if piece.stop < len(starts) else None)


def _start(place: Place) -> Any:
    if place is None:
        return None
    return block_of(place.value if isinstance(place, Before) else unpack_cursor(place)[0])
