"""The commands of a site: init, check, plan, run, status."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from pusher.cli.context import Context, as_json, print_json, print_table, say
from pusher.cli.progress import progress_bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pusher.job import FileCounts, Outcome
    from pusher.views import TableStatus

_locations = click.argument("locations", metavar="[LOCATION]...", nargs=-1)


@click.command()
@click.argument("file", metavar="[FILE]", type=click.Path(path_type=Path), default="synchronise.conf")
@click.option("--site", help="The site's name; else the host's.")
def init(file: Path, site: str | None) -> None:
    """Write a commented configuration to start from. Never overwrites a file.

    FILE: else synchronise.conf.
    """
    from pusher.config_example import example
    from pusher.errors import UsageError

    text = example(site)
    try:
        with file.open("x", encoding="utf-8") as handle:
            handle.write(text)
        file.chmod(0o600)
    except FileExistsError:
        raise UsageError(f"{file} exists already; name another file, or move it away") from None
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error
    say(f"wrote {file}; edit it, then: pusher --config {file} check")


@click.command()
@_locations
@click.option(
    "--accept-host-key", is_flag=True, help="Trust an SSH host that is not known yet; never one that changed."
)
@as_json
@click.pass_obj
def check(context: Context, locations: tuple[str, ...], accept_host_key: bool, json: bool) -> None:
    """Look whether everything is as it must be: configuration, database, way to central, token, tables, clocks.

    LOCATION: else all switched on.
    """
    from pusher.checks import run_checks

    findings = list(run_checks(context.config_path(), locations, accept_host_keys=accept_host_key))
    if json:
        print_json(findings)
    else:
        for finding in findings:
            mark = "ok  " if finding.exit_code == 0 else "FAIL"
            say(f"{mark} {finding.what}: {finding.detail}")
    sys.exit(max(finding.exit_code for finding in findings))


@click.command()
@click.argument("location", metavar="[LOCATION]", required=False)
@as_json
@click.pass_obj
def plan(context: Context, location: str | None, json: bool) -> None:
    """Show what each table is to pusher, and why: role, key, cursor, parents, columns that only one side has.

    LOCATION: else the first one switched on.
    """
    from pusher.views import table_views

    views = table_views(context.config_path(), location)
    if json:
        print_json(views)
    else:
        columns = ("table", "role", "key", "cursor", "parents", "pending", "only here", "only at central", "stopped")
        print_table(
            "",
            columns,
            (
                (
                    view.table,
                    view.role,
                    ", ".join(view.key) or ("origin" if view.role != "ignore" else ""),
                    view.cursor or "",
                    ", ".join(view.parents),
                    view.pending,
                    ", ".join(view.only_here),
                    ", ".join(view.only_central),
                    view.stopped or "",
                )
                for view in views
            ),
        )
        for view in views:
            for reason in view.why:
                say(f"{view.table}: {reason}")
    sys.exit(1 if any(view.stopped for view in views) else 0)


@click.command()
@_locations
@click.option("--once", is_flag=True, help="One cycle, then end.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
@click.option("--max-runs", metavar="N", type=click.IntRange(1), help="End when each location had so many cycles.")
@click.option("--force", is_flag=True, help="With --once: go on where a side is suddenly empty.")
@as_json
@click.pass_obj
def run(
    context: Context,
    locations: tuple[str, ...],
    once: bool,
    dry_run: bool,
    max_runs: int | None,
    force: bool,
    json: bool,
) -> None:
    """Push: a cycle now and one every `synctime` minutes, or one with --once. Ends 0 if all arrived.

    LOCATION: else all switched on.
    """
    from pusher import log
    from pusher.config import load
    from pusher.daemon import chosen, run_forever, run_once
    from pusher.errors import UsageError
    from pusher.instance import only_instance

    path = context.begin_work()
    if force and not once:
        raise UsageError("--force is for one cycle; add --once")
    if dry_run:
        _show_pending(path, locations, json)
        return
    settings = load(path)
    chosen(settings, locations)  # a daemon that has nothing to do should say so now, not in its log
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of `held retry`, before the run listens for it
    with only_instance(settings.general.state), progress_bars() as progress:
        if not once:
            log.configure(verbose=context.verbose)
            tell = print_json if json else _untold
            run_forever(path, locations, progress, tell, max_runs)
            return
        outcomes = run_once(path, locations, progress, force=force)
    finish(outcomes, json)


def finish(outcomes: Sequence[Outcome], json: bool) -> NoReturn:
    """Shows what came of a cycle, and ends as its worst location did."""
    if json:
        print_json(outcomes)
    else:
        for outcome in outcomes:
            show_outcome(outcome)
    sys.exit(max(outcome.exit_code for outcome in outcomes))


def _untold(_: object) -> None:
    pass  # the log has it


def _show_pending(path: Path, names: Sequence[str], json: bool) -> None:
    from pusher.config import load
    from pusher.daemon import chosen
    from pusher.datacenter.desk import Desk
    from pusher.export.probing import waiting
    from pusher.files.planning import planned
    from pusher.views import table_views

    settings = load(path)
    locations = chosen(settings, names)
    views = {location.name: table_views(path, location.name) for location in locations if location.kind == "push"}
    files = {location.name: planned(settings, location) for location in locations if location.files}
    scales = {location.name: waiting(location) for location in locations if location.export}
    waiting_files = {
        location.name: Desk(settings, location).center.pending_files() for location in locations if location.imports
    }
    if json:
        files_there = {name: [each.name for each in found] for name, found in waiting_files.items()}
        print_json(views | files | scales | files_there)
        return
    for name, found in waiting_files.items():
        shown = [(each.name, each.size, each.date) for each in found]
        print_table(f"{name}: nothing was imported; waiting are", ("file", "size", "changed"), shown)
    for name, there in scales.items():
        sizes = [(scale.name, scale.size, "yes" if scale.deleteable else "no") for scale in there]
        print_table(f"{name}: nothing was archived; on the server are", ("scale", "rows", "deleteable"), sizes)
    for name, steps in files.items():
        print_table(f"{name}: nothing was sent; a run would", ("do", "file", "as"), steps)
    for name, tables in views.items():
        rows = [(view.table, view.role, view.pending, view.stopped or "") for view in tables if view.role != "ignore"]
        print_table(f"{name}: nothing was sent; waiting are", ("table", "role", "rows", "stopped"), rows)


def show_outcome(outcome: Outcome) -> None:
    """One cycle as a table and a line."""
    if outcome.files:
        _show_files(outcome, outcome.files)
        return
    if outcome.kind == "export":
        _show_export(outcome)
        return
    if outcome.kind == "import":
        _show_import(outcome)
        return
    rows = [
        (entry.table, entry.role, entry.sent, entry.stored, entry.held, entry.upto or "", entry.stopped or "")
        for entry in outcome.tables
        if entry.sent or entry.held or entry.stopped
    ]
    if rows:
        print_table("", ("table", "role", "sent", "at central", "held", "up to", "stopped"), rows)
    for note in outcome.notes + [f"{entry.table}: {note}" for entry in outcome.tables for note in entry.notes]:
        say(f"{outcome.location}: {note}")
    if outcome.error:
        click.echo(f"{outcome.location}: {outcome.error}", err=True)
    seconds = max(outcome.seconds, 1e-9)
    say(
        f"{outcome.location}: {outcome.sent:,} rows sent, {outcome.held:,} held, {outcome.bytes_sent:,} bytes, "
        f"{outcome.seconds:.1f} s ({outcome.sent / seconds:,.0f} rows/s)"
    )


def _show_export(outcome: Outcome) -> None:
    rows = [
        (entry.table, entry.sent, entry.removed, entry.pending, entry.held, entry.stopped or "")
        for entry in outcome.tables
        if entry.sent or entry.removed or entry.pending or entry.held or entry.stopped
    ]
    if rows:
        print_table("", ("scale", "archived", "deleted there", "still there", "held", "stopped"), rows)
    for note in outcome.notes + outcome.notices + [f"{e.table}: {note}" for e in outcome.tables for note in e.notes]:
        say(f"{outcome.location}: {note}")
    for fault in outcome.break_downs:
        click.echo(f"{outcome.location}: {fault.what} failed: {fault.text}", err=True)
    if outcome.error:
        click.echo(f"{outcome.location}: {outcome.error}", err=True)
    deleted = sum(entry.removed for entry in outcome.tables)
    say(
        f"{outcome.location}: {outcome.sent:,} rows archived, {deleted:,} deleted there, {outcome.held:,} held, "
        f"{outcome.seconds:.1f} s"
    )


def _show_import(outcome: Outcome) -> None:
    for note in outcome.notes + [note for entry in outcome.tables for note in entry.notes]:
        say(f"{outcome.location}: {note}")
    if outcome.error:
        click.echo(f"{outcome.location}: {outcome.error}", err=True)
    held = f"{outcome.held:,} files held; pusher held list tells why" if outcome.held else "no file held"
    seconds = max(outcome.seconds, 1e-9)
    say(
        f"{outcome.location}: {outcome.sent:,} rows imported, {held}, {outcome.seconds:.1f} s "
        f"({outcome.sent / seconds:,.0f} rows/s)"
    )


def _show_files(outcome: Outcome, files: FileCounts) -> None:
    for note in outcome.notes:
        say(f"{outcome.location}: {note}")
    if outcome.error:
        click.echo(f"{outcome.location}: {outcome.error}", err=True)
    others = {
        "there already": files.same,
        "waiting": files.waiting,
        "locked": files.locked,
        "changed and kept": files.kept,
        "held": files.held,
    }
    shown = "".join(f", {count:,} {name}" for name, count in others.items() if count)
    say(
        f"{outcome.location}: {files.copied:,} files copied, {files.unchanged:,} unchanged{shown}; "
        f"{files.bytes:,} bytes, {outcome.seconds:.1f} s"
    )


@click.command()
@as_json
@click.pass_obj
def status(context: Context, json: bool) -> None:
    """Show how far each location and table is, without asking central: checkpoint, pending, lag, held."""
    from pusher.views import location_views

    views = location_views(context.config_path())
    if json:
        print_json(views)
        return
    for view in views:
        say(
            f"{view.location}: {'on' if view.on else 'off'}, last run {view.last_run or 'never'}, "
            f"last success {view.last_success or 'never'}" + (f", {view.error}" if view.error else "")
        )
        rows = [
            (t.table, t.role, t.checkpoint or "", t.pending, t.lag_seconds, t.held, _verified(t), t.stopped or "")
            for t in view.tables
        ]
        if rows:
            columns = ("table", "role", "checkpoint", "pending", "lag, s", "held", "last verified", "stopped")
            print_table("", columns, rows)


def _verified(table: TableStatus) -> str:
    return f"{table.verdict} {table.verified}" if table.verified else ""
