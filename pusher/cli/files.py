"""The commands `pusher files`: what is where, compared, locked, taken over; the run itself is `pusher run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pusher.cli.context import Context, Group, as_json, print_json, print_table, say

if TYPE_CHECKING:
    from pusher.files import Checked

_location = click.argument("location")
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")


@click.group(cls=Group)
def files() -> None:
    """Instrument files of a location with kind = files: list, compare, lock, take over. `pusher run` copies them."""


@files.command("list")
@_location
@as_json
@click.pass_obj
def list_(context: Context, location: str, json: bool) -> None:
    """Show what has arrived, as what, when, and with which checksum; and which files are locked."""
    from pusher.files.listing import listed

    entries = listed(context.config_path(), location)
    if json:
        print_json(entries)
        return
    columns = ("file", "there", "bytes", "arrived", "code", "SHA-256")
    rows = [
        (e.path, e.destination or "", e.size, (e.arrived or "")[:19], e.code.value, e.sha256 or "") for e in entries
    ]
    print_table(f"{location}: {len(entries):,} files", columns, rows)


@files.command()
@_location
@click.option("--deep", is_flag=True, help="Compare by content, too, which reads every file there.")
@click.option(
    "--update", is_flag=True, help="Take into the list what is there and the same. Locked files stay as they are."
)
@_dry_run
@as_json
@click.pass_obj
def check(context: Context, location: str, deep: bool, update: bool, dry_run: bool, json: bool) -> None:
    """Compare both sides, and say whether starting is a good idea. The next run mends what is missing or damaged.

    Ends with 1 where a file differs or is still to be copied.
    """
    _check(context, location, json, deep=deep, update=update, dry_run=dry_run)


@files.command()
@_location
@_dry_run
@as_json
@click.pass_obj
def adopt(context: Context, location: str, dry_run: bool, json: bool) -> None:
    """Make the list anew from what is there: after the ledger was lost, or another tool has copied until now."""
    _check(context, location, json, deep=True, update=True, dry_run=dry_run)


@files.command()
@_location
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@_dry_run
@as_json
@click.pass_obj
def lock(context: Context, location: str, paths: tuple[str, ...], dry_run: bool, json: bool) -> None:
    """Never copy these files (code 2). PATH: relative to the location's folder, or a pattern such as 'old/*'."""
    _set_code(context, location, paths, json, locked=True, dry_run=dry_run)


@files.command()
@_location
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@_dry_run
@as_json
@click.pass_obj
def unlock(context: Context, location: str, paths: tuple[str, ...], dry_run: bool, json: bool) -> None:
    """Copy these files again if they change (code 1)."""
    _set_code(context, location, paths, json, locked=False, dry_run=dry_run)


@files.command()
@click.argument("file", metavar="[FILE]", type=click.Path(path_type=Path), default="synchronise.conf")
@click.option("--from-env", is_flag=True, required=True, help="From the variables OELEO_… of the environment.")
@click.option("--env-file", metavar="FILE", type=click.Path(path_type=Path), help="And from those in this file.")
@click.option("--name", default="instrument", help="What to call the location.")
def init(file: Path, from_env: bool, env_file: Path | None, name: str) -> None:
    """Write a configuration from the settings of oeleo. Never overwrites a file. FILE: else synchronise.conf."""
    import os

    from pusher.errors import UsageError
    from pusher.files.adoption import read_env_file, section_from_environment

    variables = dict(os.environ) | (read_env_file(env_file) if env_file else {})
    text, notes = section_from_environment(variables, name)
    try:
        with file.open("x", encoding="utf-8") as handle:
            handle.write(text)
        file.chmod(0o600)
    except FileExistsError:
        raise UsageError(f"{file} exists already; name another file, or move it away") from None
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error
    for note in notes:
        say(note)
    say(f"wrote {file}; look at it, then: pusher --config {file} check")


def _check(context: Context, location: str, json: bool, *, deep: bool, update: bool, dry_run: bool) -> None:
    from pusher.files import check as compare
    from pusher.files import open_job

    with open_job(context.begin_work(), location) as job:
        found = compare(job, deep=deep, update=update, dry_run=dry_run)
    if json:
        print_json(found)
    else:
        _show(found)
    sys.exit(found.exit_code)


def _show(found: Checked) -> None:
    how = "by content" if found.deep else "by name, size and time"
    counts = ", ".join(f"{count:,} {state}" for state, count in found.counts.items()) or "no files"
    if found.files:
        rows = [(each.file, each.state.value, each.name if each.name != each.file else "") for each in found.files]
        print_table("", ("file", "state", "there as"), rows)
    for note in found.notes:
        say(note)
    say(f"{found.location}, compared {how}: {counts}")
    if found.updated:
        say(f"{found.updated:,} taken into the list")
    say(found.advice)


def _set_code(
    context: Context, location: str, paths: tuple[str, ...], json: bool, *, locked: bool, dry_run: bool
) -> None:
    from pusher.files.listing import set_lock

    changed = set_lock(context.begin_work(), location, paths, locked=locked, dry_run=dry_run)
    if json:
        print_json(changed)
        return
    for path in changed:
        say(path)
    would = "would be " if dry_run else ""
    say(f"{len(changed):,} {would}{'locked' if locked else 'unlocked'}")
