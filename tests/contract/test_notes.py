"""What every way to central notes of blocks and authors, and what it deletes when a site has deleted it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from models import House, Reading, bookkeeping
from pusher.errors import ProtocolError, SchemaMismatch
from pusher.wire import PROTOCOL
from pusher.wire.batch import Batch
from pusher.wire.fingerprint import EMPTY, Fingerprint, fingerprint
from pusher.wire.messages import MAX_REMOVED, Compare, Proven, Remove, Segment, TableResult, Verified
from pusher.wire.tables import RowSet
from tests.contract.conftest import Stage
from tests.contract.site import Site

_KEY = ("time", "nodeId", "type")
_NAMES = (*_KEY, "value")


def batch(site: Site, sequence: int, *minutes: int, before: Fingerprint | None = EMPTY) -> Batch:
    return msgspec.structs.replace(site.readings(sequence, *minutes), cursor="time", before=before)


def prints(site: Site, *minutes: int) -> Fingerprint:
    columns = [site.table("Reading").column(name) for name in _NAMES]
    rows = [(edge(minute), 1, 0, 0.5) for minute in minutes]
    return fingerprint(columns, RowSet.of(_NAMES, rows)) if rows else EMPTY


def edge(minute: int) -> str:
    return f"2026-01-01T00:{minute:02}:00"


def differing(site: Site, *expected: Fingerprint) -> list[tuple[int, int]]:
    """Of the first blocks of the hour those that are not noted like this, with the rows that are."""
    segment = Segment(low=None, edges=[edge(10 * n) for n in range(1, len(expected))], high=None, prints=list(expected))
    request = Compare(
        protocol=PROTOCOL,
        site=site.name,
        table="Reading",
        mapped=False,
        key=_KEY,
        names=_NAMES,
        cursor="time",
        segments=[segment],
        buckets=[],
        noted=True,
    )
    (found,) = site.central.compare(request).differing
    return found


def remove(site: Site, *minutes: int, **more: Any) -> Remove:
    keys = [json.dumps([edge(minute), 1, 0]) for minute in minutes]
    request = Remove(
        protocol=PROTOCOL, site=site.name, table="Reading", mapped=False, key=_KEY, keys=keys, cursor="time"
    )
    return msgspec.structs.replace(request, **more)


def verified(site: Site, **more: Any) -> Verified:
    counts = {"rows_here": 1, "rows_there": 2, "missing": 3, "different": 4, "only_central": 5}
    result = TableResult(**{"deep": True, "verdict": "equal", **counts, **more})
    return Verified(protocol=PROTOCOL, site=site.name, tables={"Reading": result})


def test_blocks_are_noted_as_rows_arrive(site: Site) -> None:
    site.central.push(batch(site, 1, 1, 2, 13))
    assert differing(site, prints(site, 1, 2), prints(site, 13)) == []
    site.central.push(batch(site, 2, 14, 25, before=prints(site, 13)))
    assert differing(site, prints(site, 1, 2), prints(site, 13, 14), prints(site, 25)) == []
    assert differing(site, prints(site, 1), prints(site, 13, 14), EMPTY) == [(0, 2), (2, 1)]


@pytest.mark.parametrize("before", [None, EMPTY, Fingerprint(1, "1" * 32)])
def test_a_block_that_rows_come_to_otherwise_is_in_doubt(site: Site, before: Fingerprint | None) -> None:
    site.central.push(batch(site, 1, 1, 12))
    site.central.push(batch(site, 2, 13, 24, before=before))
    parts = [at for at, _ in differing(site, prints(site, 1), prints(site, 12, 13), prints(site, 24))]
    assert parts == ([1] if before is not None else [1, 2])


def test_a_repeat_is_not_added_twice(site: Site) -> None:
    for _ in range(2):
        site.central.push(batch(site, 1, 1, 12))
    assert differing(site, prints(site, 1), prints(site, 12)) == []
    site.central.push(batch(site, 2, 1, 12))  # by a site that lost the receipt
    assert [at for at, _ in differing(site, prints(site, 1), prints(site, 12))] == [0, 1]


def test_rows_that_are_refused_are_not_noted(site: Site) -> None:
    rows = [(edge(minute), node, 0, 0.5) for minute, node in ((1, 1), (2, 99), (13, 99))]
    refused = site.batch("Reading", 1, _NAMES, rows, key=_KEY)
    receipt = site.central.push(msgspec.structs.replace(refused, cursor="time", before=EMPTY))
    assert [each.index for each in receipt.refused] == [1, 2]
    assert differing(site, prints(site, 1), EMPTY) == []


def test_each_site_has_its_own_notes(stage: Stage, site: Site) -> None:
    site.central.push(batch(site, 1, 1))
    assert differing(stage.site("south"), EMPTY) == []


def test_what_was_read_and_is_the_same_is_noted(stage: Stage, site: Site) -> None:
    site.central.push(batch(site, 1, 1, 12, 23, before=None))
    assert [at for at, _ in differing(site, *[prints(site, minute) for minute in (1, 12, 23)])] == [0, 1, 2]
    proven = Proven(low=None, high=edge(20), starts=[edge(0), edge(10)], prints=[prints(site, 1), prints(site, 12)])
    site.central.verified(verified(site, cursor="time", proven=[proven]))
    assert [at for at, _ in differing(site, *[prints(site, minute) for minute in (1, 12, 23)])] == [2]
    table = bookkeeping.verdict
    (row,) = stage.rows(
        sa.select(table.c.site, table.c.table_name, table.c.missing, table.c.passed, table.c.passed_deep)
    )
    assert row[:3] == ("north", "Reading", 3) and row[3] == row[4] is not None
    site.central.verified(verified(site, verdict="different"))
    assert stage.rows(sa.select(table.c.verdict, table.c.passed)) == [("different", row[3])]


def test_rows_are_deleted_buried_and_not_noted_any_more(stage: Stage, site: Site) -> None:
    site.central.push(batch(site, 1, 1, 2, 13))
    answer = site.central.remove(remove(site, 2, 40))
    assert (answer.removed, answer.kept, answer.refused) == (1, 0, [])
    assert len(stage.rows(sa.select(Reading.time))) == 2
    assert [at for at, _ in differing(site, prints(site, 1), prints(site, 13))] == [0]
    ((name, key, row),) = stage.rows(
        sa.select(bookkeeping.tombstone.c.site, bookkeeping.tombstone.c.row_key, bookkeeping.tombstone.c.row)
    )
    assert (name, json.loads(key)) == ("north", [edge(2), 1, 0])
    assert json.loads(row) == {"time": edge(2), "nodeId": 1, "type": 0, "locationId": None, "value": 0.5}
    assert site.central.remove(remove(site, 2)).removed == 0


def test_the_rows_of_another_site_are_not_deleted(stage: Stage, site: Site) -> None:
    site.central.push(batch(site, 1, 1, 2))
    answer = stage.site("south").central.remove(remove(stage.site("south"), 1, 2))
    assert (answer.removed, answer.kept) == (0, 2)
    assert len(stage.rows(sa.select(Reading.time))) == 2


def test_rows_known_by_their_origin_are_deleted_by_it(stage: Stage, site: Site) -> None:
    site.central.push(site.notes(1, (7, "a"), (8, "b")))
    of_notes = {"table": "Note", "mapped": True, "key": (), "cursor": None}
    assert site.central.remove(remove(site, **of_notes | {"keys": ["[8]", "[9]"]})).removed == 1
    other = stage.site("south")
    assert other.central.remove(remove(other, **of_notes | {"keys": ["[7]"]})).removed == 0
    site.central.push(site.notes(2, (8, "c")))
    assert stage.rows(sa.text("SELECT text FROM " + ('"Note"' if stage.engine.name != "mysql" else "`Note`"))) == [
        ("a",),
        ("c",),
    ]


def test_an_entity_that_others_know_stays(stage: Stage, site: Site) -> None:
    other = stage.site("south")
    of_houses = {"table": "House", "mapped": True, "key": ("address",), "keys": ['["a"]'], "cursor": None}
    site.central.resolve(site.houses("a"))
    other.central.resolve(other.houses("a"))
    assert (answer := site.central.remove(remove(site, **of_houses))).kept == 1 and answer.removed == 0
    assert other.central.remove(remove(other, **of_houses)).removed == 1


def test_what_another_site_made_over_rest_stays(stage: Stage, site: Site) -> None:
    site.central.resolve(site.houses("a", "b"))
    (key,) = [row[0] for row in stage.rows(sa.select(House.id).where(House.address == "a"))]
    stage.execute(sa.insert(bookkeeping.author).values(table_name="House", central_key=f"[{key}]", site="south"))
    by_address = {"table": "House", "mapped": True, "key": ("address",), "keys": ['["a"]', '["b"]'], "cursor": None}
    answer = site.central.remove(remove(site, **by_address))
    assert (answer.removed, answer.kept) == (1, 1)
    assert stage.rows(sa.select(House.address)) == [("a",)]


def test_a_number_that_was_deleted_is_nobody_elses(stage: Stage, site: Site) -> None:
    (first, second) = site.central.resolve(site.houses("a", "b")).keys
    assert first and second
    of_houses = {"table": "House", "mapped": True, "key": ("address",), "keys": ['["b"]'], "cursor": None}
    assert site.central.remove(remove(site, forgotten=["[2]"], **of_houses)).removed == 1
    other = stage.site("south")
    assert other.central.resolve(other.houses("c")).keys[0] not in (first, second)


def test_bad_messages_are_refused(site: Site) -> None:
    site.central.push(batch(site, 1, 1))
    proven = Proven(low=None, high=None, starts=[edge(0)], prints=[])
    for error, message in (
        (ProtocolError, remove(site, 1, protocol=99)),
        (ProtocolError, remove(site, keys=["nonsense"])),
        (ProtocolError, remove(site, keys=["[1]"])),
        (ProtocolError, remove(site, key=())),
        (ProtocolError, remove(site, keys=["[1]"] * (MAX_REMOVED + 1))),
        (SchemaMismatch, remove(site, 1, table="pusher_token")),
        (SchemaMismatch, remove(site, 1, cursor="nonsense")),
    ):
        with pytest.raises(error):
            site.central.remove(message)
    for error, told in (
        (ProtocolError, msgspec.structs.replace(verified(site), protocol=99)),
        (ProtocolError, verified(site, cursor="time", proven=[proven])),
        (SchemaMismatch, verified(site, cursor="nonsense")),
    ):
        with pytest.raises(error):
            site.central.verified(told)
    assert differing(site, prints(site, 1)) == []


def test_what_another_site_made_over_rest_an_agent_does_not_overwrite(stage: Stage, site: Site) -> None:
    stage.execute(
        sa.insert(House).values(id=7, address="a"),
        sa.insert(bookkeeping.author).values(table_name="House", central_key="[7]", site="south"),
    )
    answer = site.central.resolve(site.houses("a", start="2026-01-01T00:00:00"))
    assert [(each.kind, each.owner) for each in answer.conflicts] == [("owned", "south")]
    assert stage.rows(sa.select(House.startDate)) == [(None,)]
    other = stage.site("south")
    assert other.central.resolve(other.houses("a", start="2026-01-01T00:00:00")).updated == 1
