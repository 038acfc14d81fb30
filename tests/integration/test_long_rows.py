"""Rows may be of any length: batches are then of few rows, and all arrive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pusher.schema.paging import Reader
from pusher.schema.reflect import reflect
from tests.conftest import NewDatabase
from tests.inprocess import Site, Workshop
from tests.integration.test_late import Counting

_PICTURE = 'CREATE TABLE "picture" ("time" MOMENT NOT NULL PRIMARY KEY, image IMAGE)'
_IMAGE = {"mariadb": "LONGTEXT", "postgresql": "TEXT", "sqlite": "TEXT"}


@pytest.fixture
def table(dialect: str) -> str:
    return _PICTURE.replace("IMAGE", _IMAGE[dialect])


def moment(number: int) -> str:
    return f"2026-05-01 {number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000000"


@pytest.fixture
def site(dialect: str, table: str, new_database: NewDatabase, tmp_path: Path) -> Iterator[tuple[Workshop, Site]]:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(table)
        yield workshop, workshop.site("site", table, pushlimit=1000)


def test_pages_hold_few_long_rows_and_many_short_ones(dialect: str, site: tuple[Workshop, Site]) -> None:
    _, here = site
    lengths = [10] * 3000 + [1 << 19] * 60 + [10] * 500
    here.insert("picture", ("time", "image"), [(moment(number), "x" * length) for number, length in enumerate(lengths)])
    reader = Reader(
        connect=here.engine.connect,
        dialect=dialect,
        table=reflect(here.engine).table("picture"),
        names=("time", "image"),
        order=("time",),
    )
    pages = [page.rows.column("image") for page in reader.pages(None, None, lambda: 1000)]
    assert [len(image) for page in pages for image in page] == lengths
    assert max(map(len, pages)) == 1000
    assert sum(sum(map(len, page)) > 16 << 20 for page in pages) <= 1  # the first long ones come unexpected


def test_they_arrive(site: tuple[Workshop, Site]) -> None:
    workshop, here = site
    here.insert("picture", ("time", "image"), [(moment(number), "x" * (1 << 18)) for number in range(150)])
    store = Counting(workshop.store)
    assert here.push(store).table("picture", "stream").sent == 150
    assert [len(batch.rows.columns[0]) for batch in store.batches] == [100, 32, 18]
    query = 'SELECT "time", image FROM "picture" ORDER BY 1'
    assert here.rows(query) == workshop.central.rows(query)
