"""The proof: among many rows `pusher verify --deep` names exactly those that differ, and `--repair` mends them.

`PROOF_READINGS=1000000 pytest tests/acceptance/test_proof.py` does it among a million.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from models import Base, Reading
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.stage import CentralService, pusher, write_config

_READINGS = int(os.environ.get("PROOF_READINGS", "10000"))
_PROPAGATE = "\n[table Reading]\ndeletes = propagate\n"
_KEY = (Reading.time, Reading.nodeId, Reading.typeId)
_OTHER_TYPE = 2


def plant(site: str, central: str, readings: int) -> dict[str, list[str]]:
    """One row of each kind of difference; their keys, by what `verify` calls it."""
    with opened(site) as here, opened(central) as there, here.begin() as at_site, there.begin() as at_central:
        missing, altered, extra, late = (
            at_site.execute(sa.select(*_KEY).order_by(*_KEY).offset(readings * part // 10).limit(1)).one()
            for part in (2, 4, 6, 8)
        )
        at_central.execute(sa.delete(Reading).where(*_is(missing)))
        value = at_central.scalar(sa.select(Reading.value).where(*_is(altered)))
        assert value is not None
        at_central.execute(sa.update(Reading).where(*_is(altered)).values(value=math.nextafter(value, math.inf)))
        at_site.execute(sa.delete(Reading).where(*_is(extra)))
        at_site.execute(sa.insert(Reading).values(time=late.time, nodeId=late.nodeId, typeId=_OTHER_TYPE, value=1.5))
    late_key = _key(late, _OTHER_TYPE)
    return {"missing": [_key(missing), late_key], "different": [_key(altered)], "only_central": [_key(extra)]}


def _is(row: Any) -> list[sa.ColumnElement[bool]]:
    return [Reading.time == row.time, Reading.nodeId == row.nodeId, Reading.typeId == row[2]]


def _key(row: Any, type_: int | None = None) -> str:
    return json.dumps([row.time.isoformat(), row.nodeId, row[2] if type_ is None else type_], separators=(",", ":"))


def verify(config: Path, *options: str) -> tuple[int, dict[str, Any], int]:
    done = pusher("--config", config, "verify", "--json", *options)
    (location,) = json.loads(done.stdout)
    assert location["error"] is None
    tables = {each["table"]: each for each in location["tables"]}
    assert {each["verdict"] for name, each in tables.items() if name != "Reading"} == {"equal"}
    return done.returncode, tables["Reading"], location["bytes_sent"] + location["bytes_received"]


@pytest.mark.parametrize(
    ("here", "there", "readings"), [("mariadb", "mariadb", _READINGS), ("sqlite", "postgresql", 20_000)]
)
@pytest.mark.timeout(900)
def test_four_rows_among_many(new_database: NewDatabase, tmp_path: Path, here: str, there: str, readings: int) -> None:
    site, central = new_database(here), new_database(there)
    with opened(site) as engine:
        Base.metadata.create_all(engine)
        Datagen(seed=1).bulk(engine, readings)
    with CentralService(central) as service:
        config = write_config(
            tmp_path, "north", site, service.resturl, service.token("north"), pushlimit=20_000, extra=_PROPAGATE
        )
        assert pusher("--config", config, "run", "--once").returncode == 0
        code, verdict, size = verify(config)
        assert (code, verdict["deep"], verdict["here"], verdict["there"]) == (0, False, readings, readings)
        assert size < 5000

        planted = plant(site, central, readings)
        code, verdict, size = verify(config, "--deep")
        assert code == 1
        assert {what: sorted(verdict[what]) for what in planted} == {what: sorted(planted[what]) for what in planted}
        assert (verdict["here"], verdict["there"], verdict["incomplete"]) == (readings, readings - 1, False)
        assert size < 40_000

        code, verdict, _ = verify(config, "--deep", "--repair")
        assert (code, verdict["verdict"], verdict["here"], verdict["there"]) == (0, "equal", readings, readings)
        code, verdict, size = verify(config)
        assert (code, verdict["deep"], size < 5000) == (0, False, True)
