"""What changed at the site and waits for a location: of each row the newest word, until central knows of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pusher.changed import Change, ChangedRows, Noted, note_everywhere
from pusher.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "state") as found:
        yield found


def word(number: int, removed: bool = False, natural: str = "[]") -> Noted:
    return Noted(local_key=f"[{number}]", natural_key=natural, removed=removed)


def said(changes: list[Change]) -> list[tuple[str, bool]]:
    return [(change.local_key, change.removed) for change in changes]


def test_the_newest_word_on_a_row_has_the_newest_number(ledger: Ledger) -> None:
    changed = ChangedRows(ledger, "central")
    changed.note("House", [word(1), word(2), word(1, removed=True)])
    first = changed.waiting("House", 0, 10)
    assert said(first) == [("[2]", False), ("[1]", True)]
    changed.note("House", [word(2, removed=True), word(1, removed=True), word(1)])
    second = changed.waiting("House", 0, 10)
    assert said(second) == [("[2]", True), ("[1]", False)]
    assert second[0].id > first[-1].id
    assert said(changed.waiting("House", second[0].id, 10)) == [("[1]", False)]
    assert said(changed.waiting("House", 0, 1)) == [("[2]", True)]


def test_a_row_under_another_key_is_another_row(ledger: Ledger) -> None:
    changed = ChangedRows(ledger, "central")
    changed.note("House", [word(1, True, '["a"]'), word(1, False, '["A"]')])
    old, new = changed.waiting("House", 0, 10)
    assert (old.natural, old.removed, new.natural, new.removed) == (("a",), True, ("A",), False)


def test_keys_are_given_back_as_plain_values(ledger: Ledger) -> None:
    noted = Noted(local_key='[1,{"bytes":"AA=="}]', natural_key='["2026-01-01T00:00:00.5",null]', removed=False)
    ChangedRows(ledger, "central").note("House", [noted])
    (change,) = ChangedRows(ledger, "central").waiting("House", 0, 10)
    assert (change.local, change.natural) == ((1, b"\0"), ("2026-01-01T00:00:00.5", None))


def test_a_row_that_changes_while_it_is_sent_waits_anew(ledger: Ledger) -> None:
    changed = ChangedRows(ledger, "central")
    changed.note("House", [word(1), word(2)])
    under_way = changed.waiting("House", 0, 10)
    changed.note("House", [word(1)])
    changed.done(change.id for change in under_way)
    assert said(changed.waiting("House", 0, 10)) == [("[1]", False)]


def test_a_number_is_never_given_again(ledger: Ledger) -> None:
    changed = ChangedRows(ledger, "central")
    changed.note("House", [word(1)])
    (first,) = changed.waiting("House", 0, 10)
    changed.done([first.id])
    changed.note("House", [word(1)])
    (second,) = changed.waiting("House", 0, 10)
    assert second.id > first.id


def test_each_location_has_its_own(ledger: Ledger) -> None:
    central, lab = ChangedRows(ledger, "central"), ChangedRows(ledger, "lab")
    note_everywhere(ledger, ["central", "lab"], "House", [word(1), word(2)])
    lab.note("Room", [word(1)])
    central.done(change.id for change in lab.waiting("House", 0, 10))  # not its own
    assert central.counts() == {"House": 2}
    central.done(change.id for change in central.waiting("House", 0, 10))
    assert (central.counts(), lab.counts()) == ({}, {"House": 2, "Room": 1})


def test_a_change_is_noted_for_all_or_for_none(ledger: Ledger) -> None:
    def locations() -> Iterator[str]:
        yield "central"
        raise KeyError("the caller's own fault")

    with pytest.raises(KeyError):
        note_everywhere(ledger, locations(), "House", [word(1)])  # type: ignore[arg-type]
    assert ChangedRows(ledger, "central").counts() == {}
