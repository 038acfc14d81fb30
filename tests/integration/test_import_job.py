"""A location with kind = import, run by run: what is taken, what waits, and what an operator is told of it."""

from __future__ import annotations

import csv
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from models import Base, Deployment, House
from pusher.config import load
from pusher.datacenter.csvform import examine
from pusher.datacenter.desk import Desk
from pusher.datacenter.outcome import Choice
from pusher.datacenter.processing import Mode
from pusher.datacenter.work import Order, Work
from pusher.errors import AlreadyRunning, ConfigError, FileRefused, PusherError, WriteFailed
from pusher.held import HeldRow, Quarantine, Selection
from pusher.held_views import held_detail, held_views
from pusher.held_views import retry as retry_held
from pusher.job import NoProgress, Outcome
from pusher.ledger import Ledger
from pusher.runs import run_location
from pusher.schema.engine import opened
from pusher.service import writable_folders
from pusher.views import location_views
from tests.configs import put

_CONFIG = """\
[general]
site = office
localurl = sqlite:///site.db
[locations]
registry = 1
[registry]
kind = import
storage = datacenter
processor = House
map = Street:address, Project:Deployment.name
settle = {settle}
{lines}
"""
_HEAD = "Street,Project,startDate\n"


@dataclass(frozen=True)
class Office:
    """A site with one location to import from, and one deployment in its database."""

    folder: Path

    @property
    def storage(self) -> Path:
        return self.folder / "datacenter"

    @property
    def config(self) -> Path:
        return self.folder / "synchronise.conf"

    def write_config(self, lines: str = "", settle: str = "0") -> None:
        put(self.config, _CONFIG.format(lines=lines, settle=settle))

    def drop(self, name: str, text: str) -> Path:
        self.storage.mkdir(exist_ok=True)
        path = self.storage / name
        path.write_text(text, encoding="utf-8")
        return path

    def run(self) -> Outcome:
        settings = load(self.config)
        return run_location(settings, settings.location("registry"), NoProgress())

    def desk(self) -> Desk:
        settings = load(self.config)
        return Desk(settings, settings.location("registry"))

    def held(self) -> list[HeldRow]:
        with Ledger(load(self.config).general.state) as ledger:
            return Quarantine(ledger, "registry").rows()

    def houses(self) -> dict[str, str | None]:
        query = sa.select(House.address, Deployment.name).outerjoin(Deployment)
        with opened(f"sqlite:///{self.folder}/site.db") as engine, engine.connect() as connection:
            return {row.address: row.name for row in connection.execute(query)}

    def files(self) -> list[str]:
        found = [path.relative_to(self.storage) for path in self.storage.rglob("*") if path.is_file()]
        return sorted(str(path) for path in found if path.parts[0] != "logs" and path.name[0] != ".")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    with opened(f"sqlite:///{tmp_path}/site.db", create=True) as engine:
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(sa.insert(Deployment), [{"name": "Pilot"}])
    made = Office(tmp_path)
    made.write_config()
    return made


