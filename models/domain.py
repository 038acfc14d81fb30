"""The tables of a site and of central: houses, what is in them and what was measured there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.columns import NAMING_CONVENTION, TABLE_OPTIONS, exact, global_id, moment

_KEY_LENGTH = 255


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    __table_args__: Any = TABLE_OPTIONS


class Deployment(Base):
    __tablename__ = "Deployment"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(exact(_KEY_LENGTH), unique=True)
    description: Mapped[str | None] = mapped_column(String(255))
    startDate: Mapped[datetime | None] = mapped_column(moment())
    endDate: Mapped[datetime | None] = mapped_column(moment())


class Server(Base):
    """The computer that collects in a house."""

    __tablename__ = "Server"

    id: Mapped[int] = mapped_column(primary_key=True)
    hostname: Mapped[str] = mapped_column(exact(_KEY_LENGTH), unique=True)


class House(Base):
    __tablename__ = "House"

    id: Mapped[int] = mapped_column(primary_key=True)
    deploymentId: Mapped[int | None] = mapped_column(ForeignKey("Deployment.id"))
    address: Mapped[str] = mapped_column(exact(_KEY_LENGTH), unique=True)
    startDate: Mapped[datetime | None] = mapped_column(moment())
    endDate: Mapped[datetime | None] = mapped_column(moment())
    serverid: Mapped[int | None] = mapped_column(ForeignKey("Server.id"))


class RoomType(Base):
    __tablename__ = "RoomType"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(exact(_KEY_LENGTH), unique=True)


class Room(Base):
    """A name of a room, shared by all houses."""

    __tablename__ = "Room"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(exact(_KEY_LENGTH), unique=True)
    roomTypeId: Mapped[int | None] = mapped_column(ForeignKey("RoomType.id"))


class Location(Base):
    """A room of a house."""

    __tablename__ = "Location"
    __table_args__ = (UniqueConstraint("houseId", "roomId"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(primary_key=True)
    houseId: Mapped[int] = mapped_column(ForeignKey("House.id"))
    roomId: Mapped[int] = mapped_column(ForeignKey("Room.id"))


class NodeType(Base):
    __tablename__ = "NodeType"

    id: Mapped[int] = mapped_column(global_id(), primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(255))
    time: Mapped[datetime | None] = mapped_column(moment())
    seq: Mapped[int | None]
    updated_seq: Mapped[int | None]
    period: Mapped[int | None]
    blink: Mapped[bool | None]
    configured: Mapped[str | None] = mapped_column(String(255))


class Node(Base):
    """A device that measures; its id is printed on it."""

    __tablename__ = "Node"

    id: Mapped[int] = mapped_column(global_id(), primary_key=True, autoincrement=False)
    locationId: Mapped[int | None] = mapped_column(ForeignKey("Location.id"))
    nodeTypeId: Mapped[int | None] = mapped_column(ForeignKey("NodeType.id"))


class SensorType(Base):
    __tablename__ = "SensorType"

    id: Mapped[int] = mapped_column(global_id(), primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(255))
    code: Mapped[str | None] = mapped_column(String(50))
    units: Mapped[str | None] = mapped_column(String(20))
    c0: Mapped[float | None] = mapped_column(Double())
    c1: Mapped[float | None] = mapped_column(Double())
    c2: Mapped[float | None] = mapped_column(Double())
    c3: Mapped[float | None] = mapped_column(Double())


class Sensor(Base):
    __tablename__ = "Sensor"
    __table_args__ = (UniqueConstraint("nodeId", "sensorTypeId"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(primary_key=True)
    sensorTypeId: Mapped[int] = mapped_column(ForeignKey("SensorType.id"))
    nodeId: Mapped[int] = mapped_column(ForeignKey("Node.id"))
    calibrationSlope: Mapped[float | None] = mapped_column(Double())
    calibrationOffset: Mapped[float | None] = mapped_column(Double())


class Reading(Base):
    """What a node measured, and where it was then."""

    __tablename__ = "Reading"

    time: Mapped[datetime] = mapped_column(moment(), primary_key=True)
    nodeId: Mapped[int] = mapped_column(ForeignKey("Node.id"), primary_key=True)
    typeId: Mapped[int] = mapped_column("type", ForeignKey("SensorType.id"), primary_key=True)
    locationId: Mapped[int | None] = mapped_column(ForeignKey("Location.id"))
    value: Mapped[float | None] = mapped_column(Double())


class NodeState(Base):
    """How a node was heard: over which parent, and how well."""

    __tablename__ = "NodeState"

    time: Mapped[datetime] = mapped_column(moment(), primary_key=True)
    nodeId: Mapped[int] = mapped_column(ForeignKey("Node.id"), primary_key=True)
    parent: Mapped[int | None]
    localtime: Mapped[int | None] = mapped_column(BigInteger())
    seq_num: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    rssi: Mapped[float | None] = mapped_column(Double())


class PushStatus(Base):
    """When a server last reported that it pushed."""

    __tablename__ = "Pushstatus"

    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[datetime | None] = mapped_column(moment())
    localtime: Mapped[datetime | None] = mapped_column(moment())
    hostname: Mapped[str | None] = mapped_column(String(255))
    version: Mapped[str | None] = mapped_column(String(255))
