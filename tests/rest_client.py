"""Clients that write over REST, and what is at central before they begin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import requests
import sqlalchemy as sa

from models import Base, bookkeeping
from tests.http_central import Central, bearer, central_over, detail

# Node states as they may be elsewhere: known by nothing but a number.
HEARD = sa.Table(
    "Heard",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("time", sa.DateTime, nullable=False),
    sa.Column("nodeId", sa.Integer, nullable=False),
    sa.Column("rssi", sa.Double),
)
TAG = sa.Table(
    "Tag",
    HEARD.metadata,
    sa.Column("code", sa.String(40), primary_key=True),
    sa.Column("note", sa.String(40)),
)
FIT = sa.Table(
    "Fit",
    HEARD.metadata,
    sa.Column("tag", sa.ForeignKey("Tag.code"), primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("since", sa.Date),
)
Json = dict[str, Any]


class Client:
    """A site that writes over REST; it says nothing of JSON, as old clients did."""

    def __init__(self, central: Central, site: str = "north", scope: str = "push") -> None:
        self.central = central
        self.token = central.token(site, scope)

    def send(self, method: str, path: str, body: object = None, **options: Any) -> requests.Response:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        url = self.central.resturl + path
        headers = bearer(self.token) | {"Content-Type": "text/plain"}
        return requests.request(method, url, data=data, headers=headers, timeout=60, **options)

    def get(self, path: str) -> Any:
        answer = self.send("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: object) -> Json:
        answer = self.send("POST", path, body)
        assert answer.status_code == 201, answer.text
        found = answer.json()
        assert isinstance(found, dict)
        return found

    def bulk(self, *objects: Json) -> None:
        answer = self.send("POST", "bulk/", list(objects))
        assert (answer.status_code, answer.json()) == (201, []), answer.text

    def refused(self, status: int, method: str, path: str, body: object = None) -> str:
        answer = self.send(method, path, body)
        assert answer.status_code == status, answer.text
        return detail(answer)


class Scene:
    def __init__(self, central: Central) -> None:
        self.central = central
        self.north, self.south = Client(central), Client(central, "south")
        self.north.bulk(
            {"__table__": "House", "id": 1, "address": "1 High St"},
            {"__table__": "RoomType", "id": 4, "name": "Wet"},
            {"__table__": "Room", "id": 2, "name": "Loft", "roomTypeId": None},
            {"__table__": "Location", "id": 3, "houseId": 1, "roomId": 2},
            {"__table__": "Node", "id": 37, "locationId": 3},
            {"__table__": "SensorType", "id": 0, "name": "Temperature"},
        )

    def count(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        with self.central.engine.connect() as connection:
            query = sa.select(sa.func.count()).select_from(table).where(*where)
            return int(connection.scalar(query) or 0)

    def rows(self, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
        with self.central.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def audited(self) -> list[tuple[Any, ...]]:
        """(site, method, table, key, rows, status) of the writes that were noted behind the scene's own."""
        table = bookkeeping.audit
        names = ("site", "method", "table_name", "row_key", "rows", "status")
        return self.rows(sa.select(*(table.c[name] for name in names)).order_by(table.c.id))[6:]


@contextmanager
def scene_over(db: str) -> Iterator[Scene]:
    """A service over an empty database of that URL, with the scene in it."""
    with central_over(db) as central:
        HEARD.metadata.create_all(central.engine)
        yield Scene(central)


def table_of(name: str) -> sa.Table:
    return Base.metadata.tables[name]


def reading(minute: int, value: float | None, node: int = 37) -> Json:
    moment = datetime(2026, 5, 1, 12) + timedelta(minutes=minute)
    return {
        "__table__": "Reading",
        "time": moment.isoformat(),
        "nodeId": node,
        "typeId": 0,
        "locationId": 3,
        "value": value,
    }


def state(minute: int, node: int = 37) -> Json:
    return {
        "__table__": "NodeState",
        "id": None,
        "time": f"2026-05-01T12:{minute:02}:00",
        "nodeId": node,
        "parent": 1,
        "localtime": 2**40,
        "seq_num": minute,
        "rssi": -0.5,
    }
