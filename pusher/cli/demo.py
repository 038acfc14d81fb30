"""`pusher demo`: the main job from end to end in a temporary folder, with a real central service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pusher.cli.context import print_table, say

if TYPE_CHECKING:
    from pusher.demo import Demo


@click.command()
@click.option("--readings", type=click.IntRange(1), default=100_000, help="Readings to generate.")
@click.option("--serve", is_flag=True, help="Leave central running to look at.")
def demo(readings: int, serve: bool) -> None:
    """Fill a site, push it to a central, compare both. Ends 0 only if they are equal, to the last bit."""
    from pusher.demo import Demo

    with Demo(say) as stage:
        equal = play(stage, readings)
        if serve and equal:
            stage.wait()
    sys.exit(0 if equal else 1)


def play(stage: Demo, readings: int) -> bool:
    """The whole push before the user's eyes; tells whether both databases say the same at its end."""
    from pusher.cli.progress import progress_bars
    from pusher.cli.site import show_outcome

    stage.fill(readings)
    stage.start_central()
    with progress_bars() as progress:
        outcome = stage.push(progress)
    show_outcome(outcome)
    rows = stage.compare()
    columns = ("table", "rows at the site", "rows sent", "rows at central", "same content")
    print_table("Both databases, read directly", columns, ((*row[:4], "yes" if row[4] else "NO") for row in rows))
    equal = outcome.exit_code == 0 and all(row[4] for row in rows)
    say("Everything arrived, exactly once." if equal else "Site and central differ.")
    return equal
