"""The commands for what central did not take: held list, show, retry, release."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pusher.cli.context import Context, Group, as_json, print_json, print_table, say
from pusher.cli.progress import progress_bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pusher.held_views import HeldView, Retried

_ON_A_SCREEN = 100
_COLUMNS = ("number", "location", "table", "key", "kind", "reason", "since", "last tried")

_of_table = click.option("--table", metavar="T", help="Only rows of this table.")


@click.group(cls=Group)
def held() -> None:
    """What central did not take: see it, try it again, give it up."""


@held.command("list")
@click.argument("locations", metavar="[LOCATION]...", nargs=-1)
@_of_table
@click.option("--kind", metavar="KIND", help="refused, conflict, parent or lacking.")
@as_json
@click.pass_obj
def held_list(context: Context, locations: tuple[str, ...], table: str | None, kind: str | None, json: bool) -> None:
    """List what is held, and why. Ends 1 if something is.

    LOCATION: else all.
    """
    from pusher.errors import UsageError
    from pusher.held import Kind, Selection
    from pusher.held_views import held_views

    if kind and kind not in list(Kind):
        raise UsageError(f"there is no kind {kind}; use {', '.join(Kind)}")
    selection = Selection(locations=locations or None, table=table, kind=Kind(kind) if kind else None)
    count, views = held_views(context.config_path(), selection, -1 if json else _ON_A_SCREEN)
    if json:
        print_json(views)
    elif not count:
        say("nothing is held")
    else:
        _show_rows(views, count)
    sys.exit(int(count > 0))


@held.command()
@click.argument("number", metavar="ID", type=int)
@as_json
@click.pass_obj
def show(context: Context, number: int, json: bool) -> None:
    """Show one held row: what it holds at the site now, why it is held, and what to do.

    ID: a number that `held list` shows.
    """
    from pusher.held_views import held_detail

    detail = held_detail(context.config_path(), number)
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


@held.command()
@click.argument("numbers", metavar="[ID]...", nargs=-1, type=int)
@click.option("--location", metavar="NAME", help="Only rows of this location.")
@_of_table
@as_json
@click.pass_obj
def retry(context: Context, numbers: tuple[int, ...], location: str | None, table: str | None, json: bool) -> None:
    """Try held rows again now, in one cycle of their locations. Ends 0 if all of them arrived.

    ID: numbers that `held list` shows; else all that is held.
    """
    from pusher.held import Selection
    from pusher.held_views import retry as retry_held

    selection = Selection(ids=numbers or None, locations=(location,) if location else None, table=table)
    with progress_bars() as progress:
        retried = retry_held(context.begin_work(), selection, progress)
    if json:
        print_json(retried)
    else:
        _show_retried(retried)
    sys.exit(retried.exit_code)


@held.command()
@click.argument("numbers", metavar="ID...", nargs=-1, type=int, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def release(context: Context, numbers: tuple[int, ...], yes: bool) -> None:
    """Give held rows up: they are held and tried no longer, which the log records.

    ID: numbers that `held list` shows.
    """
    from pusher import log
    from pusher.errors import UsageError
    from pusher.held_views import release as give_up
    from pusher.held_views import to_release

    path = context.begin_work()
    views = to_release(path, numbers)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("what these rows are held for is given up; add --yes to do so")
        _show_rows(views[:_ON_A_SCREEN], len(views))
        click.confirm("What has not arrived of these rows will not be tried again. Give them up?", abort=True)
    log.configure(verbose=context.verbose)
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
        click.echo(f"{location}: {error}", err=True)
    gone = f", {retried.gone:,} are no longer at the site" if retried.gone else ""
    say(f"{retried.arrived:,} of {retried.asked:,} held rows arrived{gone}, {len(retried.held):,} are held still")
    if retried.held:
        _show_rows(retried.held[:_ON_A_SCREEN], len(retried.held))
    if retried.errors:
        say("what was not tried stays marked, and the next cycle tries it")
