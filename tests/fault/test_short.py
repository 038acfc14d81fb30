"""A short run of the fault suite; `make fault` is the long one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, seed=20261124)
    yield world
    world.close()


def test_nothing_is_lost_and_nothing_doubled(world: World) -> None:
    for _ in range(12):
        world.round()
    world.settle()
    assert sum(world.injected.values()) >= 6
    assert world.differences() == []
