"""Progress bars on a terminal; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pusher.job import NoProgress, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class _BarProgress:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def expect(self, table: str, rows: int) -> None:
        if rows:
            self._tasks[table] = self._bars.add_task(table, total=rows)

    def advance(self, table: str, rows: int) -> None:
        if table in self._tasks:
            self._bars.advance(self._tasks[table], rows)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Rows done of rows pending, a bar a table, on standard error."""
    if not sys.stderr.isatty():
        yield NoProgress()
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TaskProgressColumn(show_speed=True),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bars:
        yield _BarProgress(bars)
