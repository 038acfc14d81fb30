"""The commands that have the host start pusher: service show, service install."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pusher.cli.context import Context, Group, say

if TYPE_CHECKING:
    from pusher.config import Settings

_user = click.option("--user", metavar="NAME", default="pusher", help="Account that it runs as.")
_cron = click.option("--cron", is_flag=True, help="A line for cron, where there is no systemd.")


@click.group(cls=Group)
def service() -> None:
    """Have the host start pusher."""


@service.command()
@_user
@_cron
@click.pass_obj
def show(context: Context, user: str, cron: bool) -> None:
    """Print the systemd unit for this configuration, or the line for cron."""
    from pusher.config import load

    click.echo(_text(load(context.config_path()), user, cron), nl=False)


@service.command()
@_user
@_cron
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Else /etc/systemd/system/pusher.service or /etc/cron.d/pusher.",
)
@click.option("--force", is_flag=True, help="Replace a file that says something else.")
@click.pass_obj
def install(context: Context, user: str, cron: bool, output: Path | None, force: bool) -> None:
    """Write the systemd unit, or the line for cron, and say what to do next."""
    from pusher.config import load
    from pusher.service import CRON_FILE, UNIT_FILE, next_steps, write

    settings = load(context.config_path())
    file = output or (CRON_FILE if cron else UNIT_FILE)
    written = write(file, _text(settings, user, cron), force=force)
    say(f"wrote {file}; next:" if written else f"{file} is as it should be; next, if not done yet:")
    for step in next_steps(settings, user, file, cron=cron):
        say(f"  {step}")


def _text(settings: Settings, user: str, cron: bool) -> str:
    from pusher.service import cron_line, installed_command, unit

    return (cron_line if cron else unit)(settings, installed_command(), user)
