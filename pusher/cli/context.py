"""What every command is given, and how it prints: tables for people, JSON for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(frozen=True, kw_only=True)
class Context:
    """The global options."""

    config_option: str | None
    verbose: bool

    def config_path(self) -> Path:
        from pusher.config import find_config

        return find_config(self.config_option, os.environ)


def of(context: typer.Context) -> Context:
    found = context.obj
    assert isinstance(found, Context)
    return found


def print_json(document: object) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A table as wide as the terminal; numbers to the right. Without a terminal it is as wide as it needs."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    listed = [list(row) for row in rows]
    for place, name in enumerate(columns):
        numeric = bool(listed) and all(isinstance(row[place], int | float | None) for row in listed)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        table.add_row(*(_cell(value) for value in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(f"{value:.2f}" if isinstance(value, float) else str(value))


def say(text: str) -> None:
    typer.echo(text)
