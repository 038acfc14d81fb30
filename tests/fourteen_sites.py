"""A central with fourteen sites: most are well, and each of the others has a trouble of its own."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import Base, Deployment, House, Location, Node, Reading, Room, Sensor, bookkeeping
from models.seed import seed_types
from pusher.central.identity import key_text
from pusher.central.migrate import upgrade
from pusher.central.tokens import new_token
from pusher.schema.engine import writing

DAYS = 40
TYPES = (0, 2, 8)  # temperature, humidity, CO2
_NODES = 2  # in each house
_CHUNK = 20_000
_BATCHES = 300
_EPOCH = "e"

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Site:
    """`silent`: hours since its last contact. `old`: hours since its last data. `without`: days ago (from, to) of which
    it has no rows, of its first sensor only if `partly`."""

    name: str
    silent: float = 0.05
    old: float = 0.1
    without: tuple[int, int] | None = None
    partly: bool = False
    skew: float = 0.4
    held: int = 0
    pending: int | None = 0
    different: int = 0
    version: str = "0.9.0"
    seen: bool = True


SITES = (
    Site(name="attic-flat", old=75),
    Site(name="boathouse", seen=False),
    Site(name="greenhouse", held=42, pending=42),
    Site(name="house-12"),
    Site(name="house-19", skew=-1.2),
    Site(name="house-23"),
    Site(name="house-31", without=(6, 4), partly=True),
    Site(name="house-37"),
    Site(name="laboratory", different=18),
    Site(name="library", version="0.8.2"),
    Site(name="lighthouse", silent=71, old=71, pending=None),
    Site(name="mill", silent=9, old=9, pending=12_480),
    Site(name="school-north", without=(9, 6)),
    Site(name="weather-mast", skew=7204),
)


def make_fourteen_sites(engine: Engine, readings: int, now: dt.datetime) -> str:
    """Fills an empty database, and returns a key to read with. `now`: naive, in UTC."""
    upgrade(engine)
    new_token(engine, "boathouse", "push")
    seen = [site for site in SITES if site.seen]
    with writing(engine).begin() as connection:
        seed_types(connection)
        each = readings // (len(seen) * _NODES * len(TYPES))
        for number, site in enumerate(seen):
            nodes = _furnish(connection, number, site, now)
            counts = _write_readings(connection, number, site, nodes, each, now)
            _note(connection, site, nodes, counts, now)
    return new_token(engine, "office", "read")


def _furnish(connection: sa.Connection, number: int, site: Site, now: dt.datetime) -> dict[int, int]:
    """The location of each node of the site."""
    if not number:
        connection.execute(
            sa.insert(Deployment), [{"id": 1, "name": "Winter", "startDate": now - dt.timedelta(days=DAYS)}]
        )
    house = number + 1
    connection.execute(sa.insert(House), [{"id": house, "deploymentId": 1, "address": f"{site.name}, 1 Push Street"}])
    rooms = list(connection.scalars(sa.select(Room.id).order_by(Room.id).limit(_NODES)))
    places = {}
    for place, room in enumerate(rooms):
        location, node = number * _NODES + place + 1, 100 + number * 10 + place
        connection.execute(sa.insert(Location), [{"id": location, "houseId": house, "roomId": room}])
        connection.execute(sa.insert(Node), [{"id": node, "locationId": location, "nodeTypeId": 0}])
        connection.execute(sa.insert(Sensor), [{"nodeId": node, "sensorTypeId": type_} for type_ in TYPES])
        places[node] = location
    return places


def _write_readings(
    connection: sa.Connection, number: int, site: Site, nodes: dict[int, int], each: int, now: dt.datetime
) -> Counter[str]:
    """How many there are of each ten minutes."""
    counts: Counter[str] = Counter()
    chunk: list[Row] = []
    for row in _readings(number, site, nodes, each, now):
        counts[row["time"].isoformat()[:15] + "0"] += 1
        chunk.append(row)
        if len(chunk) == _CHUNK:
            connection.execute(sa.insert(Base.metadata.tables[Reading.__tablename__]), chunk)
            chunk = []
    if chunk:
        connection.execute(sa.insert(Base.metadata.tables[Reading.__tablename__]), chunk)
    return counts


def _readings(number: int, site: Site, nodes: dict[int, int], each: int, now: dt.datetime) -> Iterator[Row]:
    """In the order of time; values that swing with the day, always the same for the same place in it."""
    end = (now - dt.timedelta(hours=site.old)).replace(microsecond=0)
    gap = dt.timedelta(seconds=max(1, DAYS * 86400 // max(each, 1)))
    missing = [(now - dt.timedelta(days=days)).date() for days in site.without] if site.without else None
    for step in range(each):
        moment = end - (each - 1 - step) * gap
        is_missing = missing is not None and missing[0] <= moment.date() <= missing[1]
        turn = math.sin((moment.hour * 60 + moment.minute) / 1440 * math.tau - 2)
        for place, (node, location) in enumerate(nodes.items()):
            for type_ in TYPES:
                if is_missing and (not site.partly or (place == 0 and type_ == TYPES[0])):
                    continue
                value = _value(type_, turn, (step * 7919 + node * 31 + type_ * 101 + number) % 997 / 997 - 0.5)
                yield {"time": moment, "nodeId": node, "type": type_, "locationId": location, "value": value}


def _value(type_: int, turn: float, noise: float) -> float:
    middle, swing, chance = {0: (19.5, 2.8, 0.8), 2: (48.0, -7.0, 3.0), 8: (640.0, 210.0, 90.0)}[type_]
    return round(middle + swing * turn + chance * noise, 2)


def _note(connection: sa.Connection, site: Site, nodes: dict[int, int], counts: Counter[str], now: dt.datetime) -> None:
    contact = now - dt.timedelta(hours=site.silent)
    newest = (now - dt.timedelta(hours=site.old)).replace(microsecond=0)
    of = {"site": site.name, "table_name": "Reading"}
    tables: dict[sa.Table, list[Row]] = {
        bookkeeping.site: [
            {"name": site.name, "epoch": _EPOCH, "hostname": f"pi-{site.name}", "agent_version": site.version,
             "schema_hash": "0", "clock_skew_seconds": site.skew, "resolved": 3, "last_contact": contact,
             "first_contact": now - dt.timedelta(days=DAYS)}
        ],
        bookkeeping.identity: [
            {"site": site.name, "table_name": "Node", "local_key": key_text((node,)), "central_key": key_text((node,)),
             "row_hash": "0", "owns": True}
            for node in nodes
        ],
        bookkeeping.block: [of | {"start": start, "rows": rows, "total": "0" * 32} for start, rows in counts.items()],
        bookkeeping.batch: list(_batches(site, contact)),
        bookkeeping.checkpoint: [
            of | {"epoch": _EPOCH, "sequence": 5000, "cursor": f'["{newest.isoformat(" ")}",{max(nodes)},8]',
                  "rows_total": counts.total(), "updated": contact}
        ],
        bookkeeping.report: [
            of | {"sent": 60, "held": site.held, "pending": site.pending, "reported": contact},
            of | {"table_name": "Node", "sent": 0, "held": 0, "pending": None, "reported": contact},
        ],
        bookkeeping.verdict: [_verdict(site, counts.total(), now)],
        bookkeeping.event: _events(site, now),
    }  # fmt: skip
    for table, rows in tables.items():
        if rows:
            connection.execute(sa.insert(table), rows)


def _batches(site: Site, contact: dt.datetime) -> Iterator[Row]:
    """One each ten minutes, of more rows by day than by night."""
    for number in range(_BATCHES):
        applied = contact - (_BATCHES - 1 - number) * dt.timedelta(minutes=10)
        rows = 0 if site.old > site.silent and number > _BATCHES - site.old * 6 else 60
        rows = round(rows * (1.2 + math.sin(applied.hour / 24 * math.tau - 1.8) * 0.8 + (number * 7 % 5) / 10))
        if rows:
            yield {
                "site": site.name, "epoch": _EPOCH, "table_name": "Reading", "sequence": 5001 - _BATCHES + number,
                "fingerprint": "0", "rows": rows, "receipt": "{}", "applied": applied,
            }  # fmt: skip


def _verdict(site: Site, rows: int, now: dt.datetime) -> Row:
    verified = now - dt.timedelta(hours=max(7, site.silent))
    passed = None if site.different else verified
    return {
        "site": site.name, "table_name": "Reading", "verified": verified, "deep": bool(site.different),
        "verdict": "different" if site.different else "equal", "rows_here": rows + site.different, "rows_there": rows,
        "missing": site.different, "different": 0, "only_central": 0,
        "passed": passed or now - dt.timedelta(days=8), "passed_deep": now - dt.timedelta(days=8),
    }  # fmt: skip


def _events(site: Site, now: dt.datetime) -> list[Row]:
    found = [("agent", f"agent {site.version} on pi-{site.name}", dt.timedelta(days=12))]
    if site.held:
        detail = f"Reading: {site.held} rows held, {site.held} more than before"
        found.append(("held", detail, dt.timedelta(hours=5)))
    if site.different:
        found.append(("verify", f"Reading: different: {site.different} missing", dt.timedelta(hours=7)))
    return [{"site": site.name, "kind": kind, "detail": detail, "happened": now - age} for kind, detail, age in found]
