"""The commands `report` and `combine`: what is missing in a data pool, and all days of a scale in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pusher.cli.context import Context, Group, as_json, print_json, print_table, say
from pusher.cli.export import ALL

if TYPE_CHECKING:
    from pusher.config import Location
    from pusher.export.pool import Pool
    from pusher.export.report_making import Made

_ROWS_ON_A_SCREEN = 100
_location = click.argument("location", metavar="[LOCATION|.]", default=ALL)


@click.group(cls=Group)
def report() -> None:
    """What is missing in a data pool. Each report is also written into the pool's folder reports, as CSV and as a page.

    LOCATION: else, or with a dot, all of kind export.
    """


@report.command()
@_location
@as_json
@click.pass_obj
def questionnaire(context: Context, location: str, json: bool) -> None:
    """Show the share of missing values of each scale and column."""
    _make(context, "questionnaire", location, json)


@report.command()
@_location
@as_json
@click.pass_obj
def scale(context: Context, location: str, json: bool) -> None:
    """Compare the rows in the archive with the entries in TaskLog, scale by scale."""
    _make(context, "scale", location, json)


@report.command()
@_location
@as_json
@click.pass_obj
def participant(context: Context, location: str, json: bool) -> None:
    """Show which questionnaires each participant should have filled in by now and has not, and who has gone on."""
    _make(context, "participant", location, json)


@click.command()
@click.argument("location")
@click.argument("scale")
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Else reports/SCALE_combined.csv.")
@click.option("--participant", metavar="COLUMN", help="Says whose an entry is, where its name is no usual one.")
@click.option("--session", metavar="COLUMN", help="Says of which session an entry is; - if the scale has none.")
@as_json
@click.pass_obj
def combine(
    context: Context,
    location: str,
    scale: str,
    output: Path | None,
    participant: str | None,
    session: str | None,
    json: bool,
) -> None:
    """Write all days of a scale into one CSV file: of each participant and session the first complete entry."""
    from pusher.config import load
    from pusher.daemon import chosen
    from pusher.export.report_making import combine as combine_days

    (place,) = chosen(load(context.config_path()), [location], "export")
    path, result = combine_days(_pool(place), scale, output, participant, session)
    if json:
        counts = {"read": result.read, "kept": len(result.rows), "left_out": result.left_out}
        print_json({"file": str(path), **counts, "without_participant": result.nobody})
        return
    say(f"{result.read:,} rows read, {len(result.rows):,} kept, {result.left_out:,} left out; wrote {path}")
    if result.nobody:
        say(f"{result.nobody:,} rows without a participant are all kept: {result.participant} is empty or sealed there")


def _make(context: Context, kind: str, name: str, json: bool) -> None:
    import datetime as dt

    from pusher.config import load
    from pusher.daemon import chosen
    from pusher.errors import UsageError
    from pusher.export.report_making import make_report

    made, faults = [], []
    for location in chosen(load(context.config_path()), [] if name == ALL else [name], "export"):
        try:
            made.append(make_report(_pool(location), kind, dt.datetime.now().astimezone()))
        except UsageError as error:
            faults.append(str(error))
    if json:
        print_json([_plain(each) for each in made])
    else:
        for each in made:
            _show(each)
    if faults:
        raise UsageError("\n".join(faults))


def _pool(location: Location) -> Pool:
    from pusher.export.pool import Pool

    assert location.export
    return Pool(location.export.pool, location.name)


def _plain(made: Made) -> dict[str, object]:
    return {
        "location": made.location,
        "report": made.kind,
        "made": made.made,
        "csv": str(made.csv),
        "page": str(made.page),
        "found": made.found,
    }


def _show(made: Made) -> None:
    """The tables of the page, as much of them as a screen has room for."""
    say(f"{made.location}: {made.report.verdict}\n")
    for sheet in made.report.sheets:
        print_table(sheet.title, sheet.columns, sheet.rows[:_ROWS_ON_A_SCREEN])
        if len(sheet.rows) > _ROWS_ON_A_SCREEN:
            say(f"and {len(sheet.rows) - _ROWS_ON_A_SCREEN:,} more rows; the CSV file has all\n")
    for note in made.report.notes:
        say(note)
    say(f"wrote {made.csv}\nwrote {made.page}")