def test_good_rows_land_and_bad_rows_come_back_and_land_once_they_are_mended(office: Office) -> None:
    office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilot,2026-11-01\n2 Mill Lane,Pilto,\n\n3 Mill Lane,,31.12.2026\n")
    outcome = office.run()
    (entry,) = outcome.tables
    assert (entry.table, entry.role, entry.sent, entry.created, entry.held) == ("House", "import", 1, 1, 1)
    assert outcome.exit_code == 1 and outcome.error is None
    assert entry.notes == ["houses.csv, create: 1 rows, 2 refused and now in houses.create.pending.csv"]
    assert office.houses() == {"1 Mill Lane": "Pilot"}
    assert office.files() == [
        "finished/houses.create.finished.csv",
        "houses.create.pending.csv",
        "unfinished/houses.csv",
    ]
    pending = office.storage / "houses.create.pending.csv"
    rows = _rows(pending)
    assert [row["Street"] for row in rows] == ["2 Mill Lane", "3 Mill Lane"]
    assert "there is no Deployment with name = 'Pilto'" in rows[0]["--ERRORS--"]
    assert "startDate: " in rows[1]["--ERRORS--"] and "31.12.2026" in rows[1]["--ERRORS--"]
    pending.write_text(pending.read_text().replace("Pilto", "Pilot").replace("31.12.2026", "2026-12-31"))
    outcome = office.run()
    assert (outcome.sent, outcome.held, outcome.exit_code) == (2, 0, 0)
    assert office.houses() == {"1 Mill Lane": "Pilot", "2 Mill Lane": "Pilot", "3 Mill Lane": None}
    assert office.files() == ["finished/houses.create.finished.csv", "finished/houses.csv"]
    done = (office.storage / "finished/houses.create.finished.csv").read_text()
    assert done.splitlines() == [
        "Street,Project,startDate",
        "1 Mill Lane,Pilot,2026-11-01",
        "2 Mill Lane,Pilot,",
        "3 Mill Lane,,2026-12-31",
    ]
    assert not office.held()


def test_refused_rows_wait_until_somebody_has_changed_them_or_asks(office: Office) -> None:
    office.drop("houses.csv", _HEAD + "1 Mill Lane,Later,\n")
    office.run()
    (held,) = office.held()
    assert (held.table, held.key, held.kind) == ("House", ("houses.create.pending.csv",), "import")
    assert held.reason.startswith("1 rows refused: 1 x there is no Deployment with name = …")
    outcome = office.run()
    assert outcome.tables[0].notes == [] and outcome.exit_code == 1
    assert office.held() == [held]
    detail = held_detail(office.config, held.id)
    assert detail.values == {"storage": str(office.storage)} and "mend in it" in detail.what_to_do
    _, (view,) = held_views(office.config, Selection())
    assert view.shown_key == "file = houses.create.pending.csv"
    with opened(f"sqlite:///{office.folder}/site.db") as engine, engine.begin() as connection:
        connection.execute(sa.insert(Deployment), [{"name": "Later"}])
    retried = retry_held(office.config, Selection(), NoProgress())
    assert (retried.asked, retried.held, retried.exit_code) == (1, [], 0)
    assert office.houses() == {"1 Mill Lane": "Later"} and not office.held()


def test_what_was_imported_before_is_refused_by_its_content(office: Office) -> None:
    text = _HEAD + "1 Mill Lane,Pilot,\n"
    office.drop("houses.csv", text)
    office.run()
    office.drop("again.csv", text)
    assert office.run().exit_code == 1
    (held,) = office.held()
    assert held.reason.startswith("again.csv was imported already, 20") and "as houses.csv; remove it" in held.reason
    with pytest.raises(FileRefused, match="was imported already"):
        office.desk().run("again.csv")
    assert office.desk().run("again.csv", again=True).tally.refused == 1  # the house is there
    assert office.run().sent == 0 and [row.key[0] for row in office.held()] == ["again.create.pending.csv"]


def test_a_file_whose_name_waits_to_be_mended_loses_nothing(office: Office) -> None:
    office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilto,\n")
    office.run()
    before = (office.storage / "houses.create.pending.csv").read_bytes()
    office.drop("houses.csv", _HEAD + "2 Mill Lane,Pilot,\n")
    office.run()
    assert office.houses() == {} and (office.storage / "houses.create.pending.csv").read_bytes() == before
    assert {row.key[0]: row.reason.split(";")[0] for row in office.held()}["houses.csv"] == (
        "rows of houses.csv wait in houses.create.pending.csv"
    )
    (office.storage / "houses.create.pending.csv").unlink()
    (office.storage / "unfinished/houses.csv").unlink()
    assert office.run().exit_code == 0
    assert office.houses() == {"2 Mill Lane": "Pilot"}


