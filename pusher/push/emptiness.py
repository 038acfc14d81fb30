"""Refuses to go on where a side is suddenly empty: most likely it is the wrong database, or one made anew."""

from __future__ import annotations

from collections.abc import Mapping

from pusher.errors import SuddenlyEmpty
from pusher.ledger import Checkpoint, Ledger
from pusher.push.source import Source
from pusher.schema.guess import Role
from pusher.schema.plan import Plan, TablePlan
from pusher.wire.batch import Cursor
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
    cursors = {name: checkpoint.cursor for name, checkpoint in checkpoints.items() if checkpoint.cursor is not None}
    sent = [
        table
        for table in plan.working
        if (table.name in cursors if table.role is Role.STREAM else ledger.knows(location, table.name))
    ]
    empty = {table.name for table in source.empty(sent)}
    return [
        table.name
        for table in sent
        if table.name in empty or (table.role is Role.STREAM and _is_another(source, table, cursors[table.name]))
    ]


def refuse_emptied_site(names: list[str]) -> None:
    """Raises SuddenlyEmpty if there are such tables."""
    if names:
        raise SuddenlyEmpty(
            f"the site's database holds nothing any more of what was sent of {', '.join(names)}; if localurl is right, "
            "restore it; if its rows are meant to be gone: pusher run --once --force. A database made anew, which "
            "numbers its rows from 1 again, needs a new site name first"
        )


def _is_another(source: Source, table: TablePlan, cursor: Cursor) -> bool:
    """A stream that is known by its numbers must still have one of those rows: new ones might take their numbers."""
    return not table.key and next(source.pages(table, None, cursor, 1), None) is None
