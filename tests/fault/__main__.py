"""`make fault ROUNDS=200 SEED=1`: the long run, with a table of the faults injected and survived.

A seed gives the same worlds, the same troubles in the same order, and the same choices in each.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from tests.fault.troubles import Trouble, kinds, strike
from tests.fault.world import World
from tests.servers import MariaDB

_ROUNDS_OF_A_WORLD = 25
_ROUNDS_BETWEEN_LOOKS = 5
_CENTRALS = ("sqlite", "mariadb")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--central", choices=_CENTRALS, help="else they take turns, and so does the site's database")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.rounds} rounds", flush=True)
    began = time.monotonic()
    injected: Counter[str] = Counter()
    wrongs: list[str] = []
    done = number = 0
    while done < options.rounds and not wrongs:
        rounds = min(_ROUNDS_OF_A_WORLD, options.rounds - done)
        central = options.central or _CENTRALS[number % 2]
        wrongs = _world(options.seed + number, rounds, central, number % 4 == 3, injected)
        number, done = number + 1, done + rounds
    for fault, count in sorted(injected.items()):
        print(f"{count:6}  {fault}")
    verdict = "all survived" if not wrongs else "NOT survived"
    seconds = time.monotonic() - began
    print(f"{sum(injected.values()):6}  faults injected, {verdict}; {seconds / max(done, 1):.1f} s a round")
    print("\n".join(wrongs[:20]))
    return 1 if wrongs else 0


def _world(seed: int, rounds: int, central: str, site_too: bool, injected: Counter[str]) -> list[str]:
    """One world from its beginning to its end; returns what is wrong in it."""
    print(f"a world with central on {central}, seed {seed}", flush=True)
    wrongs: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="pusher-fault-") as folder,
        MariaDB() if central == "mariadb" else nullcontext() as server,
        World(Path(folder), seed, server, site_too=site_too) as world,
    ):
        troubles: list[Trouble] = []
        for number in range(1, rounds + 1):
            if not troubles:
                troubles = kinds(world)
                world.rng.shuffle(troubles)
            trouble = troubles.pop()
            strike(world, trouble)
            if number % _ROUNDS_BETWEEN_LOOKS == 0 or number == rounds:
                wrongs = world.settled_wrongs()
                print(f"round {number}: {len(wrongs)} rows lost, doubled or wrong", flush=True)
                if wrongs:
                    print(f"the last trouble: {trouble.__name__}")
                    break
        injected.update(world.injected)
    return wrongs


if __name__ == "__main__":
    sys.exit(main())
