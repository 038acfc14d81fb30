"""The commands of the import job, as a data manager types them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from models import Base, Deployment
from pusher.schema.engine import opened
from tests.configs import put
from tests.stage import pusher

_CONFIG = """\
[general]
site = office
localurl = sqlite:///site.db
[locations]
registry = 1
moves = {moves}
[registry]
kind = import
storage = datacenter
processor = House
map = Street:address, Project:Deployment.name
settle = 0
[moves]
kind = import
storage = moves
processor = House
mode = update
"""
_HOUSES = "Street,Project,startDate\n1 Mill Lane,Pilot,2026-11-01\n2 Mill Lane,Pilto,\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with opened(f"sqlite:///{tmp_path}/site.db", create=True) as engine:
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(sa.insert(Deployment), [{"name": "Pilot"}])
    return put(tmp_path / "synchronise.conf", _CONFIG.format(moves=0))


def _said(config: Path, *arguments: str, ends: int = 0) -> str:
    done = pusher("--config", config, *arguments)
    assert done.returncode == ends, done.stdout + done.stderr
    return done.stdout + done.stderr


def _json(config: Path, *arguments: str, ends: int = 0) -> Any:
    return json.loads(_said(config, *arguments, "--json", ends=ends))


def test_the_four_steps(config: Path) -> None:
    file = config.with_name("houses.csv")
    file.write_text(_HOUSES)
    assert "houses.csv is in" in _said(config, "import", "add", str(file))
    found = _json(config, "import", "preview", "houses.csv", ends=1)
    assert found["tally"]["examples"] == [
        [3, "there is no Deployment with name = 'Pilto'; import it first, or correct Deployment.name"]
    ]
    said = _said(config, "import", "map", "houses.csv")
    assert re.search(r"Project +Deployment\.name", said)
    assert "map = Street:address, Project:Deployment.name, startDate:startDate\n" in said
    said = _said(config, "import", "run", "houses.csv", ends=1)
    assert "houses.csv, create: 1 created, 1 refused" in said
    assert "then: pusher import run houses.create.pending.csv" in said
    assert [(each["state"], each["name"]) for each in _json(config, "import", "list")] == [
        ("pending", "houses.create.pending.csv"),
        ("unfinished", "houses.csv"),
        ("finished", "houses.create.finished.csv"),
    ]
    pending = config.parent / "datacenter/houses.create.pending.csv"
    pending.write_text(pending.read_text().replace("Pilto,", "Pilot,"))
    assert _json(config, "import", "run", "houses.create.pending.csv")["tally"]["created"] == 1
    said = _said(config, "logs", "search", "import_ended .*mode=create")
    first, second = said.splitlines()
    assert "/datacenter/houses.csv mode=create lines=2 ok=1 failed=1 seconds=" in first
    assert "/datacenter/houses.create.pending.csv mode=create lines=1 ok=1 failed=0 seconds=" in second
    assert "seconds_per_row=" in second
    (found,) = _json(config, "logs", "search", "import_ended", "--start", "1", "--limit", "5")
    assert found["file"] == "DEBUG.log" and found["text"] == second
    assert _said(config, "logs", "search", "nothing of the kind", ends=1) == ""
    exported = config.with_name("all.csv")
    assert f"2 rows in {exported}" in _said(config, "import", "export", "House", "--output", str(exported))
    assert "1 Mill Lane" in exported.read_text()
    assert "exists already" in _said(config, "import", "export", "House", "--output", str(exported), ends=2)
    with opened(f"sqlite:///{config.with_name('site.db')}") as engine, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE House SET startDate = 'one day' WHERE address = '2 Mill Lane'")
    broken = config.with_name("broken.csv")
    assert "House, the row with" in _said(config, "import", "export", "House", "--output", str(broken), ends=1)
    assert not broken.exists()
    (view,) = [each for each in _json(config, "status") if each["location"] == "registry"]
    assert [(table["table"], table["role"], table["pending"]) for table in view["tables"]] == [("House", "import", 0)]


def test_a_file_may_be_run_another_way_than_the_configuration_says(config: Path) -> None:
    file = config.with_name("deployments.csv")
    file.write_text("Title\nSummer\nPilot\n")
    _said(config, "import", "add", str(file), "--name", "d.csv")
    assert "no column gives address" in _said(config, "import", "run", "d.csv", ends=1)
    way = ("--processor", "Deployment", "--mode", "upsert", "--map", "Title:name")
    assert _json(config, "import", "run", "d.csv", *way)["tally"] | {"reasons": {}} == {
        "lines": 2,
        "created": 1,
        "updated": 1,
        "removed": 0,
        "refused": 0,
        "reasons": {},
        "examples": [],
    }
    assert _said(config, "import", "template", "Deployment") == "name,description,startDate,endDate\n"


@pytest.mark.parametrize(
    ("arguments", "ends", "said"),
    [
        (("add", "../x.csv"), 1, "cannot read x.csv: No such file or directory"),
        (("run", "none.csv"), 1, "there is no file none.csv in"),
        (("preview", "../x.csv"), 1, "'../x.csv' leads to a folder"),
        (("template", "Hose"), 2, 'did you mean "House"?'),
        (("export", "pusher_import"), 2, "there is no table pusher_import"),
        (("run", "x.csv", "--map", "Street"), 2, '--map: "Street" is no pair'),
    ],
)
def test_what_is_wrong_is_said_in_one_line(config: Path, arguments: tuple[str, ...], ends: int, said: str) -> None:
    text = _said(config, "import", *arguments, ends=ends)
    assert said in text and len(text.splitlines()) == 1 and "Traceback" not in text


def test_which_location_is_meant_has_to_be_said_where_there_are_several(config: Path) -> None:
    put(config, _CONFIG.format(moves=1))
    assert "--location is missing; there are registry, moves" in _said(config, "import", "list", ends=2)
    assert _said(config, "import", "template", "--location", "moves").startswith("Deployment.name,address,")


def test_without_log_files_there_is_nothing_to_search(tmp_path: Path) -> None:
    config = put(tmp_path / "c.conf", "[locations]\nc = 1\n[c]\nresturl = https://c.example.org/\ntoken = env:T\n")
    text = pusher("--config", config, "logs", "search", "x", env={**os.environ, "T": "x"}).stderr
    assert "nothing is logged to files; add a section [logging]" in text
