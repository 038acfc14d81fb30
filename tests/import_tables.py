"""Tables to import into: with parents, with a table that refers to itself, with and without keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from models.columns import TABLE_OPTIONS, moment
from pusher.datacenter.processing import Done, Mode, Processor, Result
from pusher.datacenter.table import Keys, table_processor
from pusher.schema.engine import open_engine, writing
from pusher.schema.reflect import reflect
from tests.servers import DatabaseServer

metadata = sa.MetaData()


def _table(name: str, *items: Any) -> sa.Table:
    return sa.Table(name, metadata, *items, **TABLE_OPTIONS)


def _number() -> sa.Column[Any]:
    return sa.Column("id", sa.Integer, primary_key=True)


def _parent(name: str, table: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.ForeignKey(f"{table}.id"), **options)


deployments = _table("Deployment", _number(), sa.Column("name", sa.String(40), nullable=False, unique=True))
houses = _table(
    "House",
    _number(),
    _parent("deploymentId", "Deployment"),
    sa.Column("address", sa.String(40), nullable=False, unique=True),
    sa.Column("code", sa.String(10), unique=True),
    sa.Column("rooms", sa.SmallInteger, nullable=False, server_default="1"),
    sa.Column("opened", moment()),
    sa.Column("price", sa.Numeric(8, 2)),
    sa.CheckConstraint("rooms < 1000", name="not_too_many"),
)
rooms = _table("Room", _number(), sa.Column("name", sa.String(40), nullable=False, unique=True))
locations = _table(
    "Location",
    _number(),
    _parent("houseId", "House", nullable=False),
    _parent("roomId", "Room", nullable=False),
    sa.Column("floor", sa.Integer),
    sa.UniqueConstraint("houseId", "roomId"),
)
nodes = _table(
    "Node",
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    _parent("locationId", "Location"),
    sa.Column("note", sa.Text),
)
people = _table(
    "Person",
    _number(),
    sa.Column("name", sa.String(40), nullable=False, unique=True),
    _parent("bossId", "Person"),
    _parent("firstId", "Deployment"),
    _parent("secondId", "Deployment"),
)
folders = _table(
    "Folder",
    _number(),
    _parent("parentId", "Folder"),
    sa.Column("name", sa.String(40), nullable=False),
    sa.UniqueConstraint("parentId", "name"),
)
notes = _table("Note", _number(), sa.Column("words", sa.Text))
loose = _table("Loose", sa.Column("a", sa.Integer), sa.Column("b", sa.String(40)))


@dataclass(frozen=True)
class Office:
    """A database of these tables, and what imports into them."""

    engine: Engine

    def processor(self, table: str, null: str = "XXX", keys: Keys | None = None) -> Processor:
        return table_processor(reflect(self.engine), table, null=null, keys=keys)

    def run(
        self, table: str, mode: Mode, names: str, *rows: Sequence[str], connection: Connection | None = None
    ) -> list[str]:
        """What became of the rows, a word or the reason for each. `names`: of the fields, with blanks between."""
        processor = self.processor(table)
        if connection is not None:
            return told(processor.apply(connection, mode, names.split(), rows))
        with writing(self.engine).begin() as own:
            return told(processor.apply(own, mode, names.split(), rows))

    def rows(self, table: sa.Table, *names: str) -> list[tuple[Any, ...]]:
        columns = [table.c[name] for name in names]
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(*columns))]

    def add(self, table: sa.Table, *rows: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            for row in rows:
                connection.execute(sa.insert(table).values(row))

    def emptied(self) -> Self:
        """With nothing in it but two deployments."""
        with self.engine.begin() as connection:
            for table, name in ((people, "bossId"), (folders, "parentId")):
                connection.execute(sa.update(table).values({name: None}))
            for table in reversed(metadata.sorted_tables):
                connection.execute(sa.delete(table))
        self.add(deployments, {"name": "north"}, {"name": "south"})
        return self


def told(results: Sequence[Result]) -> list[str]:
    return [str(result.action) if isinstance(result, Done) else result.reason for result in results]


def new_office(url: str) -> Office:
    office = Office(open_engine(url))
    metadata.create_all(office.engine)
    return office.emptied()


@dataclass(frozen=True)
class Offices:
    """Two of each database, made when a test first wants them: to make tables takes longer than to empty them."""

    servers: Callable[[str], DatabaseServer]
    folder: Path
    made: dict[str, tuple[Office, Office]] = field(default_factory=dict)

    def pair(self, dialect: str) -> tuple[Office, Office]:
        if dialect not in self.made:
            self.made[dialect] = (new_office(self._url(dialect)), new_office(self._url(dialect)))
        first, second = self.made[dialect]
        return first.emptied(), second.emptied()

    def close(self) -> None:
        for pair in self.made.values():
            for office in pair:
                office.engine.dispose()

    def _url(self, dialect: str) -> str:
        if dialect != "sqlite":
            return self.servers(dialect).new_database()
        path = self.folder / f"{len(list(self.folder.iterdir()))}.db"
        path.touch()
        return f"sqlite:///{path}"
