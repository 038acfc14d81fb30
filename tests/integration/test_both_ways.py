"""`direction = both`: a row that is changed anywhere becomes the same everywhere, and no conflict is hidden."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pusher.config import load
from pusher.ledger import Ledger
from pusher.push.agreed import Agreed
from pusher.push.identity import IdentityMap
from tests.both_ways import BOTH, COLOURS, HOUSE, conflicts, give_up, make_sites, paint, settle, travelled
from tests.conftest import NewDatabase
from tests.inprocess import Workshop, notes


class Died(BaseException):
    """The process ends here: nothing catches it."""


def test_a_change_at_one_site_reaches_the_other(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        north, south = make_sites(workshop, "north", "south")
        paint(south, "blue")  # which north owns
        south.run("insert into house (address, colour) values ('c', 'grey')")
        assert travelled(south.push_all(workshop.store)) == [2, 0, 0]
        assert travelled(north.push_all(workshop.store)) == [0, 1, 1]
        expected = [("a", "blue"), ("b", "red"), ("c", "grey")]
        assert north.rows(COLOURS) == south.rows(COLOURS) == workshop.central.rows(COLOURS) == expected
        settle(workshop, north, south)
        paint(north, "green", "c")
        assert travelled(north.push_all(workshop.store)) == [1, 0, 0]
        assert travelled(south.push_all(workshop.store)) == [0, 0, 1]
        assert south.rows(COLOURS)[2] == ("c", "green")
        settle(workshop, north, south)


def test_the_last_writer_wins_and_the_conflict_is_held_until_somebody_looked(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        north, south = make_sites(workshop, "north", "south")
        paint(south, "blue")
        south.push_all(workshop.store)
        paint(north, "green")
        outcome = north.push(workshop.store)
        assert outcome.exit_code == 1
        words = (
            "house was changed on both sides: here address = 'a', colour = 'green'; "
            "at central address = 'a', colour = 'blue' (site south); the site's came last and stands"
        )
        assert conflicts(north) == [words]
        assert notes(outcome) == [words]
        assert travelled(south.push_all(workshop.store)) == [0, 0, 1]
        for database in (north, south, workshop.central):
            assert database.rows(COLOURS) == [("a", "green"), ("b", "red")]
        settle(workshop, north, south)
        # Neither time nor a later change lets it go.
        with Ledger(load(north.config).general.state) as ledger, ledger.change() as db:
            db.execute("update held set tried = '2020-01-01T00:00:00+00:00'")
        paint(north, "white")
        outcome = north.push(workshop.store)
        assert (outcome.exit_code, outcome.held) == (1, 1)
        assert conflicts(north) == [words]
        give_up(north)
        assert north.push_all(workshop.store).exit_code == 0


def test_a_second_conflict_of_a_row_does_not_hide_the_first(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        north, south = make_sites(workshop, "north", "south")
        for there, here in (("blue", "green"), ("black", "white")):
            paint(south, there)
            south.push_all(workshop.store)
            paint(north, here)
            north.push(workshop.store)
            south.push_all(workshop.store)
        (reason,) = conflicts(north)
        assert all(f"'{colour}'" in reason for colour in ("blue", "green", "black", "white"))
        north.retry_held()
        assert north.push_all(workshop.store).exit_code == 0


def test_what_was_changed_at_central_itself_comes_down(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        (north,) = make_sites(workshop, "north")
        paint(workshop.central, "blue")
        workshop.central.run("update house set address = 'z' where address = 'b'")
        assert travelled(north.push_all(workshop.store)) == [0, 0, 2]
        assert north.rows(COLOURS) == [("a", "blue"), ("z", "red")]
        settle(workshop, north)
        paint(workshop.central, "black")
        paint(north, "white")
        north.push(workshop.store)
        (reason,) = conflicts(north)
        assert "here address = 'a', colour = 'white'; at central address = 'a', colour = 'black'; " in reason
        assert north.rows(COLOURS) == workshop.central.rows(COLOURS) == [("a", "white"), ("z", "red")]
        settle(workshop, north)


def test_what_changes_and_changes_back_is_no_conflict_later(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        north, south = make_sites(workshop, "north", "south")
        for colour in ("blue", "red"):
            paint(south, colour)
            south.push_all(workshop.store)
        assert travelled(north.push_all(workshop.store)) == [0, 0, 0]
        paint(north, "green")
        north.push_all(workshop.store)


def test_the_change_of_a_site_that_only_sends_comes_down_too(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(HOUSE)
        owner = workshop.site("owner", HOUSE)
        owner.run("insert into house (address, colour) values ('a', 'red')")
        owner.push_all(workshop.store)
        north = workshop.site("north", HOUSE, tables=BOTH)
        assert travelled(north.push_all(workshop.store)) == [0, 1, 0]
        paint(owner, "blue")
        owner.push_all(workshop.store)
        assert travelled(north.push_all(workshop.store)) == [0, 0, 1]
        paint(north, "green")
        assert travelled(north.push_all(workshop.store)) == [1, 0, 0]
        assert workshop.central.rows(COLOURS) == [("a", "green")]
        assert travelled(owner.push_all(workshop.store)) == [0, 0, 0]
        assert owner.rows(COLOURS) == [("a", "blue")]
        settle(workshop, north)


def test_rows_that_meet_and_differ_are_as_central_has_them(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        (north,) = make_sites(workshop, "north")
        south = workshop.site("south", HOUSE, tables=BOTH)
        south.run("insert into house (address, colour, floors) values ('b', 'red', null), ('a', 'blue', 3)")
        outcome = south.push(workshop.store)
        assert (outcome.exit_code, travelled(outcome)) == (1, [2, 0, 1])
        assert conflicts(south) == [
            "house was not the same on both sides: here address = 'a', colour = 'blue', floors = 3; "
            "at central address = 'a', colour = 'red', floors = None (site north); central's stands"
        ]
        assert south.rows(COLOURS) == [("a", "red"), ("b", "red")]
        settle(workshop, north, south)
        give_up(south)
        assert south.push_all(workshop.store).exit_code == 0


def test_a_site_that_begins_to_go_both_ways_keeps_what_it_has_just_changed(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(HOUSE)
        north = workshop.site("north", HOUSE)
        north.run("insert into house (address, colour) values ('a', 'red'), ('b', 'red')")
        north.push_all(workshop.store)
        north.config.write_text(north.config.read_text() + BOTH)
        paint(north, "blue")
        assert travelled(north.push_all(workshop.store)) == [2, 0, 0]
        assert north.rows(COLOURS) == workshop.central.rows(COLOURS) == [("a", "blue"), ("b", "red")]
        settle(workshop, north)


def test_a_lost_state_folder_overwrites_nothing(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        north, south = make_sites(workshop, "north", "south")
        paint(south, "blue")
        south.push_all(workshop.store)
        for path in load(north.config).general.state.glob("ledger.db*"):
            path.unlink()
        paint(north, "green", "b")
        north.push(workshop.store)
        assert north.rows(COLOURS) == workshop.central.rows(COLOURS) == [("a", "blue"), ("b", "green")]
        assert len(conflicts(north)) == 1  # of the house that north never had like that
        settle(workshop, north)


def test_three_sites_come_to_the_same(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        a, b, c = sites = make_sites(workshop, "alpha", "beta", "gamma")
        paint(a, "blue")
        for site in sites:
            site.push_all(workshop.store)
        assert [site.rows(COLOURS) for site in sites] == [[("a", "blue"), ("b", "red")]] * 3
        paint(b, "green")
        paint(c, "white")
        for site in (b, c, a, b):
            site.push(workshop.store)
        assert [site.rows(COLOURS) for site in sites] == [[("a", "white"), ("b", "red")]] * 3
        assert workshop.central.rows(COLOURS) == [("a", "white"), ("b", "red")]
        assert [len(conflicts(site)) for site in sites] == [0, 0, 1]
        settle(workshop, *sites, *sites)


# --- a process that ends at the worst moment


def test_a_crash_between_commit_and_note_does_no_harm(
    dialect: str, new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        north, south = make_sites(workshop, "north", "south")
        paint(south, "blue")
        south.run("insert into house (address, colour) values ('c', 'grey')")
        south.push_all(workshop.store)
        with monkeypatch.context() as patched:
            patched.setattr(Agreed, "note", dies)
            patched.setattr(IdentityMap, "adopt", dies)
            with pytest.raises(Died):
                north.push(workshop.store)
        assert north.rows(COLOURS) == [("a", "blue"), ("b", "red"), ("c", "grey")]
        assert travelled(north.push_all(workshop.store)) == [2, 0, 0]
        assert workshop.central.rows(COLOURS) == north.rows(COLOURS)
        settle(workshop, north, south)


@pytest.mark.parametrize("method", ["note_answer", "to_send"])
def test_a_crash_after_central_has_answered_loses_no_conflict(
    method: str, new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is noted what both sides agree on, and between being told of the conflict and overwriting."""
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        north, south = make_sites(workshop, "north", "south")
        paint(south, "blue")
        south.push_all(workshop.store)
        paint(north, "green")
        with monkeypatch.context() as patched:
            patched.setattr(Agreed, method, nth_time(getattr(Agreed, method), 1 if method == "note_answer" else 2))
            with pytest.raises(Died):
                north.push(workshop.store)
        assert workshop.central.rows(COLOURS)[0] == ("a", "blue")
        north.push(workshop.store)
        assert workshop.central.rows(COLOURS)[0] == ("a", "green")
        (reason,) = conflicts(north)
        assert "'blue' (site south)" in reason
        settle(workshop, north)


