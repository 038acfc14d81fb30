"""A side that is suddenly empty stops the run, until somebody says that it is meant to be so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pusher.job import Outcome
from tests.conftest import NewDatabase
from tests.inprocess import Workshop

_HOUSE = "CREATE TABLE house (id ID, address VARCHAR(40) NOT NULL UNIQUE)"
_READING = """CREATE TABLE reading (at MOMENT NOT NULL, house_id INT NOT NULL, value INT,
    PRIMARY KEY (at, house_id), FOREIGN KEY (house_id) REFERENCES house (id))"""
_NOTE = "CREATE TABLE note (id ID, at MOMENT NOT NULL, words VARCHAR(40))"
_TABLES = (_HOUSE, _READING, _NOTE)


class Scene:
    def __init__(self, workshop: Workshop) -> None:
        self.store, self.central = workshop.store, workshop.central
        self.central.run(*_TABLES)
        self.site = workshop.site("north", *_TABLES)
        self.fill()
        assert self.push().exit_code == 0

    def fill(self, first: int = 1, day: int = 1) -> None:
        self.site.run(
            "INSERT INTO house VALUES (1, 'Long Road')",
            f"INSERT INTO reading VALUES ('2026-01-0{day} 00:00:00', 1, 5)",
            f"INSERT INTO note VALUES ({first}, '2026-01-0{day} 00:00:00', 'note of day {day}')",
        )

    def push(self, *, force: bool = False) -> Outcome:
        return self.site.push(self.store, force=force)

    def counts(self) -> list[int]:
        return [self.central.rows(f"SELECT count(*) FROM {name}")[0][0] for name in ("house", "reading", "note")]


@pytest.fixture(params=["sqlite", "mariadb"])
def scene(request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    with Workshop(new_database, tmp_path, request.param) as workshop:
        yield Scene(workshop)


def test_an_emptied_central_stops_the_run_and_gets_everything_again_when_forced(scene: Scene) -> None:
    scene.central.run("DELETE FROM note", "DELETE FROM reading", "DELETE FROM house")
    outcome = scene.push()
    assert outcome.exit_code == 1 and scene.counts() == [0, 0, 0]
    assert (outcome.error or "").startswith("central holds no row of house, note, reading, though rows of this site")
    assert "--force" in (outcome.error or "")
    assert scene.push(force=True).exit_code == 0
    assert scene.counts() == [1, 1, 1]
    assert scene.push().exit_code == 0


def test_setting_lastupdate_to_none_fills_an_emptied_central_as_well(scene: Scene) -> None:
    scene.central.run("DELETE FROM reading")
    assert scene.push().exit_code == 1
    scene.site.set_lastupdate(None)
    assert scene.push().exit_code == 0
    assert scene.counts() == [1, 1, 1]


def test_an_emptied_site_stops_the_run_until_it_is_forced(scene: Scene) -> None:
    scene.site.run("DELETE FROM reading")
    outcome = scene.push()
    assert outcome.exit_code == 1
    assert (outcome.error or "").startswith("the site's database holds nothing any more of what was sent of reading;")
    assert scene.push(force=True).exit_code == 0
    assert scene.push().exit_code == 0
    scene.site.run("INSERT INTO reading VALUES ('2026-01-02 00:00:00', 1, 6)")
    assert scene.push().exit_code == 0
    assert scene.counts() == [1, 2, 1]


def test_a_database_made_anew_that_numbers_from_one_overwrites_nothing(scene: Scene) -> None:
    scene.site.run("DELETE FROM note", "DELETE FROM reading", "DELETE FROM house")
    scene.fill(day=2)
    outcome = scene.push()
    assert outcome.exit_code == 1 and "sent of note;" in (outcome.error or "")
    assert scene.central.rows("SELECT words FROM note") == [("note of day 1",)]


def test_a_site_that_purges_what_it_has_sent_goes_on(scene: Scene) -> None:
    scene.site.run("DELETE FROM reading", "INSERT INTO reading VALUES ('2026-01-02 00:00:00', 1, 6)")
    assert scene.push().exit_code == 0
    assert scene.counts() == [1, 2, 1]
