"""The domain tables that a site and central share."""

from models.domain import (
    Base,
    Deployment,
    House,
    Location,
    Node,
    NodeState,
    NodeType,
    PushStatus,
    Reading,
    Room,
    RoomType,
    Sensor,
    SensorType,
    Server,
)

__all__ = [
    "Base",
    "Deployment",
    "House",
    "Location",
    "Node",
    "NodeState",
    "NodeType",
    "PushStatus",
    "Reading",
    "Room",
    "RoomType",
    "Sensor",
    "SensorType",
    "Server",
]
