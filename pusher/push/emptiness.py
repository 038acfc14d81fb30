"""Refuses to go on where a side is suddenly empty: most likely it is the wrong database, or one made anew."""

from __future__ import annotations

from collections.abc import Mapping

from pusher.errors import SuddenlyEmpty
from pusher.ledger import Checkpoint, Ledger
from pusher.push.source import Source
from pusher.schema.guess import Role
from pusher.schema.plan import Plan, TablePlan
from pusher.wire.messages import Welcome


def refuse_emptied_central(plan: Plan, welcome: Welcome) -> None:
    """Raises SuddenlyEmpty if tables of central have no row, though rows of this site arrived there."""
    names = [table.central_name for table in plan.working if table.central_name in welcome.emptied]
    if names:
        raise SuddenlyEmpty(
            f"central holds no row of {', '.join(names)}, though rows of this site arrived there; if that is the right "
            "database, restore it, or send everything again: pusher run --once --force"
        )


def emptied_here(
    location: str, plan: Plan, source: Source, ledger: Ledger, checkpoints: Mapping[str, Checkpoint]
) -> list[str]:
    """The tables of the site in which nothing is left of what was sent."""
    found = []
    for table in plan.working:
        checkpoint = checkpoints.get(table.name)
        if table.role is Role.STREAM:
            gone = checkpoint is not None and checkpoint.cursor is not None and _is_gone(source, table, checkpoint)
        else:
            gone = ledger.knows(location, table.name) and source.is_empty(table)
        if gone:
            found.append(table.name)
    return found


def refuse_emptied_site(names: list[str]) -> None:
    """Raises SuddenlyEmpty if there are such tables."""
    if names:
        raise SuddenlyEmpty(
            f"the site's database holds nothing any more of what was sent of {', '.join(names)}; if localurl is right, "
            "restore it; if its rows are meant to be gone: pusher run --once --force. A database made anew, which "
            "numbers its rows from 1 again, needs a new site name first"
        )


def _is_gone(source: Source, table: TablePlan, checkpoint: Checkpoint) -> bool:
    """A stream that is known by its numbers must still have one of those rows: new ones might take their numbers."""
    if source.is_empty(table):
        return True
    if table.key or checkpoint.cursor is None:
        return False
    return next(source.pages(table, None, checkpoint.cursor, 1), None) is None
