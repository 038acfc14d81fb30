"""The usual types of sensors, nodes and rooms, which every site and central start with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.domain import Base, NodeType, Room, RoomType, SensorType

# id, name, code, units
SENSOR_TYPES = (
    (0, "Temperature", "T", "deg.C"),
    (1, "Delta Temperature", "dT", "deg.C/s"),
    (2, "Humidity", "RH", "%"),
    (3, "Delta Humidity", "dRH", "%/s"),
    (4, "Light PAR", "PAR", "Lux"),
    (5, "Light TSR", "TSR", "Lux"),
    (6, "Battery Voltage", "BAT", "V"),
    (7, "Delta Battery Voltage", "dBT", "V/s"),
    (8, "CO2", "CO2", "ppm"),
    (9, "Air Quality", "AQ", "ppm"),
    (10, "VOC", "VOC", "ppm"),
    (11, "Power", "POW", "W"),
    (12, "Heat", "HET", "W"),
    (13, "Duty Cycle", "DUT", "ms"),
    (40, "Power Pulses", "POP", "pulses"),
    (43, "Gas Pulses", "GAS", "pulses"),
)

# id, name
NODE_TYPES = (
    (0, "Base"),
    (1, "Electricity Node"),
    (2, "CO2 Node"),
    (3, "Air Quality Node"),
    (4, "Heat Meter Node"),
    (5, "Energy Board Node"),
    (6, "Clamp Node"),
    (7, "Gas Node"),
    (10, "Cluster Head"),
)

ROOMS = {
    "Bedroom": ("Master Bedroom", "Second Bedroom", "Third Bedroom"),
    "Living Area": ("Living Room", "Dining Room"),
    "Wet Room": ("Bathroom", "WC", "Kitchen"),
    "Study": ("Study",),
    "Circulation": ("Hallway", "Upstairs Hallway"),
    "Unoccupied": ("Utility Room", "Spare Room", "Loft"),
    "Unknown": ("Unknown",),
}


def seed_types(database: sa.Connection | Session) -> None:
    """Inserts the types and rooms that are not there yet, within the caller's transaction.

    What is there, by id or by name, stays as the operator has it.
    """
    _insert_missing(
        database,
        SensorType,
        "id",
        (
            {"id": id_, "name": name, "code": code, "units": units, "c0": 0.0, "c1": 1.0, "c2": 0.0, "c3": 0.0}
            for id_, name, code, units in SENSOR_TYPES
        ),
    )
    _insert_missing(database, NodeType, "id", ({"id": id_, "name": name} for id_, name in NODE_TYPES))
    _insert_missing(database, RoomType, "name", ({"name": name} for name in ROOMS))
    type_ids = {name: id_ for id_, name in database.execute(sa.select(RoomType.id, RoomType.name))}
    _insert_missing(
        database,
        Room,
        "name",
        ({"name": room, "roomTypeId": type_ids[type_]} for type_, rooms in ROOMS.items() for room in rooms),
    )


def _insert_missing(
    database: sa.Connection | Session, model: type[Base], key: str, rows: Iterable[dict[str, Any]]
) -> None:
    table = Base.metadata.tables[model.__tablename__]
    known = set(database.execute(sa.select(table.c[key])).scalars())
    missing = [row for row in rows if row[key] not in known]
    if missing:
        database.execute(sa.insert(table), missing)
