"""What every way to central keeps to; `ways.py` says which there are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import msgspec
import pytest
import sqlalchemy as sa

from models import Base, House, Node, Reading, bookkeeping
from pusher.central.migrate import upgrade
from pusher.central.sites import utc_now
from pusher.central.store import Store
from pusher.errors import CentralUnreachable, ProtocolError, SchemaMismatch, SequenceConflict
from pusher.schema.engine import open_engine, opened
from pusher.transport.rest import RestCentral
from pusher.wire import PROTOCOL
from pusher.wire.batch import Packed
from pusher.wire.fingerprint import Fingerprint
from pusher.wire.messages import Done, EntityRows, Receipt, Resolved
from tests.contract.conftest import Stage
from tests.contract.site import NOTE, Site
from tests.servers import DatabaseServer, free_port

READINGS = sa.select(Reading.time, Reading.nodeId, Reading.value).order_by(Reading.nodeId, Reading.time)
RECEIPTS = sa.select(bookkeeping.batch)
TEXTS = sa.select(NOTE.c.text).order_by(NOTE.c.id)

# --- hello ---


def test_hello_tells_the_schema_until_it_is_known(site: Site) -> None:
    welcome = site.hello()
    assert (welcome.protocol, welcome.version) == (PROTOCOL, "0.1.0")
    assert {"House", "Reading", "Note"} <= {table.name for table in welcome.tables or ()}
    assert not [table.name for table in welcome.tables or () if table.name.startswith(("pusher_", "alembic"))]
    assert site.hello(welcome.schema_hash).tables is None
    assert site.hello("0" * 32).tables == welcome.tables


def test_hello_tells_which_database_central_is(stage: Stage, site: Site) -> None:
    instance = site.hello().instance
    assert len(instance) == 32
    assert stage.site("south").hello().instance == instance


def test_hello_is_noted(stage: Stage, site: Site) -> None:
    site.hello()
    site.epoch = "epoch-2"
    site.hello()
    table = bookkeeping.site
    noted = stage.rows(sa.select(table.c.name, table.c.epoch, table.c.hostname, table.c.agent_version))
    assert noted == [("north", "epoch-2", "pi", "1.0")]


def test_checkpoints_are_the_sites_own(stage: Stage, site: Site) -> None:
    assert site.hello().checkpoints == {}
    site.central.push(site.readings(1, 1, 2))
    mark = site.hello().checkpoints["Reading"]
    assert (mark.epoch, mark.sequence, mark.cursor) == ("epoch-1", 1, ("2026-01-01T00:02:00",))
    assert stage.site("south").hello().checkpoints == {}


# --- resolve ---


def test_resolve_creates_updates_and_repeats(stage: Stage, site: Site) -> None:
    def counts(answer: Resolved) -> tuple[int, int]:
        assert not answer.conflicts and not answer.refused
        return answer.created, answer.updated

    first = site.central.resolve(site.houses("1 High St", "2 High St"))
    assert counts(first) == (2, 0)
    there = stage.rows(sa.select(House.address, House.id))
    assert dict(there) == {"1 High St": (first.keys[0] or ())[0], "2 High St": (first.keys[1] or ())[0]}
    repeat = site.central.resolve(site.houses("1 High St", "2 High St"))
    assert counts(repeat) == (0, 0) and repeat.keys == first.keys
    changed = site.central.resolve(site.houses("1 High St", start="2026-01-01T00:00:00"))
    assert counts(changed) == (0, 1) and changed.keys == first.keys[:1]
    assert [str(start) for (start,) in stage.rows(sa.select(House.startDate).where(House.address == "1 High St"))] == [
        "2026-01-01 00:00:00"
    ]


def test_two_sites_get_one_row(stage: Stage, site: Site) -> None:
    south = stage.site("south")
    assert site.central.resolve(site.houses("1 High St")).keys == south.central.resolve(south.houses("1 High St")).keys
    assert len(stage.rows(sa.select(House.id))) == 1


# --- push ---


def test_push_stores_rows_receipt_and_checkpoint(stage: Stage, site: Site) -> None:
    receipt = site.central.push(site.readings(1, 1, 2))
    assert receipt == Receipt(sequence=1, rows=2, stored=2, refused=[])
    assert [(str(time), node, value) for time, node, value in stage.rows(READINGS)] == [
        ("2026-01-01 00:01:00", 1, 0.5),
        ("2026-01-01 00:02:00", 1, 0.5),
    ]
    stored = stage.rows(sa.select(bookkeeping.batch.c.sequence, bookkeeping.batch.c.receipt))
    assert stored == [(1, msgspec.json.encode(receipt).decode())]
    assert site.hello().checkpoints["Reading"].sequence == 1


def test_a_repeat_gets_its_receipt_and_changes_nothing(stage: Stage, site: Site) -> None:
    batches = [site.readings(1, 1, 2), site.readings(2, 3)]
    receipts = [site.central.push(batch) for batch in batches]
    stage.execute(sa.update(Reading).values(value=7.0))
    before = stage.rows(READINGS), stage.rows(RECEIPTS), site.hello().checkpoints
    assert [site.central.push(batch) for batch in batches] == receipts
    assert (stage.rows(READINGS), stage.rows(RECEIPTS), site.hello().checkpoints) == before


def test_rows_that_come_again_overwrite(stage: Stage, site: Site) -> None:
    site.central.push(site.readings(1, 1, 2, value=0.5))
    site.central.push(site.readings(2, 2, 3, value=0.75))
    assert [value for _, _, value in stage.rows(READINGS)] == [0.5, 0.75, 0.75]


@pytest.mark.parametrize("sequence", [-1, 0, 1, 4, 2**63, 2**64 - 1])
def test_a_batch_out_of_sequence_is_refused(stage: Stage, site: Site, sequence: int) -> None:
    site.central.push(site.readings(1, 1))
    before = stage.rows(READINGS), stage.rows(RECEIPTS)
    with pytest.raises(SequenceConflict) as caught:
        site.central.push(site.readings(sequence, 2))
    assert caught.value.expected == 2
    assert (stage.rows(READINGS), stage.rows(RECEIPTS)) == before


def test_a_new_epoch_begins_at_one(stage: Stage, site: Site) -> None:
    site.central.push(site.readings(1, 1))
    site.central.push(site.readings(2, 2))
    site.epoch = "epoch-2"
    with pytest.raises(SequenceConflict) as caught:
        site.central.push(site.readings(3, 3))
    assert caught.value.expected == 1
    assert site.central.push(site.readings(1, 1, 3)).stored == 2
    assert site.hello().checkpoints["Reading"].epoch == "epoch-2"
    assert len(stage.rows(READINGS)) == 3


def test_an_epoch_that_comes_back_goes_on(stage: Stage, site: Site) -> None:
    """The site's state was restored from a copy, with the epoch of that time."""
    first = site.readings(1, 1)
    receipts = [site.central.push(first), site.central.push(site.readings(2, 2))]
    again = replace(site, epoch="epoch-2")
    again.central.push(again.readings(1, 3))
    mark = site.hello().checkpoints["Reading"]
    assert (mark.epoch, mark.sequence) == ("epoch-1", 2)
    assert site.central.push(first) == receipts[0]
    assert site.central.push(site.readings(3, 4)).stored == 1
    assert len(stage.rows(READINGS)) == 4


