"""`python -m tests.fault.files_child CONFIG SEED`: one run of a files job, to be killed in its midst.

It says "ready" once everything is loaded, and begins at the first line of its standard input.
"""

from __future__ import annotations

import logging
import sys

from pusher.files import sending
from pusher.files.opening import open_job


def main() -> None:
    logging.disable()
    vars(sending)["BATCH_FILES"] = 7  # many small steps, to be killed between them
    with open_job(sys.argv[1], "instrument") as job:
        print("ready", flush=True)
        sys.stdin.readline()
        outcome = job.run()
    print(outcome.error or "done", flush=True)


if __name__ == "__main__":
    main()
