"""Datagen makes the readings that it says, and the same ones again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import Base, Deployment, House, Location, Node, NodeState, Reading, Room
from pusher.datagen import Datagen
from pusher.schema.engine import open_engine

START = datetime(2026, 1, 1)


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[list[Engine]]:
    """Two empty sites."""
    engines = [open_engine(f"sqlite:///{tmp_path}/{name}.db", create=True) for name in ("one", "two")]
    for engine in engines:
        Base.metadata.create_all(engine)
    yield engines
    for engine in engines:
        engine.dispose()


@pytest.fixture
def site(databases: list[Engine]) -> Engine:
    return databases[0]


def rows(engine: Engine, model: type[Base]) -> list[Any]:
    table = Base.metadata.tables[model.__tablename__]
    with engine.connect() as connection:
        return list(connection.execute(sa.select(table).order_by(*table.primary_key)))


def values(engine: Engine, node: int) -> list[float]:
    return [reading.value for reading in rows(engine, Reading) if reading.nodeId == node]


def test_one_node_counts_up_and_the_other_down(site: Engine) -> None:
    assert Datagen(start=START).bulk(site, 2 * 101) == 202
    assert values(site, 37) == list(range(101))
    assert values(site, 38) == list(range(100, -1, -1))
    moments = [reading.time for reading in rows(site, Reading) if reading.nodeId == 37]
    assert moments == [START + timedelta(seconds=2 * step) for step in range(101)]
    assert {reading.type for reading in rows(site, Reading)} == {0}


def test_values_wrap_round_when_states_are_rarer_than_a_swing(site: Engine) -> None:
    Datagen(start=START, state_switch=250).bulk(site, 2 * 103)
    assert values(site, 37)[-3:] == [100, 0, 1]
    assert values(site, 38)[-3:] == [0, 100, 99]


def test_states_come_every_switch_and_reset_the_counters(site: Engine) -> None:
    Datagen(start=START, state_switch=10, gap_seconds=1).bulk(site, 2 * 25)
    assert values(site, 37) == [*range(10), *range(10), *range(5)]
    states = [(state.time, state.nodeId, state.seq_num, state.localtime) for state in rows(site, NodeState)]
    assert states == [
        (START + timedelta(seconds=9), 37, 0, 10_000),
        (START + timedelta(seconds=9), 38, 0, 10_000),
        (START + timedelta(seconds=19), 37, 1, 20_000),
        (START + timedelta(seconds=19), 38, 1, 20_000),
    ]


def test_the_house_is_furnished(site: Engine) -> None:
    Datagen(start=START).bulk(site, 2)
    (deployment,), (house,) = rows(site, Deployment), rows(site, House)
    assert (deployment.name, deployment.startDate) == ("PushTest", START)
    assert (house.address, house.deploymentId, house.startDate) == ("Push Address", deployment.id, START)
    rooms = {room.id: room.name for room in rows(site, Room)}
    assert [rooms[location.roomId] for location in rows(site, Location)] == ["Master Bedroom", "Living Room"]
    locations = {node.id: node.locationId for node in rows(site, Node)}
    assert {reading.nodeId: reading.locationId for reading in rows(site, Reading)} == locations == {37: 1, 38: 2}


def test_the_same_seed_gives_the_same_rows(databases: list[Engine]) -> None:
    one, two = databases
    for engine in databases:
        Datagen(start=START, seed=7, state_switch=10).bulk(engine, 100)
    for model in (Reading, NodeState, Node, Location, Room, House):
        assert rows(one, model) == rows(two, model)
    assert any(value != round(value) for value in values(one, 37))
    assert all(abs(value - step % 10) <= 0.5 for step, value in enumerate(values(one, 37)))


def test_another_seed_gives_other_values(databases: list[Engine]) -> None:
    for seed, engine in enumerate(databases):
        Datagen(start=START, seed=seed).bulk(engine, 20)
    assert values(databases[0], 37) != values(databases[1], 37)


@pytest.mark.parametrize("first", [2, 40, 60, 202])
def test_two_runs_give_what_one_gives(databases: list[Engine], first: int) -> None:
    one, two = databases
    datagen = Datagen(start=START, seed=7, state_switch=20)
    datagen.bulk(one, 300)
    datagen.bulk(two, first)
    datagen.bulk(two, 300 - first)
    assert rows(one, Reading) == rows(two, Reading)
    assert rows(one, NodeState) == rows(two, NodeState)


def test_readings_end_when_asked(site: Engine) -> None:
    Datagen().bulk(site, 7, end=START)
    readings = rows(site, Reading)
    assert len(readings) == 7
    assert readings[-1].time == START


def test_live_steps_a_gap_apart_and_follows_what_is_there(site: Engine) -> None:
    slept: list[float] = []
    datagen = Datagen(gap_seconds=5, state_switch=3)
    datagen.bulk(site, 4, end=START)
    steps = datagen.live(site, now=lambda: START, sleep=slept.append)
    assert list(islice(steps, 3)) == [START + timedelta(seconds=gap) for gap in (5, 10, 15)]
    assert slept == [5, 5]
    assert values(site, 37) == [0, 1, 2, 0, 1]


def test_live_does_not_fill_up_the_time_it_was_off(site: Engine) -> None:
    Datagen().bulk(site, 4, end=START)
    later = START + timedelta(hours=1)
    assert next(Datagen().live(site, now=lambda: later, sleep=lambda _: None)) == later


def test_a_node_moves_to_another_house(site: Engine) -> None:
    datagen = Datagen(start=START)
    datagen.bulk(site, 2)
    replace(datagen, address="Elsewhere", rooms=("Attic",)).bulk(site, 2)
    (location,) = {node.locationId for node in rows(site, Node)}
    assert [reading.locationId for reading in rows(site, Reading)] == [1, 2, location, location]
    assert [house.address for house in rows(site, House)] == ["Push Address", "Elsewhere"]


def test_two_sites_use_the_same_ids_for_different_things(databases: list[Engine]) -> None:
    for address, nodes, engine in zip(("East", "West"), ((37, 38), (137, 138)), databases, strict=True):
        Datagen(start=START, address=address, nodes=nodes).bulk(engine, 10)
    assert [house.id for engine in databases for house in rows(engine, House)] == [1, 1]
    assert [house.address for engine in databases for house in rows(engine, House)] == ["East", "West"]
