"""What a site collects: readings, notes and what they belong to, on time or not."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import Base
from pusher.datagen import Datagen
from pusher.schema.engine import opened, writing

_NODES = (37, 38)
_NODE_OF_TIES = 36  # its readings come before those of the others in the order of the key
_BEGUN_BEFORE = dt.timedelta(minutes=30)
_RECENT = dt.timedelta(minutes=50)
_NOT_COMPARED = ("Server", "Pushstatus")  # where central notes who pushed

Row = dict[str, Any]


def world_tables() -> sa.MetaData:
    """The tables of a site, and Note, whose rows are known by their origin alone: what is stored twice shows.

    They grow with `append_column` when a column is added on both sides.
    """
    tables = sa.MetaData()
    for table in Base.metadata.tables.values():
        table.to_metadata(tables)
    sa.Table(
        "Note",
        tables,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", tables.tables["Reading"].c.time.type, nullable=False),
        sa.Column("text", sa.String(40)),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    return tables


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


class Collecting:
    """Writes rows into the site's database at `url`, as of the present moment unless told otherwise."""

    def __init__(self, url: str, tables: sa.MetaData, rng: random.Random) -> None:
        self._url = url
        self._tables = tables
        self._rng = rng
        self._newest = utc_now() - _BEGUN_BEFORE
        self._notes = 0
        self._states = 0
        self._rooms = 0
        with opened(url, create=True) as engine:
            tables.create_all(engine)
            nodes = (*_NODES, _NODE_OF_TIES)
            Datagen(nodes=nodes).bulk(engine, 2 * len(nodes), end=self._newest.replace(microsecond=0))
            with engine.connect() as connection:
                node = tables.tables["Node"]
                self._places = dict(connection.execute(sa.select(node.c.id, node.c.locationId)).all())

    def on_time(self, steps: int) -> None:
        """Rows between the last ones and now."""
        now = max(utc_now(), self._newest + dt.timedelta(microseconds=2 * steps))
        gap = (now - self._newest) / (steps + 1)
        moments = [self._newest + gap * number for number in range(1, steps + 1)]
        self._newest = moments[-1]
        with opened(self._url) as engine:
            self._write(engine, moments)

    def with_the_clock_wrong(self, jump: dt.timedelta, steps: int) -> None:
        moment = utc_now() + jump
        with opened(self._url) as engine:
            self._write(engine, [moment + dt.timedelta(milliseconds=number) for number in range(steps)])

    def late(self, steps: int) -> None:
        """Rows that devices kept to themselves for minutes, hours or days."""
        back = [
            dt.timedelta(seconds=self._rng.choice((600, 20_000, 300_000)) * self._rng.random()) for _ in range(steps)
        ]
        with opened(self._url) as engine:
            self._write(engine, sorted(self._newest - each for each in back))

    def tied(self, steps: int) -> None:
        """Rows of the very moment of others that may have been sent, before them in the order of the key."""
        reading, note = self._tables.tables["Reading"], self._tables.tables["Note"]
        tie = sa.alias(reading)
        taken = sa.exists().where(tie.c.time == reading.c.time, tie.c.nodeId == _NODE_OF_TIES)
        of_others = sa.select(reading.c.time).where(reading.c.nodeId == _NODES[0], ~taken)
        with opened(self._url) as engine, writing(engine).begin() as connection:
            times = connection.scalars(of_others.order_by(reading.c.time.desc()).limit(steps)).all()
            connection.execute(sa.insert(reading), [self._reading(_NODE_OF_TIES, time) for time in times])
            ids = select_pairs(connection, note)
            gaps = [(id_ - 1, at) for id_, at in ids if id_ % 2 == 0 and (id_ - 1) not in dict(ids)]
            if gaps:
                rows = [{"id": id_, **self._note(at)} for id_, at in gaps[-steps:]]
                connection.execute(sa.insert(note), rows)

    def update(self, rows: int) -> None:
        """Other values in rows of the last hour."""
        with opened(self._url) as engine, writing(engine).begin() as connection:
            for name, moment, value in (("Reading", "time", "value"), ("Note", "at", "text")):
                table = self._tables.tables[name]
                keys = list(table.primary_key.columns)
                recent = table.c[moment].between(utc_now() - _RECENT, utc_now())
                found = connection.execute(sa.select(*keys).where(recent)).all()
                for key in self._rng.sample(found, min(rows, len(found))):
                    mine = sa.and_(*(column == part for column, part in zip(keys, key, strict=True)))
                    new = round(self._rng.random(), 6) if name == "Reading" else f"changed {self._rng.random()}"
                    connection.execute(sa.update(table).where(mine).values({value: new}))

    def change_entities(self) -> None:
        """Another calibration, and a node that moves into a room that is new."""
        tables = self._tables.tables
        self._rooms += 1
        node = self._rng.choice(_NODES)
        with opened(self._url) as engine, writing(engine).begin() as connection:
            connection.execute(sa.update(tables["Sensor"]).values(calibrationOffset=self._rng.random()))
            room = connection.execute(sa.insert(tables["Room"]).values(name=f"Room {self._rooms}")).inserted_primary_key
            house = connection.scalar(sa.select(tables["House"].c.id))
            assert room is not None
            place = {"houseId": house, "roomId": room[0]}
            location = connection.execute(sa.insert(tables["Location"]).values(place)).inserted_primary_key
            assert location is not None
            self._places[node] = location[0]
            moved = sa.update(tables["Node"]).where(tables["Node"].c.id == node)
            connection.execute(moved.values(locationId=location[0]))

    # ---

    def _write(self, engine: Engine, moments: list[dt.datetime]) -> None:
        tables = self._tables.tables
        notes = self._rng.sample(moments, len(moments) // 3)
        with writing(engine).begin() as connection:
            readings = [self._reading(node, moment) for moment in moments for node in _NODES]
            connection.execute(sa.insert(tables["Reading"]), readings)
            rows = [{"id": self._next_id(), **self._note(moment)} for moment in sorted(notes)]
            if rows:
                connection.execute(sa.insert(tables["Note"]), rows)
            self._states += 1
            state = {"time": moments[-1], "nodeId": _NODES[0], "seq_num": self._states, "rssi": self._rng.random()}
            connection.execute(sa.insert(tables["NodeState"]), [state])

    def _reading(self, node: int, moment: dt.datetime) -> Row:
        row = {"time": moment, "nodeId": node, "type": 0, "value": round(self._rng.random(), 6)}
        return {**row, "locationId": self._places[node], **self._extra("Reading")}

    def _note(self, moment: dt.datetime) -> Row:
        return {"at": moment, "text": "the same words", **self._extra("Note")}

    def _next_id(self) -> int:
        self._notes += 2  # so that a tied note finds a smaller id
        return self._notes

    def _extra(self, table: str) -> Row:
        """For the columns that were added on both sides."""
        names = [column.name for column in self._tables.tables[table].columns if column.info.get("added")]
        return {name: self._rng.randrange(1000) for name in names}


def select_pairs(connection: sa.Connection, note: sa.Table) -> list[tuple[int, dt.datetime]]:
    return [(id_, at) for id_, at in connection.execute(sa.select(note.c.id, note.c.at).order_by(note.c.id))]


def differences(site: Engine, central: Engine, tables: sa.MetaData) -> list[str]:
    """Rows that only one side has, or has more often; empty if both sides say the same."""
    found = []
    here, there = contents(site, tables), contents(central, tables)
    for table in here:
        found += [f"lost: {table} {_shown(row)}" for row in (here[table] - there[table]).elements()]
        found += [f"only at central: {table} {_shown(row)}" for row in (there[table] - here[table]).elements()]
    return found


def contents(engine: Engine, tables: sa.MetaData) -> dict[str, Counter[tuple[object, ...]]]:
    """Every row of every table, the numbers that its database gave replaced by what they stand for."""
    meaning: dict[tuple[str, object], object] = {}
    found: dict[str, Counter[tuple[object, ...]]] = {}
    with engine.connect() as connection:
        for table in tables.sorted_tables:
            columns = [column for column in table.columns if column is not table.autoincrement_column]
            parents = [next((key.column.table.name for key in column.foreign_keys), None) for column in columns]
            keys = list(table.primary_key.columns)
            rows = connection.execute(sa.select(keys[0], *columns).order_by(*keys)).all()
            meant = []
            for key, *values in rows:
                row = tuple(
                    value if parent is None or value is None else meaning[parent, value]
                    for parent, value in zip(parents, values, strict=True)
                )
                meant.append(row)
                if len(keys) == 1:
                    meaning[table.name, key] = row
            if table.name not in _NOT_COMPARED:
                found[table.name] = Counter(meant)
    return found


def _shown(row: tuple[object, ...]) -> str:
    return ", ".join(str(value) for value in row if not isinstance(value, tuple))
