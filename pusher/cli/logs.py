"""The command for log files: logs search."""

from __future__ import annotations

import sys

import click

from pusher.cli.context import Context, Group, as_json, print_json, say


@click.group(cls=Group)
def logs() -> None:
    """The log files that [logging] has written."""


@logs.command()
@click.argument("pattern", metavar="REGEX")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, help="Show at most so many lines.")
@click.option("--start", type=click.IntRange(0), default=0, help="Leave out so many of those found first.")
@as_json
@click.pass_obj
def search(context: Context, pattern: str, limit: int, start: int, json: bool) -> None:
    """Find lines, also in the files of days before, from the oldest to the newest. Ends 1 if there are none.

    REGEX: a regular expression of Python, such as 'import_ended .*failed=[1-9]'.
    """
    from pusher.config import load
    from pusher.errors import ConfigError
    from pusher.logsearch import search as find

    settings = load(context.config_path())
    if settings.logging is None:
        raise ConfigError([f"{settings.path}: nothing is logged to files; add a section [logging]"])
    found = find(settings.logging.folder, pattern, start=start, limit=limit)
    if json:
        print_json(found)
    else:
        for each in found:
            say(each.text)
    sys.exit(0 if found else 1)
