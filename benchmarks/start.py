"""How long the command takes that does next to nothing."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.ends import central, say, site
from benchmarks.results import Measurement, Series, against
from benchmarks.watched import Command, piped
from tests.servers import DatabaseServer
from tests.stage import PUSHER, write_config

_TIMES = 9


def start(server: DatabaseServer, folder: Path) -> Measurement:
    """Beside the interpreter alone, with nothing to do."""
    say("start")
    with site(server, 2) as db, central(server) as service:
        config = write_config(folder / "start", "site", db, service.resturl, service.token("site"))
        commands: dict[str, Command] = {
            "pusher --help": [PUSHER, "--help"],
            "pusher status": [PUSHER, "--config", config, "status"],
            "pusher --version": [PUSHER, "--version"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(_TIMES):
            for name, command in commands.items():
                seconds[name].append(piped(command).seconds)
    reference = Series(name="python -c pass", values=tuple(seconds.pop("python -c pass")))
    ours = [Series(name=name, values=tuple(values), against=(against(reference),)) for name, values in seconds.items()]
    return Measurement(title="start", series=(*ours, reference))
