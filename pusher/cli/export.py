"""The commands of the export job: export, decode, recover."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import click

from pusher.cli.context import Context, as_json, print_json, print_table, say
from pusher.cli.progress import progress_bars

if TYPE_CHECKING:
    import datetime as dt

    from pusher.export.active import ActiveFile

ALL = "."
_location = click.argument("location", metavar="[LOCATION|.]", default=ALL)


@click.command()
@_location
@click.argument("scale", metavar="[SCALE|static|all|.]", default=ALL)
@as_json
@click.pass_obj
def export(context: Context, location: str, scale: str, json: bool) -> None:
    """Archive questionnaires off a web server, decode them, and with delete = yes delete there what is proven archived.

    LOCATION: else, or with a dot, all of kind export. SCALE: else, or with a dot, what `scales` says.
    """
    from pusher.cli.site import finish
    from pusher.config import load
    from pusher.config_export import parse_scales
    from pusher.daemon import chosen, run_once
    from pusher.instance import only_instance

    path, names = context.begin_work(), [] if location == ALL else [location]
    scales = () if scale == ALL else parse_scales(scale)
    settings = load(path)
    chosen(settings, names, "export")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with only_instance(settings.general.state), progress_bars() as progress:
        outcomes = run_once(path, names, progress, scales=scales)
    finish(outcomes, json)


@click.command()
@_location
@click.argument("scale", metavar="[SCALE|.]", default=ALL)
@as_json
@click.pass_obj
def decode(context: Context, location: str, scale: str, json: bool) -> None:
    """Have the CSV files show what is archived, without asking a server: also what the key could not open before.

    Ends with 1 where a field is still sealed.
    """
    from pusher.config import load
    from pusher.daemon import chosen
    from pusher.export.recovery import open_recovery

    settings, found = load(context.begin_work()), {}
    for each in chosen(settings, [] if location == ALL else [location], "export"):
        with open_recovery(settings, each) as recovery, progress_bars() as progress:
            found[each.name] = list(recovery.decode(None if scale == ALL else scale, progress))
    _finish(found, json)


@click.command()
@click.argument("location", metavar="LOCATION")
@click.option("--scale", help="Only this one.")
@click.option("--day", metavar="YYYY-MM-DD", type=click.DateTime(["%Y-%m-%d"]), help="Only the files of this day.")
@as_json
@click.pass_obj
def recover(context: Context, location: str, scale: str | None, day: dt.datetime | None, json: bool) -> None:
    """Make every CSV file anew from the raw files. What was right before is the same afterwards, to the last byte.

    Ends with 1 where a field is still sealed.
    """
    from pusher.config import load
    from pusher.daemon import chosen
    from pusher.export.recovery import open_recovery

    settings = load(context.begin_work())
    (place,) = chosen(settings, [location], "export")
    with open_recovery(settings, place) as recovery, progress_bars() as progress:
        found = list(recovery.make_anew(scale, day.date() if day else None, progress))
    _finish({place.name: found}, json)


def _finish(found: dict[str, list[ActiveFile]], json: bool) -> None:
    sealed = sum(file.sealed for files in found.values() for file in files)
    if json:
        print_json(found)
    else:
        for name, files in found.items():
            _show(name, files)
        if sealed:
            say(f"{sealed:,} fields are still sealed; pusher held list names them, pusher key test tries the key")
    sys.exit(1 if sealed else 0)


def _show(name: str, files: list[ActiveFile]) -> None:
    from pusher.export.active import State

    changed = [file for file in files if file.state is not State.CURRENT]
    if changed:
        rows = [(file.scale, file.day, file.state.value, file.rows, file.sealed) for file in changed]
        print_table("", ("scale", "day", "is", "rows", "sealed"), rows)
    say(f"{name}: {len(files):,} files, {len(files) - len(changed):,} of them as they should be")
