"""Rows of CSV files in the tables of each database: what lands, what is refused and in which words."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from pusher.datacenter.processing import Done, Field, Mode, Refused, RowProcessor, RowRefused
from pusher.datacenter.table import open_processor, table_processor
from pusher.datacenter.template import template
from pusher.errors import ConfigError, UsageError
from pusher.schema.reflect import reflect
from tests.import_tables import (
    Office,
    Offices,
    deployments,
    folders,
    houses,
    locations,
    nodes,
    notes,
    people,
    rooms,
    told,
)
from tests.servers import DatabaseServer

CREATE, UPDATE, REMOVE, UPSERT = Mode.CREATE, Mode.UPDATE, Mode.REMOVE, Mode.UPSERT


@pytest.fixture(scope="module")
def offices(servers: Callable[[str], DatabaseServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offices]:
    made = Offices(servers, tmp_path_factory.mktemp("offices"))
    yield made
    made.close()


@pytest.fixture
def office(offices: Offices, dialect: str) -> Office:
    return offices.pair(dialect)[0]


@pytest.fixture
def lite(offices: Offices) -> Office:
    """On SQLite alone: what does not depend on the database."""
    return offices.pair("sqlite")[0]


# --- what lands


def test_new_rows_land_with_their_parents_and_what_they_do_not_say_is_the_default(office: Office) -> None:
    rows = [
        ("Home", "north", "2026-01-31 23:59", "12.50", "3"),
        ("Away", "XXX", "XXX", "", ""),
        ("Alone", "", "2026-01-31", "XXX", ""),
    ]
    assert office.run("House", CREATE, "address Deployment.name opened price rooms", *rows) == ["created"] * 3
    (north, _) = office.rows(deployments, "id")[0], None
    assert office.rows(houses, "address", "deploymentId", "opened", "price", "rooms") == [
        ("Alone", None, dt.datetime(2026, 1, 31), None, 1),
        ("Away", None, None, None, 1),
        ("Home", north[0], dt.datetime(2026, 1, 31, 23, 59), Decimal("12.50"), 3),
    ]


def test_an_update_leaves_alone_what_it_does_not_say(office: Office) -> None:
    office.add(houses, {"address": "Home", "code": "H", "rooms": 3, "price": 1}, {"address": "Away", "rooms": 4})
    rows = [("Home", "", "XXX", ""), ("Away", "5", "", "A"), ("Away", "", "2.5", ""), ("Home", "", "", "")]
    assert office.run("House", UPDATE, "address rooms price code", *rows) == ["updated"] * 4
    assert office.rows(houses, "address", "rooms", "price", "code") == [
        ("Away", 5, Decimal("2.50"), "A"),
        ("Home", 3, None, "H"),
    ]


def test_an_update_of_nothing_but_what_finds_the_row_changes_nothing(office: Office) -> None:
    office.add(houses, {"address": "Home", "rooms": 3})
    assert office.run("House", UPDATE, "address", ("Home",)) == ["updated"]
    assert office.rows(houses, "address", "rooms") == [("Home", 3)]


def test_a_row_that_goes_is_told_whole(office: Office) -> None:
    office.add(houses, {"address": "Home", "rooms": 3, "opened": dt.datetime(2026, 1, 31), "price": 2})
    processor = office.processor("House")
    with office.engine.begin() as connection:
        (done,) = processor.apply(connection, REMOVE, ("address", "rooms"), [("Home", "not read")])
    assert isinstance(done, Done)
    assert done.removed.keys() == set(houses.c.keys())
    told = {name: done.removed[name] for name in ("address", "deploymentId", "code", "rooms", "opened")}
    assert told == {
        "address": "Home",
        "deploymentId": "XXX",
        "code": "XXX",
        "rooms": "3",
        "opened": "2026-01-31T00:00:00",
    }
    assert office.rows(houses, "address") == []


def test_an_upsert_creates_what_is_not_there_and_updates_what_is(office: Office) -> None:
    office.add(houses, {"address": "Home", "rooms": 3})
    rows = [("Away", "1"), ("Home", "4"), ("Away", "2")]
    assert office.run("House", UPSERT, "address rooms", *rows) == ["created", "updated", "updated"]
    assert office.rows(houses, "address", "rooms") == [("Away", 2), ("Home", 4)]


def test_a_row_is_found_by_its_parents_and_these_by_theirs(office: Office) -> None:
    office.add(houses, {"address": "Home"}, {"address": "Away"})
    office.add(rooms, {"name": "Kitchen"}, {"name": "Attic"})
    places = [("Home", "Kitchen", "0"), ("Away", "Kitchen", "1"), ("Home", "Attic", "2")]
    assert office.run("Location", CREATE, "House.address Room.name floor", *places) == ["created"] * 3
    assert office.run("Location", UPDATE, "House.address Room.name floor", ("Away", "Kitchen", "7")) == ["updated"]
    names = "id Location.House.address Location.Room.name note"
    devices = [("11", "Home", "Attic", "up"), ("12", "Away", "Kitchen", ""), ("13", "", "", "lost")]
    assert office.run("Node", CREATE, names, *devices) == ["created"] * 3
    where = dict(office.rows(locations, "id", "floor"))
    found = [(number, where.get(place), note) for number, place, note in office.rows(nodes, "id", "locationId", "note")]
    assert found == [(11, 2, "up"), (12, 7, None), (13, None, "lost")]


@pytest.mark.parametrize("field", ["Deployment.name", "deploymentId.name"])
def test_a_parent_goes_by_its_table_and_by_its_column(lite: Office, field: str) -> None:
    assert lite.run("House", CREATE, f"address {field}", ("Home", "south")) == ["created"]
    (south,) = [number for number, name in lite.rows(deployments, "id", "name") if name == "south"]
    assert lite.rows(houses, "deploymentId") == [(south,)]


def test_a_parent_goes_by_its_number_as_well(lite: Office) -> None:
    (south,) = [number for number, name in lite.rows(deployments, "id", "name") if name == "south"]
    rows = [("Home", str(south), ""), ("Away", "", "south"), ("Both", str(south), "south"), ("None", "77", "")]
    assert lite.run("House", CREATE, "address deploymentId Deployment.name", *rows) == [
        "created",
        "created",
        "Deployment.name and deploymentId are both given; give one, and leave the other empty",
        "there is no Deployment with id = '77'; import it first, or correct deploymentId",
    ]
    assert lite.rows(houses, "address", "deploymentId") == [("Away", south), ("Home", south)]


def test_two_foreign_keys_to_one_table_go_by_their_columns(lite: Office) -> None:
    names = [field.name for field in lite.processor("Person").fields(CREATE) if not field.spare]
    assert names == ["name", "Person.name", "firstId.name", "secondId.name"]
    assert lite.run("Person", CREATE, "name firstId.name secondId.name", ("Ann", "north", "south")) == ["created"]


def test_a_parent_in_the_same_table_may_be_created_just_before(office: Office) -> None:
    rows = [("Ann", ""), ("Bob", "Ann"), ("Cid", "Bob"), ("Eve", "Dan"), ("Dan", "Ann"), ("Ann", "Dan")]
    assert office.run("Person", CREATE, "name Person.name", *rows) == [
        "created",
        "created",
        "created",
        "there is no Person with name = 'Dan'; import it first, or correct Person.name",
        "created",
        "there is a Person with name = 'Ann' already; leave the row out, or import it with mode update",
    ]
    names = dict(office.rows(people, "id", "name"))
    assert [(name, names.get(boss)) for name, boss in office.rows(people, "name", "bossId")] == [
        ("Ann", None),
        ("Bob", "Ann"),
        ("Cid", "Bob"),
        ("Dan", "Ann"),
    ]


def test_where_keys_turn_in_a_circle_a_parent_goes_by_its_number(office: Office) -> None:
    assert [field.name for field in office.processor("Folder").fields(CREATE) if not field.spare] == [
        "Folder.parentId",
        "Folder.name",
        "name",
    ]
    assert office.run("Folder", CREATE, "name", ("top",)) == ["created"]
    ((top,),) = office.rows(folders, "id")
    rows = [(str(top), "in"), ("99", "nowhere")]
    results = office.run("Folder", CREATE, "parentId name", *rows)
    assert results == ["created", "there is no Folder with id = '99'; import it first, or correct parentId"]
    assert office.rows(folders, "name", "parentId")[0] == ("in", top)


def test_a_table_without_any_but_its_number_goes_by_that(office: Office) -> None:
    assert office.run("Note", CREATE, "words", ("first",), ("first",)) == ["created", "created"]
    numbers = [number for (number,) in office.rows(notes, "id")]
    assert office.run("Note", UPDATE, "id words", (str(numbers[1]), "second")) == ["updated"]
    assert office.rows(notes, "words") == [("first",), ("second",)]


def test_numbers_that_a_file_brings_are_not_given_to_others(office: Office) -> None:
    assert office.run("Note", CREATE, "id words", ("1", "mine"), ("", "its own"), ("7", "mine")) == ["created"] * 3
    office.add(notes, {"words": "by the application"}, {"words": "again"})
    assert len(set(office.rows(notes, "id"))) == 5


def test_the_columns_that_tell_rows_apart_may_be_configured(lite: Office) -> None:
    processor = lite.processor("Note", keys={"note": ("WORDS",)})
    with lite.engine.begin() as connection:
        results = processor.apply(connection, CREATE, ("words",), [("a",), ("b",), ("a",)])
    assert told(results)[:2] == ["created", "created"] and told(results)[2].startswith(
        "there is a Note with words = 'a'"
    )
    with pytest.raises(ConfigError, match=r'\[table Note\] key: there is no column wrds; did you mean "words"\?'):
        lite.processor("Note", keys={"Note": ("wrds",)})


# --- what is refused

_REFUSED: list[tuple[str, Mode, str, tuple[str, ...], str]] = [
    ("House", CREATE, "address", ("",), "address is empty; a new House needs it, fill it in"),
    ("House", CREATE, "rooms", ("1",), "address is not given; a new House needs it, fill it in"),
    ("House", CREATE, "address", ("XXX",), "address is XXX, and cannot be NULL; write a value"),
    ("House", CREATE, "address rooms", ("New", "XXX"), "rooms is XXX, and cannot be NULL; write a value"),
    ("House", UPDATE, "address rooms", ("Home", "XXX"), "rooms is XXX, and cannot be NULL; write a value"),
    ("House", CREATE, "address", ("x" * 41,), "address: 41 characters do not fit into VARCHAR(40); shorten it"),
    (
        "House",
        CREATE,
        "address",
        ("Home",),
        "there is a House with address = 'Home' already; leave the row out, or import it with mode update",
    ),
    (
        "House",
        UPDATE,
        "address",
        ("Hom",),
        "there is no House with address = 'Hom'; correct address, or import the row with mode create",
    ),
    (
        "House",
        REMOVE,
        "address",
        ("Hom",),
        "there is no House with address = 'Hom'; correct address, or leave the row out",
    ),
    ("House", UPDATE, "address", ("",), "address is empty, but the row is found by it; fill it in"),
    ("House", REMOVE, "address", ("XXX",), "address is XXX, but the row is found by it; fill it in"),
    ("House", UPSERT, "rooms", ("1",), "address is not given; a new House needs it, fill it in"),
    ("House", UPDATE, "rooms", ("1",), "address is not given, but the row is found by it; fill it in"),
    (
        "House",
        CREATE,
        "address Deployment.name",
        ("New", "west"),
        "there is no Deployment with name = 'west'; import it first, or correct Deployment.name",
    ),
    (
        "House",
        CREATE,
        "address code",
        ("New", "H"),
        "there is another House with code = 'H'; choose another code",
    ),
    (
        "House",
        UPDATE,
        "address code",
        ("Away", "H"),
        "there is another House with code = 'H'; choose another code",
    ),
    ("House", CREATE, "address rooms", ("New", "a few"), "rooms: 'a few' is no whole number; write one such as 42"),
    (
        "House",
        CREATE,
        "address opened",
        ("New", "2026-02-30"),
        "opened: '2026-02-30': there is no such day; correct it",
    ),
    (
        "House",
        UPDATE,
        "address id",
        ("Home", "77"),
        "id is for good, and cannot be changed; leave it empty",
    ),
    (
        "House",
        REMOVE,
        "address",
        ("Home",),
        "1 row refers to it in Location; remove that first, or leave the row out",
    ),
    (
        "Location",
        CREATE,
        "House.address Room.name",
        ("Home", ""),
        "Room.name is empty; a new Location needs it, fill it in",
    ),
    (
        "Location",
        CREATE,
        "House.address Room.name",
        ("Home", "Kitchen"),
        "there is a Location with House.address = 'Home' and Room.name = 'Kitchen' already; "
        "leave the row out, or import it with mode update",
    ),
    (
        "Node",
        CREATE,
        "id Location.House.address Location.Room.name",
        ("1", "Home", ""),
        "Location.Room.name is empty, but it takes Location.House.address and Location.Room.name to find a Location; "
        "give all of them, or none",
    ),
    (
        "Node",
        CREATE,
        "id Location.House.address",
        ("1", "Home"),
        "Location.Room.name is not given, but it takes Location.House.address and Location.Room.name to find a "
        "Location; give all of them, or none",
    ),
    (
        "Node",
        CREATE,
        "id Location.House.address Location.Room.name",
        ("1", "Away", "Kitchen"),
        "there is no Location with House.address = 'Away' and Room.name = 'Kitchen'; import it first, or correct "
        "Location.House.address or Location.Room.name",
    ),
    (
        "Node",
        CREATE,
        "id Location.House.address Location.Room.name",
        ("1", "Nowhere", "Kitchen"),
        "there is no House with address = 'Nowhere'; import it first, or correct Location.House.address",
    ),
    ("Node", CREATE, "id", ("",), "id is empty; a new Node needs it, fill it in"),
    (
        "Loose",
        UPDATE,
        "a b",
        ("1", "x"),
        "Loose has no key by which a row is found; import the row with mode create",
    ),
]  # fmt: skip


def test_each_refusal_says_what_is_wrong_and_how_to_mend_it(office: Office) -> None:
    office.add(houses, {"address": "Home", "code": "H"}, {"address": "Away"})
    office.add(rooms, {"name": "Kitchen"})
    assert office.run("Location", CREATE, "House.address Room.name", ("Home", "Kitchen")) == ["created"]
    for table, mode, names, row, reason in _REFUSED:
        assert office.run(table, mode, names, row) == [reason], (table, mode, names)


def test_a_number_beyond_its_column_is_refused(office: Office, dialect: str) -> None:
    (told_,) = office.run("House", CREATE, "address rooms", ("New", "70000"))
    if dialect == "sqlite":  # which would take it, were it not for the check
        assert told_.startswith("the database refuses it: CHECK constraint failed: not_too_many")
    else:
        assert told_.startswith("rooms: 70000 does not fit into SMALLINT") and told_.endswith(
            "; write a smaller number"
        )


def test_what_only_the_database_knows_is_told_in_its_words(office: Office) -> None:
    (told_,) = office.run("House", CREATE, "address rooms", ("New", "1000"))
    assert told_.startswith("the database refuses it: ") and "not_too_many" in told_
    assert told_.endswith("; correct the row") and "\n" not in told_


def test_a_key_that_several_rows_have_finds_none(lite: Office) -> None:
    lite.add(notes, {"words": "a"}, {"words": "a"})
    processor = lite.processor("Note", keys={"Note": ("words",)})
    with lite.engine.begin() as connection:
        results = processor.apply(connection, REMOVE, ("words",), [("a",)])
    assert told(results) == ["2 rows of Note have words = 'a'; see to it that only one has"]


def test_texts_that_only_the_database_takes_for_the_same_find_no_row(office: Office, dialect: str) -> None:
    """MariaDB ignores case, accents and spaces at the end."""
    office.add(houses, {"address": "Home"})
    assert office.run("House", UPDATE, "address rooms", ("home", "5"), ("Home ", "5")) == [
        f"there is no House with address = '{text}'; correct address, or import the row with mode create"
        for text in ("home", "Home ")
    ]
    assert office.run("House", CREATE, "address Deployment.name", ("New", "North")) == [
        "there is no Deployment with name = 'North'; import it first, or correct Deployment.name"
    ]
    again = office.run("House", CREATE, "address", ("HOME",))
    assert again == (
        ["there is another House with address = 'HOME'; choose another address"]
        if dialect == "mariadb"
        else ["created"]
    )


def test_a_refused_row_leaves_the_others_as_they_are(office: Office) -> None:
    rows = [(f"House {number}", "1001" if number % 7 == 3 else "2") for number in range(50)]
    results = office.run("House", CREATE, "address rooms", *rows)
    assert [row[0] for row, result in zip(rows, results, strict=True) if result != "created"] == [
        f"House {number}" for number in range(3, 50, 7)
    ]
    assert len(office.rows(houses, "address")) == 43


def test_rows_land_in_the_transaction_of_the_caller(office: Office) -> None:
    with office.engine.connect() as connection:
        results = office.run("House", CREATE, "address rooms", ("Home", "1"), ("Bad", "1001"), connection=connection)
        assert results[0] == "created" and results[1] != "created"
        connection.rollback()
    assert office.rows(houses, "address") == []


def test_no_rows_are_no_trouble(office: Office) -> None:
    assert office.run("House", CREATE, "address rooms") == []


def test_a_cell_is_never_computed(lite: Office, tmp_path: Path) -> None:
    trap = f"__import__('pathlib').Path({str(tmp_path / 'made')!r}).touch()"
    lite.run("House", CREATE, "address rooms price opened code", *[(trap[:40], trap, trap, trap, trap)] * 2)
    lite.run("Note", CREATE, "id words", (trap, trap), ("1", trap), ("2", "'); DROP TABLE Note; --"))
    assert list(tmp_path.glob("made")) == []
    assert [words for (words,) in lite.rows(notes, "words")] == ["'); DROP TABLE Note; --", trap]


# --- many rows at once are as one by one


def test_a_row_may_take_what_one_before_it_gives_up(office: Office) -> None:
    office.add(houses, {"address": "Home", "code": "H"})
    taken = "there is another House with code = 'H'; choose another code"
    rows = [("New", "H"), ("Home", "XXX"), ("Newer", "H"), ("Home", "H"), ("Newer", "N"), ("Home", "H")]
    results = office.run("House", UPSERT, "address code", *rows)
    assert results[3].startswith((taken, "the database refuses it: "))  # the row that has it may have changed as well
    assert [*results[:3], *results[4:]] == [taken, "updated", "created", "updated", "updated"]
    assert office.rows(houses, "address", "code") == [("Home", "H"), ("Newer", "N")]


def test_a_row_does_not_find_what_a_row_behind_it_creates(office: Office) -> None:
    rows = [("Ann", ""), ("Ann", "Dan"), ("Dan", ""), ("Ann", "Dan")]
    assert office.run("Person", UPSERT, "name Person.name", *rows) == [
        "created",
        "there is no Person with name = 'Dan'; import it first, or correct Person.name",
        "created",
        "updated",
    ]


_addresses = st.sampled_from(["a", "b", "c", "B", ""])
_houses = st.tuples(
    _addresses,
    st.sampled_from(["", "1", "5", "1001", "XXX", "x"]),
    st.sampled_from(["", "north", "west", "XXX"]),
    st.sampled_from(["", "1.5", "XXX"]),
)
_coded = st.tuples(_addresses, st.sampled_from(["", "k", "l", "XXX"]), st.sampled_from(["", "2", "1001"]))
_people = st.tuples(_addresses, st.sampled_from(["", "a", "b", "c", "XXX"]))
_folders = st.tuples(st.sampled_from(["1", "2", "3"]), st.sampled_from(["", "1", "2", "XXX"]), st.sampled_from("ab"))
_KINDS: list[tuple[str, sa.Table, str, st.SearchStrategy[tuple[str, ...]], tuple[str, ...]]] = [
    ("House", houses, "address rooms Deployment.name price", _houses, ("address", "rooms", "deploymentId", "price")),
    ("House", houses, "address code rooms", _coded, ("address", "code", "rooms")),
    ("Person", people, "name Person.name", _people, ("name", "bossId")),
    ("Folder", folders, "id parentId name", _folders, ("id", "parentId", "name")),
]


def _outcome(
    office: Office,
    kind: int,
    work: Sequence[tuple[Mode, list[tuple[str, ...]]]],
    *,
    at_once: bool,
) -> tuple[list[str], list[tuple[object, ...]]]:
    """What became of the rows and what is there then; nothing stays."""
    table, source, names, _, shown = _KINDS[kind]
    processor = office.processor(table)
    results: list[str] = []
    with office.engine.connect() as connection:
        for mode, rows in work:
            for part in [rows] if at_once else [[row] for row in rows]:
                results += map(_settled, told(processor.apply(connection, mode, names.split(), part)))
        boss = source.alias()
        columns = [source.c[name] for name in shown if name != "bossId"]
        query = sa.select(*columns)
        if source is people:
            query = sa.select(*columns, boss.c.name).select_from(source.outerjoin(boss, source.c.bossId == boss.c.id))
        there = sorted((tuple(row) for row in connection.execute(query)), key=repr)
        connection.rollback()
    return results, there


def _settled(result: str) -> str:
    """When its words are found, what was in the way of a row may have changed again."""
    in_the_way = ("there is another ", "the database refuses it: ")
    return "refused by the database" if result.startswith(in_the_way) else result


@pytest.mark.parametrize("kind", range(len(_KINDS)), ids=["houses", "codes", "people", "folders"])
def test_many_rows_at_once_become_what_they_become_one_by_one(office: Office, kind: int) -> None:
    rows = st.lists(_KINDS[kind][3], max_size=12)

    @given(st.lists(st.tuples(st.sampled_from(Mode), rows), min_size=1, max_size=3))
    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def check(work: list[tuple[Mode, list[tuple[str, ...]]]]) -> None:
        assert _outcome(office, kind, work, at_once=True) == _outcome(office, kind, work, at_once=False)

    check()


# --- which processors there are


def test_a_template_has_what_a_clerk_may_fill_in(lite: Office) -> None:
    processor = lite.processor("House")
    assert template(processor, CREATE) == "Deployment.name,address,code,rooms,opened,price\n"
    assert template(processor, REMOVE) == "address\n"
    assert template(lite.processor("Location"), REMOVE) == "House.address,Room.name\n"


def test_fields_tell_what_finds_a_row_and_what_none_can_be_without(lite: Office) -> None:
    def told_of(mode: Mode) -> dict[str, tuple[bool, bool]]:
        return {field.name: (field.locates, field.required) for field in lite.processor("House").fields(mode)}

    assert told_of(CREATE)["address"] == (True, True)
    assert told_of(CREATE)["rooms"] == (False, False)
    assert told_of(UPDATE)["address"] == (True, True)
    assert told_of(CREATE).keys() >= {"deploymentId", "Deployment.name", "id"}
    about = {field.name: field.about for field in lite.processor("House").fields(CREATE)}
    assert about["Deployment.name"] == "text, at most 40 characters, of the Deployment that it belongs to"
    assert about["deploymentId"] == "whole number: id of the Deployment that it belongs to"


def test_a_table_that_is_not_there_is_guessed(lite: Office) -> None:
    schema = reflect(lite.engine)
    with pytest.raises(UsageError, match=r'there is no table Hose; did you mean "House"\?'):
        table_processor(schema, "Hose")
    lite.engine.connect().close()
    with lite.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE pusher_import (id INTEGER PRIMARY KEY)")
    with pytest.raises(UsageError, match="there is no table pusher_import"):
        table_processor(reflect(lite.engine), "pusher_import")
    assert table_processor(schema, "house").name == "House"


class Doubler(RowProcessor):
    """Writes each note twice."""

    name = "doubler"

    def fields(self, mode: Mode) -> Sequence[Field]:
        return [Field(name="words", required=True)]

    def apply_row(self, connection: Connection, mode: Mode, row: object) -> Done:
        assert isinstance(row, dict)
        connection.execute(sa.insert(notes).values(words=row["words"]))
        if row["words"] == "once":
            raise RowRefused("only once is not enough; write something else")
        connection.execute(sa.insert(notes).values(words=row["words"] or None, id=1 if row["words"] == "one" else None))
        return open_done()


def open_done() -> Done:
    from pusher.datacenter.processing import Action

    return Done(Action.CREATED)


class Broken:
    def __init__(self) -> None:
        raise OSError("no such disk")


def _check_doubler(office: Office, name: str) -> None:
    processor = open_processor(reflect(office.engine), name)
    assert processor.name == "doubler" and template(processor, CREATE) == "words\n"
    with office.engine.begin() as connection:
        results = processor.apply(connection, CREATE, ("words",), [("a",), ("once",), ("one",), ("b",)])
    assert told([results[0], results[1], results[3]]) == [
        "created",
        "only once is not enough; write something else",
        "created",
    ]
    assert isinstance(results[2], Refused) and "id" in results[2].reason.lower()
    assert [words for (words,) in office.rows(notes, "words")] == ["a", "a", "b", "b"]


def test_a_processor_may_be_a_class_of_a_module(lite: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_processors.py").write_text(f"from {Doubler.__module__} import *\n")
    monkeypatch.setitem(sys.modules, "own_processors", sys.modules[Doubler.__module__])
    _check_doubler(lite, "own_processors:Doubler")
    for name, reason in (
        ("own_processors:Nobody", "the processor own_processors:Nobody cannot be loaded: AttributeError"),
        ("own_processors:Broken", "the processor own_processors:Broken cannot be loaded: OSError: no such disk"),
        ("no_such_module:Any", "the processor no_such_module:Any cannot be loaded: ModuleNotFoundError"),
        ("own_processors:Path", "the processor own_processors:Path has no fields; see RowProcessor"),
    ):
        with pytest.raises(UsageError, match=reason):
            open_processor(reflect(lite.engine), name)


def test_a_processor_may_be_an_entry_point(lite: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "own-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[pusher.processors]\ntwice = own_module:Doubler\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "own_module", sys.modules[Doubler.__module__])
    _check_doubler(lite, "twice")
