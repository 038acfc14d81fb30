"""The commands of a site: init, check, plan, run, status."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pusher.cli.context import Json, of, print_json, print_table, say
from pusher.cli.progress import progress_bars

if TYPE_CHECKING:
    from pusher.job import Outcome
    from pusher.views import TableStatus

Locations = Annotated[list[str] | None, typer.Argument(help="Locations of the configuration; else all switched on.")]


def add_to(app: typer.Typer) -> None:
    for command in (init, check, plan, run, status):
        app.command()(command)


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("synchronise.conf"),
    site: Annotated[str | None, typer.Option(help="The site's name; else the host's.")] = None,
) -> None:
    """Write a commented configuration to start from. Never overwrites a file."""
    from pusher.config import example
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


def check(
    context: typer.Context,
    locations: Locations = None,
    accept_host_key: Annotated[
        bool, typer.Option("--accept-host-key", help="Trust an SSH host that is not known yet; never one that changed.")
    ] = False,
    json: Json = False,
) -> None:
    """Look whether everything is as it must be: configuration, database, way to central, token, tables, clocks."""
    from pusher.checks import run_checks

    findings = list(run_checks(of(context).config_path(), locations or [], accept_host_keys=accept_host_key))
    if json:
        print_json(findings)
    else:
        for finding in findings:
            mark = "ok  " if finding.exit_code == 0 else "FAIL"
            say(f"{mark} {finding.what}: {finding.detail}")
    raise typer.Exit(max(finding.exit_code for finding in findings))


def plan(
    context: typer.Context,
    location: Annotated[str | None, typer.Argument(help="Else the first one switched on.")] = None,
    json: Json = False,
) -> None:
    """Show what each table is to pusher, and why: role, key, cursor, parents, columns that only one side has."""
    from pusher.views import table_views

    views = table_views(of(context).config_path(), location)
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
    raise typer.Exit(1 if any(view.stopped for view in views) else 0)


def run(
    context: typer.Context,
    locations: Locations = None,
    once: Annotated[bool, typer.Option("--once", help="One cycle, then end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; send nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --once: go on where a side is suddenly empty.")] = False,
    json: Json = False,
) -> None:
    """Push: a cycle now and one every `synctime` minutes, or one with --once. Ends 0 if all arrived."""
    from pusher import log
    from pusher.config import load
    from pusher.daemon import chosen, only_instance, run_forever, run_once
    from pusher.errors import UsageError

    path = of(context).config_path()
    names = locations or []
    if force and not once:
        raise UsageError("--force is for one cycle; add --once")
    if dry_run:
        _show_pending(path, names, json)
        return
    settings = load(path)
    chosen(settings, names)  # a daemon that has nothing to do should say so now, not in its log
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of `held retry`, before the run listens for it
    with only_instance(settings.general.state), progress_bars() as progress:
        if not once:
            log.configure(verbose=of(context).verbose)
            run_forever(path, names, progress, lambda outcomes: print_json(outcomes) if json else None)
            return
        outcomes = run_once(path, names, progress, force=force)
    if json:
        print_json(outcomes)
    else:
        for outcome in outcomes:
            show_outcome(outcome)
    raise typer.Exit(max(outcome.exit_code for outcome in outcomes))


def _show_pending(path: Path, names: list[str], json: bool) -> None:
    from pusher.config import load
    from pusher.daemon import chosen
    from pusher.views import table_views

    views = {location.name: table_views(path, location.name) for location in chosen(load(path), names)}
    if json:
        print_json(views)
        return
    for name, tables in views.items():
        rows = [(view.table, view.role, view.pending, view.stopped or "") for view in tables if view.role != "ignore"]
        print_table(f"{name}: nothing was sent; waiting are", ("table", "role", "rows", "stopped"), rows)


def show_outcome(outcome: Outcome) -> None:
    """One cycle as a table and a line."""
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
        typer.echo(f"{outcome.location}: {outcome.error}", err=True)
    seconds = max(outcome.seconds, 1e-9)
    say(
        f"{outcome.location}: {outcome.sent:,} rows sent, {outcome.held:,} held, {outcome.bytes_sent:,} bytes, "
        f"{outcome.seconds:.1f} s ({outcome.sent / seconds:,.0f} rows/s)"
    )


def status(context: typer.Context, json: Json = False) -> None:
    """Show how far each location and table is, without asking central: checkpoint, pending, lag, held."""
    from pusher.views import location_views

    views = location_views(of(context).config_path())
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
