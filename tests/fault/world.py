"""A site and a central that go through random trouble, and must be equal once it is quiet."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import requests
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import Base, House
from pusher.central.migrate import upgrade
from pusher.central.tokens import new_token
from pusher.datagen import Datagen
from pusher.inifile import with_value
from pusher.schema.engine import opened, writing
from tests.fault.crashing import AGENT, CENTRAL
from tests.fault.proxy import FaultyProxy
from tests.servers import free_port
from tests.stage import write_config

_SITE = "house-37"
_QUIET_CYCLES = 4
_START_SECONDS = 30
_CYCLE_SECONDS = 120
_BATCH_ROWS = 100

# Known by its origin alone: whatever is stored twice shows.
_NOTE = 'create table "Note" (id integer primary key, at datetime not null, text varchar(40))'
# A row with what its ids stand for, so that both sides may number as they like.
_CONTENT = (
    'select at, text from "Note"',
    'select name, description, "startDate", "endDate" from "Deployment"',
    'select h.address, h."startDate", h."endDate", d.name from "House" h '
    'left join "Deployment" d on d.id = h."deploymentId"',
    'select n.id, h.address, r.name from "Node" n left join "Location" l on l.id = n."locationId" '
    'left join "House" h on h.id = l."houseId" left join "Room" r on r.id = l."roomId"',
    'select "nodeId", "sensorTypeId", "calibrationSlope", "calibrationOffset" from "Sensor"',
    'select * from "NodeState"',
    'select x.time, x."nodeId", x.type, x.value, h.address, r.name from "Reading" x '
    'left join "Location" l on l.id = x."locationId" left join "House" h on h.id = l."houseId" '
    'left join "Room" r on r.id = l."roomId"',
)


class World:
    """Every choice comes from `seed`, so a run can be had again. `injected` counts the faults."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.injected: Counter[str] = Counter()
        self._folder = folder
        self._site = folder / "site.db"
        self._central = folder / "central.db"
        self._port = free_port()
        self._service: subprocess.Popen[bytes] | None = None
        self._notes = 0
        self._datagen = Datagen(seed=seed, gap_seconds=1.0, state_switch=20)
        with opened(f"sqlite:///{self._site}", create=True) as engine:
            Base.metadata.create_all(engine)
            _execute(engine, _NOTE)
        self._grow()
        with opened(f"sqlite:///{self._central}", create=True) as engine:
            upgrade(engine)
            _execute(engine, _NOTE)
            token = new_token(engine, _SITE, "push")
        self.proxy = FaultyProxy(self._port, random.Random(self.rng.random()))
        resturl = f"http://127.0.0.1:{self.proxy.port}/rest/"
        localurl = f"sqlite:///{self._site}"
        self._config = write_config(folder / "agent", _SITE, localurl, resturl, token, pushlimit=_BATCH_ROWS)
        self._start_central()

    def close(self) -> None:
        self._stop_central()
        self.proxy.close()

    def round(self) -> None:
        """Something happens at the site, something breaks, and a cycle is tried."""
        self._grow()
        trouble = self.rng.choice(self._troubles())
        trouble()

    def settle(self) -> None:
        """Quiet: the link is whole, both sides run, what was late has come. Then cycles until one ends well."""
        self.proxy.rate = 0.0
        self._start_central()
        self.proxy.deliver_late()
        for _ in range(_QUIET_CYCLES):
            if self._cycle() == 0:
                return
        raise AssertionError(f"no cycle ends well after {dict(self.injected)}")

    def differences(self) -> list[str]:
        """Rows that only one side has, or has more often; empty if both sides say the same."""
        found = []
        for query in _CONTENT:
            here, there = _rows(self._site, query), _rows(self._central, query)
            found += [f"lost: {row}" for row in (here - there).elements()]
            found += [f"only at central: {row}" for row in (there - here).elements()]
        return found

    # --- what happens

    def _grow(self) -> None:
        with opened(f"sqlite:///{self._site}") as engine:
            self._datagen.bulk(engine, self.rng.randrange(50, 800))
            for _ in range(self.rng.randrange(300)):
                self._notes += 1
                moment = f"2026-01-01 00:00:00.{self._notes:06}"
                _execute(engine, f"""insert into "Note" (at, text) values ('{moment}', 'note {self._notes}')""")
            if self.rng.random() < 0.2:
                with engine.begin() as connection:
                    connection.execute(sa.update(House).values(endDate=None, address=House.address))
                    connection.execute(
                        sa.update(Base.metadata.tables["Sensor"]).values(calibrationOffset=self.rng.random())
                    )

    def _troubles(self) -> list[Callable[[], None]]:
        return [
            self._bad_link,
            self._agent_dies,
            self._agent_dies,
            self._central_dies,
            self._central_dies,
            self._central_dies_any_time,
            self._state_is_lost,
            self._central_is_restored,
            self._operator_sets_back,
            self._two_agents,
        ]

    def _bad_link(self) -> None:
        self.proxy.rate = self.rng.choice((0.2, 0.5, 0.9))
        before = Counter(self.proxy.suffered)
        self._cycle()
        self.proxy.rate = 0.0
        self.injected.update({f"link: {kind}": n for kind, n in (self.proxy.suffered - before).items()})
        self.proxy.deliver_late()

    def _agent_dies(self) -> None:
        point = self.rng.choice(list(AGENT))
        if self._cycle(point, self.rng.randrange(1, 5)) == -9:
            self.injected[point] += 1

    def _central_dies(self) -> None:
        point = self.rng.choice(list(CENTRAL))
        self._stop_central()
        self._start_central(point, self.rng.randrange(1, 5))
        self._cycle()
        if self._service and self._service.poll() == -9:
            self.injected[point] += 1
        self._start_central()

    def _central_dies_any_time(self) -> None:
        agent = self._spawn()
        time.sleep(self.rng.uniform(0.5, 1.5))
        self._stop_central()
        agent.wait(_CYCLE_SECONDS)
        self.injected["central killed at any time"] += 1
        self._start_central()

    def _state_is_lost(self) -> None:
        shutil.rmtree(self._config.parent / "state", ignore_errors=True)
        self.injected["state folder lost"] += 1
        self._cycle()

    def _central_is_restored(self) -> None:
        backup = self._folder / "backup.db"
        if backup.exists() and self.rng.random() < 0.7:
            self._stop_central()
            _copy_database(backup, self._central)
            self.injected["central restored from backup"] += 1
            self._start_central()
        else:
            _copy_database(self._central, backup)
        self._cycle()

    def _operator_sets_back(self) -> None:
        value = self.rng.choice(("None", "2020-01-01", "2020-01-01 00:00:00"))
        text = self._config.read_text()
        self._config.write_text(with_value(text, "central", "lastupdate", value))
        self.injected["lastupdate set back"] += 1
        self._cycle()

    def _two_agents(self) -> None:
        first, second = self._spawn(), self._spawn()
        codes = {first.wait(_CYCLE_SECONDS), second.wait(_CYCLE_SECONDS)}
        if 4 in codes:
            self.injected["two agents at once"] += 1

    # --- processes

    def _cycle(self, point: str | None = None, count: int = 0) -> int:
        return self._spawn(point, count).wait(_CYCLE_SECONDS)

    def _spawn(self, point: str | None = None, count: int = 0) -> subprocess.Popen[bytes]:
        program = ["pusher.cli.main"] if point is None else ["tests.fault.crashing", point, str(count)]
        command = [sys.executable, "-m", *program, "--config", str(self._config), "run", "--once"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _start_central(self, point: str | None = None, count: int = 0) -> None:
        if self._service and self._service.poll() is None:
            return
        program = ["pusher.cli.main"] if point is None else ["tests.fault.crashing", point, str(count)]
        command = [sys.executable, "-m", *program, "serve", "--db", "env:FAULT_DB", "--port", str(self._port)]
        environ = {**os.environ, "FAULT_DB": f"sqlite:///{self._central}"}
        self._service = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"http://127.0.0.1:{self._port}/live", timeout=5).ok:
                    return
            time.sleep(0.05)
        raise AssertionError("central did not start")

    def _stop_central(self) -> None:
        """As a power failure would."""
        if self._service:
            self._service.kill()
            self._service.wait()
            self._service = None


def _execute(engine: Engine, statement: str) -> None:
    with writing(engine).begin() as connection:
        connection.exec_driver_sql(statement)


def _rows(path: Path, query: str) -> Counter[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return Counter(connection.execute(query).fetchall())


def _copy_database(source: Path, target: Path) -> None:
    """As a database of any kind is backed up: whole, whatever its log holds."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{target}{suffix}").unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(source)) as here, contextlib.closing(sqlite3.connect(target)) as there:
        here.backup(there)
