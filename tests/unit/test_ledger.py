"""The site's own memory: what it keeps, what it forgets, and what it says when it cannot be used."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest

from pusher import ledger as module
from pusher.changed import ChangedRows, Noted
from pusher.entity_notes import EntityNotes
from pusher.errors import ConfigError, PusherError, UsageError
from pusher.held import Fault, HeldList, Kind, Quarantine, Selection
from pusher.ledger import Checkpoint, Ledger
from pusher.ledger_tables import UPGRADES, VERSION
from pusher.wire.blocks import Start
from pusher.wire.fingerprint import EMPTY, Fingerprint

_VERSION_1 = """
create table location (
    name text primary key, epoch text not null, marker text, instance text, schema_hash text, schema text,
    resolved integer not null default 0
) without rowid;
create table checkpoint (
    location text, table_name text, cursor text, primary key (location, table_name)
) without rowid;
create table identity (
    location text, table_name text, local_key text, central_key text not null, row_hash text not null,
    primary key (location, table_name, local_key)
) without rowid;
create table entity (
    location text, table_name text, digest text not null, primary key (location, table_name)
) without rowid;
create table held (
    id integer primary key, location text not null, table_name text not null, local_key text not null,
    reason text not null, since text not null, unique (location, table_name, local_key)
);
create table run (
    id integer primary key, location text not null, started text not null, seconds real not null,
    outcome text not null, exit_code integer not null
);
create index run_location on run (location, id);
insert into checkpoint values ('central', 'Reading', '[5]');
insert into held (location, table_name, local_key, reason, since)
values ('central', 'Reading', '[1]', 'too long', 'monday');
pragma user_version = 1;
"""


def _fault(number: int, kind: Kind = Kind.REFUSED) -> Fault:
    return Fault(local_key=f"[{number}]", reason="", kind=kind)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "state") as found:
        yield found


def test_it_outlives_its_connection(tmp_path: Path) -> None:
    with Ledger(tmp_path / "state") as ledger:
        epoch = ledger.location("central").epoch
        ledger.advance("central", "Reading", ("2026-01-01 00:00:00", 37, 0.1, None, {"bytes": "AA=="}), 3)
        ledger.write_marker("central", "2026-01-01 00:00:00")
    with Ledger(tmp_path / "state") as ledger:
        state = ledger.location("central")
        assert (state.epoch, state.marker) == (epoch, "2026-01-01 00:00:00")
        cursor = ("2026-01-01 00:00:00", 37, 0.1, None, {"bytes": "AA=="})
        assert ledger.checkpoints("central") == {"Reading": Checkpoint(cursor=cursor, sequence=3)}
        assert ledger.location("lab").epoch != epoch


def test_only_its_owner_can_read_it(ledger: Ledger, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_locations_do_not_mix(ledger: Ledger) -> None:
    for location in ("central", "lab"):
        ledger.location(location)
        ledger.advance(location, "Reading", (location,), 1, {location: Fingerprint(1, "0")})
        ledger.note_identities(location, "House", [("[1]", f'["{location}"]', "h")])
        Quarantine(ledger, location).hold("Reading", [Fault(local_key="[1]", reason=location)], "now")
        EntityNotes(ledger, location).note_digest("Room", location)
    epoch = ledger.location("lab").epoch
    ledger.start_over("central")
    assert ledger.checkpoints("central") == {}
    assert ledger.identities("central", "House") == {}
    assert EntityNotes(ledger, "central").digest("Room") is None
    assert ledger.checkpoints("lab") == {"Reading": Checkpoint(cursor=("lab",), sequence=1)}
    assert ledger.blocks("central", "Reading") == {}
    assert ledger.blocks("lab", "Reading") == {"lab": Fingerprint(1, "0")}
    assert ledger.identities("lab", "House") == {"[1]": ('["lab"]', "h")}
    assert EntityNotes(ledger, "lab").digest("Room") == "lab"
    assert [row.reason for row in Quarantine(ledger, "lab").rows()] == ["lab"]
    assert ledger.location("lab").epoch == epoch


def test_to_start_over_is_a_new_epoch_that_still_knows_what_is_held(ledger: Ledger) -> None:
    before = ledger.location("central").epoch
    Quarantine(ledger, "central").hold("Reading", [Fault(local_key="[1]", reason="refused")], "now")
    ledger.write_marker("central", "2026-01-01")
    epoch = ledger.start_over("central")
    assert epoch != before
    assert (ledger.location("central").epoch, ledger.location("central").marker) == (epoch, None)
    assert Quarantine(ledger, "central").counts() == {"Reading": 1}


def blocks(**rows: int) -> dict[Start, Fingerprint]:
    return {start: Fingerprint(count, f"{count:032x}") for start, count in rows.items()}


def test_a_checkpoint_can_be_set_back_and_its_blocks_are_forgotten(ledger: Ledger) -> None:
    for sequence, start in enumerate((1000, 2000, 3000), 1):
        ledger.advance("central", "Reading", (start + 5,), sequence, {start: Fingerprint(5, "0")})
    ledger.begin_from("central", {"Reading": Checkpoint(cursor=(2003,), sequence=3, floor=(500,))}, None)
    assert ledger.checkpoints("central") == {"Reading": Checkpoint(cursor=(2003,), sequence=3, floor=(500,))}
    assert list(ledger.blocks("central", "Reading")) == [1000, 2000]
    ledger.begin_from("central", {"Reading": Checkpoint(cursor=None, sequence=3)}, None)
    assert ledger.checkpoints("central") == {"Reading": Checkpoint(cursor=None, sequence=3)}
    assert ledger.blocks("central", "Reading") == {}


def test_blocks_of_batches_that_central_does_not_know_are_forgotten(ledger: Ledger) -> None:
    ledger.advance("central", "Reading", (9,), 1, blocks(a=3, b=1))
    ledger.advance("central", "Reading", (9,), 2, blocks(b=2))
    assert ledger.blocks("central", "Reading") == blocks(a=3, b=2)
    assert ledger.blocks("central", "Reading", "b") == blocks(b=2) == ledger.blocks("central", "Reading", "b", "c")
    assert [
        ledger.count_in_blocks("central", "Reading", *each) for each in ((None, None), (None, "b"), ("c", "d"))
    ] == [5, 3, 0]
    assert [ledger.block("central", "Reading", each) for each in "ac"] == [blocks(a=3)["a"], EMPTY]
    ledger.begin_from("central", {"Reading": Checkpoint(cursor=(9,), sequence=1)}, None)
    assert ledger.blocks("central", "Reading") == blocks(a=3)


def test_a_row_is_held_once_with_the_newest_reason_until_it_is_released(ledger: Ledger) -> None:
    held = Quarantine(ledger, "central")
    held.hold("Reading", [Fault(local_key="[1]", reason="first"), Fault(local_key="[2]", reason="other")], "monday")
    held.hold("Reading", [Fault(local_key="[1]", reason="second", kind=Kind.CONFLICT)], "tuesday")
    assert held.counts() == {"Reading": 2}
    first, other = held.rows("Reading")
    assert (first.reason, first.kind, first.since, first.tried) == ("second", Kind.CONFLICT, "monday", "tuesday")
    assert held.rows("Reading", limit=1) == [first]
    held.release("Reading", ["[1]", "[3]"])
    assert held.rows() == [other]


def test_a_held_row_is_due_when_it_waits_for_a_parent_or_has_waited_long(ledger: Ledger) -> None:
    held = Quarantine(ledger, "central")
    kinds = (Kind.REFUSED, Kind.PARENT, Kind.REFUSED)
    held.hold("Reading", [_fault(number, kind) for number, kind in enumerate(kinds)], "2026-01-02")
    assert [row.key for row in held.due("Reading", "2026-01-01", 10)] == [(1,)]
    assert [row.key for row in held.due("Reading", "2026-01-03", 10)] == [(0,), (1,), (2,)]


def test_a_row_is_asked_for_until_it_is_held_anew(ledger: Ledger) -> None:
    held, everything = Quarantine(ledger, "central"), HeldList(ledger)
    held.hold("Reading", [_fault(number) for number in range(3)], "2026-01-02")
    Quarantine(ledger, "lab").hold("Reading", [_fault(0)], "2026-01-02")
    last = held.rows()[2]
    everything.ask_retry(Selection(ids=(last.id,)))
    assert [row.key for row in held.asked("Reading", 0, 10)] == [(2,)]
    everything.ask_retry(Selection(locations=("central",), table="Reading"))
    assert [row.key for row in held.asked("Reading", 0, 2)] == [(0,), (1,)]
    assert [row.key for row in held.asked("Reading", held.rows()[1].id, 2)] == [(2,)]
    assert everything.count(Selection(asked=True)) == 3
    held.hold("Reading", [_fault(2)], "2026-01-03")
    assert everything.rows(Selection(ids=(last.id,)))[0].retry is False
    assert everything.locations(Selection(asked=True)) == ["central"]


def test_rows_are_given_up_all_or_none(ledger: Ledger) -> None:
    everything = HeldList(ledger)
    Quarantine(ledger, "central").hold("Reading", [_fault(0), _fault(1)], "2026-01-02")
    Quarantine(ledger, "lab").hold("Reading", [_fault(0)], "2026-01-02")
    first, second, third = everything.rows(Selection())
    with pytest.raises(UsageError, match="number 77, 78;"):
        everything.give_up([first.id, 77, 78])
    assert everything.rows(Selection()) == [first, second, third]
    assert everything.give_up([first.id, third.id]) == [first, third]
    assert everything.rows(Selection()) == [second]


def test_a_ledger_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as db:
        db.executescript(_VERSION_1)
    with Ledger(tmp_path / "state") as ledger:
        assert ledger.checkpoints("central") == {"Reading": Checkpoint(cursor=(5,), sequence=0)}
        (row,) = Quarantine(ledger, "central").rows()
        assert (row.reason, row.kind, row.retry) == ("too long", Kind.REFUSED, False)
        ledger.advance("central", "Reading", (6,), 1, {0: Fingerprint(1, "0")})
        assert ledger.blocks("central", "Reading") == {0: Fingerprint(1, "0")}


def _columns(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Of each table what SQLite says of its columns, but for their order."""
    with closing(sqlite3.connect(folder / "ledger.db")) as db:
        names = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
        return {
            name: sorted(row[1:] for row in db.execute(f"select * from pragma_table_info('{name}')")) for name in names
        }


