"""`direction = both`: rooms, their types and deployments that only central has come down to a site."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from models import Base, Deployment, Room, RoomType
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.stage import CentralService, push_all, write_config

_BOTH = "".join(f"\n[table {name}]\ndirection = both\n" for name in ("RoomType", "Room", "Deployment"))


def room_types(url: str) -> dict[str, str | None]:
    """Room → its type, by name."""
    query = sa.select(Room.name, RoomType.name).outerjoin(RoomType, RoomType.id == Room.roomTypeId)
    with opened(url) as engine, engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def make_site(url: str) -> None:
    with opened(url) as engine:
        Base.metadata.create_all(engine)
        Datagen(seed=1).bulk(engine, 20)


def test_new_rows_of_central_come_down_with_their_parents(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    site, central = new_database(dialect), new_database(dialect)
    make_site(site)
    with CentralService(central) as service:
        with opened(central) as there, there.begin() as connection:
            # Ids at central that mean something else at the site.
            connection.execute(sa.insert(RoomType).values(id=5, name="Greenhouse"))
            connection.execute(sa.insert(Room).values(id=3, name="Orangery", roomTypeId=5))
            connection.execute(sa.insert(Deployment).values(name="Winter"))
        config = write_config(tmp_path, "north", site, service.resturl, service.token("north"), extra=_BOTH)
        before = room_types(site)
        outcome = push_all(config)
        assert outcome.table("Room", "entity").created_here == 1
        assert room_types(site) == before | {"Orangery": "Greenhouse"} == room_types(central)
        with opened(site) as engine, engine.connect() as connection:
            assert set(connection.scalars(sa.select(Deployment.name))) == {"PushTest", "Winter"}

        again = push_all(config)
        assert again.sent == 0
        assert sum(entry.created_here for entry in again.tables) == 0


def test_without_it_nothing_comes_down(new_database: NewDatabase, tmp_path: Path) -> None:
    site, central = new_database("sqlite"), new_database("sqlite")
    make_site(site)
    with CentralService(central) as service:
        with opened(central) as there, there.begin() as connection:
            connection.execute(sa.insert(RoomType).values(name="Greenhouse"))
        before = room_types(site)
        push_all(write_config(tmp_path, "north", site, service.resturl, service.token("north")))
        assert room_types(site) == before
