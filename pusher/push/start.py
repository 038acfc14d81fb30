"""Decides from where each stream goes on: what the operator says, else the older of what both sides have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pusher.ledger import LocationState
from pusher.push.source import older
from pusher.schema.plan import TablePlan
from pusher.wire.batch import Cursor
from pusher.wire.messages import Welcome


@dataclass(kw_only=True)
class Start:
    """`cursors`: where each stream begins. `start_over`: everything, entities too, is sent again.

    `forget_identities`: central no longer has all the rows whose ids it gave out.
    """

    cursors: dict[str, Cursor | None] = field(default_factory=dict)
    start_over: bool = False
    forget_identities: bool = False
    notes: list[str] = field(default_factory=list)


def decide(
    streams: Iterable[TablePlan],
    *,
    here: Mapping[str, Cursor],
    state: LocationState,
    lastupdate: str | None,
    welcome: Welcome,
    from_moment: Callable[[TablePlan, str], Cursor],
) -> Start:
    """`here`: the site's checkpoints. `lastupdate`: as it stands in the configuration.

    It counts as the operator's word if pusher did not write it: earlier or None sends again, later skips.
    A site that lost its state cannot tell, so then nothing that central lacks is skipped.
    """
    start = Start()
    edited = lastupdate != state.marker
    state_lost = not here and state.marker is None
    if state.instance not in (None, welcome.instance):
        start.forget_identities = True
        start.notes.append("central is another database than before")
    if edited and lastupdate is None:
        start.start_over = True
        start.notes.append("lastupdate was set to None: everything is sent again")
        return start
    for table in streams:
        there = welcome.checkpoints.get(table.central_name)
        central_cursor = there.cursor if there else None
        own = here.get(table.name)
        if edited and lastupdate is not None:
            asked = from_moment(table, lastupdate.replace(" ", "T"))
            if state_lost and welcome.checkpoints:
                asked_or_older = older(asked, central_cursor) if central_cursor else None
                start.cursors[table.name] = asked_or_older
            else:
                start.cursors[table.name] = asked
                if own and older(own, asked) == own and own != asked:
                    start.notes.append(
                        f"lastupdate was set later: rows of {table.name} before {lastupdate} are skipped"
                    )
        elif own is None or central_cursor is None:
            start.cursors[table.name] = None
            start.forget_identities |= own is not None
        else:
            start.cursors[table.name] = older(own, central_cursor)
            start.forget_identities |= start.cursors[table.name] != own
    if start.forget_identities and not edited:
        start.notes.append("central does not have all that it acknowledged; going back to what it has")
    return start
