"""Decides from where each stream goes on: what the operator says, else the older of what both sides have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from pusher.ledger import Checkpoint, LocationState
from pusher.push.source import older
from pusher.schema.plan import TablePlan
from pusher.wire.batch import Cursor
from pusher.wire.messages import Checkpoint as CentralCheckpoint
from pusher.wire.messages import Welcome


class Start(msgspec.Struct, kw_only=True):
    """`cursors`: where each stream begins. `floors`: before which its rows are left out, since the operator skipped
    them. `start_over`: everything, entities too, is sent again.

    `forget_identities`: central no longer has all the rows whose ids it gave out.
    """

    cursors: dict[str, Cursor | None] = msgspec.field(default_factory=dict)
    floors: dict[str, Cursor | None] = msgspec.field(default_factory=dict)
    start_over: bool = False
    forget_identities: bool = False
    notes: list[str] = msgspec.field(default_factory=list)


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What both sides know of a stream."""

    here: Checkpoint | None
    central: Cursor | None

    @property
    def own(self) -> Cursor | None:
        return self.here.cursor if self.here else None

    @property
    def floor(self) -> Cursor | None:
        return self.here.floor if self.here else None

    @property
    def oldest(self) -> Cursor | None:
        return older(self.own, self.central) if self.own and self.central else None

    def set_to(self, asked: Cursor, state_lost: bool, set_back: bool) -> tuple[Cursor | None, Cursor | None]:
        """Cursor and floor, now that the operator wants the stream to go on from `asked`."""
        floor = older(asked, self.floor) if self.floor else None
        if state_lost:
            return older(asked, self.central) if self.central else None, floor
        if set_back:  # a stream that stands even further behind leaves nothing out
            return older(asked, self.oldest) if self.oldest else None, floor
        if self.own is None or (asked != self.own and older(self.own, asked) == self.own):
            return asked, asked  # what lies between is skipped
        return asked, floor


def decide(
    streams: Iterable[TablePlan],
    *,
    here: Mapping[str, Checkpoint],
    state: LocationState,
    lastupdate: str | None,
    welcome: Welcome,
    from_moment: Callable[[TablePlan, str], Cursor | None],
) -> Start:
    """`here`: the site's checkpoints. `lastupdate`: as it stands in the configuration.

    It counts as the operator's word if pusher did not write it: earlier or None sends again, later skips.
    A site that lost its state cannot tell, so then nothing that central lacks is skipped.
    """
    start = Start()
    edited = lastupdate != state.marker
    exchanged = state.instance not in (None, welcome.instance)
    if exchanged:
        start.notes.append("central is another database than before")
    if edited and lastupdate is None:
        start.start_over = True
        start.notes.append("lastupdate was set to None: everything is sent again")
        return start
    state_lost = not here and state.marker is None and bool(welcome.checkpoints)
    set_back = (lastupdate or "").replace("T", " ") < (state.marker or "")
    behind = welcome.resolved < state.resolved
    for table in streams:
        there = welcome.checkpoints.get(table.central_name)
        known = _Known(here=here.get(table.name), central=there.cursor if there else None)
        behind |= known.oldest != known.own or _lacks_batches(known.here, there, state.epoch)
        start.cursors[table.name], start.floors[table.name] = known.oldest, known.floor
        if not edited or lastupdate is None:
            continue
        asked = from_moment(table, lastupdate.replace(" ", "T"))
        if asked is None:  # without a time in its cursor a stream cannot be set to a moment, only to its beginning
            if set_back:
                start.cursors[table.name] = start.floors[table.name] = None
            continue
        start.cursors[table.name], start.floors[table.name] = known.set_to(asked, state_lost, set_back)
        if start.floors[table.name] == asked and not (state_lost or set_back):
            start.notes.append(f"lastupdate was set by hand: rows of {table.name} before {lastupdate} are skipped")
    start.forget_identities = exchanged or behind
    if behind and not exchanged:
        start.notes.append("central does not have all that it acknowledged; it gets the rest again")
    return start


def _lacks_batches(here: Checkpoint | None, there: CentralCheckpoint | None, epoch: str) -> bool:
    """Whether central has taken fewer batches than it acknowledged: late rows were among them, perhaps."""
    known = there.sequence if there and there.epoch == epoch else 0
    return here is not None and known < here.sequence