def test_a_name_that_is_taken_gets_a_number(office: Office) -> None:
    for number in (1, 2):
        office.drop("houses.csv", _HEAD + f"{number} Mill Lane,Pilot,\n")
        assert office.run().sent == 1
    assert office.files() == [
        "finished/houses-2.csv",
        "finished/houses.create.finished.csv",
        "finished/houses.csv",
    ]


def test_a_file_that_is_still_written_to_is_left_alone(office: Office) -> None:
    office.write_config(settle="1 minute")
    path = office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilot,\n")
    outcome = office.run()
    assert (outcome.sent, outcome.tables[0].pending, outcome.exit_code) == (0, 1, 0)
    then = time.time() - 61
    os.utime(path, (then, then))
    assert office.run().sent == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", _HEAD + "1 Mill Lane,Pilot,,x\n", "a.csv, line 2: "),
        ("a.csv", "Road,Project\nx,y\n", "a.csv: no column gives address"),
        ("a.csv", "", "a.csv is empty"),
        ("a.xlsx", "PK", "a.xlsx is not a CSV file, or has a name that none can have; save it as NAME.csv"),
    ],
)
def test_what_cannot_be_imported_stays_and_is_held_with_the_reason(
    office: Office, name: str, text: str, said: str
) -> None:
    office.drop(name, text)
    office.drop("good.csv", _HEAD + "9 Mill Lane,Pilot,\n")
    outcome = office.run()
    assert (outcome.sent, outcome.exit_code) == (1, 1)
    (held,) = office.held()
    assert held.key == (name,) and said in held.reason
    assert name in office.files()
    (office.storage / name).unlink()
    assert office.run().exit_code == 0 and not office.held()


def test_a_file_that_grows_meanwhile_is_imported_to_its_end(office: Office) -> None:
    path = office.drop("houses.csv", _HEAD + "".join(f"{number} Mill Lane,Pilot,\n" for number in range(2500)))
    more = "".join(f"{number} High Street,Pilot,\n" for number in range(7))

    class Writer(NoProgress):
        """Somebody whose copy is not yet whole, and who goes on while the first rows are imported."""

        def __init__(self) -> None:
            self._handle = path.open("a")

        def advance(self, table: str, rows: int) -> None:
            self._handle.write(more)
            self._handle.close()
            self.advance = lambda table, rows: None  # type: ignore[method-assign]

    with pytest.raises(WriteFailed, match=r"houses.csv is not completed, .* grew while it was imported"):
        office.desk().run("houses.csv", progress=Writer())
    assert office.run().exit_code == 0
    assert len(office.houses()) == 2507
    assert office.files() == ["finished/houses.create.finished.csv", "finished/houses.csv"]
    assert len((office.storage / "finished/houses.create.finished.csv").read_text().splitlines()) == 2508


class _Broken(NoProgress):
    """A run that a signal ends behind its first chunk."""

    def advance(self, table: str, rows: int) -> None:
        raise PusherError("stopped by a signal")


def test_a_run_that_was_broken_off_goes_on_though_its_location_is_called_otherwise(office: Office) -> None:
    office.drop("houses.csv", _HEAD + "".join(f"{number} Mill Lane,Pilot,\n" for number in range(1500)))
    with pytest.raises(PusherError, match="stopped"):
        office.desk().run("houses.csv", progress=_Broken())
    assert len(office.houses()) == 1000
    put(office.config, office.config.read_text().replace("registry", "houses"))
    settings = load(office.config)
    outcome = run_location(settings, settings.location("houses"), NoProgress())
    assert (outcome.error, outcome.sent, outcome.held) == (None, 1500, 0)
    assert len(office.houses()) == 1500


