"""Fake readings, as a collection site would make them, for tests and demonstrations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import Base, Deployment, House, Location, Node, NodeState, Reading, Room, RoomType, Sensor
from models.seed import seed_types
from pusher.schema.engine import writing

_READING = Base.metadata.tables[Reading.__tablename__]
_NODE_STATE = Base.metadata.tables[NodeState.__tablename__]
_TEMPERATURE = 0
_BASE_NODE_TYPE = 0
_TOP = 100  # values run from 0 to this, or back
_BASE_STATION = 0
_CHUNK_STEPS = 5000
_MILLISECONDS = 1000
_SETTLED = timedelta(seconds=10)  # what is younger may not be pushed at once

Row = dict[str, Any]


def utc_now() -> datetime:
    """Now, as a site writes it down: in UTC, without saying so, to the second."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


@dataclass(frozen=True, kw_only=True)
class Datagen:
    """A house whose first node counts 0..100 and whose second counts 100..0, one step each `gap_seconds`.

    After `state_switch` steps every node reports its state and the counting starts afresh. With a `seed`,
    values and signal strengths carry noise, always the same for the same seed, step and node; without one
    they are whole numbers. Whoever generates again continues after the newest reading of the nodes.
    """

    LOCAL_URL: ClassVar[str] = "sqlite:///site.db"
    READING_GAP: ClassVar[float] = 2.0  # seconds
    STATE_SWITCH: ClassVar[int] = 101  # steps; one whole swing from 0 to 100

    deployment: str = "PushTest"
    address: str = "Push Address"
    rooms: tuple[str, ...] = ("Master Bedroom", "Living Room")
    nodes: tuple[int, ...] = (37, 38)
    seed: int | None = None
    start: datetime | None = None
    gap_seconds: float = READING_GAP
    state_switch: int = STATE_SWITCH

    def bulk(self, engine: Engine, readings: int, *, end: datetime | None = None) -> int:
        """Adds so many readings at once, the last of them at `end` (ten seconds ago), and returns how many it added.

        They begin at `start` if that is given, and always after the newest reading there is.
        """
        steps = -(-readings // len(self.nodes))
        gap = timedelta(seconds=self.gap_seconds)
        begin = self.start or (end or utc_now() - _SETTLED) - (steps - 1) * gap
        with writing(engine).begin() as connection:
            locations = self._furnish(connection, begin)
            first, moment = self._continue(connection, begin)
            for offset in range(0, steps, _CHUNK_STEPS):
                moments = [moment + index * gap for index in range(offset, min(offset + _CHUNK_STEPS, steps))]
                self._write(connection, first + offset, moments, locations, readings - offset * len(self.nodes))
        return readings

    def live(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[datetime]:
        """Adds one step each time it is asked for the next, sleeping in between; gives the time of each step."""
        gap = timedelta(seconds=self.gap_seconds)
        begin = self.start or now()
        with writing(engine).begin() as connection:
            locations = self._furnish(connection, begin)
            step, moment = self._continue(connection, begin)
        while True:
            with writing(engine).begin() as connection:
                self._write(connection, step, [moment], locations, len(self.nodes))
            yield moment
            step, moment = step + 1, moment + gap
            sleep(self.gap_seconds)

    def _write(
        self, connection: sa.Connection, first: int, moments: list[datetime], locations: dict[int, int], limit: int
    ) -> None:
        """Adds the steps from number `first` on, but not more than `limit` readings."""
        steps = list(enumerate(moments, first))
        readings = (row for step, moment in steps for row in self._readings(step, moment, locations))
        connection.execute(sa.insert(_READING), list(islice(readings, limit)))
        if states := [row for step, moment in steps for row in self._states(step, moment)]:
            connection.execute(sa.insert(_NODE_STATE), states)

    def _readings(self, step: int, moment: datetime, locations: dict[int, int]) -> Iterator[Row]:
        counter = step % self.state_switch % (_TOP + 1)
        for position, node in enumerate(self.nodes):
            value = float(_TOP - counter if position % 2 else counter)
            if self.seed is not None:
                value = round(value + self._noise(step, node, "value"), 2)
            yield {"time": moment, "nodeId": node, "type": _TEMPERATURE, "locationId": locations[node], "value": value}

    def _states(self, step: int, moment: datetime) -> Iterator[Row]:
        """One state for each node, at the last step before the counters start afresh."""
        if (step + 1) % self.state_switch:
            return
        for node in self.nodes:
            rssi = -60.0 if self.seed is None else round(-60 + 20 * self._noise(step, node, "rssi"), 1)
            yield {
                "time": moment,
                "nodeId": node,
                "parent": _BASE_STATION,
                "localtime": round((step + 1) * self.gap_seconds * _MILLISECONDS),
                "seq_num": step // self.state_switch,
                "rssi": rssi,
            }

    def _noise(self, step: int, node: int, what: str) -> float:
        """Between -0.5 and 0.5. Computed, not drawn, so that it depends on nothing that was generated before."""
        digest = blake2b(f"{self.seed}/{step}/{node}/{what}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64 - 0.5

    def _continue(self, connection: sa.Connection, begin: datetime) -> tuple[int, datetime]:
        """The number and the time of the next step."""
        ours = Reading.nodeId.in_(self.nodes)
        newest = connection.scalar(sa.select(Reading.time).where(ours).order_by(Reading.time.desc()).limit(1))
        if newest is None:
            return 0, begin
        state = connection.execute(
            sa.select(NodeState.time, NodeState.seq_num)
            .where(NodeState.nodeId == self.nodes[0])
            .order_by(NodeState.time.desc())
            .limit(1)
        ).first()
        since = sa.select(sa.func.count()).where(Reading.nodeId == self.nodes[0], Reading.typeId == _TEMPERATURE)
        step = 0
        if state is not None:
            since = since.where(Reading.time > state.time)
            step = (state.seq_num + 1) * self.state_switch
        step += connection.scalar(since) or 0
        return step, max(newest + timedelta(seconds=self.gap_seconds), begin)

    def _furnish(self, connection: sa.Connection, begin: datetime) -> dict[int, int]:
        """Makes the house and what is in it, if not there; returns the location of each node."""
        seed_types(connection)
        deployment = _get_or_add(connection, Deployment, {"name": self.deployment}, {"startDate": begin})
        house = _get_or_add(
            connection, House, {"address": self.address}, {"deploymentId": deployment, "startDate": begin}
        )
        unknown = _get_or_add(connection, RoomType, {"name": "Unknown"}, {})
        locations = {}
        for position, node in enumerate(self.nodes):
            room = _get_or_add(
                connection, Room, {"name": self.rooms[position % len(self.rooms)]}, {"roomTypeId": unknown}
            )
            location = _get_or_add(connection, Location, {"houseId": house, "roomId": room}, {})
            _get_or_add(connection, Node, {"id": node}, {"nodeTypeId": _BASE_NODE_TYPE})
            connection.execute(sa.update(Node).where(Node.id == node).values(locationId=location))
            calibration = {"calibrationSlope": 1.0, "calibrationOffset": 0.0}
            _get_or_add(connection, Sensor, {"nodeId": node, "sensorTypeId": _TEMPERATURE}, calibration)
            locations[node] = location
        return locations


def _get_or_add(connection: sa.Connection, model: type[Base], key: Row, rest: Row) -> int:
    """The id of the row with this natural key."""
    table = Base.metadata.tables[model.__tablename__]
    found = sa.select(table.c.id).where(*(table.c[name] == value for name, value in key.items()))
    id_ = connection.scalar(found)
    if id_ is None:
        connection.execute(sa.insert(table).values(key | rest))
        id_ = connection.scalar(found)
    assert isinstance(id_, int)
    return id_
