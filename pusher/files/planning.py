"""What a run would do with each file that is due, in words."""

from __future__ import annotations

from pusher.config import Location, Settings
from pusher.files.decide import Compare, Copy
from pusher.files.job import FilesJob, shown
from pusher.files.opening import open_destination
from pusher.ledger import Ledger


def planned(settings: Settings, location: Location) -> list[tuple[str, str, str]]:
    """Of each file that is due: what a run would do, its path here, its name there. Raises what a run raises."""
    with open_destination(settings, location) as destination, Ledger(settings.general.state) as ledger:
        steps = FilesJob(settings, location, destination, ledger).planned()
    words = []
    for step in steps:
        if isinstance(step, Copy):
            word = "replace" if step.replace else "copy"
        else:
            word = "compare" if isinstance(step, Compare) else "refuse"
        words.append((word, shown(step.file.path), shown(step.name)))
    return words
