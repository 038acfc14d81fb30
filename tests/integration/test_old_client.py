"""A push client of the old days against central: two sites, answers that get lost, no row lost or doubled."""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests
import sqlalchemy as sa

from models import Base
from pusher.central.tokens import new_token
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.fault.proxy import Fault, FaultyProxy
from tests.http_central import Central, central_over
from tests.stage import contents

Json = dict[str, Any]
_TABLES = Base.metadata.tables
_BULK_ROWS = 40  # 10,000 in the field


class MappingError(Exception):
    """The same sensor type means something else at central."""


class OldClient:
    """One cycle after the other, in the order and with the requests of 2013. `url` holds its name and its token."""

    def __init__(self, url: str, engine: sa.Engine, before_bulk: Callable[[str], None] = lambda _table: None) -> None:
        self.engine = engine
        self.statuses: Counter[int] = Counter()
        self.sent_again = 0
        self._url = url
        self._before_bulk = before_bulk

    def push(self, now: datetime) -> None:
        self._request("GET", "deployment/")
        self._sensor_types()
        types = self._by_name("RoomType", {})
        rooms = self._by_name("Room", {"roomTypeId": types})
        deployments = self._by_name("Deployment", {})
        houses = self._by_url("House", ("address", "deploymentId"), {"deploymentId": deployments})
        locations = self._by_url("Location", ("houseId", "roomId"), {"houseId": houses, "roomId": rooms})
        status = {"hostname": "pi", "localtime": now.isoformat(), "version": "0.3.1"}
        self._request("POST", "pushstatus/", status)
        self._nodes(locations)
        for house in self._rows("House"):
            self._house(house, locations)

    # ---

    def _sensor_types(self) -> None:
        there = {each["id"]: each for each in self._request("GET", "sensortype/")}
        for row in self._rows("SensorType"):
            if row["id"] not in there:
                self._request("POST", "sensortype/", row)
            elif there[row["id"]]["name"] != row["name"]:
                raise MappingError(row["id"])

    def _by_name(self, table: str, parents: dict[str, dict[int, int]]) -> dict[int, int]:
        there = {each["name"]: each for each in self._request("GET", f"{table.lower()}/")}
        here = {row["name"]: row for row in self._rows(table)}
        mapped = {}
        for name, row in here.items():
            central = there.get(name) or self._request("POST", f"{table.lower()}/", self._mapped(row, parents))
            mapped[row["id"]] = central["id"]
        for name in there.keys() - here.keys():
            back = {column: {there: here for here, there in ids.items()} for column, ids in parents.items()}
            mapped[self._add(table, self._mapped(there[name], back))] = there[name]["id"]
        return mapped

    def _by_url(self, table: str, names: tuple[str, ...], parents: dict[str, dict[int, int]]) -> dict[int, int]:
        mapped = {}
        for row in self._rows(table):
            wanted = self._mapped(row, parents)
            path = f"{table.lower()}/?{urlencode({name: wanted[name] for name in names})}"
            found = self._request("GET", path)
            mapped[row["id"]] = (found[0] if found else self._request("POST", path, wanted))["id"]
        return mapped

    def _nodes(self, locations: dict[int, int]) -> None:
        there = {each["id"]: each for each in self._request("GET", "node/")}
        for row in self._rows("Node"):
            node = self._mapped(row, {"locationId": locations}) | {"id": row["id"]}
            if row["id"] not in there:
                self._request("POST", "node/", node)
            elif there[row["id"]]["locationId"] != node["locationId"]:
                self._request("PUT", f"node/?id={row['id']}", node)

    def _house(self, house: Json, locations: dict[int, int]) -> None:
        inside = {row["id"] for row in self._rows("Location") if row["houseId"] == house["id"]}
        path = f"lastSync/?{urlencode({'house': house['address'], 'lastUpdate': None})}"
        first = self._request("GET", path)
        last = first
        while True:
            rows = [row for row in self._since("Reading", last) if row["locationId"] in inside][:_BULK_ROWS]
            if not rows:
                break
            self._bulk("Reading", [row | {"locationId": locations[row["locationId"]]} for row in rows])
            last = self._request("GET", path)
        nodes = {row["id"] for row in self._rows("Node") if row["locationId"] in inside}
        states = [row | {"id": None} for row in self._since("NodeState", first) if row["nodeId"] in nodes]
        for at in range(0, len(states), _BULK_ROWS):
            self._bulk("NodeState", states[at : at + _BULK_ROWS])

    def _bulk(self, table: str, rows: list[Json]) -> None:
        body = zlib.compress(json.dumps([{"__table__": table, **row} for row in rows]).encode())
        self._before_bulk(table)
        while True:
            try:
                assert self._request("POST", "bulk/", body) == []
                return
            except requests.ConnectionError:
                self.sent_again += 1

    def _request(self, method: str, path: str, body: object = None) -> Any:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        answer = requests.request(method, self._url + path, data=data, timeout=60)
        self.statuses[answer.status_code] += 1
        assert answer.status_code != 500
        return answer.json()

    def _rows(self, table: str) -> list[Json]:
        with self.engine.connect() as connection:
            query = sa.select(_TABLES[table]).order_by(*_TABLES[table].primary_key)
            return [
                {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
                for row in connection.execute(query).mappings()
            ]

    def _since(self, table: str, last: str | None) -> list[Json]:
        after = (datetime.fromisoformat(last) + timedelta(seconds=1)).isoformat() if last else ""
        return [row for row in self._rows(table) if row["time"] > after]

    def _mapped(self, row: Json, parents: dict[str, dict[int, int]]) -> Json:
        ids = {name: ids[row[name]] for name, ids in parents.items() if row[name] is not None}
        return row | ids | {"id": None}

    def _add(self, table: str, row: Json) -> int:
        values = {
            column.name: datetime.fromisoformat(row[column.name])
            if row[column.name] and isinstance(column.type, sa.DateTime)
            else row[column.name]
            for column in _TABLES[table].columns
            if column.name != "id"
        }
        with self.engine.begin() as connection:
            key = connection.execute(sa.insert(_TABLES[table]).values(values)).inserted_primary_key
            assert key is not None
            return int(key[0])


class LosingProxy(FaultyProxy):
    """Loses the answer to the next request once it is asked to."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port, random.Random(0))
        self.loses = False

    def _choose(self) -> Fault:
        kind, self.loses = "lose_reply" if self.loses else "pass", False
        return Fault(kind)


class Field:
    """Two sites whose numbers overlap, and central."""

    def __init__(self, central: Central, stack: ExitStack, new_database: NewDatabase) -> None:
        self.central = central
        self._stack = stack
        self._new_database = new_database
        self.proxy = stack.enter_context(closing(LosingProxy(urlsplit(central.resturl).port or 0)))
        self.urls: dict[str, str] = {}
        self.bulks: Counter[tuple[str, str]] = Counter()
        self.lost: list[str] = []

    def client(self, site: str, *lose: tuple[str, int]) -> OldClient:
        """`lose`: the bulk, by its table and number, whose answer does not come back."""
        url = self.urls[site] = self._new_database("sqlite")
        engine = self._stack.enter_context(opened(url))
        Base.metadata.create_all(engine)

        def before_bulk(table: str) -> None:
            self.bulks[site, table] += 1
            if (table, self.bulks[site, table]) in lose:
                self.proxy.loses = True
                self.lost.append(table)

        token = new_token(self.central.engine, site, "push")
        return OldClient(f"http://{site}:{token}@127.0.0.1:{self.proxy.port}/rest/", engine, before_bulk)

    def check(self) -> None:
        """Each reading and state is at central once and means there what it meant; all else is there, too."""
        there = contents(self.central.engine.url.render_as_string(hide_password=False))
        here = [contents(url) for url in self.urls.values()]
        for table in ("Reading", "NodeState"):
            assert there[table] == sum((each[table] for each in here), Counter())
            assert sum(there[table].values()) > 300
        for table in ("SensorType", "RoomType", "Room", "Deployment", "House", "Location", "Node"):
            assert set(there[table]) == {row for each in here for row in each[table]}
            assert set(there[table].values()) == {1}


@pytest.fixture
def field(dialect: str, new_database: NewDatabase) -> Iterator[Field]:
    with central_over(new_database(dialect)) as central, ExitStack() as stack:
        yield Field(central, stack, new_database)


def settle(client: OldClient, site: str, nodes: tuple[int, ...]) -> None:
    """What is in the database of a site before it pushes the first time; its numbers begin at 1, as everywhere."""
    other = site == "south"
    rooms = ["Attic", "Hall", "Kitchen"] if other else ["Hall", "Attic"]
    with client.engine.begin() as connection:

        def add(table: str, *rows: Json) -> None:
            connection.execute(sa.insert(_TABLES[table]), list(rows))

        add("SensorType", {"id": 0, "name": "Temperature"}, {"id": 2 + other, "name": f"Of {site}"})
        add("RoomType", {"id": 1, "name": "Cold" if other else "Warm"}, {"id": 2, "name": "Wet"})
        add("Room", *({"id": n + 1, "name": name, "roomTypeId": 2} for n, name in enumerate(rooms)))
        deployments = ["Test", "Pilot"] if other else ["Pilot", "Lab"]
        add("Deployment", *({"id": n + 1, "name": name} for n, name in enumerate(deployments)))
        houses = [f"{n} {site} St" for n in (1, 2)]
        add("House", *({"id": n + 1, "address": address, "deploymentId": 1} for n, address in enumerate(houses)))
        add("Location", *({"id": n + 1, "houseId": n // 2 + 1, "roomId": n % 2 + 1} for n in range(4)))
        add("Node", *({"id": node, "locationId": n % 4 + 1} for n, node in enumerate(nodes)))


def measure(client: OldClient, start: datetime, minutes: int) -> None:
    """A reading and a state of each node, every minute."""
    with client.engine.begin() as connection:
        nodes = connection.execute(sa.select(_TABLES["Node"].c.id, _TABLES["Node"].c.locationId)).all()
        types = list(connection.scalars(sa.select(_TABLES["SensorType"].c.id)))
        readings, states = [], []
        for minute in range(minutes):
            for place, (node, location) in enumerate(nodes):
                moment = start + timedelta(minutes=minute, seconds=3 * place)
                values = {"time": moment, "nodeId": node, "locationId": location, "value": minute / 7}
                readings.append(values | {"type": types[minute % 2]})
                heard = {"parent": None if minute % 3 else 1, "localtime": 2**33 + minute, "rssi": -0.1 * place}
                states.append({"time": moment, "nodeId": node, "seq_num": minute % 50} | heard)
        connection.execute(sa.insert(_TABLES["Reading"]), readings)
        connection.execute(sa.insert(_TABLES["NodeState"]), states)


def test_two_sites_push_twice_and_answers_get_lost(field: Field) -> None:
    north = field.client("north", ("Reading", 2), ("NodeState", 3))
    south = field.client("south", ("Reading", 4), ("NodeState", 1))
    noon = datetime(2013, 5, 1, 12)
    settle(north, "north", (37, 38, 40, 41))
    settle(south, "south", (137, 138, 139, 140))
    for client in (north, south):
        measure(client, noon, 50)
        client.push(noon)
    with north.engine.begin() as connection:  # a node moves to another room, a node comes, and a house
        connection.execute(sa.update(_TABLES["Node"]).where(_TABLES["Node"].c.id == 37).values(locationId=2))
        connection.execute(sa.insert(_TABLES["Room"]).values(name="Cellar"))
        connection.execute(sa.insert(_TABLES["House"]).values(id=3, address="3 north St", deploymentId=2))
        connection.execute(sa.insert(_TABLES["Location"]).values(id=5, houseId=3, roomId=1))
        connection.execute(sa.insert(_TABLES["Node"]).values(id=42, locationId=5))
    for client in (south, north):
        measure(client, noon + timedelta(days=1, microseconds=500_000), 40)
        client.push(noon + timedelta(days=1))
    south.push(noon + timedelta(days=2))  # nothing is new but what north has made
    north.push(noon + timedelta(days=2))
    field.check()
    assert Counter(field.lost) == {"Reading": 2, "NodeState": 2}
    assert (north.sent_again, south.sent_again) == (2, 2)
    assert set(north.statuses) | set(south.statuses) == {200, 201}


def test_sensor_types_that_differ_stop_the_client(field: Field) -> None:
    north, south = field.client("north"), field.client("south")
    settle(north, "north", (37,))
    settle(south, "south", (137,))
    north.push(datetime(2013, 5, 1))
    with south.engine.begin() as connection:
        connection.execute(sa.update(_TABLES["SensorType"]).values(name="Humidity"))
    with pytest.raises(MappingError):
        south.push(datetime(2013, 5, 1))
    assert (
        requests.get(field.central.resturl + "house/?address=*south*", auth=("x", field.central.token())).json() == []
    )
