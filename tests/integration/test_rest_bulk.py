"""Many objects at once over REST, and what clients in the field ask for beside."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

import pusher
from pusher.central.sites import utc_now
from tests.conftest import NewDatabase
from tests.http_central import central_over
from tests.rest_client import HEARD, Client, Scene, reading, scene_over, state, table_of


@pytest.fixture
def scene(dialect: str, new_database: NewDatabase) -> Iterator[Scene]:
    with scene_over(new_database(dialect)) as found:
        yield found


# --- bulk ---


@pytest.mark.parametrize("compressed", [False, True])
def test_many_objects_at_once_and_again(scene: Scene, *, compressed: bool) -> None:
    objects = [
        reading(1, 0.1),
        state(1),
        {"__table__": "Node", "id": 38, "locationId": 9},
        reading(2, None, 38),
        {"__table__": "Location", "id": 9, "houseId": 1, "roomId": 8},
        {"__table__": "room", "id": 8, "name": "Hall"},
        state(2),
    ]
    body = json.dumps(objects).encode()
    for _ in range(2):
        answer = scene.north.send(
            "POST", "BULK" if compressed else "bulk/", zlib.compress(body) if compressed else body
        )
        assert (answer.status_code, answer.content) == (201, b"[]"), answer.text
    assert [scene.count(table_of(name)) for name in ("Reading", "NodeState", "Node", "Location", "Room")] == [
        2,
        2,
        2,
        2,
        2,
    ]
    assert scene.north.get("nodestate/?seq_num=1")[0]["localtime"] == 2**40
    scene.north.bulk(reading(1, 7.5))
    assert scene.north.get("reading/?nodeId=37")[0]["value"] == 7.5


def test_a_row_without_a_key_is_added_once(scene: Scene) -> None:
    rows = [
        {"__table__": "Heard", "id": None, "time": f"2026-05-01T12:{n % 60:02}:0{n // 60}", "nodeId": n % 7, "rssi": r}
        for n, r in ((n, None if n % 3 else n / 3) for n in range(540))
    ]
    for part in (rows[:300], rows[:300], rows[200:], [*rows, *rows]):
        scene.north.bulk(*part)
    assert scene.count(HEARD) == 540
    scene.south.bulk(rows[0] | {"rssi": 1.5})
    assert scene.count(HEARD) == 541
    assert scene.north.post("heard/", rows[0]) and scene.count(HEARD) == 542


def test_one_fault_and_nothing_is_stored(scene: Scene) -> None:
    good = [reading(minute, 1.0) for minute in range(5)]
    refused = scene.north.refused
    for status, bad, words in (
        (400, reading(9, 1.0) | {"time": "yesterday?"}, "object 5: Reading.time: 'yesterday?' is no date"),
        (400, reading(9, 1.0) | {"colour": 1}, "object 5: Reading has no column colour"),
        (400, reading(9, 1.0) | {"nodeId": None}, "object 5: Reading.nodeId is missing"),
        (400, {"__table__": "Nothing"}, "object 5: there is no table Nothing"),
        (400, {"__table__": "pusher_token", "id": 1}, "object 5: there is no table pusher_token"),
        (400, {"name": "x"}, "object 5: has no __table__"),
        (400, [], "object 5: is not an object"),
        (400, reading(9, 1.0) | {"value": "warm"}, "object 5: Reading.value"),
        (409, reading(9, 1.0, node=99), "object 5: Reading.nodeId: there is no Node 99"),
        (409, {"__table__": "Room", "id": 2, "name": "Cellar"}, "object 5: Room has another row with id 2"),
        (409, {"__table__": "Room", "id": None, "name": "Cellar", "roomTypeId": 9}, "object 5: Room.roomTypeId"),
    ):
        assert words in refused(status, "POST", "bulk/", [*good, bad])
    many = refused(409, "POST", "bulk/", [reading(minute, 1.0, node=99) for minute in range(20)])
    assert "object 4: " in many and "object 5: " not in many and "and 15 more" in many
    assert "list" in refused(400, "POST", "bulk/", {"__table__": "Room", "name": "x"})
    assert "not JSON" in refused(400, "POST", "bulk/", b"[{")
    assert "not JSON" in refused(400, "POST", "bulk/", b"[" * 100_000)
    assert "zlib" in refused(400, "POST", "bulk/", b"xyz")
    assert "too early" in refused(400, "POST", "bulk/", zlib.compress(json.dumps(good).encode())[:-9])
    assert scene.count(table_of("Reading")) == 0 and scene.count(table_of("Room")) == 1
    scene.north.bulk()


def test_a_bomb_does_not_go_off(new_database: NewDatabase) -> None:
    with central_over(new_database("sqlite")) as central:
        north = Client(central)
        assert "when it is decompressed" in north.refused(413, "POST", "bulk/", zlib.compress(b" " * (257 << 20), 1))
        assert "100000 objects" in north.refused(413, "POST", "bulk/", zlib.compress(b"[" + b"{}," * 100_000 + b"{}]"))
        assert "100000 objects" in north.refused(
            413, "POST", "bulk/", zlib.compress(b"[" + b"{}," * 9_000_000 + b"{}]")
        )


def test_ten_thousand_readings_take_little_time(scene: Scene) -> None:
    objects = [reading(minute, minute / 7) for minute in range(10_000)]
    body = zlib.compress(json.dumps(objects).encode())
    started = time.monotonic()
    assert scene.north.send("POST", "bulk/", body).status_code == 201
    assert time.monotonic() - started < 5  # far more than it takes, for a machine that is busy
    assert scene.count(table_of("Reading")) == 10_000


# --- many at the same moment ---


def test_what_many_say_at_the_same_moment_is_there_once(scene: Scene) -> None:
    clients = [Client(scene.central, site) for site in ("north", "south", "west", "east")]

    def speak(place: int) -> list[int]:
        client = clients[place % len(clients)]
        rows = [{"__table__": "Room", "name": f"Room {n}"} for n in range(5)]
        rows += [{"__table__": "RoomType", "name": f"Type {n}"} for n in range(5)]
        own = [reading(minute, 1.0) | {"nodeId": 100 + place} for minute in range(50)]
        heard = {"__table__": "Heard", "time": "2026-05-01T12:00:00", "nodeId": 7}
        node = {"__table__": "Node", "id": 100 + place}
        answers = [client.send("POST", "bulk/", [*(rows if place % 2 else rows[::-1]), node, *own, heard])]
        answers.append(client.send("POST", "room/", {"id": None, "name": "Attic"}))
        answers.append(client.send("PUT", "house/?address=5+High+St", {}))
        return [answer.status_code for answer in answers]

    with ThreadPoolExecutor(8) as pool:
        assert {status for statuses in pool.map(speak, range(16)) for status in statuses} == {201}
    counts = [scene.count(table) for table in (table_of("Room"), table_of("RoomType"), table_of("House"), HEARD)]
    assert counts == [1 + 5 + 1, 1 + 5, 2, 1]
    assert scene.count(table_of("Reading")) == 16 * 50


# --- what the field asks for ---


def test_when_the_newest_reading_of_a_house_was_taken(scene: Scene) -> None:
    north = scene.north
    assert north.get("lastsync/?house=1+High+St") is None
    north.bulk(
        {"__table__": "House", "id": 2, "address": "2 High St"},
        {"__table__": "Room", "id": 5, "name": "Hall"},
        {"__table__": "Location", "id": 4, "houseId": 2, "roomId": 2},
        {"__table__": "Location", "id": 5, "houseId": 1, "roomId": 5},
        reading(1, 1.0) | {"time": "2026-05-01T12:01:00.5"},
        reading(2, 1.0) | {"time": "2026-04-01T12:01:00", "locationId": 5},
        reading(9, 1.0) | {"locationId": 4},
        reading(10, 1.0) | {"locationId": None},
    )
    assert datetime.fromisoformat(north.get("lastsync/?house=1+High+St")) == datetime(2026, 5, 1, 12, 1, 0, 500_000)
    for path in ("lastSync/?house=2+HIGH+st&lastUpdate=None", "LASTSYNC?house=2%20High%20St"):
        assert north.get(path) == "2026-05-01T12:09:00"
    assert north.get("lastsync/?house=Nowhere") is None
    assert "house is missing" in north.refused(400, "GET", "lastsync/")


def test_who_pushed_last(scene: Scene) -> None:
    said = {"hostname": "pi", "localtime": "2026-05-01T12:00:00", "version": "0.4"}
    for _ in range(2):
        answer = scene.north.send("POST", "pushStatus/", {**said, "time": "1999-01-01T00:00:00"})
        assert answer.status_code == 201 and answer.json() | said == answer.json()
        assert abs((datetime.fromisoformat(answer.json()["time"]) - utc_now()).total_seconds()) < 60
    assert len(scene.north.get("pushstatus/")) == 2
    assert [server["hostname"] for server in scene.north.get("server/")] == ["pi"]
    assert "hostname is missing" in scene.north.refused(400, "POST", "pushstatus", {"version": "1"})
    assert scene.north.refused(400, "POST", "pushstatus/", said | {"localtime": "noon?"})
    assert scene.count(table_of("Pushstatus")) == 2


def test_the_version_and_the_rooms_of_a_house(scene: Scene) -> None:
    assert scene.north.get("version/") == scene.north.get("Version") == pusher.__version__
    assert scene.north.get("houserooms/?id=1") == scene.north.get("HouseRooms?id=1") == [{"id": 3, "name": "Loft"}]
    assert scene.north.get("houserooms/?id=99") == []
    assert scene.north.refused(400, "GET", "houserooms/?id=x")
