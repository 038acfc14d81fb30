"""Messages may be the first of their form in many threads at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

_RACE = """
import sys, threading
from pusher.errors import ProtocolError
from pusher.wire import batch, messages

sys.setswitchinterval(1e-6)
raw = batch.encode(messages.Done())
start = threading.Barrier(16)

def decode():
    start.wait()
    for form in ({forms}):
        try:
            batch.decode(raw, form)
        except ProtocolError:
            pass

threads = [threading.Thread(target=decode) for _ in range(16)]
[each.start() for each in threads]
[each.join() for each in threads]
"""


@pytest.mark.parametrize("attempt", range(4))  # without `learn`, every other one crashes
def test_many_threads_are_the_first(attempt: int) -> None:
    forms = "messages.Welcome, messages.Resolved, batch.Batch, messages.Resolve, messages.Verified"
    done = subprocess.run([sys.executable, "-c", _RACE.format(forms=forms)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), attempt
