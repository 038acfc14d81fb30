"""What all tests share: real databases."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers import SERVERS, DatabaseServer

# The same examples each time, so that what passed once passes again; HYPOTHESIS_PROFILE=search looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# A shell that runs the tests in the background has them ignore it, and with them every process they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

DIALECTS = ("mariadb", "postgresql", "sqlite")

NewDatabase = Callable[[str], str]


def pytest_collection_finish() -> None:
    """What is there before the first test stays: to look through it again and again takes its time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Callable[[str], DatabaseServer]]:
    """Gives the server of a dialect, started once for all tests."""
    running: dict[str, DatabaseServer] = {}

    def server(dialect: str) -> DatabaseServer:
        if dialect not in running:
            running[dialect] = SERVERS[dialect]()
        running[dialect].start()
        return running[dialect]

    yield server
    failed = request.session.testsfailed > 0
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    for each in running.values():
        each.keep_log = failed
        each.close()
        if failed and reporter is not None:
            reporter.write_line(f"\nlog of {each.name}: {each.log}")


@pytest.fixture(scope="session")
def mariadb(servers: Callable[[str], DatabaseServer]) -> DatabaseServer:
    return servers("mariadb")


@pytest.fixture(scope="session")
def postgresql(servers: Callable[[str], DatabaseServer]) -> DatabaseServer:
    return servers("postgresql")


@pytest.fixture
def new_database(servers: Callable[[str], DatabaseServer], tmp_path: Path) -> NewDatabase:
    """Makes an empty database of a dialect (mariadb, postgresql or sqlite) and returns its URL."""
    numbers = count(1)

    def new(dialect: str) -> str:
        if dialect != "sqlite":
            return servers(dialect).new_database()
        path = tmp_path / f"database-{next(numbers)}.db"
        path.touch()
        return f"sqlite:///{path}"

    return new


@pytest.fixture(autouse=True)
def counts_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy with tests any count may be slow, and late rows would wait for the one after it."""
    monkeypatch.setattr("pusher.push.late._SLOW_COUNT_SECONDS", 60.0)


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """Each dialect in turn."""
    name = request.param
    assert isinstance(name, str)
    return name
