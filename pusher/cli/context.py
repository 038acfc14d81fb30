"""What every command is given, and how it prints: tables for people, JSON for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size

import click

from pusher.cli.table import table_lines

_WIDTH = 160

as_json = click.option("--json", is_flag=True, help="Print JSON for programs.")


class Group(click.Group):
    """Lists its commands in the order in which they were added."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@dataclass(frozen=True, kw_only=True)
class Context:
    """The global options."""

    config_option: str | None
    verbose: bool

    def config_path(self) -> Path:
        from pusher.config import find_config

        return find_config(self.config_option, os.environ)

    def begin_work(self) -> Path:
        """The same for a command that changes something: what it does is logged to the files that are configured."""
        from pusher import log
        from pusher.config import load

        path = self.config_path()
        log.to_files(load(path).logging)
        return path


def print_json(document: object) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table as wide as the terminal. Without a terminal it is as wide as it needs, up to a limit."""
    width = get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
    rule = "─" if "utf" in (sys.stdout.encoding or "").lower() else "-"
    head, *body = table_lines(columns, rows, width, rule)
    say("\n".join((title, click.style(head, bold=True), *body, "")))


def say(text: str) -> None:
    click.echo(text)
