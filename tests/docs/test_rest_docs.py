"""The examples of docs/rest.md run as they stand."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from models import Base
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.stage import CentralService

_DOCUMENT = Path(__file__).parents[2] / "docs/rest.md"


def test_the_examples_of_reading_run(tmp_path: Path) -> None:
    (steps,) = re.findall(r"<!-- runs in tests/docs -->\n```sh\n(.*?)```", _DOCUMENT.read_text(), re.DOTALL)
    db = f"sqlite:///{tmp_path}/central.db"
    with CentralService(db) as service:
        with opened(db) as engine:
            Base.metadata.create_all(engine)
            Datagen().bulk(engine, 1000)
        (tmp_path / "house-37.token").write_text(service.token("house-37") + "\n")
        done = subprocess.run(
            ["bash", "-euc", steps.replace("6543", str(service.port))],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    houses, house, three, *rest = done.stdout.replace("][", "]\n[").replace("]time", "]\ntime").splitlines()
    assert json.loads(houses) == json.loads(house) != []
    assert len(json.loads(three)) == 3
    assert rest[0] == "time,value" and len(rest[:6]) == 6
    assert any(line.lower() == "x-total-count: 1000" for line in rest)
    assert any(line.lower().startswith("link: <http") for line in rest)
    assert (tmp_path / "readings.csv").read_bytes().count(b"\r\n") == 1001
