"""The commands for change capture: capture show, install, remove."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pusher.cli.context import Context, Group, as_json, print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pusher.capturing import CaptureView, Step

_COLUMNS = ("table", "configured", "state", "waiting", "columns")

_tables = click.argument("tables", metavar="[TABLE]...", nargs=-1)
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(cls=Group)
def capture() -> None:
    """Triggers that note each change of the site's tables."""


@capture.command()
@_tables
@as_json
@click.pass_obj
def show(context: Context, tables: tuple[str, ...], json: bool) -> None:
    """Show of which tables changes are captured, what waits, and the SQL that `install` runs. Ends 1 if one is not.

    TABLE: else all that are to be captured.
    """
    from pusher.capturing import open_captures

    with open_captures(context.config_path()) as captures:
        views = captures.views(tables)
    if json:
        print_json(views)
    else:
        _show_views(views)
        for view in views:
            if view.note:
                say(f"{view.table}: {view.note}")
            _show_sql(view.table, view.sql)
    sys.exit(int(any(view.at_fault for view in views)))


@capture.command()
@_tables
@_yes
@as_json
@click.pass_obj
def install(context: Context, tables: tuple[str, ...], yes: bool, json: bool) -> None:
    """Make the outbox and the triggers of these tables; again after their columns or keys changed.

    TABLE: else all that are to be captured.
    """
    from pusher.capturing import open_captures

    with open_captures(context.config_path()) as captures:
        steps = captures.to_install(tables)
        if not json:
            for step in steps:
                _show_sql(step.table, step.statements)
        _ask(steps, yes, "Run this in the site's database?", "this makes tables and triggers in the site's database")
        captures.run(steps)
        views = captures.views([step.table for step in steps])
    if json:
        print_json(views)
    else:
        _show_views(views)
    sys.exit(int(any(view.at_fault for view in views)))


@capture.command()
@_tables
@_yes
@click.option("--force", is_flag=True, help="Also where changes wait, which are then lost.")
@as_json
@click.pass_obj
def remove(context: Context, tables: tuple[str, ...], yes: bool, force: bool, json: bool) -> None:
    """Drop triggers and outboxes of these tables. Refuses while changes wait in one.

    TABLE: else all that are captured.
    """
    from pusher.capturing import open_captures

    with open_captures(context.config_path()) as captures:
        steps = captures.to_remove(tables, force=force)
        if not json:
            for step in steps:
                _show_sql(step.table, step.statements)
        if steps:
            _ask(steps, yes, "Run this in the site's database?", "changes of these tables are captured no longer")
        captures.run(steps, removing=True)
    if json:
        print_json([{"table": step.table, "sql": step.statements} for step in steps])
    else:
        say(f"removed: {', '.join(step.table for step in steps)}" if steps else "nothing is captured")


def _ask(steps: Sequence[Step], yes: bool, question: str, why: str) -> None:
    from pusher.errors import UsageError

    if yes:
        return
    if not sys.stdin.isatty():
        names = ", ".join(step.table for step in steps)
        raise UsageError(f"{names}: {why}; add --yes to do so")
    click.confirm(question, abort=True, err=True)


def _show_views(views: Sequence[CaptureView]) -> None:
    if not views:
        say("nothing is captured")
        return
    rows = [
        (view.table, "yes" if view.configured else "no", view.state, view.waiting, ", ".join(view.columns))
        for view in views
    ]
    print_table("", _COLUMNS, rows)


def _show_sql(table: str, statements: Sequence[str]) -> None:
    if statements:
        say(f"-- {table}")
    for statement in statements:
        say(f"{statement};")
