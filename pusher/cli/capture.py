"""The commands for change capture: capture show, install, remove."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pusher.cli.context import Json, of, print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pusher.capturing import CaptureView, Step

_COLUMNS = ("table", "configured", "state", "waiting", "columns")

Tables = Annotated[list[str] | None, typer.Argument(help="Else all that are to be captured.", metavar="[TABLE…]")]
Present = Annotated[list[str] | None, typer.Argument(help="Else all that are captured.", metavar="[TABLE…]")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def add_to(app: typer.Typer) -> None:
    capture = typer.Typer(help="Triggers that note each change of the site's tables.", no_args_is_help=True)
    capture.command()(show)
    capture.command()(install)
    capture.command()(remove)
    app.add_typer(capture, name="capture")


def show(context: typer.Context, tables: Tables = None, json: Json = False) -> None:
    """Show of which tables changes are captured, what waits, and the SQL that `install` runs. Ends 1 if one is not."""
    from pusher.capturing import open_captures

    with open_captures(of(context).config_path()) as captures:
        views = captures.views(tables or [])
    if json:
        print_json(views)
    else:
        _show_views(views)
        for view in views:
            if view.note:
                say(f"{view.table}: {view.note}")
            _show_sql(view.table, view.sql)
    raise typer.Exit(int(any(view.at_fault for view in views)))


def install(context: typer.Context, tables: Tables = None, yes: Yes = False, json: Json = False) -> None:
    """Make the outbox and the triggers of these tables; again after their columns or keys changed."""
    from pusher.capturing import open_captures

    with open_captures(of(context).config_path()) as captures:
        steps = captures.to_install(tables or [])
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
    raise typer.Exit(int(any(view.at_fault for view in views)))


def remove(
    context: typer.Context,
    tables: Present = None,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Also where changes wait, which are then lost.")] = False,
    json: Json = False,
) -> None:
    """Drop triggers and outboxes of these tables. Refuses while changes wait in one."""
    from pusher.capturing import open_captures

    with open_captures(of(context).config_path()) as captures:
        steps = captures.to_remove(tables or [], force=force)
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
    typer.confirm(question, abort=True, err=True)


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
