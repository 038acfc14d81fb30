"""The stage of `pusher demo`: a site, a central service in a process of its own, and a look at both afterwards."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import Base
from pusher.central.migrate import upgrade
from pusher.central.tokens import new_token
from pusher.daemon import cycle
from pusher.datagen import Datagen
from pusher.errors import PusherError
from pusher.job import Outcome, Progress
from pusher.schema.engine import open_engine

_SITE = "house-37"
_START_SECONDS = 30
_CONFIG = """\
[general]
site = {site}
localurl = sqlite:///site.db

[locations]
central = 1

[central]
resturl = {resturl}
token = file:token
lastupdate = None
"""
# Every table, the ids of its database replaced by what they stand for: the same row reads the same on both sides.
_CONTENT = {
    "Deployment": 'select name, description, "startDate", "endDate" from "Deployment"',
    "House": """select d.name, h.address, h."startDate", h."endDate" from "House" h
        left join "Deployment" d on d.id = h."deploymentId" """,
    "RoomType": 'select name from "RoomType"',
    "Room": 'select r.name, t.name from "Room" r left join "RoomType" t on t.id = r."roomTypeId"',
    "Location": """select h.address, r.name from "Location" l
        join "House" h on h.id = l."houseId" join "Room" r on r.id = l."roomId" """,
    "NodeType": 'select * from "NodeType"',
    "SensorType": 'select * from "SensorType"',
    "Node": """select n.id, n."nodeTypeId", h.address, r.name from "Node" n
        left join "Location" l on l.id = n."locationId" left join "House" h on h.id = l."houseId"
        left join "Room" r on r.id = l."roomId" """,
    "Sensor": 'select "nodeId", "sensorTypeId", "calibrationSlope", "calibrationOffset" from "Sensor"',
    "NodeState": 'select * from "NodeState"',
    "Reading": """select x.time, x."nodeId", x.type, x.value, h.address, r.name from "Reading" x
        left join "Location" l on l.id = x."locationId" left join "House" h on h.id = l."houseId"
        left join "Room" r on r.id = l."roomId" """,
}


class Demo:
    """Use it as a context: at its end the service is stopped and the folder removed."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._folder = tempfile.TemporaryDirectory(prefix="pusher-demo-")
        self.folder = Path(self._folder.name)
        self._service: subprocess.Popen[str] | None = None
        self._resturl = ""
        self._outcome: Outcome | None = None

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_: object) -> None:
        if self._service:
            self._service.terminate()
            self._service.wait()
        self._folder.cleanup()

    def fill(self, readings: int) -> None:
        engine = self._engine("site.db", create=True)
        Base.metadata.create_all(engine)
        Datagen(seed=37).bulk(engine, readings)
        self._say(f"site {_SITE}: {readings:,} readings in {self.folder / 'site.db'}")

    def start_central(self) -> None:
        """A real service in a process of its own, and a token for the site."""
        engine = self._engine("central.db", create=True)
        upgrade(engine)
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(new_token(engine, _SITE, "push"))
        url = f"sqlite:///{self.folder / 'central.db'}"
        command = [sys.executable, "-m", "pusher.cli.main", "serve", "--port", "0", "--db", "env:PUSHER_DEMO_DB"]
        self._service = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PUSHER_DEMO_DB": url}
        )
        self._resturl = self._address(self._service)
        (self.folder / "synchronise.conf").write_text(_CONFIG.format(site=_SITE, resturl=self._resturl))
        self._say(f"central: process {self._service.pid} serves {self._resturl}")

    def push(self, progress: Progress) -> Outcome:
        (self._outcome,) = cycle(self.folder / "synchronise.conf", [], progress)
        return self._outcome

    def compare(self) -> list[tuple[str, int, int, int, bool]]:
        """For each table: rows at the site, sent, at central, and whether they say the same."""
        assert self._outcome is not None
        sent = {entry.table: entry.sent for entry in self._outcome.tables}
        here, there = self._engine("site.db"), self._engine("central.db")
        result = []
        for table, query in _CONTENT.items():
            ours, theirs = _rows(here, query), _rows(there, query)
            result.append((table, ours.total(), sent.get(table, 0), theirs.total(), ours == theirs))
        return result

    def wait(self) -> None:
        assert self._service is not None
        token = (self.folder / "token").read_text()
        self._say(f"look: curl -H 'Authorization: Bearer {token}' {self._resturl}reading/ (Ctrl-C ends)")
        try:
            self._service.wait()
        except KeyboardInterrupt:
            self._say("")

    def _engine(self, name: str, *, create: bool = False) -> Engine:
        return open_engine(f"sqlite:///{self.folder / name}", create=create)

    def _address(self, service: subprocess.Popen[str]) -> str:
        """The address that the service prints when it listens; its other lines are passed on."""
        found: queue.Queue[str] = queue.Queue()

        def follow() -> None:
            assert service.stderr is not None
            with service.stderr as lines:
                for line in lines:
                    match = re.search(r"serves (http://\S+)", line)
                    if match:
                        found.put(match[1])
                    else:
                        sys.stderr.write(line)
            found.put("")

        threading.Thread(target=follow, daemon=True).start()
        try:
            address = found.get(timeout=_START_SECONDS)
        except queue.Empty:
            raise PusherError(f"the central service did not start within {_START_SECONDS} s") from None
        if not address:
            raise PusherError("the central service ended before it began")
        return address


def _rows(engine: Engine, query: str) -> Counter[tuple[object, ...]]:
    with engine.connect() as connection:
        return Counter(tuple(row) for row in connection.execute(sa.text(query)))
