"""How the daemon tells a long run from one that hangs."""

from __future__ import annotations

from dataclasses import dataclass

from pusher.daemon import Run
from pusher.job import NoProgress


@dataclass
class Line:
    bytes_sent: int = 0
    bytes_received: int = 0


def test_every_step_and_every_byte_is_a_sign_of_life() -> None:
    run, line = Run(NoProgress(), 100), Line()
    assert run.still_seconds(150) == 50
    run.expect("Reading", 1000)
    assert run.still_seconds(200) == 0
    run.advance("Reading", 100)
    assert run.still_seconds(300) == 0
    run.reached(line)
    assert run.still_seconds(400) == 100
    line.bytes_sent = 10
    assert run.still_seconds(500) == 0
    line.bytes_received = 10
    assert run.still_seconds(600) == 0
    assert run.still_seconds(2400) == 1800
