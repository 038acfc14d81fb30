"""Imports into central's own database: what sites have pushed stays theirs, and their comparisons stay equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pusher.datacenter.processing import Done, Mode
from pusher.datacenter.table import table_processor
from pusher.schema.engine import writing
from pusher.schema.reflect import reflect
from tests.conftest import DIALECTS, NewDatabase
from tests.inprocess import Workshop

_TABLES = (
    "CREATE TABLE house (id ID, address VARCHAR(40) NOT NULL UNIQUE, note VARCHAR(40))",
    "CREATE TABLE node (id INT NOT NULL PRIMARY KEY, house_id INT, FOREIGN KEY (house_id) REFERENCES house (id))",
    """CREATE TABLE reading (at MOMENT NOT NULL, node_id INT NOT NULL, value INT NOT NULL,
    PRIMARY KEY (at, node_id), FOREIGN KEY (node_id) REFERENCES node (id))""",
)


@dataclass(frozen=True)
class Scene:
    workshop: Workshop

    def imported(self, table: str, mode: Mode, names: Sequence[str], *rows: Sequence[str]) -> list[str | None]:
        """Why each row was refused, None if it was done."""
        engine = self.workshop.central.engine
        processor = table_processor(reflect(engine), table)
        with writing(engine).begin() as connection:
            results = processor.apply(connection, mode, names, rows)
        return [None if isinstance(result, Done) else result.reason for result in results]


@pytest.fixture(params=DIALECTS)
def scene(request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    with Workshop(new_database, tmp_path, request.param) as workshop:
        workshop.central.run(*_TABLES)
        yield Scene(workshop)


def _told(table: str, site: str) -> str:
    return f"this row of {table} belongs to site {site}, which pushes it; have it changed there"


def test_what_a_site_has_pushed_no_import_changes(scene: Scene) -> None:
    north = scene.workshop.site("north", *_TABLES)
    north.run(
        "INSERT INTO house VALUES (1, 'North Road', NULL)",
        "INSERT INTO node VALUES (37, 1)",
        "INSERT INTO reading VALUES ('2026-05-01 12:00:00', 37, 1)",
    )
    north.push_all(scene.workshop.store)
    theirs = _told("house", "north")
    assert scene.imported("house", Mode.CREATE, ("address", "note"), ("High Street", "ours")) == [None]
    changes = (("North Road", "x"), ("High Street", "changed"))
    assert scene.imported("house", Mode.UPDATE, ("address", "note"), *changes) == [theirs, None]
    assert scene.imported("house", Mode.UPSERT, ("address", "note"), ("North Road", "x"), ("New", "n")) == [
        theirs,
        None,
    ]
    assert scene.imported("house", Mode.REMOVE, ("address",), ("North Road",), ("New",)) == [theirs, None]
    assert scene.workshop.central.rows("SELECT address, note FROM house ORDER BY address") == [
        ("High Street", "changed"),
        ("North Road", None),
    ]
    assert [verdict.verdict for verdict in north.verify(scene.workshop.store)] == ["equal"] * 3


def test_a_stream_is_that_of_whoever_pushes_into_it(scene: Scene) -> None:
    north = scene.workshop.site("north", *_TABLES)
    north.run("INSERT INTO node VALUES (37, NULL)", "INSERT INTO reading VALUES ('2026-05-01 12:00:00', 37, 1)")
    north.push_all(scene.workshop.store)
    assert scene.imported("node", Mode.CREATE, ("id",), ("38",)) == [None]
    rows = [("2026-05-01 12:00", "37", "9"), ("2026-05-01 12:01", "37", "9"), ("2026-05-01 12:00", "38", "9")]
    theirs = _told("reading", "north")
    names = ("at", "node_id", "value")
    assert scene.imported("reading", Mode.UPSERT, names, *rows) == [theirs, theirs, None]
    assert scene.imported("reading", Mode.REMOVE, names[:2], rows[0][:2], rows[2][:2]) == [theirs, None]
    assert scene.workshop.central.rows("SELECT node_id, value FROM reading") == [(37, 1)]
    assert [verdict.verdict for verdict in north.verify(scene.workshop.store)] == ["equal"] * 3
