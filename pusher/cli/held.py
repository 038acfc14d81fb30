"""The commands for what central did not take: held list, show, retry, release."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pusher.cli.context import Json, of, print_json, print_table, say
from pusher.cli.progress import progress_bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pusher.held_views import HeldView, Retried

_ON_A_SCREEN = 100
_COLUMNS = ("number", "location", "table", "key", "kind", "reason", "since", "last tried")

Numbers = Annotated[list[int], typer.Argument(help="Numbers that `held list` shows.", metavar="ID…")]
OfTable = Annotated[str | None, typer.Option("--table", help="Only rows of this table.", metavar="T")]


def add_to(app: typer.Typer) -> None:
    held = typer.Typer(help="What central did not take: see it, try it again, give it up.", no_args_is_help=True)
    held.command("list")(held_list)
    held.command()(show)
    held.command()(retry)
    held.command()(release)
    app.add_typer(held, name="held")


def held_list(
    context: typer.Context,
    locations: Annotated[list[str] | None, typer.Argument(help="Else all locations.")] = None,
    table: OfTable = None,
    kind: Annotated[str | None, typer.Option(help="refused, conflict, parent or lacking.")] = None,
    json: Json = False,
) -> None:
    """List what is held, and why. Ends 1 if something is."""
    from pusher.errors import UsageError
    from pusher.held import Kind, Selection
    from pusher.held_views import held_views

    if kind and kind not in list(Kind):
        raise UsageError(f"there is no kind {kind}; use {', '.join(Kind)}")
    selection = Selection(
        locations=tuple(locations) if locations else None, table=table, kind=Kind(kind) if kind else None
    )
    count, views = held_views(of(context).config_path(), selection, -1 if json else _ON_A_SCREEN)
    if json:
        print_json(views)
    elif not count:
        say("nothing is held")
    else:
        _show_rows(views, count)
    raise typer.Exit(int(count > 0))


def show(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="A number that `held list` shows.", metavar="ID")],
    json: Json = False,
) -> None:
    """Show one held row: what it holds at the site now, why it is held, and what to do."""
    from pusher.held_views import held_detail

    detail = held_detail(of(context).config_path(), number)
    if json:
        print_json(detail)
        return
    row = detail.row
    say(f"{row.id}: {row.table} in {row.location}, {row.shown_key}")
    say(f"{row.kind}: {row.reason}")
    say(f"held since {row.since}, last tried {row.tried}" + (", to be tried at the next cycle" if row.retry else ""))
    if detail.note:
        say(detail.note)
    width = max(map(len, detail.values or ()), default=0)
    for name, value in (detail.values or {}).items():
        say(f"  {name:{width}}  {'NULL' if value is None else value}")
    say(f"{detail.what_to_do}. Then: pusher held retry {row.id}")


def retry(
    context: typer.Context,
    numbers: Annotated[list[int] | None, typer.Argument(help="Else all that is held.", metavar="[ID…]")] = None,
    location: Annotated[str | None, typer.Option(help="Only rows of this location.", metavar="NAME")] = None,
    table: OfTable = None,
    json: Json = False,
) -> None:
    """Try held rows again now, in one cycle of their locations. Ends 0 if all of them arrived."""
    from pusher.held import Selection
    from pusher.held_views import retry as retry_held

    selection = Selection(
        ids=tuple(numbers) if numbers else None, locations=(location,) if location else None, table=table
    )
    with progress_bars() as progress:
        retried = retry_held(of(context).config_path(), selection, progress)
    if json:
        print_json(retried)
    else:
        _show_retried(retried)
    raise typer.Exit(retried.exit_code)


def release(
    context: typer.Context,
    numbers: Numbers,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Give held rows up: they are held and tried no longer, which the log records."""
    from pusher import log
    from pusher.errors import UsageError
    from pusher.held_views import release as give_up
    from pusher.held_views import to_release

    path = of(context).config_path()
    views = to_release(path, numbers)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("what these rows are held for is given up; add --yes to do so")
        _show_rows(views[:_ON_A_SCREEN], len(views))
        typer.confirm("What has not arrived of these rows will not be tried again. Give them up?", abort=True)
    log.configure(verbose=of(context).verbose)
    say(f"{give_up(path, [view.id for view in views]):,} rows given up")


def _show_rows(views: Sequence[HeldView], count: int) -> None:
    rows = [
        (str(view.id), view.location, view.table, view.shown_key, view.kind, view.reason, view.since, view.tried)
        for view in views
    ]
    print_table("", _COLUMNS, rows)
    if count > len(views):
        say(f"and {count - len(views):,} more, --json shows all")


def _show_retried(retried: Retried) -> None:
    if retried.running:
        doing = (
            f"runs as process {retried.process} and tries them now"
            if retried.process
            else "runs, and could not be told to do it now: its next cycle tries them"
        )
        say(f"{retried.asked:,} held rows are marked; another pusher {doing}; pusher held list shows what is left")
        return
    if not retried.asked:
        say("nothing is held")
        return
    for location, error in retried.errors.items():
        typer.echo(f"{location}: {error}", err=True)
    gone = f", {retried.gone:,} are no longer at the site" if retried.gone else ""
    say(f"{retried.arrived:,} of {retried.asked:,} held rows arrived{gone}, {len(retried.held):,} are held still")
    if retried.held:
        _show_rows(retried.held[:_ON_A_SCREEN], len(retried.held))
    if retried.errors:
        say("what was not tried stays marked, and the next cycle tries it")
