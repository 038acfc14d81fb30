"""A row that central refuses is held with its reason, and held no longer once central has taken it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from models import Base, Reading
from pusher.config import load, write_lastupdate
from pusher.datagen import Datagen
from pusher.held import Quarantine
from pusher.ledger import Ledger
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.stage import CentralService, push, push_all, write_config

_REFUSES = """create trigger too_hot before insert on "Reading" when new."nodeId" = 38 and new.value = 50
    begin select raise(abort, 'too hot for central'); end"""


def execute(url: str, statement: str) -> None:
    with opened(url) as engine, engine.begin() as connection:
        connection.exec_driver_sql(statement)


def readings(url: str) -> int:
    with opened(url) as engine, engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(Reading)) or 0


def held(config: Path) -> list[tuple[str, str]]:
    with Ledger(load(config).general.state) as ledger:
        return [(row.local_key, row.reason) for row in Quarantine(ledger, "central").rows("Reading")]


def test_a_refused_row_is_held_until_central_takes_it(new_database: NewDatabase, tmp_path: Path) -> None:
    site, central = new_database("sqlite"), new_database("sqlite")
    with opened(site) as engine:
        Base.metadata.create_all(engine)
        Datagen().bulk(engine, 150)  # node 38 counts down and is at 50 once
    with CentralService(central) as service:
        execute(central, _REFUSES)
        config = write_config(tmp_path, "north", site, service.resturl, service.token("north"), pushlimit=40)
        outcome = push(config)
        assert outcome.exit_code == 1
        assert outcome.held == 1
        ((key, reason),) = held(config)
        assert "too hot for central" in reason
        assert ",38,0]" in key
        assert readings(central) == readings(site) - 1

        execute(central, "drop trigger too_hot")
        write_lastupdate(config, "central", None)
        push_all(config)
        assert held(config) == []
        assert readings(central) == readings(site)
