"""Single objects over REST, as old clients create, overwrite and delete them, and whose they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from models import bookkeeping
from pusher.central.blocks import BlockNotes
from pusher.schema.engine import writing
from pusher.schema.reflect import reflect
from pusher.wire.fingerprint import EMPTY
from tests.conftest import NewDatabase
from tests.http_central import detail
from tests.rest_client import HEARD, TAG, Client, Scene, reading, scene_over, table_of


@pytest.fixture
def scene(dialect: str, new_database: NewDatabase) -> Iterator[Scene]:
    with scene_over(new_database(dialect)) as found:
        yield found


# --- POST ---


def test_a_new_object_comes_back_with_its_number_and_address(scene: Scene) -> None:
    answer = scene.north.send("POST", "ROOMTYPE/", {"__table__": "RoomType", "id": None, "name": "Dry"})
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {"__table__": "RoomType", "id": 5, "name": "Dry"}
    assert answer.headers["Location"] == scene.central.resturl + "RoomType/5"
    assert scene.north.get("roomtype/5") == [answer.json()]
    assert scene.north.post("roomtype", [{"name": "Cold"}]) == {"__table__": "RoomType", "id": 6, "name": "Cold"}
    assert scene.north.post("room/", {"name": "Attic", "roomTypeId": 6})["roomTypeId"] == 6


def test_a_given_id_is_kept(scene: Scene) -> None:
    assert scene.north.post("node/", {"id": 4711, "locationId": 3})["id"] == 4711
    assert scene.north.post("sensortype/", {"id": 12, "name": "CO2", "c0": 1})["c0"] == 1.0
    assert scene.north.post("sensortype/", {"id": None, "name": "Power"})["id"] == 13
    assert scene.north.post("house/", {"id": 500, "address": "2 High St"})["id"] == 500
    assert scene.north.post("house/", {"id": None, "address": "3 High St"})["id"] == 501


def test_what_was_sent_before_is_there_already_and_what_differs_is_refused(scene: Scene) -> None:
    first = scene.north.post("room/", {"id": None, "name": "Attic", "roomTypeId": 4})
    assert scene.north.post("room/", {"id": None, "name": "Attic", "roomTypeId": 4}) == first
    assert scene.south.post("room/", {"name": "Attic"}) == first
    assert "another row with name Attic" in scene.north.refused(
        409, "POST", "room/", {"name": "Attic", "roomTypeId": None}
    )
    assert "id 37" in scene.north.refused(409, "POST", "node/", {"id": 37, "locationId": None})
    assert scene.north.post("location/?houseId=1&roomId=2", {"id": None, "houseId": 1, "roomId": 2})["id"] == 3
    assert scene.count(table_of("Room")) == 2


def test_the_query_string_of_a_post_says_nothing(scene: Scene) -> None:
    path = "house/?address=9+High+St&deploymentId=None"
    assert scene.north.get(path) == []
    house = scene.north.post(path, {"id": None, "address": "9 High St", "deploymentId": None})
    assert scene.north.get(path) == [house]


def test_what_is_no_object_of_the_table_is_refused(scene: Scene) -> None:
    refused = scene.north.refused
    assert "not JSON" in refused(400, "POST", "room/", b"{")
    assert "found 2" in refused(400, "POST", "room/", [{"name": "a"}, {"name": "b"}])
    assert "found 0" in refused(400, "POST", "room/", [])
    assert "object" in refused(400, "POST", "room/", 7)
    assert "has no column colour" in refused(400, "POST", "room/", {"name": "a", "colour": "red"})
    assert "Room.name is missing" in refused(400, "POST", "room/", {"id": None})
    assert "Room.name" in refused(400, "POST", "room/", {"name": None})
    assert "is not Room" in refused(400, "POST", "room/", {"__table__": "House", "name": "a"})
    assert "'x'" in refused(400, "POST", "house/", {"address": "a", "startDate": "x"})
    assert "there is no RoomType 99" in refused(409, "POST", "room/", {"name": "a", "roomTypeId": 99})
    assert "no table" in refused(404, "POST", "nothing/", {})
    assert "no table" in refused(404, "POST", "pusher_token/", {"id": 1})
    assert scene.count(table_of("Room")) == 1


def test_a_reading_is_an_object_too(scene: Scene) -> None:
    answer = scene.north.send("POST", "reading/", reading(1, 0.1))
    assert answer.status_code == 201 and answer.json()["type"] == 0 and "typeId" not in answer.json()
    path = "Reading/2026-05-01T12:01:00,37,0"
    assert answer.headers["Location"] == scene.central.resturl + path
    assert scene.north.get(path) == [answer.json()]
    assert scene.north.send("POST", "reading/", reading(1, 0.1)).status_code == 201
    assert "another row" in scene.north.refused(409, "POST", "reading/", reading(1, 0.2))


# --- PUT ---


def test_one_row_is_overwritten_whatever_names_it(scene: Scene) -> None:
    for number, path in enumerate(("house/1", "house/?id=1", "HOUSE/?address=1+High+St", "house?address=1*&le_id=1")):
        answer = scene.north.send("PUT", path, {"address": "1 High St", "startDate": f"2026-01-0{number + 1}"})
        assert answer.status_code == 201, answer.text
        assert answer.json()["startDate"] == f"2026-01-0{number + 1}T00:00:00"
        assert scene.north.get("house/1") == [answer.json()]
    assert scene.north.send("PUT", "house/", {"id": 1, "deploymentId": None}).status_code == 201
    assert scene.count(table_of("House")) == 1


def test_several_rows_are_left_alone(scene: Scene) -> None:
    scene.north.post("house/", {"address": "1 Low St"})
    before = scene.north.get("house/")
    assert "several" in scene.north.refused(409, "PUT", "house/?address=1*", {"startDate": "2026-01-01"})
    assert "nothing says which" in scene.north.refused(400, "PUT", "house/?address=None", {"startDate": "2026-01-01"})
    assert scene.north.get("house/") == before


def test_where_none_matches_it_is_created(scene: Scene) -> None:
    put = scene.north.send("PUT", "node/?id=5&locationId=3", {"id": 5})
    assert (put.status_code, put.json()["locationId"]) == (201, 3)
    put = scene.north.send("PUT", "node/6", {"locationId": None})
    assert put.json()["id"] == 6 and put.headers["Location"].endswith("/rest/Node/6")
    put = scene.north.send("PUT", "room/?name__eq=*", {"roomTypeId": 4})
    assert (put.status_code, put.json()["name"]) == (201, "*")
    put = scene.north.send("PUT", "room/?name=Hall&ge_id=1000", {"id": None, "roomTypeId": 4})
    assert (put.status_code, put.json()["name"], put.json()["roomTypeId"]) == (201, "Hall", 4)


def test_a_key_is_not_changed_and_no_key_taken_twice(scene: Scene) -> None:
    scene.north.post("house/", {"id": 2, "address": "2 High St"})
    assert "2 in the body" in scene.north.refused(400, "PUT", "house/1", {"id": 2})
    assert "cannot be changed" in scene.north.refused(400, "PUT", "house/?address=1+High+St", {"id": 9})
    assert scene.north.refused(409, "PUT", "house/1", {"address": "2 High St"})
    assert "there is no Deployment 9" in scene.north.refused(409, "PUT", "house/1", {"deploymentId": 9})
    assert [house["address"] for house in scene.north.get("house/?sort(+id)")] == ["1 High St", "2 High St"]


def test_keys_that_are_no_numbers(scene: Scene) -> None:
    north = scene.north
    for code in ("a/b", "a,b", "None", "*", "100%", "ü ?"):
        quoted = quote(code, safe="")
        answer = north.send("POST", "tag/", {"code": code, "note": "new"})
        assert (answer.status_code, answer.headers["Location"]) == (201, f"{scene.central.resturl}Tag/{quoted}")
        put = north.send("PUT", f"tag/{quoted}", {"note": "other"})
        assert put.json() == {"__table__": "Tag", "code": code, "note": "other"}
        assert north.send("PUT", f"tag/{quoted}2", {"note": "more"}).json()["code"] == code + "2"
        assert north.send("DELETE", f"tag/{quoted}2").status_code == 204
    assert "Tag.code is missing" in north.refused(400, "POST", "tag/", {"note": "x"})
    fit = north.send("PUT", "fit/None,7", {"since": "1 May 2026"}).json()
    assert fit == {"__table__": "Fit", "tag": "None", "place": 7, "since": "2026-05-01"}
    assert "Fit with 1 row" in north.refused(409, "DELETE", "tag/None")
    assert north.send("DELETE", "fit/None,7").status_code == north.send("DELETE", "tag/None").status_code == 204
    assert scene.count(TAG) == 5
    assert "named by tag,place" in north.refused(400, "PUT", "fit/1", {})


# --- DELETE ---


def test_a_deleted_row_is_buried(scene: Scene) -> None:
    scene.north.post("room/", {"id": 9, "name": "Attic", "roomTypeId": 4})
    answer = scene.north.send("DELETE", "room/9")
    assert (answer.status_code, answer.content) == (204, b"")
    assert scene.north.get("room/9") == []
    stones = bookkeeping.tombstone
    ((site, table, key, row),) = scene.rows(
        sa.select(stones.c.site, stones.c.table_name, stones.c.row_key, stones.c.row)
    )
    assert (site, table, key) == ("north", "Room", "[9]")
    assert json.loads(row) == {"id": 9, "name": "Attic", "roomTypeId": 4}
    assert scene.north.send("DELETE", "room/9").status_code == 204  # said again after a lost answer
    assert "no Room 8" in scene.north.refused(404, "DELETE", "room/8")
    assert scene.rows(sa.select(bookkeeping.author.c.site).where(bookkeeping.author.c.central_key == "[9]")) == []


def test_what_others_refer_to_stays(scene: Scene) -> None:
    scene.north.bulk(reading(1, 1.0), reading(2, 2.0))
    assert "Reading with 2 rows" in scene.north.refused(409, "DELETE", "node/37")
    words = scene.north.refused(409, "DELETE", "location/3")
    assert "Node with 1 row" in words and "Reading with 2 rows" in words
    assert scene.count(table_of("Node")) == scene.count(table_of("Location")) == 1


def test_rows_of_streams_are_not_deleted_one_by_one(scene: Scene) -> None:
    scene.north.bulk(reading(1, 1.0))
    for path in ("reading/1", "reading/2026-05-01T12:01:00,37,0", "nodestate/1"):
        answer = scene.north.send("DELETE", path)
        assert answer.status_code == 405 and "PUT" in answer.headers["Allow"]
        assert "is a stream" in detail(answer)
    assert scene.north.send("DELETE", "house/").status_code == 405
    assert scene.count(table_of("Reading")) == 1


# --- whose it is ---


def test_a_site_changes_only_its_own_rows(scene: Scene) -> None:
    assert "belongs to site north" in scene.south.refused(403, "PUT", "node/37", {"locationId": None})
    assert "belongs to site north" in scene.south.refused(403, "DELETE", "roomtype/4")
    assert scene.south.send("PUT", "node/37", {"locationId": 3}).status_code == 201  # nothing changes
    assert scene.north.send("PUT", "node/37", {"locationId": None}).status_code == 201
    assert scene.north.send("DELETE", "roomtype/4").status_code == 204
    assert scene.south.post("roomtype/", {"id": 4, "name": "Dry"})["name"] == "Dry"
    assert "belongs to site south" in scene.north.refused(403, "PUT", "roomtype/4", {"name": "Wet"})


def test_a_row_that_nobody_made_may_be_changed_and_one_of_an_agent_not(scene: Scene) -> None:
    scene.central.insert(table_of("RoomType"), {"id": 70, "name": "Old"}, {"id": 71, "name": "Agents"})
    known = {"site": "south", "table_name": "RoomType", "local_key": "[1]", "central_key": "[71]", "row_hash": ""}
    scene.central.insert(bookkeeping.identity, known | {"owns": True})
    assert scene.north.send("PUT", "roomtype/70", {"name": "New"}).status_code == 201
    assert "site south" in scene.north.refused(403, "PUT", "roomtype/71", {"name": "Mine"})
    assert scene.south.send("PUT", "roomtype/71", {"name": "Still south's"}).status_code == 201
    scene.north.send("DELETE", "roomtype/70")
    assert scene.north.post("roomtype/", {"name": "Next"})["id"] == 72


def test_readings_belong_to_who_sent_them(scene: Scene) -> None:
    scene.north.bulk(reading(1, 1.0), reading(2, 2.0))
    words = scene.south.refused(409, "POST", "bulk/", [reading(3, 3.0), reading(1, 7.0)])
    assert "object 1: " in words and "site north" in words
    assert scene.count(table_of("Reading")) == 2
    scene.south.bulk(reading(1, 1.0), reading(3, 3.0))
    assert "site south" in scene.north.refused(409, "POST", "bulk/", [reading(3, 4.0)])
    scene.south.bulk(reading(3, 5.0))
    path = "reading/?time=2026-05-01T12:01&nodeId=37&type=0"
    assert "site north" in scene.south.refused(403, "PUT", path, {"value": 9})
    assert scene.north.send("PUT", path, {"value": 9}).json()["value"] == 9.0
    assert sorted(each["value"] for each in scene.north.get("reading/")) == [2.0, 5.0, 9.0]


def test_every_write_is_noted_and_what_was_in_it_is_not(scene: Scene) -> None:
    scene.north.post("room/", {"id": 9, "name": "Secret room"})
    scene.south.refused(403, "PUT", "room/9", {"name": "Mine"})
    scene.north.send("PUT", "room/9", {"name": "Other"})
    scene.north.send("DELETE", "room/9")
    scene.north.refused(404, "POST", "noth%00ing/", {})
    scene.north.refused(400, "POST", "bulk/", [7])
    scene.north.bulk(reading(1, 1.0), reading(2, 1.0), {"__table__": "Room", "name": "Hall"})
    Client(scene.central, "west", "read").refused(403, "POST", "room/", {"name": "x"})
    assert scene.audited() == [
        ("north", "POST", "Room", "[9]", 1, 201),
        ("south", "PUT", "Room", "", 0, 403),
        ("north", "PUT", "Room", "[9]", 1, 201),
        ("north", "DELETE", "Room", "[9]", 1, 204),
        ("north", "POST", "noth\\x00ing", "", 0, 404),
        ("north", "POST", "bulk", "", 1, 400),
        ("north", "POST", "Reading", "", 2, 201),
        ("north", "POST", "Room", "", 1, 201),
        ("west", "POST", "room", "", 0, 403),
    ]
    with scene.central.engine.connect() as connection:
        everything = str(connection.execute(sa.select(bookkeeping.audit)).all())
    assert "Secret" not in everything and scene.north.token not in everything


def test_noted_blocks_that_rows_come_to_are_in_doubt(scene: Scene) -> None:
    table = reflect(scene.central.engine).table("Reading")
    blocks = bookkeeping.block
    query = sa.select(blocks.c.site, blocks.c.start, blocks.c.total.is_(None)).order_by(blocks.c.site, blocks.c.start)
    scene.north.bulk(reading(1, 1.0))
    assert scene.rows(query) == []
    with writing(scene.central.engine).begin() as connection:
        notes = BlockNotes(connection, "north", "Reading", table.column("time"))
        notes.add(["2026-05-01T12:01:00", "2026-05-01T12:31:00"], [b"\1" * 16] * 2, EMPTY)
    scene.south.bulk(reading(31, 1.0))
    assert [bool(doubtful) for _, _, doubtful in scene.rows(query)] == [False, False]
    scene.north.bulk(reading(5, 1.0), reading(41, 1.0))
    found = [(site, start[11:16], bool(doubtful)) for site, start, doubtful in scene.rows(query)]
    assert found == [("north", "12:00", True), ("north", "12:30", False), ("north", "12:40", True)]
    assert scene.south.send("PUT", "reading/?time=2026-05-01T12:31&nodeId=37&type=0", {"value": 3}).status_code == 201
    assert [bool(doubtful) for _, _, doubtful in scene.rows(query)] == [True, False, True]
    scene.north.post("reading/", reading(32, 1.0))
    assert [bool(doubtful) for _, _, doubtful in scene.rows(query)] == [True, True, True]


def test_rows_that_agents_know_by_number_are_not_overwritten(scene: Scene) -> None:
    scene.central.insert(HEARD, {"id": 5, "time": datetime(2026, 5, 1), "nodeId": 1, "rssi": 1.0})
    known = {"site": "south", "table_name": "Heard", "local_key": "[1]", "central_key": "[5]", "row_hash": ""}
    scene.central.insert(bookkeeping.identity, known | {"owns": True})
    row = {"__table__": "Heard", "id": 5, "time": "2026-05-01T00:00:00", "nodeId": 1, "rssi": 1}
    scene.north.bulk(row)
    assert "another row with id 5" in scene.north.refused(409, "POST", "bulk/", [row | {"rssi": 2}])
    assert "site south" in scene.north.refused(403, "PUT", "heard/5", {"rssi": 2})
    assert scene.south.send("PUT", "heard/5", {"rssi": 2}).status_code == 201
