"""`pusher verify`, the installed command: it proves that all arrived, names what did not, and mends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from models import Base
from pusher.config import load
from pusher.datagen import Datagen
from pusher.instance import only_instance
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.stage import CentralService, push_all, pusher, write_config

_READINGS = 3000


@dataclass
class Scene:
    central: str
    service: CentralService
    config: Path

    def verify(self, *options: str) -> CompletedProcess[str]:
        return pusher("--config", self.config, "verify", *options)

    def tables(self, *options: str) -> dict[str, Any]:
        (location,) = json.loads(self.verify("--json", *options).stdout)
        return {each["table"]: each for each in location["tables"]}

    def at_central(self, statement: str) -> None:
        with opened(self.central) as engine, engine.begin() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture
def scene(new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    site, central = new_database("sqlite"), new_database("sqlite")
    with opened(site) as engine:
        Base.metadata.create_all(engine)
        Datagen(seed=1).bulk(engine, _READINGS)
    with CentralService(central) as service:
        config = write_config(tmp_path, "north", site, service.resturl, service.token("north"))
        push_all(config)
        yield Scene(central, service, config)


def test_it_finds_what_is_lost_and_mends_it(scene: Scene) -> None:
    done = scene.verify()
    assert (done.returncode, done.stderr) == (0, "")
    assert "bytes on the wire" in done.stdout and "Reading: " not in done.stdout
    scene.at_central('delete from "Reading" where rowid in (7, 1007, 2007)')
    scene.at_central('update "Reading" set value = value + 1e-9 where rowid = 99')
    assert scene.verify().returncode == 0  # what both noted is the same: only the rows tell
    done = scene.verify("--deep", "--table", "Reading")
    assert done.returncode == 1
    assert done.stdout.count("Reading: missing at central: [") == 3
    assert done.stdout.count("Reading: different: [") == 1
    verdict = scene.tables("--deep")["Reading"]
    assert (verdict["here"], verdict["there"], verdict["verdict"]) == (_READINGS, _READINGS - 3, "different")
    assert (len(verdict["missing"]), len(verdict["different"]), verdict["only_central"]) == (3, 1, [])
    done = scene.verify("--deep", "--repair")
    assert done.returncode == 0 and "4 rows sent again" in done.stdout
    assert scene.verify().returncode == scene.verify("--deep").returncode == 0


def test_what_only_central_has_is_named_and_left(scene: Scene) -> None:
    scene.at_central(
        """insert into "Reading" (time, "nodeId", type, value) values ('2001-01-01 00:00:00.000000', 37, 0, 1)"""
    )
    assert scene.tables("--deep")["Reading"]["only_central"] == ['["2001-01-01T00:00:00",37,0]']
    assert scene.verify("--deep", "--repair").returncode == 1
    assert scene.tables("--since", "2002-01-01")["Reading"]["verdict"] == "equal"
    assert scene.tables("--until", "2002-01-01")["Reading"]["here"] == 0


def test_wrong_use_and_sides_that_are_away(scene: Scene) -> None:
    for options, words in (
        (("--since", "yesterday"), "--since: "),
        (("--table", "Nonsense"), "no table Nonsense"),
        (("nowhere",), "no location"),
    ):
        done = scene.verify(*options)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    with only_instance(load(scene.config).general.state):
        assert scene.verify("--repair").returncode == 4
        assert scene.verify().returncode == 0
    scene.service.kill()
    done = scene.verify()
    assert done.returncode == 3 and "cannot be reached" in done.stdout
