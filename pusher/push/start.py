"""Decides from where each stream goes on: what the operator says, else the older of what both sides have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pusher.ledger import Checkpoint, LocationState
from pusher.push.source import older
from pusher.schema.plan import TablePlan
from pusher.wire.batch import Cursor
from pusher.wire.messages import Checkpoint as CentralCheckpoint
from pusher.wire.messages import Welcome


@dataclass(kw_only=True)
class Start:
    """`cursors`: where each stream begins. `floors`: before which its rows are left out, since the operator skipped
    them. `start_over`: everything, entities too, is sent again.

    `forget_identities`: central no longer has all the rows whose ids it gave out.
    """

    cursors: dict[str, Cursor | None] = field(default_factory=dict)
    floors: dict[str, Cursor | None] = field(default_factory=dict)
    start_over: bool = False
    forget_identities: bool = False
    notes: list[str] = field(default_factory=list)


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
        central = there.cursor if there else None
        before = here.get(table.name)
        own, floor = (before.cursor, before.floor) if before else (None, None)
        oldest = older(own, central) if own and central else None
        behind |= oldest != own or _lacks_batches(before, there, state.epoch)
        start.floors[table.name] = floor
        if not edited or lastupdate is None:
            start.cursors[table.name] = oldest
            continue
        asked = from_moment(table, lastupdate.replace(" ", "T"))
        if state_lost:
            start.cursors[table.name] = older(asked, central) if asked and central else None
        elif asked and set_back:  # a stream that stands even further behind leaves nothing out
            start.cursors[table.name] = older(asked, oldest) if oldest else None
            start.floors[table.name] = older(asked, floor) if floor else None
        elif asked:
            start.cursors[table.name] = asked
            start.floors[table.name] = older(floor, asked) if floor else None
            if own is None or (asked != own and older(own, asked) == own):
                start.floors[table.name] = asked
                start.notes.append(f"lastupdate was set by hand: rows of {table.name} before {lastupdate} are skipped")
        else:  # without a time in its cursor a stream cannot be set to a moment, only to its beginning
            start.cursors[table.name] = None if set_back else oldest
            start.floors[table.name] = None if set_back else floor
    start.forget_identities = exchanged or behind
    if behind and not exchanged:
        start.notes.append("central does not have all that it acknowledged; it gets the rest again")
    return start


def _lacks_batches(here: Checkpoint | None, there: CentralCheckpoint | None, epoch: str) -> bool:
    """Whether central has taken fewer batches than it acknowledged: late rows were among them, perhaps."""
    known = there.sequence if there and there.epoch == epoch else 0
    return here is not None and known < here.sequence
