"""A short run of the fault suite, with each kind of trouble once; `make fault` is the long one."""

from __future__ import annotations

from pathlib import Path

from tests.fault.troubles import OF_CENTRAL, kinds, of_mariadb, strike
from tests.fault.world import World
from tests.servers import MariaDB

_SEED = 20261124
_ATTEMPTS = 10


def test_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    """One trouble on top of the other."""
    with World(tmp_path, _SEED) as world:
        order = kinds(world)
        world.rng.shuffle(order)
        assert [trouble.__name__ for trouble in order if not strike(world, trouble, _ATTEMPTS)] == []
        assert world.settled_wrongs() == []


def test_nor_with_central_on_mariadb(tmp_path: Path) -> None:
    """One after the other: what one did wrong, the next cannot mend."""
    with MariaDB() as server, World(tmp_path, _SEED, server) as world:
        for trouble in (*OF_CENTRAL, *of_mariadb(world)):
            struck = strike(world, trouble, _ATTEMPTS)
            assert (trouble.__name__, struck, world.settled_wrongs()) == (trouble.__name__, True, [])
