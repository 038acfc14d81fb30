"""The commands that have the host start pusher: service show, service install."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pusher.cli.context import of, say

if TYPE_CHECKING:
    from pusher.config import Settings

User = Annotated[str, typer.Option(help="Account that it runs as.", metavar="NAME")]
Cron = Annotated[bool, typer.Option("--cron", help="A line for cron, where there is no systemd.")]


def add_to(app: typer.Typer) -> None:
    service = typer.Typer(help="Have the host start pusher.", no_args_is_help=True)
    service.command()(show)
    service.command()(install)
    app.add_typer(service, name="service")


def show(context: typer.Context, user: User = "pusher", cron: Cron = False) -> None:
    """Print the systemd unit for this configuration, or the line for cron."""
    from pusher.config import load

    typer.echo(_text(load(of(context).config_path()), user, cron), nl=False)


def install(
    context: typer.Context,
    user: User = "pusher",
    cron: Cron = False,
    output: Annotated[
        Path | None, typer.Option(help="Else /etc/systemd/system/pusher.service or /etc/cron.d/pusher.", metavar="FILE")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that says something else.")] = False,
) -> None:
    """Write the systemd unit, or the line for cron, and say what to do next."""
    from pusher.config import load
    from pusher.service import CRON_FILE, UNIT_FILE, next_steps, write

    settings = load(of(context).config_path())
    file = output or (CRON_FILE if cron else UNIT_FILE)
    written = write(file, _text(settings, user, cron), force=force)
    say(f"wrote {file}; next:" if written else f"{file} is as it should be; next, if not done yet:")
    for step in next_steps(settings, user, file, cron=cron):
        say(f"  {step}")


def _text(settings: Settings, user: str, cron: bool) -> str:
    from pusher.service import cron_line, installed_command, unit

    return (cron_line if cron else unit)(settings, installed_command(), user)
