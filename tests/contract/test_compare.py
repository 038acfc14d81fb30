"""What every way to central answers when a site asks whether its rows are there."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from models import Reading
from pusher.errors import ProtocolError, SchemaMismatch
from pusher.wire import PROTOCOL, buckets
from pusher.wire.fingerprint import EMPTY, Fingerprint, fingerprint, row_hashes
from pusher.wire.messages import HASH_DIGITS, Compare, Look, Segment
from pusher.wire.tables import RowSet
from tests.contract.conftest import Stage
from tests.contract.site import Site

_KEY = ("time", "nodeId", "type")
_NAMES = (*_KEY, "value")


@pytest.fixture
def site(stage: Stage) -> Site:
    return stage.site("north")


def rows(*minutes: int, value: float = 0.5) -> RowSet:
    return RowSet.of(_NAMES, [(f"2026-01-01T00:{minute:02}:00", 1, 0, value) for minute in minutes])


def prints(site: Site, *minutes: int, value: float = 0.5) -> Fingerprint:
    columns = [site.table("Reading").column(name) for name in _NAMES]
    return fingerprint(columns, rows(*minutes, value=value)) if minutes else EMPTY


def edge(minute: int) -> str:
    return f"2026-01-01T00:{minute:02}:00"


def compare(site: Site, *segments: Segment, **more: Any) -> Compare:
    request = Compare(
        protocol=PROTOCOL,
        site=site.name,
        table="Reading",
        mapped=False,
        key=_KEY,
        names=_NAMES,
        cursor="time",
        segments=list(segments),
        buckets=[],
    )
    return msgspec.structs.replace(request, **more)


def look(site: Site, **more: Any) -> Look:
    request = Look(
        protocol=PROTOCOL,
        site=site.name,
        table="Reading",
        mapped=False,
        key=_KEY,
        names=_NAMES,
        cursor="time",
        ranges=[(None, None)],
        buckets=[],
        of=1,
    )
    return msgspec.structs.replace(request, **more)


def test_only_the_parts_that_differ_are_told(site: Site) -> None:
    site.central.push(site.readings(1, 1, 2, 3, 14, 25))
    parts = [prints(site, 1, 2, 3), prints(site, 14), prints(site, 25)]
    whole = Segment(low=None, edges=[edge(10), edge(20)], high=None, prints=parts)
    assert site.central.compare(compare(site, whole)).differing == [[]]
    inner = Segment(low=edge(10), edges=[], high=edge(20), prints=[prints(site, 14, value=0.25)])
    wrong = msgspec.structs.replace(whole, prints=[parts[0], EMPTY, prints(site, 25, 26)])
    assert site.central.compare(compare(site, inner, wrong)).differing == [[(0, 1)], [(1, 1), (2, 1)]]


def test_the_rows_of_other_sites_do_not_count(stage: Stage, site: Site) -> None:
    other = stage.site("south")
    other.hello()
    site.central.push(site.readings(1, 1, 2))
    other.central.push(other.readings(1, 3, 4))
    both = [
        (each, Segment(low=None, edges=[], high=None, prints=[prints(site, *minutes)]))
        for each, minutes in ((site, (1, 2)), (other, (3, 4)))
    ]
    for each, segment in both:
        assert each.central.compare(compare(each, segment)).differing == [[]]
    looked = other.central.look(look(other))
    assert sorted(zip(looked.keys, looked.mine, strict=True)) == [
        (f'["{edge(minute)}",1,0]', minute > 2) for minute in (1, 2, 3, 4)
    ]


def test_a_look_tells_keys_and_hashes(site: Site) -> None:
    site.central.push(site.readings(1, 1, 14, 25))
    answer = site.central.look(look(site, ranges=[(None, edge(10)), (edge(20), None)]))
    columns = [site.table("Reading").column(name) for name in _NAMES]
    hashes = [digest.hex()[:HASH_DIGITS] for digest in row_hashes(columns, rows(1, 25))]
    assert (answer.keys, answer.hashes, answer.more) == (
        [f'["{edge(1)}",1,0]', f'["{edge(25)}",1,0]'],
        hashes,
        False,
    )


def test_rows_known_by_their_origin_lie_in_buckets(stage: Stage, site: Site) -> None:
    site.hello()
    site.central.push(site.notes(1, (7, "seven"), (8, "eight")))
    text = site.table("Note").column("text")
    seven, eight = (fingerprint([text], RowSet.of(("text",), [(word,)])) for word in ("seven", "eight"))
    places = buckets.buckets_of_texts(["[7]", "[8]"], buckets.MOST)
    expected = [EMPTY] * buckets.MOST
    for place, each in zip(places, (seven, eight), strict=True):
        expected[place] += each
    of_notes: dict[str, Any] = {"table": "Note", "mapped": True, "key": (), "names": ("text",), "cursor": None}
    assert site.central.compare(compare(site, buckets=expected, **of_notes)).differing == [[]]
    expected[places[0]] = EMPTY
    assert site.central.compare(compare(site, buckets=expected, **of_notes)).differing == [[(places[0], 1)]]
    looked = site.central.look(look(site, ranges=[], buckets=[places[0]], of=buckets.MOST, **of_notes))
    assert looked.keys == ["[7]"] and looked.mine == [True]
    other = stage.site("south")
    assert other.central.look(look(other, ranges=[], buckets=[0], of=1, **of_notes)).keys == []


def test_central_looks_at_its_tables_anew_before_it_reads(site: Site) -> None:
    site.central.push(site.readings(1, 1))
    time.sleep(0.6)  # by now it has forgotten what they were like
    part = Segment(low=None, edges=[], high=None, prints=[prints(site, 1)])
    with pytest.raises(SchemaMismatch):
        site.central.compare(compare(site, part, table="Nonsense"))
    assert site.central.compare(compare(site, part)).differing == [[]]


def test_a_question_that_makes_no_sense_is_refused(stage: Stage, site: Site) -> None:
    site.central.push(site.readings(1, 1))
    part = Segment(low=None, edges=[], high=None, prints=[EMPTY])
    nonsense: list[tuple[type[Exception], Compare]] = [
        (ProtocolError, compare(site, part, protocol=99)),
        (ProtocolError, compare(site, part, names=())),
        (ProtocolError, compare(site, msgspec.structs.replace(part, prints=[]))),
        (ProtocolError, compare(site, msgspec.structs.replace(part, edges=[5], prints=[EMPTY, EMPTY]))),
        (ProtocolError, compare(site, msgspec.structs.replace(part, low=[1]))),
        (SchemaMismatch, compare(site, part, table="Nonsense")),
        (SchemaMismatch, compare(site, part, names=("nonsense",))),
        (SchemaMismatch, compare(site, part, cursor="nonsense")),
        (SchemaMismatch, compare(site, part, key=("nonsense",))),
    ]
    for error, request in nonsense:
        with pytest.raises(error):
            site.central.compare(request)
    with pytest.raises(SchemaMismatch):
        site.central.look(look(site, names=("nonsense",)))
    assert stage.rows(sa.select(sa.func.count(Reading.time))) == [(1,)]
