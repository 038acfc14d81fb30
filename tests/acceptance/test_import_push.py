"""The road of a clerk's file: dropped at the site, imported into its database, and pushed on to central."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from subprocess import DEVNULL, Popen

import pytest
import sqlalchemy as sa

from models import Base, Deployment, House
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.fault.import_site import Storage
from tests.stage import CentralService, pusher, start_pusher, wait_until, write_config

_IMPORT = """
[{name}]
kind = import
storage = {name}
processor = House
mode = {mode}
map = Street:address, Project:Deployment.name
settle = 0
watch = yes
"""
_MODES = {"registry": "create", "moves": "update"}
_GOOD = [{"Street": f"{number} High St", "Project": "Pilot"} for number in range(1, 4)]
_BAD = {"Street": "4 High St", "Project": "Pilto"}
_REASON = "there is no Deployment with name = 'Pilto'; import it first, or correct Deployment.name"
_MENDED = {**_BAD, "Project": "Pilot"}
_ALL = {each["Street"]: "Pilot" for each in [*_GOOD, _MENDED]}
_WELL = {"central": None, "registry": None, "moves": None}


@dataclass(frozen=True)
class _Site:
    config: Path
    service: CentralService
    storage: Storage  # for new houses
    moves: Storage  # for houses that belong to another project now

    def run_once(self) -> dict[str, str | None]:
        """A cycle of all locations, and what ended each early."""
        done = pusher("--config", self.config, "run", "--once", "--json")
        return {outcome["location"]: outcome["error"] for outcome in json.loads(done.stdout)}

    def at_central(self) -> dict[str, str]:
        """The houses there, by their addresses, each with the name of its project."""
        query = sa.select(House.address, Deployment.name).join(Deployment)
        with opened(self.service.db) as engine, engine.connect() as connection:
            return {each.address: each.name for each in connection.execute(query)}

    def has(self, houses: dict[str, str]) -> bool:
        return self.at_central() == houses

    def refused(self) -> list[dict[str, str]]:
        return self.storage.pending().get("houses.create.pending.csv", [])

    @contextmanager
    def daemon(self) -> Iterator[Popen[str]]:
        log = self.config.with_name("log")
        with log.open("w") as err, start_pusher("--config", self.config, "run", stdout=DEVNULL, stderr=err) as daemon:
            try:
                wait_until(lambda: "cycle_ended location=central" in log.read_text())
                yield daemon
                daemon.send_signal(SIGTERM)
                assert daemon.wait(20) == 0, log.read_text()
            finally:
                daemon.kill()
        assert "Traceback" not in log.read_text()


@pytest.fixture
def site(new_database: NewDatabase, tmp_path: Path) -> Iterator[_Site]:
    local = new_database("sqlite")
    with opened(local) as engine:
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(sa.insert(Deployment), [{"name": "Pilot"}, {"name": "Main"}])
    with CentralService(new_database("sqlite")) as service:
        sections = "".join(_IMPORT.format(name=name, mode=mode) for name, mode in _MODES.items())
        config = write_config(tmp_path, "north", local, service.resturl, service.token("north"), extra=sections)
        switches = "".join(f"{name} = 1\n" for name in ("central", *_MODES))
        text = config.read_text().replace("[locations]\ncentral = 1\n", f"synctime = 0.02\n[locations]\n{switches}")
        config.write_text(text)
        yield _Site(config, service, *(Storage(tmp_path / name) for name in _MODES))


def test_a_file_is_at_central_after_two_cycles(site: _Site) -> None:
    site.storage.drop("houses.csv", [*_GOOD, _BAD])
    for _ in range(2):
        assert site.run_once() == _WELL
    assert site.has({each["Street"]: "Pilot" for each in _GOOD})
    (row,) = site.refused()
    assert row == {**_BAD, "--ERRORS--": _REASON}

    site.storage.drop("houses.create.pending.csv", [{**row, **_MENDED}])
    site.moves.drop("moved.csv", [{"Street": "2 High St", "Project": "Main"}])
    for _ in range(2):
        assert site.run_once() == _WELL
    assert site.has({**_ALL, "2 High St": "Main"})
    assert site.storage.waiting() == site.moves.waiting() == []


def test_the_daemon_takes_a_file_as_soon_as_it_is_there(site: _Site) -> None:
    with site.daemon():
        site.storage.drop("houses.csv", [*_GOOD, _BAD])
        wait_until(functools.partial(site.has, {each["Street"]: "Pilot" for each in _GOOD}))
        wait_until(site.refused)
        (row,) = site.refused()
        site.storage.drop("houses.create.pending.csv", [{**row, **_MENDED}])
        wait_until(lambda: site.has(_ALL))
        wait_until(lambda: site.storage.waiting() == [])
