"""What a comparison of both sides asks central."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pusher.push.parts import Part, is_keyed
from pusher.schema.plan import TablePlan
from pusher.wire import PROTOCOL
from pusher.wire.blocks import Start, edge
from pusher.wire.fingerprint import EMPTY, Fingerprint
from pusher.wire.messages import Compare, Look, Proven, Segment


class Question(msgspec.Struct, frozen=True):
    """Puts questions about a site's rows of one table, in central's names and its spelling of the cursor."""

    site: str
    table: TablePlan

    def compare(
        self, segments: Sequence[Segment] = (), buckets: Sequence[Fingerprint] = (), *, noted: bool = False
    ) -> Compare:
        return Compare(
            protocol=PROTOCOL,
            site=self.site,
            table=self.table.central_name,
            mapped=not is_keyed(self.table),
            key=self.table.to_central(self.table.key),
            names=self.table.to_central(self.table.sent),
            cursor=self.cursor if segments else None,
            segments=list(segments),
            buckets=list(buckets),
            noted=noted,
        )

    def look(self, parts: Sequence[Part] = (), buckets: Sequence[int] = (), of: int = 1) -> Look:
        return Look(
            protocol=PROTOCOL,
            site=self.site,
            table=self.table.central_name,
            mapped=not is_keyed(self.table),
            key=self.table.to_central(self.table.key),
            names=self.table.to_central(self.table.sent),
            cursor=self.cursor if parts else None,
            ranges=[(self._edge(part.low), self._edge(part.high)) for part in parts],
            buckets=list(buckets),
            of=of,
        )

    def segment(self, part: Part, prints: Mapping[Start, Fingerprint]) -> Segment:
        """A part of the stream, cut where the blocks of `prints` begin."""
        return Segment(
            low=self._edge(part.low),
            edges=[self._edge(start) for start in list(prints)[1:]],
            high=self._edge(part.high),
            prints=list(prints.values()) or [EMPTY],
        )

    def proven(self, part: Part, prints: Mapping[Start, Fingerprint]) -> Proven:
        return Proven(
            low=self._edge(part.low),
            high=self._edge(part.high),
            starts=[self._edge(start) for start in prints],
            prints=list(prints.values()),
        )

    @property
    def cursor(self) -> str | None:
        return self.table.to_central([self.table.cursor])[0] if self.table.cursor else None

    def _edge(self, value: Any) -> Any:
        assert self.table.cursor is not None
        (column,) = self.table.central_columns([self.table.cursor])
        return edge(column.kind, value)
