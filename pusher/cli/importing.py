"""The commands of the import job: import add, preview, map, run, template, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pusher.cli.context import Context, Group, as_json, print_json, print_table, say
from pusher.cli.progress import progress_bars

if TYPE_CHECKING:
    from collections.abc import Callable

    from pusher.datacenter.desk import Desk
    from pusher.datacenter.outcome import Choice, Imported, Preview, Tally

_MODES = click.Choice(["create", "update", "remove", "upsert"])

_location = click.option("--location", metavar="NAME", help="Of kind import; else the only one that is on.")
_processor = click.option("--processor", metavar="NAME", help="A table or a processor; else as configured.")
_mode = click.option("--mode", type=_MODES, help="What the file does to rows; else as configured.")
_map = click.option("--map", "pairs", metavar="HEADER:FIELD,…", help="Which header gives which field.")


def _tried_another_way(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say how a file is processed, of one location."""
    for option in (_location, _map, _mode, _processor):
        command = option(command)
    return command


_again = click.option("--again", is_flag=True, help="Also a file that was imported before.")


@click.group("import", cls=Group)
def import_() -> None:
    """Clerks' CSV files of a location with kind = import: add, look, map, run. `pusher run` imports all that wait."""


@import_.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="What to call it there; else as it is called.")
@_again
@_location
@as_json
@click.pass_obj
def add(context: Context, file: Path, name: str | None, again: bool, location: str | None, json: bool) -> None:
    """Check a CSV file, and copy it into the storage."""
    desk = _desk(context.begin_work(), location)
    added = desk.add(file, name, again=again)
    if json:
        print_json({"name": added.name, "bytes": added.bytes, "lines": added.lines})
    else:
        say(f"{added.name} is in {desk.center.storage}; see: pusher import preview {added.name}")


@import_.command("list")
@_location
@as_json
@click.pass_obj
def list_(context: Context, location: str | None, json: bool) -> None:
    """Show the files that wait, those that are half done, and those that are done."""
    desk = _desk(context.config_path(), location)
    files = [(state, file) for state, of_state in desk.files().items() for file in of_state]
    if json:
        print_json([{"state": s, "name": f.name, "bytes": f.bytes, "date": f.date, "lines": f.lines} for s, f in files])
        return
    rows = [(state, file.name, file.size, file.date, file.lines) for state, file in files]
    print_table("", ("is", "file", "size", "changed", "lines"), rows)


@import_.command()
@click.argument("file", metavar="NAME")
@_tried_another_way
@as_json
@click.pass_obj
def preview(
    context: Context,
    file: str,
    processor: str | None,
    mode: str | None,
    pairs: str | None,
    location: str | None,
    json: bool,
) -> None:
    """Show the first rows, the mapping, and what would happen: all of it is done, and rolled back. Ends 1 if a row
    would be refused.

    NAME: of a file in the storage.
    """
    desk = _desk(context.config_path(), location)
    with progress_bars() as progress:
        found = desk.preview(file, _choice(desk, file, processor, mode, pairs), progress)
    if json:
        print_json(found)
    else:
        _show_preview(found)
    sys.exit(1 if found.faults or (found.tally and found.tally.refused) else 0)


@import_.command("map")
@click.argument("file", metavar="NAME")
@_tried_another_way
@as_json
@click.pass_obj
def map_(
    context: Context,
    file: str,
    processor: str | None,
    mode: str | None,
    pairs: str | None,
    location: str | None,
    json: bool,
) -> None:
    """Show which header gives which field, what is left out and what is missing, as a line `map =` to write into the
    configuration. Ends 1 if the file cannot be run so.

    NAME: of a file in the storage.
    """
    desk = _desk(context.config_path(), location)
    found = desk.preview(file, _choice(desk, file, processor, mode, pairs), dry_run=False)
    fields = desk.fields(found.choice.processor, found.choice.mode)
    if json:
        print_json({"mapping": found.mapping, "faults": found.faults, "fields": fields})
    else:
        _show_mapping(found)
        taken = set(found.mapping.values())
        left = [
            (field.name, field.about, "yes" if field.required else "") for field in fields if field.name not in taken
        ]
        if left:
            print_table("what no header gives", ("field", "is", "required"), left)
        given = ", ".join(f"{header}:{field}" for header, field in found.mapping.items() if field)
        say(f"map = {given}")
    sys.exit(1 if found.faults else 0)