def _upgraded(folder: Path, version: int) -> dict[str, list[tuple[object, ...]]]:
    """The columns of a ledger that was of this version once."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / "ledger.db")) as db:
        db.executescript(_VERSION_1)
        for step in range(1, version):
            db.executescript(UPGRADES[step])
        db.execute(f"pragma user_version = {version}")
    with Ledger(folder) as ledger:
        assert ledger.read("pragma user_version") == [(VERSION,)]
    return _columns(folder)


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_older_ledger_becomes_like_a_new_one(tmp_path: Path, version: int) -> None:
    Ledger(tmp_path / "new").close()
    assert _upgraded(tmp_path / "old", version) == _columns(tmp_path / "new")


def test_ids_learnt_by_an_older_pusher_are_kept(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as db:
        db.executescript(_VERSION_1)
        db.executescript(UPGRADES[1])
        db.executescript("""
            insert into identity values ('central', 'House', '[1]', '[10]', 'h');
            insert into held (location, table_name, local_key, kind, reason, since, tried)
            values ('central', 'Reading', '[2]', 'conflict', 'theirs', 'monday', 'tuesday');
            pragma user_version = 2;
        """)
    with Ledger(tmp_path / "state") as ledger:
        assert ledger.identities("central", "House") == {"[1]": ("[10]", "h")}
        ledger.note_identities("central", "House", [("[2]", "[20]", "i")])
        assert ledger.identities("central", "House") == {"[1]": ("[10]", "h"), "[2]": ("[20]", "i")}
        assert ledger.read("select distinct version from identity") == [(0,)]
        assert [row.kind for row in Quarantine(ledger, "central").rows()] == [Kind.REFUSED, Kind.CONFLICT]
        ChangedRows(ledger, "central").note("House", [Noted(local_key="[1]", natural_key="[]", removed=True)])
        assert ChangedRows(ledger, "central").counts() == {"House": 1}
        assert ledger.read("select * from verdict") == []


def test_runs_are_kept_up_to_a_number(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_RUNS", 3)
    assert ledger.last_run("central") is None
    for number in range(5):
        ledger.note_run("central", f"day {number}", 0.5, b'{"error": null}', 0)
    ledger.note_run("central", "day 5", 0.5, b'{"error": "away"}', 3)
    last, success = ledger.last_run("central"), ledger.last_run("central", successful=True)
    assert last and (last.started, last.exit_code, last.outcome) == ("day 5", 3, {"error": "away"})
    assert success and success.started == "day 4"
    assert ledger._db.execute("select count(*) from run").fetchone() == (3,)


def test_what_fails_in_the_midst_changes_nothing(ledger: Ledger) -> None:
    def identities() -> Iterator[tuple[str, str, str]]:
        yield ("[1]", "[10]", "h")
        raise KeyError("the caller's own fault")

    with pytest.raises(KeyError):
        ledger.note_identities("central", "House", identities())
    assert ledger.identities("central", "House") == {}
    ledger.advance("central", "Reading", (1,), 1)
    assert ledger.checkpoints("central") == {"Reading": Checkpoint(cursor=(1,), sequence=1)}


def test_many_may_open_a_new_one_at_once(tmp_path: Path) -> None:
    """As a daemon with several locations does on its first day."""

    def epoch_of(state: Path) -> str:
        with Ledger(state) as ledger:
            return ledger.location("central").epoch

    with ThreadPoolExecutor(max_workers=8) as pool:
        for number in range(10):
            assert len(set(pool.map(epoch_of, [tmp_path / str(number)] * 8))) == 1


def test_it_waits_for_whoever_is_making_it(tmp_path: Path) -> None:
    """SQLite itself does not, in this one case."""
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("begin immediate")
        timer = Timer(0.2, other.execute, ["commit"])
        timer.start()
        Ledger(tmp_path).close()
        timer.join()


def test_a_full_disk_is_told_in_one_line(ledger: Ledger) -> None:
    pages = ledger._db.execute("pragma page_count").fetchone()[0]
    ledger._db.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(PusherError, match=r"ledger\.db cannot be used: database or disk is full"):
        ledger.note_identities("central", "House", ((f"[{n}]", "[1]", "h" * 32) for n in range(10_000)))
    assert ledger.identities("central", "House") == {}


def test_a_ledger_of_a_newer_pusher_is_left_alone(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute("pragma user_version = 99")
    with pytest.raises(PusherError, match="newer pusher"):
        Ledger(tmp_path)


def test_a_damaged_ledger_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("no database " * 1000)
    with pytest.raises(PusherError, match="not a database"):
        Ledger(tmp_path)


def test_a_state_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(ConfigError, match=r"state cannot be used: a file of this name is there; correct state"):
        Ledger(tmp_path / "state")
    with pytest.raises(ConfigError, match="Not a directory"):
        Ledger(tmp_path / "state" / "deeper")