def test_rows_that_are_written_once_the_run_has_ended_are_imported_too(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilot,\n")

    def fail(work: Work, *, ok: bool) -> None:
        with work.source.open("a") as file:
            file.write("2 Mill Lane,Pilot,\n")
        raise WriteFailed("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Work, "distribute", fail)
        with pytest.raises(WriteFailed):
            office.desk().run("houses.csv")
    assert office.run().exit_code == 0
    assert sorted(office.houses()) == ["1 Mill Lane", "2 Mill Lane"]


def test_a_run_whose_files_cannot_be_moved_yet_is_told_once(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilot,\n2 Mill Lane,Nowhere,\n")

    def fail(*_: object, **__: object) -> None:
        raise WriteFailed("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Work, "distribute", fail)
        assert office.run().exit_code
        assert office.run().exit_code
    office.run()
    told = [record.message for record in caplog.records if record.message.startswith("import_ended")]
    assert len(told) == 1
    assert "mode=create lines=2 ok=1 failed=1" in told[0]
    assert "houses.create.pending.csv" in office.files()


def test_a_storage_that_cannot_be_used_is_told_and_hides_no_other_location(office: Office) -> None:
    (office.storage).mkdir()
    (office.storage / "finished").symlink_to(office.folder)
    (view,) = location_views(office.config)
    assert view.error and "finished is a link or no folder" in view.error
    put(office.config, office.config.read_text().replace("registry = 1", "registry = 0").replace("datacenter", "other"))
    assert location_views(office.config)[0].error is None
    assert not (office.folder / "other").exists()


def test_removed_rows_are_kept_with_their_date(office: Office) -> None:
    office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilot,2026-11-01\n2 Mill Lane,,\n")
    office.run()
    office.drop("gone.csv", "Street\n2 Mill Lane\n5 Mill Lane\n")
    done = office.desk().run("gone.csv", Choice(processor="House", mode=Mode.REMOVE, map=(("Street", "address"),)))
    assert (done.tally.removed, done.tally.refused, done.pending) == (1, 1, "gone.remove.pending.csv")
    assert list(office.houses()) == ["1 Mill Lane"]
    (row,) = _rows(office.storage / "deleted/House.csv")
    assert row.pop("del_date").startswith("20")
    assert (row["id"], row["address"], row["deploymentId"]) == ("2", "2 Mill Lane", "XXX")
    # Mended, it is processed as the file that it comes from was: to remove, and with its map.
    pending = office.storage / "gone.remove.pending.csv"
    pending.write_text(pending.read_text().replace("5 Mill Lane", "1 Mill Lane"))
    assert office.run().exit_code == 0
    assert office.houses() == {}
    rows = _rows(office.storage / "deleted/House.csv")
    assert [each["address"] for each in rows] == ["2 Mill Lane", "1 Mill Lane"]


def test_a_preview_says_what_would_happen_and_changes_nothing(office: Office) -> None:
    office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilot,\n2 Mill Lane,Pilto,\n1 Mill Lane,,\n")
    found = office.desk().preview("houses.csv")
    assert found.tally and (found.tally.created, found.tally.refused) == (1, 2)
    assert [line for line, _ in found.tally.examples] == [3, 4]
    assert found.mapping == {"Street": "address", "Project": "Deployment.name", "startDate": "startDate"}
    assert found.first[0] == ["1 Mill Lane", "Pilot", ""] and found.rows == 3
    assert office.houses() == {} and office.files() == ["houses.csv"]
    with opened(f"sqlite:///{office.folder}/site.db") as engine:
        assert not sa.inspect(engine).has_table("pusher_import")


def test_one_import_at_a_time_works_in_a_storage(office: Office) -> None:
    office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilot,\n")
    with office.desk().center.locked():
        with pytest.raises(AlreadyRunning, match="another import works in"):
            office.desk().run("houses.csv")
        assert office.run().exit_code == 4
    assert office.run().exit_code == 0


@pytest.mark.parametrize(
    ("lines", "exit_code", "said"),
    [
        ("target = sqlite:///none.db", 3, "no database at"),
        ("mode = update", 1, None),
    ],
)
def test_what_ends_a_run_early_is_in_its_outcome(office: Office, lines: str, exit_code: int, said: str | None) -> None:
    office.write_config(lines)
    office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilot,\n")
    outcome = office.run()
    assert outcome.exit_code == exit_code
    assert (outcome.error is None) if said is None else said in str(outcome.error)


def test_a_table_that_is_not_there_is_held_with_a_guess(office: Office) -> None:
    put(office.config, _CONFIG.format(lines="", settle="0").replace("processor = House", "processor = Hose"))
    office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilot,\n")
    office.run()
    (held,) = office.held()
    assert 'there is no table Hose; did you mean "House"?' in held.reason


def test_the_daemon_may_write_where_the_files_are(office: Office) -> None:
    office.write_config("target = sqlite:///elsewhere/registry.db")
    folders = writable_folders(load(office.config))
    assert office.storage in folders and office.folder / "elsewhere" in folders


def test_a_file_whose_results_find_no_place_is_followed_by_no_other(office: Office) -> None:
    office.drop("a.csv", _HEAD + "1 Mill Lane,Pilot,\n2 Mill Lane,Pilto,\n")
    office.drop("b.csv", _HEAD + "3 Mill Lane,Pilot,\n")
    (office.storage / "finished").mkdir()
    link = office.storage / "finished/a.create.finished.csv"
    link.symlink_to(office.folder / "elsewhere")
    for _ in range(2):
        outcome = office.run()
        assert outcome.exit_code == 1 and outcome.error
        assert outcome.error.startswith("a.csv is not completed, and no other file is taken before: ")
    assert office.houses() == {"1 Mill Lane": "Pilot"} and "b.csv" in office.files()
    link.unlink()
    assert office.run().sent == 2
    assert sorted(office.houses()) == ["1 Mill Lane", "3 Mill Lane"]
    assert [row["Street"] for row in _rows(office.storage / "a.create.pending.csv")] == ["2 Mill Lane"]
    assert {"unfinished/a.csv", "finished/b.csv"} <= set(office.files())


def _put_an_order(office: Office, **changed: object) -> None:
    """As a run leaves it that is killed: by somebody who may drop files."""
    path = office.drop("houses.csv", _HEAD + "1 Mill Lane,Pilot,\n")
    order = msgspec.to_builtins(Order(run="0" * 32, name="houses.csv", form=examine(path))) | changed
    (office.storage / ".work").mkdir()
    (office.storage / ".work/order.json").write_bytes(msgspec.json.encode(order))


def test_a_run_that_the_target_does_not_know_begins_anew_as_the_configuration_says(office: Office) -> None:
    choice = {"processor": "antigravity:fly", "mode": "remove", "map": []}
    _put_an_order(office, choice=choice)
    outcome = office.run()
    assert (outcome.error, outcome.sent, outcome.exit_code) == (None, 1, 0)
    assert office.houses() == {"1 Mill Lane": "Pilot"}
    assert office.files() == ["finished/houses.create.finished.csv", "finished/houses.csv"]


@pytest.mark.parametrize("name", ["../../outside.csv", "/etc/hostname", "order.json", "a\0.csv"])
def test_an_order_cannot_name_what_is_elsewhere(office: Office, name: str) -> None:
    (office.folder / "outside.csv").write_text(_HEAD + "9 Far Away,,\n")
    _put_an_order(office, name=name)
    outcome = office.run()
    assert outcome.exit_code == 1 and outcome.error and len(outcome.error.splitlines()) == 1
    assert "order.json" in outcome.error and "move the folder" in outcome.error
    assert office.houses() == {} and (office.folder / "outside.csv").exists()


def test_a_location_of_another_kind_has_no_desk(tmp_path: Path) -> None:
    settings = load(put(tmp_path / "c.conf", "[locations]\nc = 1\n[c]\nresturl = https://c.example.org/\ntoken = x\n"))
    with pytest.raises(ConfigError, match="no location to import from; its kind is push"):
        Desk(settings, settings.locations[0])
