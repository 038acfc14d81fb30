"""The domain tables that a site and central share.

Loaded when first asked for: they need SQLAlchemy's ORM, which the tables of `models.bookkeeping` do without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("models.domain"), name)
