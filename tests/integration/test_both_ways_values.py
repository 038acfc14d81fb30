"""`direction = both`: what rows hold, foreign keys, keys and values of all kinds, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from models import Base, Room, RoomType
from pusher.schema.engine import opened
from tests.both_ways import BOTH, COLOURS, HOUSE, conflicts, paint, settle, travelled
from tests.conftest import NewDatabase
from tests.inprocess import Database, Workshop, notes
from tests.stage import CentralService, push, pusher, write_config


def test_a_foreign_key_leads_to_the_same_row(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    tables = BOTH.replace("house", "RoomType") + BOTH.replace("house", "Room")
    query = sa.select(Room.name, RoomType.name).outerjoin(RoomType, RoomType.id == Room.roomTypeId).order_by(Room.name)

    def types(database: Database) -> list[tuple[str, str | None]]:
        with database.engine.connect() as connection:
            return [(room, type_) for room, type_ in connection.execute(query)]

    with Workshop(new_database, tmp_path, dialect) as workshop:
        Base.metadata.create_all(workshop.central.engine)
        north, south = (workshop.site(name, tables=tables) for name in ("north", "south"))
        for site, names in ((north, ("Wet", "Dry")), (south, ("Dry", "Wet"))):
            Base.metadata.create_all(site.engine)
            site.insert("RoomType", ["name"], [(name,) for name in names])
        dry = "select id from \"RoomType\" where name = 'Dry'"
        north.run(f"""insert into "Room" (name, "roomTypeId") values ('Bath', ({dry}))""")
        north.push_all(workshop.store)
        assert travelled(south.push_all(workshop.store)) == [2, 1, 0]
        south.run("""update "Room" set "roomTypeId" = (select id from "RoomType" where name = 'Wet')""")
        south.push_all(workshop.store)
        assert travelled(north.push_all(workshop.store)) == [0, 0, 1]
        assert types(north) == types(south) == types(workshop.central) == [("Bath", "Wet")]
        settle(workshop, north, south)


def test_a_parent_that_stays_at_central_is_waited_for(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        Base.metadata.create_all(workshop.central.engine)
        site = workshop.site("north", tables=BOTH.replace("house", "Room"))
        Base.metadata.create_all(site.engine)
        site.insert("Room", ["name"], [("Bath",)])
        site.push_all(workshop.store)
        workshop.central.run(
            """insert into "RoomType" (id, name) values (9, 'Wet')""", """update "Room" set "roomTypeId" = 9"""
        )
        for _ in range(2):
            outcome = site.push_all(workshop.store)
            assert travelled(outcome) == [0, 0, 0]
            assert notes(outcome) == ["1 rows of central refer to what the site does not have, and stay there"]
        site.insert("RoomType", ["id", "name"], [(4, "Wet")])
        assert travelled(site.push_all(workshop.store)) == [1, 0, 1]
        assert site.rows("""select "roomTypeId" from "Room" """) == [(4,)]
        settle(workshop, site)


def test_a_tree_comes_down_and_branches_move(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = """create table place (id ID, name varchar(20) not null unique, inside int,
        foreign key (inside) references place (id))"""
    query = "select p.name, q.name from place p left join place q on q.id = p.inside order by 1"
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(ddl)
        north, south = (workshop.site(name, ddl, tables=BOTH.replace("house", "place")) for name in ("north", "south"))
        north.insert("place", ["id", "name", "inside"], [(1, "top", None), (2, "mid", 1), (3, "low", 2)])
        north.push_all(workshop.store)
        assert travelled(south.push_all(workshop.store)) == [0, 3, 0]
        assert south.rows(query) == north.rows(query)
        south.run("update place set inside = null where name = 'low'")
        south.push_all(workshop.store)
        assert travelled(north.push_all(workshop.store)) == [0, 0, 1]
        assert north.rows(query) == workshop.central.rows(query) == south.rows(query)
        settle(workshop, north, south)


def test_keys_of_several_columns_and_keys_that_the_application_chooses(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    kind = "create table kind (code varchar(8) primary key, words varchar(20))"
    spot = """create table spot (id ID, house_id int not null, name varchar(20) not null, kind varchar(8), note text,
        unique (house_id, name), foreign key (house_id) references house (id),
        foreign key (kind) references kind (code))"""
    query = """select h.address, s.name, s.note, k.words from spot s join house h on h.id = s.house_id
        left join kind k on k.code = s.kind order by 1, 2"""
    tables = "".join(BOTH.replace("house", name) for name in ("house", "kind", "spot"))
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(HOUSE, kind, spot)
        north, south = (workshop.site(name, HOUSE, kind, spot, tables=tables) for name in ("north", "south"))
        south.run("insert into house (address) values ('z'), ('b'), ('a')")
        south.push_all(workshop.store)
        north.run(
            "insert into house (address) values ('a'), ('b')",
            "insert into kind values ('x', 'ex'), ('y', 'why')",
            "insert into spot (house_id, name, kind) values (1, 'hall', 'x'), (2, 'hall', 'y'), (2, 'loft', null)",
        )
        north.push_all(workshop.store)
        assert travelled(south.push_all(workshop.store)) == [0, 5, 0]
        south.run("update spot set note = 'new', kind = 'x' where name = 'hall'", "update kind set words = 'ix'")
        south.push_all(workshop.store)
        assert travelled(north.push_all(workshop.store)) == [0, 0, 4]
        assert north.rows(query) == south.rows(query) == workshop.central.rows(query)
        assert [row[2:] for row in north.rows(query)] == [("new", "ix"), ("new", "ix"), (None, None)]
        settle(workshop, north, south)


def test_a_type_that_central_changed_stops_as_before(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        Base.metadata.create_all(workshop.central.engine)
        site = workshop.site("north", tables=BOTH.replace("house", "SensorType"))
        Base.metadata.create_all(site.engine)
        site.insert("SensorType", ["id", "name", "units"], [(1, "Temperature", "C")])
        site.push_all(workshop.store)
        workshop.central.run("""update "SensorType" set units = 'K'""")
        assert travelled(site.push_all(workshop.store)) == [0, 0, 1]
        workshop.central.run("""update "SensorType" set name = 'Pressure'""")
        outcome = site.push(workshop.store)
        stopped = outcome.table("SensorType", "entity").stopped
        assert stopped is not None and stopped.startswith("SensorType must agree on both sides: here id = 1, ")
        assert stopped.endswith("name = 'Temperature'; at central id = 1, name = 'Pressure'")
        assert site.rows("""select name, units from "SensorType" """) == [("Temperature", "K")]
        site.run("""update "SensorType" set name = 'Pressure'""")
        site.push_all(workshop.store)
        settle(workshop, site)


def test_a_column_that_holds_less_here_does_not_change_central(new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = "create table item (id ID, name varchar(20) not null unique, weight REAL64)"
    with Workshop(new_database, tmp_path, "mariadb") as workshop:
        workshop.central.run(ddl, "insert into item (name, weight) values ('a', 0.1)")
        site = workshop.site("north", ddl.replace("REAL64", "float"), tables=BOTH.replace("house", "item"))
        assert travelled(site.push_all(workshop.store)) == [0, 1, 0]
        settle(workshop, site)
        workshop.central.run("update item set weight = 0.3")
        assert travelled(site.push_all(workshop.store)) == [0, 0, 1]
        settle(workshop, site)
        assert workshop.central.rows("select weight from item") == [(0.3,)]


def test_texts_that_are_the_same_to_central_alone(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite", "mariadb") as workshop:
        workshop.central.run(HOUSE)
        workshop.central.run("insert into house (address, colour) values ('long road', 'red')")
        site = workshop.site("north", HOUSE, tables=BOTH)
        site.run("insert into house (address, colour) values ('Long Road', 'red'), ('b', 'red')")
        site.push(workshop.store)
        (reason,) = conflicts(site)
        assert "here address = 'Long Road'; at central address = 'long road'" in reason
        assert sorted(site.rows(COLOURS)) == sorted(workshop.central.rows(COLOURS))
        settle(workshop, site)
        paint(site, "Blue", "long road")
        site.push(workshop.store)
        site.run("update house set colour = 'BLUE' where address = 'long road'")
        assert travelled(site.push(workshop.store)) == [1, 0, 0]
        assert ("long road", "BLUE") in workshop.central.rows(COLOURS)
        settle(workshop, site)


@pytest.mark.parametrize("sides", [("sqlite", "mariadb"), ("mariadb", "postgresql"), ("postgresql", "sqlite")])
def test_what_the_databases_write_otherwise_does_not_go_to_and_fro(
    sides: tuple[str, str], new_database: NewDatabase, tmp_path: Path
) -> None:
    here = """create table item (id ID, name varchar(20) not null unique, price decimal(10, 4), at MOMENT, day date,
        weight REAL64, small real)"""
    coarse = here.replace("10, 4", "10, 2")
    if sides[1] == "mariadb":
        coarse = coarse.replace("MOMENT", "DATETIME").replace("small real", "small float")
    with Workshop(new_database, tmp_path, *sides) as workshop:
        workshop.central.run(coarse)
        north, south = (workshop.site(name, here, tables=BOTH.replace("house", "item")) for name in ("north", "south"))
        north.run(
            """insert into item (name, price, at, day, weight, small) values
            ('a', 1.5, '2026-01-01 10:00:00.250000', '2026-01-01', 0.1, 0.1), ('b', 2.005, null, null, 1e300, 3)"""
        )
        north.push_all(workshop.store)
        assert travelled(south.push_all(workshop.store)) == [0, 2, 0]
        settle(workshop, north, south, north)
        for value in ("3.10", "2.7182"):
            south.run(f"update item set price = {value}, weight = weight / 3, small = small / 3, at = null")
            south.push_all(workshop.store)
            assert travelled(north.push_all(workshop.store)) == [0, 0, 2]
            settle(workshop, north, south, north)
        assert conflicts(north) == conflicts(south) == []


def test_a_change_that_does_not_fit_here_is_told_and_tried_again(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(HOUSE)
        site = workshop.site("north", HOUSE.replace("colour varchar(20)", "colour varchar(20) check (colour <> 'no')"))
        site.config.write_text(site.config.read_text() + BOTH)
        site.run("insert into house (address, colour) values ('a', 'red'), ('b', 'red')")
        site.push_all(workshop.store)
        paint(workshop.central, "no")
        paint(workshop.central, "blue", "b")
        outcome = site.push_all(workshop.store)
        assert travelled(outcome) == [0, 0, 1]
        (note,) = notes(outcome)
        assert note.startswith("a row of central does not fit here: ")
        assert notes(site.push_all(workshop.store)) == [note]
        assert workshop.central.rows(COLOURS) == [("a", "no"), ("b", "blue")]
        paint(workshop.central, "yes")
        assert travelled(site.push_all(workshop.store)) == [0, 0, 1]
        settle(workshop, site)


def test_a_change_that_central_refuses_waits_with_its_conflict(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(HOUSE.replace("floors int", "floors int check (floors < 9)"))
        site = workshop.site("north", HOUSE, tables=BOTH)
        site.run("insert into house (address, colour) values ('a', 'red')")
        site.push_all(workshop.store)
        paint(workshop.central, "blue")
        site.run("update house set floors = 10")
        for _ in range(2):
            site.push(workshop.store)
        assert workshop.central.rows("select colour, floors from house") == [("blue", None)]
        site.run("update house set floors = 8")
        site.push(workshop.store)
        assert workshop.central.rows("select colour, floors from house") == [("red", 8)]
        (reason,) = conflicts(site)
        assert "at central address = 'a', colour = 'blue', floors = None" in reason
        settle(workshop, site)


def test_the_command_line_shows_the_conflict_and_releases_it(new_database: NewDatabase, tmp_path: Path) -> None:
    here, there = new_database("sqlite"), new_database("sqlite")
    tables = "\n" + "\n".join(BOTH.replace("house", name) for name in ("RoomType", "Deployment"))
    with CentralService(there) as service, opened(here) as near, opened(there) as far:
        Base.metadata.create_all(near)
        site, central = Database(near), Database(far)
        config = write_config(tmp_path, "north", here, service.resturl, service.token("north"), extra=tables)
        site.run("""insert into "RoomType" (name) values ('Wet')""")
        assert push(config).exit_code == 0
        central.run("""update "RoomType" set name = 'Damp'""")
        assert push(config).exit_code == 0
        assert site.rows("""select name from "RoomType" """) == [("Damp",)]
        for database, word in ((site, "here"), (central, "there")):
            database.run(f"""insert into "Deployment" (name, description) values ('x', '{word}')""")
        assert push(config).exit_code == 1
        shown = pusher("--config", config, "held", "list", "--kind", "conflict", "--json").stdout
        assert "'here'" in shown and "'there'" in shown
        assert push(config).exit_code == 1
        assert pusher("--config", config, "held", "release", "1", "--yes").returncode == 0
        assert push(config).exit_code == 0
