"""Which row of central stands for which row of a site, and whose word counts, over time and between sites."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from models import Base, House, Reading, RoomType, SensorType
from pusher.central.migrate import upgrade
from pusher.central.sites import lock
from pusher.central.store import Store
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from pusher.wire import PROTOCOL
from pusher.wire.batch import Batch, pack
from pusher.wire.fingerprint import fingerprint
from pusher.wire.messages import Receipt, Resolve, Resolved
from pusher.wire.tables import Kind, RowSet
from tests.conftest import NewDatabase
from tests.inprocess import Site, Workshop, notes
from tests.stage import contents

_HOUSE = """create table house (id ID, address varchar(40) not null unique, colour varchar(8), "endDate" MOMENT)"""
_ROOM = """create table room (id ID, house_id int not null, name varchar(20) not null, unique (house_id, name),
    foreign key (house_id) references house (id))"""
_READING = """create table reading (room_id int not null, time MOMENT not null, value int, primary key (room_id, time),
    foreign key (room_id) references room (id))"""
_LETTER = "create table letter (id ID, words varchar(40) not null)"
_ENVELOPE = """create table envelope (id ID, label varchar(20) not null unique, letter_id int,
    foreign key (letter_id) references letter (id))"""


# --- two sites


def test_the_row_of_another_site_is_not_overwritten(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(_HOUSE, _ROOM)
        north, south = (workshop.site(name, _HOUSE, _ROOM) for name in ("north", "south"))
        north.run("insert into house (address, colour) values ('1 Long Road', 'red'), ('2 Long Road', 'blue')")
        south.run(
            "insert into house (address, colour) values ('2 Long Road', 'blue'), ('1 Long Road', 'green')",
            "insert into room (house_id, name) values (2, 'hall')",
        )
        assert notes(north.push_all(workshop.store)) == []
        words = (
            "house is left as site north has it: here address = '1 Long Road', colour = 'green'; "
            "at central address = '1 Long Road', colour = 'red'"
        )
        outcome = south.push(workshop.store)
        assert (outcome.exit_code, notes(outcome)) == (1, [words])
        assert south.held() == {"house": [("[2]", words)]}
        query = "select address, colour from house order by 1"
        assert workshop.central.rows(query) == north.rows(query)
        assert workshop.central.rows("select r.name, h.address from room r join house h on h.id = r.house_id") == [
            ("hall", "1 Long Road")
        ]
        # The owner may change it, and what another site said does not come back.
        north.run("update house set colour = 'white' where address = '1 Long Road'")
        north.push_all(workshop.store)
        south.run("insert into room (house_id, name) values (2, 'loft')")
        assert notes(south.push(workshop.store)) == []
        assert workshop.central.rows(query) == north.rows(query)


def test_types_that_differ_stop_what_refers_to_them_and_nothing_else(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        Base.metadata.create_all(workshop.central.engine)
        site = workshop.site("north")
        Base.metadata.create_all(site.engine)
        Datagen(seed=1).bulk(site.engine, 500)
        workshop.central.run("""insert into "SensorType" (id, name) values (0, 'Pressure')""")
        outcome = site.push(workshop.store)
        assert (outcome.error, outcome.exit_code) == (None, 1)
        stopped = {entry.table: entry.stopped for entry in outcome.tables if entry.stopped}
        assert set(stopped) == {"SensorType", "Sensor", "Reading"}
        assert stopped["Reading"] == "it refers to SensorType, which is stopped"
        words = stopped["SensorType"]
        assert words is not None and words.startswith("SensorType must agree on both sides: here id = 0, ")
        here, _, there = words.partition("; at central id = 0, ")
        assert "name = 'Temperature'" in here and "name = 'Pressure'" in there
        for table in ("House", "Room", "Location", "Node", "NodeState"):
            assert workshop.central.rows(f'select count(*) from "{table}"') == site.rows(
                f'select count(*) from "{table}"'
            )
        assert workshop.central.rows('select count(*) from "Reading"') == [(0,)]
        workshop.central.run("""update "SensorType" set name = 'Temperature' where id = 0""")
        site.push_all(workshop.store)
        assert workshop.central.rows('select count(*) from "Reading"') == [(500,)]


def _resolve_types(store: Store, site: str, names: list[str], barrier: threading.Barrier) -> Resolved:
    rows = RowSet(names=("name",), columns=[names])
    request = Resolve(
        protocol=PROTOCOL,
        site=site,
        table="RoomType",
        key=("name",),
        agree=(),
        local_keys=[(number,) for number in range(1, len(names) + 1)],
        rows=pack((Kind.TEXT,), rows),
    )
    barrier.wait()
    return store.resolve(request)


def test_two_sites_that_bring_the_same_rows_at_the_same_moment_get_the_same_ones(
    dialect: str, new_database: NewDatabase
) -> None:
    url = new_database(dialect)
    with opened(url) as engine, ThreadPoolExecutor(4) as threads:
        upgrade(engine)
        store = Store(engine)
        store.schema()
        for attempt in range(4):
            barrier = threading.Barrier(4)
            names = [[f"{attempt} {i}" for i in range(5)][:: 1 if site % 2 else -1] for site in range(4)]
            answers = list(
                threads.map(
                    lambda site: _resolve_types(store, f"site {site}", names[site], barrier),  # noqa: B023
                    range(4),
                )
            )
            given = {frozenset(zip(names[site], answers[site].keys, strict=True)) for site in range(4)}
            assert len(given) == 1
            assert sum(answer.created for answer in answers) == 5
            assert [answer.refused for answer in answers] == [[]] * 4
        with engine.connect() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(RoomType)) == 20


def test_two_sites_that_push_the_same_rows_at_the_same_moment(dialect: str, new_database: NewDatabase) -> None:
    """Of a stream whose key central does not keep unique, so that looking comes before adding."""
    with opened(new_database(dialect)) as engine, ThreadPoolExecutor(2) as threads:
        upgrade(engine, only_bookkeeping=True)
        words = "id integer primary key" if dialect == "sqlite" else "id serial primary key"
        with engine.begin() as connection:
            connection.exec_driver_sql(f"create table event ({words}, code int not null)")
        store = Store(engine)
        column = (store.schema().table("event").column("code"),)
        barrier = threading.Barrier(2)

        def push(site: str, sequence: int) -> Receipt:
            rows = RowSet(names=("code",), columns=[list(range(100 * sequence, 100 * sequence + 50))])
            batch = Batch(
                protocol=PROTOCOL,
                site=site,
                epoch="1",
                table="event",
                sequence=sequence,
                key=("code",),
                origin=None,
                first=(sequence,),
                last=(sequence,),
                fingerprint=fingerprint(column, rows),
                rows=pack((Kind.INTEGER,), rows),
            )
            barrier.wait()
            return store.push(batch)

        for sequence in range(1, 6):
            receipts = list(threads.map(push, ("north", "south"), (sequence, sequence)))
            assert [(receipt.stored, receipt.refused) for receipt in receipts] == [(50, [])] * 2
        with engine.connect() as connection:
            assert connection.exec_driver_sql("select count(*) from event").scalar() == 250


# --- over time


def test_what_changes_arrives_and_what_does_not_is_not_sent(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(_HOUSE, _ROOM, _LETTER, _ENVELOPE)
        site = workshop.site("north", _HOUSE, _ROOM, _LETTER, _ENVELOPE)
        site.run(
            "insert into house (address, colour) values ('a', 'red'), ('b', 'red'), ('c', 'red')",
            "insert into room (house_id, name) values (1, 'hall'), (1, 'loft'), (2, 'hall')",
            "insert into letter (words) values ('x'), ('y')",
            "insert into envelope (label, letter_id) values ('e', 1), ('f', null)",
        )
        site.push_all(workshop.store)
        assert site.push_all(workshop.store).sent == 0
        site.run(
            "update house set colour = null where address = 'b'",
            "update letter set words = 'z' where id = 2",
            "update envelope set letter_id = 2",
            "insert into house (address) values ('d')",
        )
        outcome = site.push_all(workshop.store)
        assert {entry.table: (entry.sent, entry.created, entry.updated) for entry in outcome.tables} == {
            "house": (2, 1, 1),
            "letter": (1, 0, 1),
            "envelope": (2, 0, 2),
            "room": (0, 0, 0),
        }
        for query in (
            "select address, colour from house order by 1",
            "select e.label, l.words from envelope e join letter l on l.id = e.letter_id order by 1",
        ):
            assert workshop.central.rows(query) == site.rows(query)


def test_another_natural_key_is_another_row_and_its_children_follow(new_database: NewDatabase, tmp_path: Path) -> None:
    """A site whose box moved house numbers from 1 again; its past must not move along."""
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(_HOUSE, _ROOM, _READING)
        site = workshop.site("north", _HOUSE, _ROOM, _READING)
        site.run(
            "insert into house (address) values ('old')",
            "insert into room (house_id, name) values (1, 'hall')",
            "insert into reading values (1, '2026-01-01 00:00:00', 1)",
        )
        site.push_all(workshop.store)
        site.run("update house set address = 'new'", "insert into reading values (1, '2026-01-02 00:00:00', 2)")
        site.push_all(workshop.store)
        query = """select x.value, r.name, h.address from reading x join room r on r.id = x.room_id
            join house h on h.id = r.house_id order by 1"""
        assert workshop.central.rows(query) == [(1, "hall", "old"), (2, "hall", "new")]


def test_a_refused_change_is_held_and_sent_again_until_it_is_taken(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        check = "check (colour <> 'black')"
        central = _HOUSE.replace("varchar(8)", f"varchar(8) {check}")
        workshop.central.run(central, _LETTER.replace("not null", "not null check (words <> 'no')"))
        site = workshop.site("north", _HOUSE, _LETTER)
        site.run("insert into house (address, colour) values ('a', 'red')", "insert into letter (words) values ('yes')")
        site.push_all(workshop.store)
        site.run("update house set colour = 'black'", "update letter set words = 'no'")
        for _ in range(2):
            outcome = site.push(workshop.store)
            assert {entry.table: entry.held for entry in outcome.tables} == {"house": 1, "letter": 1}
        assert set(site.held()) == {"house", "letter"}
        assert workshop.central.rows("select colour from house") == [("red",)]
        site.run("update house set colour = 'white'", "update letter set words = 'maybe'")
        site.push_all(workshop.store)
        assert workshop.central.rows("select h.colour, l.words from house h, letter l") == [("white", "maybe")]


def test_a_row_deleted_at_central_comes_again_and_no_number_is_given_twice(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(_LETTER, _ENVELOPE)
        north, south = (workshop.site(name, _LETTER, _ENVELOPE) for name in ("north", "south"))
        north.run(
            "insert into letter (words) values ('north 1'), ('north 2')",
            "insert into envelope (label, letter_id) values ('a', 1)",
        )
        north.push_all(workshop.store)
        workshop.central.run("delete from letter where words = 'north 2'")
        south.run("insert into letter (words) values ('south 1')")
        south.push_all(workshop.store)
        # North still knows its second letter by the number that it had.
        north.run("insert into envelope (label, letter_id) values ('b', 2)")
        north.push(workshop.store)
        query = "select e.label, l.words from envelope e join letter l on l.id = e.letter_id order by 1"
        assert workshop.central.rows(query) == [("a", "north 1")]
        north.run("update letter set words = 'north 2 again' where id = 2")
        north.push_all(workshop.store)
        assert workshop.central.rows(query) == [("a", "north 1"), ("b", "north 2 again")]
        assert sorted(workshop.central.rows("select words from letter")) == [
            ("north 1",),
            ("north 2 again",),
            ("south 1",),
        ]


def test_what_ended_before_lastupdate_goes_only_when_something_refers_to_it(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(_HOUSE, _ROOM, _READING)
        site = workshop.site("north", _HOUSE, _ROOM, _READING)
        site.run(
            """insert into house (address, "endDate") values ('long ended', '2025-01-01 00:00:00'),
                ('ended', '2025-01-01 00:00:00'), ('ends today', '2026-01-01 00:00:00'), ('lives on', null)""",
            "insert into room (house_id, name) values (1, 'hall'), (2, 'hall'), (3, 'hall'), (4, 'hall'), (2, 'attic')",
            "insert into reading values (1, '2025-06-01 00:00:00', 1), (2, '2026-06-01 00:00:00', 2)",
        )
        site.set_lastupdate("2026-01-01")
        outcome = site.push_all(workshop.store)
        query = "select h.address, r.name from house h left join room r on r.house_id = h.id order by 1, 2"
        assert workshop.central.rows(query) == [("ended", "hall"), ("ends today", "hall"), ("lives on", "hall")]
        assert workshop.central.rows("select value from reading") == [(2,)]
        assert "2 rows ended before 2026-01-01" in " ".join(outcome.table("house", "entity").notes)
        # What central knows is kept up also when it has ended.
        site.run("""update house set colour = 'grey' where address = 'ended'""")
        site.push_all(workshop.store)
        assert workshop.central.rows("select address from house where colour = 'grey'") == [("ended",)]
        site.set_lastupdate(None)
        site.push_all(workshop.store)
        assert workshop.central.rows(query) == site.rows(query)


# --- central restored, or another


@pytest.mark.parametrize("edited", [None, "2026-01-01"])
def test_central_restored_from_a_backup_gets_everything_again(
    edited: str | None, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(_HOUSE, _ROOM, _READING, _LETTER)
        north, south = (workshop.site(name, _HOUSE, _ROOM, _READING, _LETTER) for name in ("north", "south"))
        for name, site in (("north", north), ("south", south)):
            site.run(
                f"insert into house (address) values ('{name} 1')",
                "insert into room (house_id, name) values (1, 'hall')",
                f"insert into letter (words) values ('{name}')",
                "insert into reading values (1, '2026-01-01 00:00:00', 1)",
            )
        north.push_all(workshop.store)
        _copy(workshop, tmp_path / "backup", back=False)
        north.run(
            """insert into house (address, "endDate") values ('north 2', '2020-01-01 00:00:00')""",
            "insert into room (house_id, name) values (2, 'loft')",
            "insert into letter (words) values ('later')",
            "insert into reading values (1, '2026-01-02 00:00:00', 2)",
            "insert into reading values (2, '2026-01-02 00:00:00', 2)",
        )
        north.push_all(workshop.store)
        _copy(workshop, tmp_path / "backup", back=True)
        if edited:
            north.set_lastupdate(edited)
        south.push_all(workshop.store)  # which gets the numbers that north's rows had
        outcome = north.push_all(workshop.store)
        assert "central does not have all that it acknowledged; it gets the rest again" in outcome.notes
        query = """select x.time, x.value, r.name, h.address from reading x join room r on r.id = x.room_id
            join house h on h.id = r.house_id"""
        expected = {(row[0][:19], *row[1:]) for site in (north, south) for row in site.rows(query)}
        assert {(row[0][:19], *row[1:]) for row in workshop.central.rows(query)} == expected
        assert len(workshop.central.rows(query)) == len(expected)
        assert sorted(workshop.central.rows("select words from letter")) == [("later",), ("north",), ("south",)]


def test_a_backup_that_lacks_only_entities_is_noticed_as_well(new_database: NewDatabase, tmp_path: Path) -> None:
    """No stream went in between, so no checkpoint tells; and the numbers that were lost go to another site."""
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(_HOUSE, _ROOM, _READING)
        north, south = (workshop.site(name, _HOUSE, _ROOM, _READING) for name in ("north", "south"))
        for name, site in (("north", north), ("south", south)):
            site.run(f"insert into house (address) values ('{name} 1')")
        north.push_all(workshop.store)
        _copy(workshop, tmp_path / "backup", back=False)
        north.run("insert into house (address) values ('north 2')")
        north.push_all(workshop.store)
        _copy(workshop, tmp_path / "backup", back=True)
        south.push_all(workshop.store)
        north.run(
            "insert into room (house_id, name) values (2, 'hall')", "insert into house (address) values ('later')"
        )
        assert north.push_all(workshop.store).notes == [
            "central does not have all that it acknowledged; it gets the rest again"
        ]
        assert workshop.central.rows("select h.address from room r join house h on h.id = r.house_id") == [("north 2",)]
        assert north.push_all(workshop.store).notes == []


def _copy(workshop: Workshop, backup: Path, *, back: bool) -> None:
    workshop.central.run("pragma wal_checkpoint(truncate)") if not back else None
    database = Path(str(workshop.central.engine.url.database))
    workshop.central.engine.dispose()
    shutil.copy(backup, database) if back else shutil.copy(database, backup)
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def test_another_central_gets_everything_from_the_beginning(new_database: NewDatabase, tmp_path: Path) -> None:
    site: Site
    with Workshop(new_database, tmp_path, "sqlite") as first, Workshop(new_database, tmp_path, "sqlite") as second:
        for workshop in (first, second):
            Base.metadata.create_all(workshop.central.engine)
        second.central.run("""insert into "House" (id, address) values (1, 'of another site')""")
        site = first.site("north")
        Base.metadata.create_all(site.engine)
        Datagen(seed=1).bulk(site.engine, 300)
        site.push_all(first.store)
        assert site.push_all(second.store).notes == ["central is another database than before"]
        with second.central.engine.connect() as connection:
            query = sa.select(House.address, sa.func.count()).select_from(Reading).group_by(House.address)
            query = query.join(SensorType, SensorType.id == Reading.typeId)
            assert connection.scalar(sa.select(sa.func.count()).select_from(Reading)) == 300
        there = contents(str(second.central.engine.url))
        here = contents(str(site.engine.url))
        assert there["Reading"] == here["Reading"]
        assert there["Location"] == here["Location"]


@pytest.mark.parametrize("dialect", ["mariadb", "postgresql"], indirect=True)
def test_what_brings_nothing_new_waits_for_no_lock(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    """Most of what a site brings at first, central has of others."""
    with Workshop(new_database, tmp_path, dialect) as workshop, ThreadPoolExecutor(1) as other:
        workshop.central.run(_HOUSE)
        north, south = (workshop.site(name, _HOUSE) for name in ("north", "south"))
        for site in (north, south):
            site.run("insert into house (address, colour) values ('1 Long Road', 'red')")
        north.push_all(workshop.store)
        with workshop.central.engine.begin() as connection:
            lock(connection, "house")
            assert other.submit(south.push_all, workshop.store).result(20).table("house", "entity").stored == 1
            south.run("insert into house (address, colour) values ('2 Long Road', 'blue')")
            pushed = other.submit(south.push_all, workshop.store)
            with pytest.raises(TimeoutError):
                pushed.result(0.5)
        assert pushed.result(20).table("house", "entity").created == 1
        assert workshop.central.rows("select count(*) from house") == [(2,)]