def dies(*_: object) -> None:
    raise Died


def nth_time(method: Callable[..., Any], number: int) -> Callable[..., Any]:
    """Dies when it is called for that time."""
    calls = iter(range(1, number + 1))

    def run(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            raise Died
        return method(*arguments, **named)

    return run


def test_a_row_that_changes_here_meanwhile_is_not_overwritten(
    dialect: str, new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its being compared on the way up and central's coming down."""
    with Workshop(new_database, tmp_path, dialect) as workshop:
        north, south = make_sites(workshop, "north", "south")
        paint(south, "blue")
        south.push_all(workshop.store)
        lags = Agreed.lags

        def changes(agreed: Agreed, table: Any) -> bool:
            paint(north, "green")
            return lags(agreed, table)

        with monkeypatch.context() as patched:
            patched.setattr(Agreed, "lags", changes)
            outcome = north.push_all(workshop.store)
        assert notes(outcome) == ["1 rows were changed here as well as at central, and have to be sent first"]
        assert north.rows(COLOURS)[0] == ("a", "green")
        north.push(workshop.store)
        assert len(conflicts(north)) == 1
        assert workshop.central.rows(COLOURS)[0] == ("a", "green")
        settle(workshop, north)


def test_a_column_that_a_site_gets_later_is_filled_from_central(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(HOUSE.replace("floors int", "floors int, roof varchar(20)"))
        north, south = (workshop.site(name, HOUSE, tables=BOTH) for name in ("north", "south"))
        for site in (north, south):
            site.run("insert into house (address, colour) values ('a', 'red'), ('b', 'red')")
            site.push_all(workshop.store)
        settle(workshop, north, south)
        south.run("alter table house add roof varchar(20)", "update house set roof = 'slate'")
        south.push_all(workshop.store)
        assert workshop.central.rows("select roof from house") == [("slate",), ("slate",)]
        paint(north, "green", "b")
        north.run("alter table house add roof varchar(20)")
        outcome = north.push(workshop.store)
        assert outcome.error is None
        roofs = "select address, colour, roof from house order by 1"
        # Only the row that north has changed meanwhile goes up as it is, and that is a conflict for all to see.
        assert north.rows(roofs) == [("a", "red", "slate"), ("b", "green", None)]
        (reason,) = conflicts(north)
        assert "'slate'" in reason
        give_up(north)
        south.push_all(workshop.store)
        assert south.rows(roofs) == workshop.central.rows(roofs) == north.rows(roofs)
        settle(workshop, north, south)