def test_a_wrong_fingerprint_is_refused(stage: Stage, site: Site) -> None:
    batch = site.readings(1, 1)
    wrong = Fingerprint(batch.fingerprint.count, "0" * 32)
    with pytest.raises(ProtocolError, match="fingerprint"):
        site.central.push(msgspec.structs.replace(batch, fingerprint=wrong))
    assert not stage.rows(READINGS) and not stage.rows(RECEIPTS)
    assert site.central.push(batch).stored == 1


def test_a_refused_row_is_named_and_the_others_are_stored(stage: Stage, site: Site) -> None:
    rows = [("2026-01-01T00:01:00", 1, 0), ("2026-01-01T00:02:00", 99, 0), ("2026-01-01T00:03:00", 2, 0)]
    batch = site.batch("Reading", 1, ("time", "nodeId", "type"), rows, key=("time", "nodeId", "type"))
    receipt = site.central.push(batch)
    assert (receipt.rows, receipt.stored, [refusal.index for refusal in receipt.refused]) == (3, 2, [1])
    assert "foreign key" in receipt.refused[0].reason.lower()
    assert [node for _, node, _ in stage.rows(READINGS)] == [1, 2]
    assert site.central.push(batch) == receipt


def test_a_value_that_does_not_fit_refuses_its_row(stage: Stage, site: Site) -> None:
    receipt = site.central.push(site.notes(1, (1, "first"), (2, None), (3, "third")))
    assert [refusal.index for refusal in receipt.refused] == [1]
    assert "text" in receipt.refused[0].reason
    assert stage.rows(TEXTS) == [("first",), ("third",)]


def test_rows_known_by_their_origin_do_not_collide(stage: Stage, site: Site) -> None:
    south = stage.site("south")
    site.central.push(site.notes(1, (1, "north one"), (2, "north two")))
    south.central.push(south.notes(1, (1, "south one"), (2, "south two")))
    site.central.push(site.notes(2, (2, "north two, mended"), (3, "north three")))
    assert sorted(text for (text,) in stage.rows(TEXTS)) == [
        "north one",
        "north three",
        "north two, mended",
        "south one",
        "south two",
    ]


