"""The files job from folder to folder: what is copied, what is left alone, what is refused, what is mended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from pusher.errors import DestinationUnreachable, FileRefused
from pusher.filelist import Code
from pusher.files.checking import State, check
from pusher.files.destination import SMALL_BYTES, Whole
from pusher.files.folder import Folder
from pusher.held import Kind
from tests.files_site import LONG_AGO_NS, Instrument, put

LARGE = os.urandom(600_000)


@pytest.fixture
def site(tmp_path: Path) -> Instrument:
    return Instrument(tmp_path)


# --- copying ---


def test_everything_arrives_once(site: Instrument) -> None:
    for name in ("a.res", "b/a.res", "b/c/zwei Wörter.csv", "large.bin"):
        site.write(name, LARGE if name == "large.bin" else name.encode())
    outcome = site.run()
    assert (outcome.exit_code, outcome.error, outcome.notes) == (0, None, [])
    assert outcome.files and (outcome.files.copied, outcome.files.held) == (4, 0)
    assert outcome.files.bytes == sum(len(path.read_bytes()) for path in site.raw.rglob("*") if path.is_file())
    assert site.arrived() == site.written()
    assert (site.there / "b/a.res").stat().st_mtime_ns == LONG_AGO_NS
    again = site.run()
    assert again.files and (again.files.copied, again.files.bytes, again.files.unchanged) == (0, 0, 4)
    assert not (site.there / ".pusher").exists()


def test_the_list_has_what_the_seed_had(site: Instrument) -> None:
    import sqlite3

    site.write("file_number_1.xyz", b"x")
    site.run()
    with sqlite3.connect(site.folder / "state" / "ledger.db") as db:
        db.row_factory = sqlite3.Row
        (row,) = db.execute("select * from filelist")
    assert row.keys() == ["id", "processed_date", "local_name", "external_name", "checksum", "code"]
    assert tuple(row)[2:] == ("file_number_1.xyz", "file_number_1.xyz", site.written()["file_number_1.xyz"], 1)


def test_a_young_file_is_left_alone(site: Instrument) -> None:
    path = site.write("a.res")
    site.now = path.stat().st_mtime + 29
    outcome = site.run()
    assert outcome.files and (outcome.files.copied, outcome.files.waiting) == (0, 1)
    site.now += 2
    assert site.run().files.copied == 1  # type: ignore[union-attr]


def test_a_file_of_the_future_arrives_all_the_same(site: Instrument) -> None:
    """By a clock that is wrong: when it was last changed the system knows."""
    path = put(site.raw / "a.res", b"x", 4_000_000_000 * 10**9)
    site.now = path.stat().st_ctime + 10
    assert site.run().files.copied == 0  # type: ignore[union-attr]
    site.now = path.stat().st_ctime + 40
    assert site.run().files.copied == 1  # type: ignore[union-attr]
    assert (site.there / "a.res").stat().st_mtime == 4_000_000_000


def test_only_what_suits(site: Instrument) -> None:
    site.configure("include = *.res, *.csv\nexclude = *tmp*\nsubdirs = no")
    for name in ("a.res", "b.csv", "c.txt", "tmp1.res", "sub/d.res"):
        site.write(name)
    site.run()
    assert site.arrived().keys() == {"a.res", "b.csv"}


def test_a_new_name(site: Instrument) -> None:
    site.configure("rename = {stem}_{mtime:%Y%m%d}{suffix}")
    site.write("b/a.res")
    site.run()
    assert site.arrived().keys() == {"b/a_20231114.res"}
    assert site.run().files.copied == 0  # type: ignore[union-attr]


# --- changes ---


def test_a_changed_file_is_copied_again(site: Instrument) -> None:
    site.write("a.res", b"first")
    site.run()
    site.write("a.res", b"second")
    site.write("same size.res", b"first")
    site.run()
    site.write("same size.res", b"other", age_seconds=-5)
    site.run()
    assert site.arrived() == site.written()


def test_a_touched_file_is_compared_and_not_copied(site: Instrument) -> None:
    site.write("a.res")
    site.run()
    site.write("a.res", age_seconds=-5)
    outcome = site.run()
    assert outcome.files and (outcome.files.copied, outcome.files.same) == (0, 1)
    assert site.run().files.unchanged == 1  # type: ignore[union-attr]


def test_both_are_kept(site: Instrument) -> None:
    site.configure("on_change = keep-both")
    site.write("a.res", b"first")
    site.run()
    site.write("a.res", b"second", age_seconds=-5)
    site.run()
    assert (site.there / "a.res").read_bytes() == b"first"
    assert (site.there / "a~20231114T221325Z.res").read_bytes() == b"second"
    assert site.run().files.unchanged == 1  # type: ignore[union-attr]
    with site.job() as job:
        assert check(job, deep=True).counts == {State.SAME: 1}


def test_a_change_is_not_wanted(site: Instrument) -> None:
    site.configure("on_change = never")
    site.write("a.res", b"first")
    site.run()
    site.write("a.res", b"second")
    outcome = site.run()
    assert outcome.files and (outcome.files.copied, outcome.files.kept) == (0, 1)
    assert (site.there / "a.res").read_bytes() == b"first"


@pytest.mark.parametrize("size", [10, 600_000])
def test_a_file_that_changes_while_it_is_read_waits(
    site: Instrument, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = site.write("a.res", b"x" * size)
    site.write("b.res")
    from pusher.files import reading

    check_file = reading.Reader._check
    looked = []

    def grows(self: reading.Reader, handle: int) -> None:
        looked.append(self)
        if len(looked) == 1 and size < SMALL_BYTES:  # which is looked at once, behind its reading
            path.write_bytes(b"more than that")
        check_file(self, handle)
        if len(looked) == 1:
            with path.open("ab") as file:
                file.write(b"more")

    monkeypatch.setattr(reading.Reader, "_check", grows)
    outcome = site.run()
    assert outcome.files and (outcome.files.copied, outcome.files.waiting) == (1, 1)
    assert site.arrived().keys() == {"b.res"}
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    site.run()
    assert site.arrived() == site.written()


# --- locked ---


def test_a_locked_file_is_never_copied(site: Instrument) -> None:
    import sqlite3

    site.write("a.res", b"first")
    site.write("b.res")
    site.run()
    with sqlite3.connect(site.folder / "state" / "ledger.db") as db:
        db.execute("update filelist set code = 2 where local_name = 'a.res'")
    assert site.entries()["a.res"].code is Code.NEVER
    site.write("a.res", b"second")
    outcome = site.run()
    assert outcome.files and (outcome.files.copied, outcome.files.locked) == (0, 1)
    assert (site.there / "a.res").read_bytes() == b"first"


def test_code_0_copies_once_more(site: Instrument) -> None:
    import sqlite3

    site.write("a.res")
    site.run()
    with sqlite3.connect(site.folder / "state" / "ledger.db") as db:
        db.execute("update filelist set code = 0")
    assert site.run().files.copied == 1  # type: ignore[union-attr]
    assert site.entries()["a.res"].code is Code.IF_CHANGED
    assert site.run().files.copied == 0  # type: ignore[union-attr]


# --- what stands at the destination already ---


def test_a_lost_ledger_is_no_loss(site: Instrument) -> None:
    for number in range(30):
        site.write(f"{number}.res", b"x" * number)
    site.run()
    shutil.rmtree(site.folder / "state")
    outcome = site.run()
    assert outcome.files and (outcome.files.copied, outcome.files.same) == (0, 30)
    assert outcome.exit_code == 0 and len(site.entries()) == 30


def test_a_stranger_is_not_overwritten(site: Instrument) -> None:
    site.write("a.res", b"mine!")
    site.write("b.res")
    put(site.there / "a.res", b"other", LONG_AGO_NS - 10**12)
    outcome = site.run()
    assert outcome.files and (outcome.exit_code, outcome.files.copied, outcome.files.held) == (1, 1, 1)
    (held,) = site.held()
    assert (held.kind, held.key) == (Kind.FILE, ("a.res",))
    assert "another file has the name a.res there" in held.reason
    assert (site.there / "a.res").read_bytes() == b"other"
    (site.there / "a.res").unlink()
    site.now = _after(held.tried, 61)
    outcome = site.run()
    assert outcome.files and (outcome.exit_code, outcome.files.copied) == (0, 1)
    assert site.held() == [] and site.arrived() == site.written()


def test_a_folder_in_the_place_of_a_file_holds_up_no_other(site: Instrument) -> None:
    """Also where it happens to have the size of the file, so that their contents would be compared."""
    (site.there / "a.res").mkdir()
    site.write("a.res", b"x" * (site.there / "a.res").stat().st_size)
    site.write("b.res")
    outcome = site.run()
    assert outcome.files and (outcome.error, outcome.files.copied, outcome.files.held) == (None, 1, 1)
    assert "is not overwritten" in site.held()[0].reason


def test_a_held_file_is_not_tried_all_the_time(site: Instrument) -> None:
    site.write("a.res", b"mine!")
    put(site.there / "a.res", b"other", LONG_AGO_NS - 10**12)
    site.run()
    (site.there / "a.res").unlink()
    site.now += 30
    outcome = site.run()
    assert outcome.files and (outcome.files.copied, outcome.files.waiting, outcome.files.held) == (0, 1, 1)
    assert outcome.exit_code == 1


def test_a_held_file_that_is_gone_is_forgotten(site: Instrument) -> None:
    path = site.write("a.res", b"mine!")
    put(site.there / "a.res", b"other", LONG_AGO_NS - 10**12)
    site.run()
    path.unlink()
    outcome = site.run()
    assert outcome.files and (outcome.files.gone, outcome.files.held, outcome.exit_code) == (1, 0, 0)


def test_two_files_of_one_name_there(site: Instrument) -> None:
    site.configure("rename = all/{name}")
    site.write("one/a.res", b"1")
    site.write("two/a.res", b"2")
    outcome = site.run()
    assert outcome.files and (outcome.files.copied, outcome.files.held) == (1, 1)
    (held,) = site.held()
    assert "one/a.res has the same name there" in held.reason
    assert (site.there / "all/a.res").read_bytes() == b"1"


def test_a_name_that_cannot_be_kept_is_held(site: Instrument) -> None:
    with open(os.fsencode(site.raw) + b"/caf\xe9.res", "wb") as file:
        file.write(b"x")
    os.utime(os.fsencode(site.raw) + b"/caf\xe9.res", ns=(LONG_AGO_NS, LONG_AGO_NS))
    site.write("b.res")
    for _ in range(2):
        outcome = site.run()
        assert outcome.files and (outcome.files.held, outcome.files.gone, outcome.exit_code) == (1, 0, 1)
        (held,) = site.held()
        assert held.key == ("caf\\xe9.res",)
    assert site.arrived().keys() == {"b.res"}


# --- mending ---


def test_check_names_and_the_run_mends(site: Instrument) -> None:
    """What is damaged or gone comes anew; what a stranger wrote stays, with a message."""
    for name in ("sound", "rotten", "torn", "gone", "replaced"):
        site.write(f"{name}.res", name.encode() * 10)
    site.run()
    rotten = site.there / "rotten.res"
    put(rotten, b"R" + rotten.read_bytes()[1:])  # as a disk does it: the time stays
    put(site.there / "torn.res", b"to")
    (site.there / "gone.res").unlink()
    put(site.there / "replaced.res", b"a stranger's", LONG_AGO_NS + 10**10)
    with site.job() as job:
        assert check(job).counts[State.SAME] == 2  # rotten is not seen without reading
        found = check(job, deep=True)
    assert {each.file: each.state for each in found.files} == {
        "rotten.res": State.DAMAGED,
        "torn.res": State.DAMAGED,
        "gone.res": State.MISSING,
        "replaced.res": State.DIFFERENT,
    }
    assert found.exit_code == 1 and "see to them first" in found.advice
    outcome = site.run()
    assert outcome.files and outcome.files.copied == 3
    assert (site.there / "replaced.res").read_bytes() == b"a stranger's"
    with site.job() as job:
        assert check(job, deep=True).counts == {State.SAME: 4, State.DIFFERENT: 1}


def test_a_changed_file_does_not_overwrite_a_stranger(site: Instrument) -> None:
    site.write("a.res", b"first")
    site.run()
    put(site.there / "a.res", b"theirs", LONG_AGO_NS + 10**10)
    site.write("a.res", b"second, longer")
    outcome = site.run()
    assert outcome.files and (outcome.files.copied, outcome.files.held) == (0, 1)
    assert (site.there / "a.res").read_bytes() == b"theirs"


# --- check before the first run ---


def test_check_works_before_the_first_run(site: Instrument) -> None:
    site.write("same.res", b"1")
    site.write("new.res", b"2")
    site.write("other.res", b"3")
    site.write("other size.res", b"4")
    put(site.there / "same.res", b"1", LONG_AGO_NS - 10**12)
    put(site.there / "other.res", b"X")
    put(site.there / "other size.res", b"long", LONG_AGO_NS)
    put(site.there / "old.res", b"0")
    with site.job() as job:
        found = check(job)
        assert found.counts == {
            State.ADOPTABLE: 1,
            State.WAITING: 1,
            State.DIFFERENT: 2,
            State.ONLY_THERE: 1,
        }
        assert job.filelist.entries() == {}
        assert check(job, update=True, dry_run=True).updated == 0
        assert check(job, update=True).updated == 1
        assert job.filelist.entries().keys() == {"same.res"}
    assert site.run().files.copied == 1  # type: ignore[union-attr]


def test_update_never_touches_what_is_locked(site: Instrument) -> None:
    site.write("a.res", b"1")
    put(site.there / "a.res", b"1")
    with site.job() as job:
        job.filelist.set_code(["a.res"], Code.NEVER)
        found = check(job, deep=True, update=True)
        assert (found.counts, found.updated) == ({State.LOCKED: 1}, 0)
        assert job.filelist.entries()["a.res"].arrived is None


# --- the ends of the line ---


def test_a_destination_that_goes_away_leaves_what_arrived_noted(
    site: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pusher.files import sending

    monkeypatch.setattr(sending, "BATCH_FILES", 5)
    for number in range(20):
        site.write(f"{number:02}.res")
    store, calls = Folder.store, []

    def away(self: Folder, files: Sequence[Whole]) -> list[FileRefused | None]:
        calls.append(files)
        if len(calls) == 3:
            raise DestinationUnreachable("the line is cut")
        return store(self, files)

    monkeypatch.setattr(Folder, "store", away)
    outcome = site.run()
    assert (outcome.exit_code, outcome.error) == (3, "the line is cut")
    assert outcome.files and outcome.files.copied == 10
    outcome = site.run()
    assert outcome.files and (outcome.exit_code, outcome.files.copied) == (0, 10)
    assert site.arrived() == site.written()


def test_a_placed_file_that_was_not_noted_is_ours(site: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    """The power failed behind the destination's last step; then the instrument wrote on."""
    from pusher.filelist import FileList

    site.write("a.res", b"first")
    site.run()
    site.write("a.res", b"second", age_seconds=-5)
    with monkeypatch.context() as patch:
        patch.setattr(FileList, "note_arrived", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            site.run()
    assert (site.there / "a.res").read_bytes() == b"second"
    site.write("a.res", b"third one", age_seconds=-10)
    outcome = site.run()
    assert outcome.files and (outcome.exit_code, outcome.files.copied) == (0, 1)
    assert site.arrived() == site.written()


def test_a_source_that_is_away_says_so(site: Instrument) -> None:
    shutil.rmtree(site.raw)
    outcome = site.run()
    assert outcome.exit_code == 3 and str(site.raw) in str(outcome.error)


def test_a_destination_that_is_away_says_so(site: Instrument) -> None:
    site.there.rmdir()
    with pytest.raises(DestinationUnreachable, match="mount"):
        site.run()


def _after(moment: str, seconds: float) -> float:
    import datetime as dt

    return dt.datetime.fromisoformat(moment).timestamp() + seconds
