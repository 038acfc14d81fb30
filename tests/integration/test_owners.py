"""Several sites in one table of central: what one has written, no other overwrites."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pusher.central.store import Store
from tests.conftest import DIALECTS, NewDatabase
from tests.contract.site import Site as Messages
from tests.inprocess import Site, Workshop

_HOUSE = "CREATE TABLE house (id ID, address VARCHAR(40) NOT NULL UNIQUE)"
_NODE = """CREATE TABLE node (id INT NOT NULL PRIMARY KEY, house_id INT,
    FOREIGN KEY (house_id) REFERENCES house (id))"""
_READING = """CREATE TABLE reading (at MOMENT NOT NULL, node_id INT NOT NULL, value INT NOT NULL,
    PRIMARY KEY (at, node_id), FOREIGN KEY (node_id) REFERENCES node (id))"""
_WEATHER = "CREATE TABLE weather (at MOMENT NOT NULL PRIMARY KEY, value INT NOT NULL)"
_TABLES = (_HOUSE, _NODE, _READING, _WEATHER)
_CONFLICT = "its key is that of a row of site {}, which is another"


def noon(minute: int) -> str:
    return f"2026-05-01 12:{minute:02}:00.000000"


class Scene:
    def __init__(self, workshop: Workshop) -> None:
        self.store = workshop.store
        self.central = workshop.central
        self.central.run(*_TABLES)
        self.north, self.south = (workshop.site(name, *_TABLES) for name in ("north", "south"))
        self.north.run("INSERT INTO house VALUES (1, 'North Road'), (2, 'New Road')", "INSERT INTO node VALUES (37, 1)")
        self.south.run("INSERT INTO house VALUES (1, 'South Road')", "INSERT INTO node VALUES (37, 1)")

    def readings(self) -> list[tuple[int, int]]:
        """(minute, value) of each at central."""
        rows = self.central.rows("SELECT at, value FROM reading ORDER BY at")
        return [(int(str(at)[14:16]), value) for at, value in rows]

    def weather(self) -> list[tuple[int, int]]:
        return [
            (int(str(at)[14:16]), value) for at, value in self.central.rows("SELECT at, value FROM weather ORDER BY at")
        ]


def read(site: Site, **values: int) -> None:
    """`m5=7`: the reading of node 37 at 12:05 is 7."""
    site.insert("reading", ("at", "node_id", "value"), [(noon(int(m[1:])), 37, value) for m, value in values.items()])


def watch(site: Site, **values: int) -> None:
    site.insert("weather", ("at", "value"), [(noon(int(m[1:])), value) for m, value in values.items()])


def conflicts(site: Site, table: str) -> list[str]:
    return [reason for _, reason in site.held().get(table, [])]


@pytest.fixture(params=DIALECTS)
def scene(request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    with Workshop(new_database, tmp_path, request.param) as workshop:
        yield Scene(workshop)


def test_a_row_of_another_site_stays_as_it_was(scene: Scene) -> None:
    read(scene.north, m0=1, m1=2)
    scene.north.push(scene.store)
    read(scene.south, m1=20, m2=30)
    outcome = scene.south.push(scene.store)
    assert (outcome.error, outcome.exit_code) == (None, 1)
    assert conflicts(scene.south, "reading") == [_CONFLICT.format("north")]
    assert scene.readings() == [(0, 1), (1, 2), (2, 30)]
    scene.north.run(f"UPDATE reading SET value = 5 WHERE at = '{noon(1)}'")
    scene.south.run(f"UPDATE reading SET value = 6 WHERE at = '{noon(2)}'")
    scene.north.push(scene.store)
    scene.south.push(scene.store)
    assert scene.readings() == [(0, 1), (1, 5), (2, 6)]


def test_what_a_guest_has_written_the_first_site_does_not_overwrite(scene: Scene) -> None:
    read(scene.north, m0=1)
    scene.north.push(scene.store)
    read(scene.south, m2=30)
    scene.south.push(scene.store)
    read(scene.north, m2=3, m3=4)
    scene.north.push(scene.store)
    assert conflicts(scene.north, "reading") == [_CONFLICT.format("south")]
    assert scene.readings() == [(0, 1), (2, 30), (3, 4)]


def test_the_same_row_of_two_sites_is_no_conflict_until_they_differ(scene: Scene) -> None:
    for site in (scene.north, scene.south):
        watch(site, m0=1, m1=2)
        assert site.push(scene.store).table("weather", "stream").held == 0
    assert scene.weather() == [(0, 1), (1, 2)]
    scene.south.run("UPDATE weather SET value = 9")
    scene.south.push(scene.store)
    assert conflicts(scene.south, "weather") == [_CONFLICT.format("north")] * 2
    assert scene.weather() == [(0, 1), (1, 2)]


def test_a_table_whose_key_refers_to_nothing(scene: Scene) -> None:
    watch(scene.north, m0=1)
    watch(scene.south, m0=10, m1=20)
    for site in (scene.north, scene.south):
        site.push(scene.store)
    watch(scene.north, m1=2, m2=3)
    scene.north.push(scene.store)
    assert conflicts(scene.south, "weather") == [_CONFLICT.format("north")]
    assert conflicts(scene.north, "weather") == [_CONFLICT.format("south")]
    assert scene.weather() == [(0, 1), (1, 20), (2, 3)]


def test_a_held_conflict_ends_when_both_sites_agree(scene: Scene) -> None:
    watch(scene.north, m0=1)
    watch(scene.south, m0=10)
    for site in (scene.north, scene.south):
        site.push(scene.store)
    assert conflicts(scene.south, "weather")
    scene.south.run("UPDATE weather SET value = 1")
    assert scene.south.push(scene.store).table("weather", "stream").held == 0
    assert scene.south.held().get("weather") is None


def test_a_node_that_its_site_moves_to_another_house_moves_at_central_too(scene: Scene) -> None:
    read(scene.north, m0=1)
    scene.north.push(scene.store)
    scene.north.run("UPDATE node SET house_id = 2 WHERE id = 37")
    scene.north.push_all(scene.store)
    query = "SELECT h.address FROM node n JOIN house h ON h.id = n.house_id WHERE n.id = 37"
    assert scene.central.rows(query) == [("New Road",)]
    # Another site has the node elsewhere: that is shown, and central's stays. What it measures there arrives.
    read(scene.south, m1=2)
    assert scene.south.push(scene.store).exit_code == 1
    (words,) = conflicts(scene.south, "node")
    assert words.startswith("node is left as site north has it: here ")
    assert scene.central.rows(query) == [("New Road",)]
    assert scene.readings() == [(0, 1), (1, 2)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_two_sites_that_bring_the_same_keys_at_the_same_moment(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(*_TABLES)
        names = ("north", "south", "east", "west")
        barrier = threading.Barrier(len(names))
        stores = {name: Messages(Store(workshop.central.engine), name) for name in names}
        for site in stores.values():
            site.hello()

        def push(name: str, sequence: int) -> int:
            rows = [(noon(minute).replace(" ", "T"), names.index(name)) for minute in range(sequence * 10, 60)]
            barrier.wait()
            batch = stores[name].batch("weather", sequence, ("at", "value"), rows, key=("at",))
            return stores[name].central.push(batch).stored

        with ThreadPoolExecutor(len(names)) as pool:
            for sequence in (1, 2):
                stored = sorted(pool.map(lambda name: push(name, sequence), names))  # noqa: B023 (used at once)
                assert stored == [0, 0, 0, 60 - sequence * 10]
        assert len(workshop.central.rows("SELECT DISTINCT value FROM weather")) == 1