def test_batches_that_come_at_once_are_all_stored(stage: Stage) -> None:
    sites = [stage.site(f"site-{number}") for number in range(1, 5)]
    minutes = range(0, 60, 6)
    stage.execute(sa.insert(Node).values([{"id": 10 + number} for number in range(len(sites))]))

    def push_readings(number: int) -> list[Receipt]:
        site = sites[number]
        batches = (
            site.readings(sequence, *range(minute, minute + 6), node=10 + number)
            for sequence, minute in enumerate(minutes, 1)
        )
        return [site.central.push(batch) for batch in batches]

    def push_notes(number: int) -> list[Receipt]:
        site = sites[number]
        batches = (site.notes(sequence, (sequence, f"{site.name} {sequence}")) for sequence in range(1, 11))
        return [site.central.push(batch) for batch in batches]

    with ThreadPoolExecutor(max_workers=8) as pool:
        work = [pool.submit(push, number) for number in range(len(sites)) for push in (push_readings, push_notes)]
        receipts = [receipt for each in work for receipt in each.result()]
    assert {receipt.stored for receipt in receipts} == {6, 1} and len(receipts) == 80
    assert len(stage.rows(READINGS)) == 4 * 60
    assert len(set(stage.rows(TEXTS))) == len(stage.rows(TEXTS)) == 4 * 10
    assert all(mark.sequence == 10 for site in sites for mark in site.hello().checkpoints.values())


# --- entities and report ---


def test_entities_come_down_when_they_changed(site: Site) -> None:
    keys = site.central.resolve(site.houses("1 High St", "2 High St")).keys
    answer = site.central.entities(site.query("address"))
    assert answer.rows is not None and answer.keys == keys
    assert answer.rows.columns == [["1 High St", "2 High St"]]
    same = site.central.entities(site.query("address", digest=answer.digest))
    assert same == EntityRows(digest=answer.digest, keys=[], rows=None)
    site.central.resolve(site.houses("3 High St"))
    more = site.central.entities(site.query("address", digest=answer.digest))
    assert more.digest != answer.digest and len(more.keys) == 3


def test_a_report_is_shown_to_people(stage: Stage, site: Site) -> None:
    assert site.central.report(site.report()) == Done()
    assert site.central.report(site.report()) == Done()
    server, status = Base.metadata.tables["Server"], Base.metadata.tables["Pushstatus"]
    assert stage.rows(sa.select(server.c.hostname)) == [("pi",)]
    told = stage.rows(sa.select(status.c.hostname, status.c.version, status.c.localtime))
    assert [(host, version, str(time)) for host, version, time in told] == [("pi", "1.0", "2026-01-01 02:00:00")] * 2
    assert all(time is not None for (time,) in stage.rows(sa.select(status.c.time)))


# --- messages that make no sense ---


@pytest.mark.parametrize("message", ["hello", "resolve", "push", "entities", "report"])
def test_another_protocol_is_refused(stage: Stage, site: Site, message: str) -> None:
    other = PROTOCOL + 1
    calls: dict[str, Callable[[], object]] = {
        "hello": lambda: site.hello(protocol=other),
        "resolve": lambda: site.central.resolve(site.houses("1 High St", protocol=other)),
        "push": lambda: site.central.push(msgspec.structs.replace(site.readings(1, 1), protocol=other)),
        "entities": lambda: site.central.entities(site.query("address", protocol=other)),
        "report": lambda: site.central.report(site.report(protocol=other)),
    }
    with pytest.raises(ProtocolError, match=f"protocol {other}"):
        calls[message]()
    assert not stage.rows(sa.select(House.id)) and not stage.rows(RECEIPTS)


def test_an_unknown_table_is_a_mismatch(site: Site) -> None:
    for call in (
        lambda: site.central.push(msgspec.structs.replace(site.readings(1, 1), table="Reeding")),
        lambda: site.central.resolve(msgspec.structs.replace(site.houses("1 High St"), table="Reeding")),
        lambda: site.central.entities(site.query("address", table="Reeding")),
        lambda: site.central.entities(site.query("token_hash", table="pusher_token")),
    ):
        with pytest.raises(SchemaMismatch, match="no table"):
            call()


