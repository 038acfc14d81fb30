"""Log lines are events with fields, on standard error."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from pusher.config_keys import Secret
from pusher.log import configure, event


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The logger of the package, set back afterwards to what other tests expect."""
    found = logging.getLogger("pusher")
    before = found.handlers[:], found.level, found.propagate
    yield found
    found.handlers[:], found.level, found.propagate = before


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "batch_applied"),
        ({"table": "Reading", "rows": 20000}, "batch_applied table=Reading rows=20000"),
        ({"error": "no such host"}, "batch_applied error='no such host'"),
        ({"error": ""}, "batch_applied error=''"),
        ({"error": "one\ntwo"}, r"batch_applied error='one\ntwo'"),
        ({"error": None, "held": 0}, "batch_applied held=0"),
        ({"token": Secret("key")}, "batch_applied token=Secret(****)"),
    ],
)
def test_an_event_is_one_line_of_fields(fields: dict[str, object], line: str) -> None:
    assert event("batch_applied", **fields) == line


@pytest.mark.parametrize("verbose", [False, True])
def test_it_writes_to_standard_error(verbose: bool, logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(verbose=True)
    configure(verbose=verbose)  # again, and no line comes twice
    logging.getLogger("pusher.push").debug("step")
    logging.getLogger("pusher.daemon").info("cycle_ended")
    logging.getLogger("other").error("not ours")
    out, err = capsys.readouterr()
    lines = [line.split(" ", 2)[2] for line in err.splitlines()]
    assert out == ""
    assert lines == ["DEBUG step", "INFO cycle_ended"] if verbose else ["INFO cycle_ended"]