@import_.command()
@click.argument("file", metavar="NAME")
@_again
@_tried_another_way
@as_json
@click.pass_obj
def run(
    context: Context,
    file: str,
    processor: str | None,
    mode: str | None,
    pairs: str | None,
    again: bool,
    location: str | None,
    json: bool,
) -> None:
    """Import one file now. Rows that are refused are in NAME.MODE.pending.csv then, each with its reason. Ends 1 if
    there are any.

    NAME: of a file in the storage.
    """
    desk = _desk(context.begin_work(), location)
    choice = _choice(desk, file, processor, mode, pairs)
    with progress_bars() as progress:
        done = desk.run(file, choice, progress, again=again)
    if json:
        print_json(done)
    else:
        _show_imported(done)
    sys.exit(1 if done.tally.refused else 0)


@import_.command()
@click.argument("processor", required=False)
@_mode
@_location
@click.pass_obj
def template(context: Context, processor: str | None, mode: str | None, location: str | None) -> None:
    """Write the head of a CSV file, to standard output.

    PROCESSOR: a table or a processor; else as configured.
    """
    from pusher.datacenter.processing import Mode

    desk = _desk(context.config_path(), location)
    configured = desk.choice()
    chosen = Mode(mode) if mode else configured.mode
    click.echo(desk.template(processor or configured.processor, chosen), nl=False)


@import_.command("export")
@click.argument("table")
@click.option("--output", "-o", metavar="FILE", type=click.Path(path_type=Path), help="Else standard output.")
@_location
@click.pass_obj
def export_(context: Context, table: str, output: Path | None, location: str | None) -> None:
    """Write a table of the target as a CSV file that imports back unchanged. Never overwrites a file."""
    from pusher.errors import UsageError

    desk = _desk(context.config_path(), location)
    if output is None:
        desk.export(table, sys.stdout)
        return
    try:
        with output.open("x", encoding="utf-8", newline="") as handle:
            try:
                rows = desk.export(table, handle)
            except BaseException:
                output.unlink()  # it would look complete
                raise
    except FileExistsError:
        raise UsageError(f"{output} exists already; name another file, or move it away") from None
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    say(f"{rows:,} rows in {output}")


# ---


def _desk(path: Path, location: str | None) -> Desk:
    from pusher.config import load
    from pusher.daemon import chosen
    from pusher.datacenter.desk import Desk
    from pusher.errors import UsageError

    settings = load(path)
    found = chosen(settings, [location] if location else [], "import")
    if len(found) > 1:
        raise UsageError(f"--location is missing; there are {', '.join(each.name for each in found)}")
    return Desk(settings, found[0])


def _choice(desk: Desk, name: str, processor: str | None, mode: str | None, pairs: str | None) -> Choice:
    from dataclasses import replace

    from pusher.config_import import parse_map
    from pusher.datacenter.processing import Mode

    choice = desk.choice_for(name)
    if processor and processor != choice.processor:
        choice = replace(choice, processor=processor, map=())  # which is for the headers of other files
    return replace(
        choice,
        mode=Mode(mode) if mode else choice.mode,
        map=parse_map(pairs) if pairs else choice.map,
    )


def _show_preview(found: Preview) -> None:
    print_table(f"{found.name}: the first of {found.rows:,} rows", found.columns, found.first)
    _show_mapping(found)
    if found.tally:
        say(f"nothing was changed; a run would have: {_counts(found.tally)}")
        _show_refused(found.tally)


def _show_mapping(found: Preview) -> None:
    rows = [(header, field or "(left out)") for header, field in found.mapping.items()]
    print_table(f"{found.choice.processor}, {found.choice.mode}", ("header", "field"), rows)
    for fault in found.faults:
        click.echo(fault, err=True)


def _show_imported(done: Imported) -> None:
    say(f"{done.name}, {done.mode}: {_counts(done.tally)}, {done.seconds:.1f} s")
    _show_refused(done.tally)
    if done.pending:
        say(f"the refused rows are in {done.pending}: mend them there, then: pusher import run {done.pending}")


def _show_refused(tally: Tally) -> None:
    if tally.refused:
        reasons = sorted(tally.reasons.items(), key=lambda each: -each[1])
        print_table("refused", ("rows", "why"), [(count, reason) for reason, count in reasons])
        print_table("the first of them", ("line", "why"), tally.examples)


def _counts(tally: Tally) -> str:
    counts = {"created": tally.created, "updated": tally.updated, "removed": tally.removed, "refused": tally.refused}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing to do"
