"""The usual types are there after seeding, once, and as the operator left them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import Base, NodeType, Room, RoomType, SensorType
from models.seed import ROOMS, seed_types
from pusher.schema.engine import open_engine


@pytest.fixture
def engine(dialect: str, new_database: Callable[[str], str]) -> Iterator[Engine]:
    engine = open_engine(new_database(dialect))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def seed(engine: Engine) -> None:
    with engine.begin() as connection:
        seed_types(connection)


def content(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            table.name: list(connection.execute(sa.select(table).order_by(*table.primary_key)))
            for table in Base.metadata.sorted_tables
        }


def test_the_usual_types_are_there(engine: Engine) -> None:
    seed(engine)
    with Session(engine) as session:
        sensors = {sensor.id: sensor.name for sensor in session.scalars(sa.select(SensorType))}
        assert (sensors[0], sensors[2], sensors[6], sensors[40]) == (
            "Temperature",
            "Humidity",
            "Battery Voltage",
            "Power Pulses",
        )
        assert session.get_one(NodeType, 0).name == "Base"
        rooms = session.execute(sa.select(RoomType.name, Room.name).join_from(Room, RoomType))
        assert sorted(map(tuple, rooms)) == sorted((kind, room) for kind, rooms in ROOMS.items() for room in rooms)


def test_seeding_twice_changes_nothing(engine: Engine) -> None:
    seed(engine)
    before = content(engine)
    seed(engine)
    with Session(engine) as session:
        seed_types(session)
        session.commit()
    assert content(engine) == before


def test_what_the_operator_changed_stays(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(SensorType(id=0, name="Warmth", c1=0.01))
        session.add(RoomType(name="Bedroom"))
        session.flush()
        session.add(Room(name="Kitchen", roomTypeId=session.scalar(sa.select(RoomType.id))))
        session.commit()
    before = content(engine)
    seed(engine)
    after = content(engine)
    for table in ("SensorType", "RoomType", "Room"):
        assert set(before[table]) < set(after[table])
