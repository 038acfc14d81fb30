"""Rows that go both ways: every way to central keeps their versions, and writes nothing that a site did not know of."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from models import House, bookkeeping
from pusher.errors import ProtocolError
from pusher.wire.batch import unpack
from pusher.wire.messages import Resolved
from tests.contract.conftest import Stage
from tests.contract.site import Site

_YEARS = ("2026-01-01T00:00:00", "2027-01-01T00:00:00", "2028-01-01T00:00:00")
_STARTS = sa.select(sa.func.substr(sa.cast(House.startDate, sa.String), 1, 4)).order_by(House.address)


@pytest.fixture
def north(stage: Stage) -> Site:
    stage.execute(sa.delete(bookkeeping.version))
    return stage.site("north")


@pytest.fixture
def south(stage: Stage) -> Site:
    return stage.site("south")


def send(site: Site, start: str | None, versions: list[int] | None, *addresses: str) -> Resolved:
    request = site.houses(*(addresses or ("1 High St",)), start=start)
    return site.central.resolve(msgspec.structs.replace(request, versions=versions))


def told(answer: Resolved) -> list[tuple[int, str, str | None]]:
    return [(each.index, each.kind, each.owner) for each in answer.conflicts]


def start_dates(stage: Stage) -> list[str | None]:
    return [start for (start,) in stage.rows(_STARTS)]


def test_without_versions_another_sites_row_is_not_overwritten(stage: Stage, north: Site, south: Site) -> None:
    first = send(north, None, None)
    assert (first.versions, told(first)) == (None, [])
    second = send(south, _YEARS[0], None)
    assert (second.versions, told(second), second.keys) == (None, [(0, "owned", "north")], first.keys)
    assert send(north, _YEARS[1], None).updated == 1
    assert start_dates(stage) == ["2027"]
    assert stage.rows(sa.select(bookkeeping.version)) == []


def test_the_number_grows_with_each_change(stage: Stage, north: Site, south: Site) -> None:
    assert send(north, None, [0, 0], "1 High St", "2 High St").versions == [1, 1]
    changed = send(north, _YEARS[0], [1])
    assert (changed.versions, changed.updated, told(changed)) == ([2], 1, [])
    assert send(north, _YEARS[0], [1]).versions == [2]  # the answer was lost
    table = bookkeeping.version
    noted = stage.rows(sa.select(table.c.table_name, table.c.version, table.c.site).order_by(table.c.version))
    assert noted == [("House", 1, "north"), ("House", 2, "north")]
    assert send(south, _YEARS[0], [0]).versions == [2]
    # Who owns the row does not matter.
    other = send(south, _YEARS[1], [2])
    assert (other.versions, other.updated, told(other)) == ([3], 1, [])
    assert start_dates(stage) == ["2027", None]


def test_what_both_sides_changed_is_written_when_it_comes_again(stage: Stage, north: Site, south: Site) -> None:
    send(north, None, [0])
    send(south, None, [0])
    send(south, _YEARS[0], [1])
    for _ in range(2):  # the answer was lost
        answer = send(north, _YEARS[1], [1])
        assert (answer.versions, answer.updated, told(answer)) == ([2], 0, [(0, "changed", "south")])
    (conflict,) = answer.conflicts
    assert (conflict.here["address"], conflict.central["address"]) == ("1 High St", "1 High St")
    assert (conflict.here["startDate"], conflict.central["startDate"]) == (_YEARS[1], _YEARS[0])
    assert start_dates(stage) == ["2026"]
    again = send(north, _YEARS[1], answer.versions)
    assert (again.versions, again.updated, told(again)) == ([3], 1, [])
    assert start_dates(stage) == ["2027"]


def test_rows_that_meet_stay_as_central_has_them(stage: Stage, north: Site, south: Site) -> None:
    first = send(north, _YEARS[0], [0])
    answer = send(south, _YEARS[1], [0])
    assert (answer.keys, answer.versions, told(answer)) == (first.keys, [1], [(0, "met", "north")])
    assert start_dates(stage) == ["2026"]


def test_a_row_that_came_down_is_only_mapped(stage: Stage, north: Site, south: Site) -> None:
    first = send(north, _YEARS[0], [0])
    answer = send(south, _YEARS[1], [-1])
    assert (answer.keys, answer.versions, told(answer)) == (first.keys, [1], [])
    assert start_dates(stage) == ["2026"]
    mapped = stage.rows(sa.select(bookkeeping.identity.c.site).order_by(bookkeeping.identity.c.site))
    assert mapped == [("north",), ("south",)]


def test_what_somebody_else_changed_gets_a_number_when_it_is_seen(stage: Stage, north: Site) -> None:
    send(north, _YEARS[0], [0])
    stage.execute(sa.update(House).values(startDate=None))
    answer = send(north, _YEARS[1], [1])
    assert (answer.versions, told(answer)) == ([2], [(0, "changed", None)])
    assert north.central.entities(north.query("address", "startDate")).versions == [2]
    send(north, _YEARS[2], None)  # as a site does that only sends
    assert north.central.entities(north.query("address", "startDate")).versions == [3]
    stage.execute(sa.update(House).values(endDate=sa.func.now()))  # a column that north does not have
    assert north.central.entities(north.query("address", "startDate")).versions == [4]


def test_what_comes_down_has_its_versions(stage: Stage, north: Site) -> None:
    stage.execute(sa.insert(House).values(address="9 Low St"))
    first = send(north, _YEARS[0], [0])
    rows = north.central.entities(north.query("address", "startDate"))
    assert rows.rows is not None and rows.versions == [1, 1]
    assert set(unpack(rows.rows).column("address")) == {"1 High St", "9 Low St"}
    assert tuple(first.keys[0] or ()) in {tuple(key) for key in rows.keys}
    assert north.central.entities(north.query("address", "startDate", digest=rows.digest)).rows is None
    # Changed, and changed back: the same rows, yet not the same versions.
    send(north, _YEARS[1], [1])
    send(north, _YEARS[0], [2])
    later = north.central.entities(north.query("address", "startDate", digest=rows.digest))
    assert later.rows is not None and sorted(later.versions or []) == [1, 3]


@pytest.mark.parametrize("versions", [[], [0, 0]])
def test_there_is_a_version_for_each_row(stage: Stage, north: Site, versions: list[int]) -> None:
    with pytest.raises(ProtocolError, match="not one version for each row"):
        send(north, None, versions)
    assert start_dates(stage) == []
