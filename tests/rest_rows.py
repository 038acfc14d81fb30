"""Rows at central for tests of reading, and how to get them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import requests
import sqlalchemy as sa

from models import Base, Deployment, House, Node, NodeState, Reading, SensorType
from tests.http_central import Central, bearer

_START = datetime(2026, 1, 1)
LATE = datetime(2026, 3, 1, 12, 30, 0, 250_000)
EXTRA = sa.MetaData()
KEYED = sa.Table(
    "Keyed",
    EXTRA,
    sa.Column("code", sa.String(40), primary_key=True),
    sa.Column("limit", sa.Integer),
    sa.Column("ge_x", sa.Integer),
    sa.Column("on", sa.Boolean),
    sa.Column("amount", sa.Numeric(30, 10)),
)
KEYLESS = sa.Table("Keyless", EXTRA, sa.Column("a", sa.Integer), sa.Column("b", sa.String(20)))


def fill(central: Central) -> None:
    EXTRA.create_all(central.engine)
    central.insert(table_of(Deployment), {"id": 1, "name": "Alpha"}, {"id": 2, "name": "None"})
    central.insert(
        table_of(House),
        {"id": 1, "deploymentId": 1, "address": "1 High St", "startDate": _START},
        {"id": 2, "deploymentId": 1, "address": "2 High Street", "startDate": None},
        {"id": 3, "deploymentId": None, "address": "50%_off! Lane", "startDate": _START + timedelta(days=1)},
        {"id": 4, "deploymentId": 2, "address": "Low Rd, 4", "startDate": _START + timedelta(days=2)},
    )
    central.insert(table_of(SensorType), {"id": 0, "name": "Temperature"}, {"id": 2, "name": "Humidity"})
    central.insert(table_of(Node), {"id": 37}, {"id": 38})
    readings = [
        {"time": _START + timedelta(minutes=number), "nodeId": 37 + number % 2, "type": 0, "value": float(number)}
        for number in range(20)
    ]
    central.insert(table_of(Reading), *readings, {"time": LATE, "nodeId": 37, "type": 2, "value": None})
    state = {"time": _START, "nodeId": 37, "parent": 1, "localtime": 5, "seq_num": 0, "rssi": -80.5}
    central.insert(table_of(NodeState), state)
    central.insert(
        KEYED,
        {"code": "a,b", "limit": 1, "ge_x": 5, "on": True, "amount": "12345678901234567890.0000000001"},
        {"code": "c/d", "limit": 2, "ge_x": 6, "on": False, "amount": "12345678901234567890.0000000002"},
        {"code": "é ü", "limit": None, "ge_x": None, "on": None, "amount": None},
    )
    central.insert(KEYLESS, {"a": 1, "b": "x"}, {"a": 1, "b": "x"}, {"a": None, "b": "y"}, {"a": 0, "b": None})


def table_of(model: type[Base]) -> sa.Table:
    return Base.metadata.tables[model.__tablename__]


def get(central: Central, path: str, **headers: str) -> requests.Response:
    return requests.get(central.resturl + path, headers=bearer(read_token(central)) | headers, timeout=30)


_TOKENS: dict[str, str] = {}


def read_token(central: Central) -> str:
    if central.resturl not in _TOKENS:
        _TOKENS[central.resturl] = central.token(scope="read")
    return _TOKENS[central.resturl]


def rows(central: Central, path: str) -> list[dict[str, Any]]:
    answer = get(central, path)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def ids(central: Central, path: str) -> list[Any]:
    return [row["id"] for row in rows(central, path)]
