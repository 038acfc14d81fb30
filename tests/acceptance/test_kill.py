"""Kills central, and the agent, in the midst of a push: at the end no row is lost and none is doubled."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from models import Base, Reading, bookkeeping
from pusher.config import read_lastupdate
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.stage import CentralService, contents, push, start_pusher, write_config

# Nothing but a number tells its rows apart, so a batch that is applied twice shows.
DIARY = sa.Table(
    "Diary",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("time", sa.DateTime, nullable=False),
    sa.Column("text", sa.String(40)),
    mysql_engine="InnoDB",
)
STREAMS = [*(Base.metadata.tables[name] for name in ("Reading", "NodeState")), DIARY]
_READINGS = 600
_ENTRIES = 100
_PROGRESS_SECONDS = 30


@dataclass
class Scene:
    """A site on SQLite that pushes in small batches to a central."""

    site: sa.Engine
    central: sa.Engine
    service: CentralService
    config: Path
    chance: random.Random = field(default_factory=lambda: random.Random(37))
    midway: int = 0

    def collect(self) -> None:
        """More rows at the site, if need be, so that the next push has something to do."""
        if rows_of(self.site) - rows_of(self.central) > _READINGS:
            return
        Datagen(seed=1, start=datetime(2026, 1, 1)).bulk(self.site, _READINGS)
        with self.site.begin() as connection:
            newest = connection.scalar(sa.select(sa.func.max(Reading.time)))
            entries = [{"time": newest, "text": "the same words"} for _ in range(_ENTRIES)]
            connection.execute(sa.insert(DIARY), entries)

    def start_agent(self) -> subprocess.Popen[str]:
        return start_pusher("--config", self.config, "run", "--once", stdout=subprocess.DEVNULL)

    @contextmanager
    def noting_progress(self) -> Iterator[Callable[[], None]]:
        """Gives what waits for a moment that is good for killing; in the end notes whether it was one."""
        before = rows_of(self.central)

        def wait() -> None:
            if self.chance.random() < 0.3:
                time.sleep(self.chance.uniform(0, 0.5))  # also before the first batch
                return
            until = time.monotonic() + _PROGRESS_SECONDS
            while rows_of(self.central) == before and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(self.chance.uniform(0, 0.15))

        yield wait
        self.midway += before < rows_of(self.central) < rows_of(self.site)
        marker = read_lastupdate(self.config, "central")
        if marker:  # whatever broke, it promises no more than what central holds
            assert rows_of(self.central, before=marker) == rows_of(self.site, before=marker)

    def finish(self) -> None:
        """One undisturbed push, after which both sides hold the same, once."""
        self.config.write_text(self.config.read_text().replace("pushlimit = 10", "pushlimit = 500"))
        with self.start_agent() as agent:
            assert agent.wait() == 0
        assert contents(self.site.url.render_as_string(False), [DIARY]) == contents(self.service.db, [DIARY])
        assert not gaps(self.central)


def rows_of(engine: sa.Engine, before: str = "9999-01-01") -> int:
    moment = datetime.fromisoformat(before)
    counts = [sa.select(sa.func.count()).where(table.c.time < moment).scalar_subquery() for table in STREAMS]
    with engine.connect() as connection:
        return sum(connection.execute(sa.select(*counts)).one())


@pytest.fixture
def scene(dialect: str, new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    site, central = new_database("sqlite"), new_database(dialect)
    with opened(site) as here, opened(central) as there:
        for engine in (here, there):
            Base.metadata.create_all(engine)
            DIARY.create(engine)
        with CentralService(central) as service:
            config = write_config(tmp_path, "north", site, service.resturl, service.token("north"), pushlimit=10)
            yield Scene(here, there, service, config)


def gaps(central: sa.Engine) -> list[tuple[object, ...]]:
    """Epochs of a table in whose batches a number is missing."""
    batch = bookkeeping.batch
    groups = (batch.c.site, batch.c.epoch, batch.c.table_name)
    query = sa.select(*groups).group_by(*groups).having(sa.func.max(batch.c.sequence) != sa.func.count())
    with central.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


@pytest.mark.parametrize("dialect", ["sqlite", "mariadb"], indirect=True)
def test_central_is_killed_in_mid_push(scene: Scene) -> None:
    endings = []
    with ThreadPoolExecutor(max_workers=1) as agent:
        for _ in range(4):
            scene.collect()
            with scene.noting_progress() as wait:
                outcome = agent.submit(push, scene.config)
                wait()
                scene.service.kill()
                endings.append(outcome.result().exit_code)
            scene.service.start()
    assert set(endings) <= {0, 3}
    assert endings.count(3) >= 2 and scene.midway >= 2, "the kills came too early or too late to show anything"
    scene.finish()


@pytest.mark.parametrize("dialect", ["sqlite", "mariadb"], indirect=True)
def test_the_agent_is_killed_in_mid_push(scene: Scene) -> None:
    for _ in range(3):
        scene.collect()
        with scene.noting_progress() as wait, scene.start_agent() as agent:
            wait()
            agent.kill()
    assert scene.midway >= 2, "the kills came too early or too late to show anything"
    comments = [line.partition(";")[2] for line in scene.config.read_text().splitlines() if ";" in line]
    assert comments == [" what the operator wrote", " our name at central", " written by pusher"]
    scene.finish()
