"""The stage of the contract tests: a central database, and each way to it in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from models import Base, Node, SensorType, bookkeeping
from pusher.schema.engine import opened, writing
from tests.contract.site import NOTE, Site
from tests.contract.ways import WAYS, Connect
from tests.prepared import prepare
from tests.servers import DatabaseServer

_BOOKKEEPING = (
    bookkeeping.site,
    bookkeeping.batch,
    bookkeeping.checkpoint,
    bookkeeping.identity,
    bookkeeping.scope,
    bookkeeping.row,
    bookkeeping.block,
    bookkeeping.tombstone,
    bookkeeping.verdict,
    bookkeeping.version,
    bookkeeping.author,
)


@dataclass(frozen=True)
class Stage:
    """A central database and a way to it."""

    engine: sa.Engine
    connect: Connect

    def rows(self, query: sa.Executable) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def execute(self, *statements: sa.Executable) -> None:
        with writing(self.engine).begin() as connection:
            for statement in statements:
                connection.execute(statement)

    def site(self, name: str) -> Site:
        return Site(self.connect(name), name)


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: f"{way[0].__name__}-{way[1]}")
def way(
    request: pytest.FixtureRequest,
    servers: Callable[[str], DatabaseServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    to_central, dialect = request.param
    folder = tmp_path_factory.mktemp("central")
    db = f"sqlite:///{folder / 'central.db'}" if dialect == "sqlite" else servers(dialect).new_database()
    with opened(db, create=True) as engine, ExitStack() as stack:
        prepare(engine)
        NOTE.create(engine)
        yield Stage(engine, stack.enter_context(to_central(db)))


@pytest.fixture
def stage(way: Stage) -> Stage:
    """An empty central that knows two nodes and a type of sensor."""
    emptied = [*_BOOKKEEPING, NOTE, *reversed(Base.metadata.sorted_tables)]
    way.execute(*(sa.delete(table) for table in emptied))
    way.execute(sa.insert(Node).values([{"id": 1}, {"id": 2}]), sa.insert(SensorType).values(id=0, name="Temperature"))
    return way


@pytest.fixture
def site(stage: Stage) -> Site:
    return stage.site("north")
