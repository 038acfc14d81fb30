"""Two sites that number their rows alike push to one central; every reading keeps its meaning."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from models import Base
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.stage import CentralService, push_all, write_config

# A reading with what its ids stand for.
_MEANING = sa.text(
    """select x.time, x.{q}nodeId{q}, x.type, x.value, h.address, r.name, d.name
    from {q}Reading{q} x join {q}Location{q} l on l.id = x.{q}locationId{q}
    join {q}House{q} h on h.id = l.{q}houseId{q} join {q}Room{q} r on r.id = l.{q}roomId{q}
    join {q}Deployment{q} d on d.id = h.{q}deploymentId{q}"""
).text


def meanings(url: str) -> Counter[tuple[object, ...]]:
    quote = "`" if url.startswith("mysql") else '"'
    with opened(url) as engine, engine.connect() as connection:
        rows = connection.execute(sa.text(_MEANING.format(q=quote)))
        return Counter(tuple(str(value) for value in row) for row in rows)


def ids(url: str, table: str) -> set[int]:
    with opened(url) as engine, engine.connect() as connection:
        return set(connection.scalars(sa.select(Base.metadata.tables[table].c.id)))


@pytest.mark.parametrize("dialect", ["mariadb"], indirect=True)
def test_overlapping_ids_keep_their_meaning(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    central = new_database(dialect)
    sites = {
        "north": Datagen(seed=1, address="1 North Road", nodes=(37, 38)),
        "south": Datagen(seed=2, address="9 South Street", nodes=(51, 52), rooms=("Kitchen", "Master Bedroom")),
    }
    urls = {}
    for site, datagen in sites.items():
        urls[site] = new_database(dialect)
        with opened(urls[site]) as engine:
            Base.metadata.create_all(engine)
            datagen.bulk(engine, 3000)
    assert ids(urls["north"], "House") == ids(urls["south"], "House") == {1}
    assert ids(urls["north"], "Location") & ids(urls["south"], "Location")
    with CentralService(central) as service:
        for site, url in urls.items():
            config = write_config(tmp_path / site, site, url, service.resturl, service.token(site), pushlimit=700)
            push_all(config)
    expected = meanings(urls["north"]) + meanings(urls["south"])
    assert expected.total() == 6000
    assert meanings(central) == expected