def test_an_unknown_column_is_a_mismatch(stage: Stage, site: Site) -> None:
    def renamed(rows: Packed) -> Packed:
        return msgspec.structs.replace(rows, names=("adress", *rows.names[1:]))

    batch, houses = site.readings(1, 1), site.houses("1 High St")
    for call in (
        lambda: site.central.push(msgspec.structs.replace(batch, rows=renamed(batch.rows))),
        lambda: site.central.resolve(msgspec.structs.replace(houses, rows=renamed(houses.rows))),
        lambda: site.central.entities(site.query("adress")),
    ):
        with pytest.raises(SchemaMismatch, match="no column 'adress'"):
            call()
    assert not stage.rows(RECEIPTS)


def test_a_message_that_contradicts_itself_is_refused(stage: Stage, site: Site) -> None:
    batch, notes, houses = site.readings(1, 1), site.notes(1, (1, "one")), site.houses("1 High St")
    uneven = msgspec.structs.replace(batch.rows, columns=[[], *batch.rows.columns[1:]])
    for call in (
        lambda: site.central.push(msgspec.structs.replace(batch, key=("time", "locationId"))),
        lambda: site.central.push(msgspec.structs.replace(batch, rows=uneven)),
        lambda: site.central.push(msgspec.structs.replace(notes, origin=[(1,), (2,)])),
        lambda: site.central.resolve(msgspec.structs.replace(houses, key=("serverid",))),
        lambda: site.central.resolve(msgspec.structs.replace(houses, agree=("serverid",))),
        lambda: site.central.resolve(msgspec.structs.replace(houses, local_keys=[])),
        lambda: site.central.entities(site.query()),
    ):
        with pytest.raises(ProtocolError):
            call()
    assert not stage.rows(RECEIPTS) and not stage.rows(sa.select(House.id))


@pytest.mark.parametrize("dialect", ["mariadb", "postgresql"], indirect=True)
def test_what_the_bookkeeping_cannot_hold_is_refused(dialect: str, servers: Callable[[str], DatabaseServer]) -> None:
    with opened(servers(dialect).new_database()) as engine:
        upgrade(engine)
        with pytest.raises(ProtocolError, match="does not take"):
            Site(Store(engine), "north", epoch="e" * 1000).hello()


# --- what is kept, and for how long ---


def test_the_row_of_another_site_is_told_apart(stage: Stage, site: Site) -> None:
    other = stage.site("south")
    other.hello()
    site.central.push(site.readings(1, 1, 2))
    assert other.central.push(other.readings(1, 2, 3)).refused == []
    receipt = other.central.push(other.readings(2, 1, 4, value=7.0))
    assert (receipt.stored, [(each.index, each.owner) for each in receipt.refused]) == (1, [(0, "north")])
    assert stage.rows(sa.select(Reading.value).where(Reading.value == 7.0)) == [(7.0,)]


def test_a_table_that_lost_all_its_rows_is_told(stage: Stage, site: Site) -> None:
    site.central.push(site.readings(1, 1, 2))
    site.central.resolve(site.houses("1 Long Road"))
    assert site.hello().emptied == ()
    stage.execute(sa.delete(Reading), sa.delete(House))
    assert sorted(site.hello().emptied) == ["House", "Reading"]
    assert stage.site("south").hello().emptied == ()


def test_old_batches_are_forgotten_and_the_checkpoint_stays(stage: Stage, site: Site) -> None:
    site.hello()
    for sequence in (1, 2):
        site.central.push(site.readings(sequence, sequence))
    batch, contact = bookkeeping.batch, bookkeeping.site
    days = [sa.literal(utc_now() - dt.timedelta(days=days), sa.DateTime) for days in (401, 399)]
    for sequence, day in enumerate(days, 1):
        stage.execute(sa.update(batch).where(batch.c.sequence == sequence).values(applied=day))
    site.hello()
    assert len(stage.rows(RECEIPTS)) == 2  # once a day is enough
    stage.execute(sa.update(contact).values(last_contact=days[1]))
    assert site.hello().checkpoints["Reading"].sequence == 2
    assert stage.rows(sa.select(batch.c.sequence)) == [(2,)]
    assert site.central.push(site.readings(2, 2)).sequence == 2
    with pytest.raises(SequenceConflict):
        site.central.push(site.readings(1, 1))
    assert site.central.push(site.readings(3, 3)).sequence == 3


# --- central is away ---


def test_a_database_that_is_away_is_worth_another_try() -> None:
    engine = open_engine(f"mysql+pymysql://root@127.0.0.1:{free_port()}/central")
    site = Site(Store(engine), "north")
    for call in (site.hello, lambda: site.central.report(site.report())):
        with pytest.raises(CentralUnreachable):
            call()


def test_a_service_that_is_away_is_worth_another_try() -> None:
    site = Site(RestCentral(f"http://127.0.0.1:{free_port()}/rest/", "key"), "north")
    with pytest.raises(CentralUnreachable, match="Connection refused"):
        site.hello()
