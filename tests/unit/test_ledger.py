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
from pusher.errors import ConfigError, PusherError
from pusher.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "state") as found:
        yield found


def test_it_outlives_its_connection(tmp_path: Path) -> None:
    with Ledger(tmp_path / "state") as ledger:
        epoch = ledger.location("central").epoch
        ledger.advance("central", "Reading", ("2026-01-01 00:00:00", 37, 0.1, None, {"bytes": "AA=="}))
        ledger.write_marker("central", "2026-01-01 00:00:00")
    with Ledger(tmp_path / "state") as ledger:
        state = ledger.location("central")
        assert (state.epoch, state.marker) == (epoch, "2026-01-01 00:00:00")
        cursor = ("2026-01-01 00:00:00", 37, 0.1, None, {"bytes": "AA=="})
        assert ledger.checkpoints("central") == {"Reading": cursor}
        assert ledger.location("lab").epoch != epoch


def test_only_its_owner_can_read_it(ledger: Ledger, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_locations_do_not_mix(ledger: Ledger) -> None:
    for location in ("central", "lab"):
        ledger.location(location)
        ledger.advance(location, "Reading", (location,))
        ledger.note_identities(location, "House", [("[1]", f'["{location}"]', "h")])
        ledger.hold(location, "Reading", [("[1]", location)], "now")
        ledger.note_digest(location, "Room", location)
    epoch = ledger.location("lab").epoch
    ledger.start_over("central")
    assert (ledger.checkpoints("central"), ledger.identities("central", "House"), ledger.digests("central")) == (
        {},
    ) * 3
    assert ledger.checkpoints("lab") == {"Reading": ("lab",)}
    assert ledger.identities("lab", "House") == {"[1]": ('["lab"]', "h")}
    assert ledger.digests("lab") == {"Room": "lab"}
    assert ledger.held_reasons("lab", "Reading", 10) == [("[1]", "lab")]
    assert ledger.location("lab").epoch == epoch


def test_to_start_over_is_a_new_epoch_that_still_knows_what_is_held(ledger: Ledger) -> None:
    before = ledger.location("central").epoch
    ledger.hold("central", "Reading", [("[1]", "refused")], "now")
    ledger.write_marker("central", "2026-01-01")
    epoch = ledger.start_over("central")
    assert epoch != before
    assert (ledger.location("central").epoch, ledger.location("central").marker) == (epoch, None)
    assert ledger.held("central") == {"Reading": 1}


def test_a_checkpoint_can_be_set_back_and_taken_away(ledger: Ledger) -> None:
    ledger.advance("central", "Reading", (5,))
    ledger.begin_from("central", {"Reading": (3,)}, None)
    assert ledger.checkpoints("central") == {"Reading": (3,)}
    ledger.begin_from("central", {"Reading": None}, None)
    assert ledger.checkpoints("central") == {}


def test_a_row_is_held_once_with_the_newest_reason_until_it_is_released(ledger: Ledger) -> None:
    ledger.hold("central", "Reading", [("[1]", "first"), ("[2]", "other")], "monday")
    ledger.hold("central", "Reading", [("[1]", "second")], "tuesday")
    assert ledger.held("central") == {"Reading": 2}
    assert ledger.held_reasons("central", "Reading", 10) == [("[1]", "second"), ("[2]", "other")]
    assert ledger.held_reasons("central", "Reading", 1) == [("[1]", "second")]
    ledger.release("central", "Reading", ["[1]", "[3]"])
    assert ledger.held_reasons("central", "Reading", 10) == [("[2]", "other")]


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
    ledger.advance("central", "Reading", (1,))
    assert ledger.checkpoints("central") == {"Reading": (1,)}


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
