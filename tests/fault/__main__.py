"""`make fault ROUNDS=200 SEED=1`: the long run, with a table of the faults injected and survived."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.fault.world import World

_ROUNDS_BETWEEN_LOOKS = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.rounds} rounds", flush=True)
    differences: list[str] = []
    with tempfile.TemporaryDirectory(prefix="pusher-fault-") as folder:
        world = World(Path(folder), options.seed)
        try:
            for number in range(1, options.rounds + 1):
                world.round()
                if number % _ROUNDS_BETWEEN_LOOKS == 0 or number == options.rounds:
                    world.settle()
                    differences = world.differences()
                    print(f"round {number}: {len(differences)} rows lost, doubled or wrong", flush=True)
                    if differences:
                        break
        finally:
            world.close()
    for fault, count in sorted(world.injected.items()):
        print(f"{count:6}  {fault}")
    print(f"{sum(world.injected.values()):6}  faults injected, {'all survived' if not differences else 'NOT survived'}")
    print("\n".join(differences[:20]))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
