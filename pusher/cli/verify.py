"""The command `verify`: prove that it all arrived."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from pusher.cli.context import Context, as_json, print_json, print_table, say
from pusher.cli.progress import progress_bars

if TYPE_CHECKING:
    from pusher.push.verdict import TableVerdict
    from pusher.verification import LocationVerdict

_KEYS_ON_A_SCREEN = 20
_COLUMNS = (
    "table", "role", "here", "there", "missing", "different", "only at central", "held", "compared", "parts", "bytes",
    "seconds", "verdict",
)  # fmt: skip


@click.command()
@click.argument("locations", metavar="[LOCATION]...", nargs=-1)
@click.option("--table", "tables", metavar="T", multiple=True, help="Only this one; may be repeated.")
@click.option("--since", metavar="T", help="Only rows of streams from then on.")
@click.option("--until", metavar="T", help="Only rows of streams before then.")
@click.option("--deep", is_flag=True, help="Read every row, not only what both sides noted of it.")
@click.option("--repair", is_flag=True, help="Send what central lacks or has otherwise, and compare again.")
@click.option("--force", is_flag=True, help="Repair although a side is suddenly empty, or much is to be deleted.")
@as_json
@click.pass_obj
def verify(
    context: Context,
    locations: tuple[str, ...],
    tables: tuple[str, ...],
    since: str | None,
    until: str | None,
    deep: bool,
    repair: bool,
    force: bool,
    json: bool,
) -> None:
    """Compare the site's rows with central's, table by table. Ends 0 if all are equal, 1 if not.

    LOCATION: else all switched on.
    """
    from pusher.config import load
    from pusher.instance import only_instance
    from pusher.verification import verify as run

    path = context.begin_work()
    alone = only_instance(load(path).general.state) if repair else nullcontext()
    with alone, progress_bars() as progress:
        verdicts = run(path, locations, tables, progress, since=since, until=until, deep=deep, repair=repair)
    if json:
        print_json([_plain(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            _show(verdict)
    sys.exit(max(verdict.exit_code for verdict in verdicts))


def _plain(verdict: LocationVerdict) -> dict[str, object]:
    import msgspec

    plain: dict[str, object] = msgspec.to_builtins(verdict)
    return plain | {"tables": [msgspec.to_builtins(each) | {"verdict": each.verdict} for each in verdict.tables]}


def _show(verdict: LocationVerdict) -> None:
    size = verdict.bytes_sent + verdict.bytes_received
    repaired = f", {verdict.repaired:,} rows sent again" if verdict.repaired else ""
    repaired += f", {verdict.deleted:,} rows deleted at central" if verdict.deleted else ""
    say(f"{verdict.location}: {verdict.error or f'{size:,} bytes on the wire{repaired}'}")
    for note in verdict.notes:
        say(note)
    if not verdict.tables:
        return
    print_table("", _COLUMNS, (_row(each) for each in verdict.tables))
    for each in verdict.tables:
        if each.stopped:
            say(f"{each.table}: stopped, {each.stopped}")
        for lossy in each.lossy:
            say(f"{each.table}: lossy, {lossy}")
        for drift in each.drift:
            say(f"{each.table}: column {drift}")
        _show_keys(each, "missing at central", each.missing)
        _show_keys(each, "different", each.different)
        _show_keys(each, "only at central", each.only_central)
        if each.incomplete:
            say(f"{each.table}: there are more differences than could be listed")


def _row(each: TableVerdict) -> tuple[object, ...]:
    found = (len(each.missing), len(each.different), len(each.only_central), each.held)
    how = "all rows" if each.deep else "notes", each.parts, each.bytes_on_wire
    return (each.table, each.role, each.here, each.there, *found, *how, round(each.seconds, 2), each.verdict)


def _show_keys(verdict: TableVerdict, what: str, keys: list[str]) -> None:
    for key in keys[:_KEYS_ON_A_SCREEN]:
        say(f"{verdict.table}: {what}: {key}")
    if len(keys) > _KEYS_ON_A_SCREEN:
        say(f"{verdict.table}: {what}: and {len(keys) - _KEYS_ON_A_SCREEN:,} more; --json lists all")
