"""From where each stream goes on, for everything that may have befallen either side or the operator's file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pusher.ledger import Checkpoint, LocationState
from pusher.push.source import moment_of, older
from pusher.push.start import Start, decide
from pusher.schema.guess import Role
from pusher.schema.plan import TablePlan
from pusher.wire.batch import Cursor
from pusher.wire.messages import Checkpoint as CentralCheckpoint
from pusher.wire.messages import Welcome
from pusher.wire.tables import Column, Kind, Table

EARLY, LATE, LATER = "2026-01-01 00:00:00", "2026-01-02 00:00:00", "2026-01-03 00:00:00"
STATE = LocationState(epoch="e", marker=LATE, instance="central", schema_hash=None, schema=None)
NEW = replace(STATE, marker=None, instance=None)


def stream(name: str = "Reading", cursor: str = "time", kind: Kind = Kind.DATETIME) -> TablePlan:
    column = Column(name=cursor, kind=kind, nullable=False)
    table = Table(name=name, columns=(column,), primary_key=(cursor,))
    return TablePlan(
        local=table, central=replace_name(table, name.lower()), role=Role.STREAM, role_reason="", order=(cursor, "id")
    )


def replace_name(table: Table, name: str) -> Table:
    return Table(name=name, columns=table.columns, primary_key=table.primary_key)


READING, COUNT = stream(), stream("Count", "number", Kind.INTEGER)


def start(
    here: dict[str, Cursor],
    central: dict[str, Cursor],
    lastupdate: str | None,
    state: LocationState = STATE,
    instance: str = "central",
    streams: tuple[TablePlan, ...] = (READING,),
    resolved: int = 0,
    sequence: int = 1,
    floor: Cursor | None = None,
) -> Start:
    """`central`: checkpoints by central's table names, one batch each; `resolved`: how many requests for ids it has
    answered. `sequence`, `floor`: of all checkpoints of the site."""
    welcome = Welcome(
        protocol=1,
        version="",
        instance=instance,
        clock="",
        dialect="",
        schema_hash="",
        tables=None,
        checkpoints={name: CentralCheckpoint(epoch="e", sequence=1, cursor=cursor) for name, cursor in central.items()},
        resolved=resolved,
    )

    def from_moment(plan: TablePlan, moment: str) -> Cursor | None:
        assert "T" in moment or " " not in moment
        return None if plan is COUNT else (moment.replace("T", " "),)

    return decide(
        streams,
        here={name: Checkpoint(cursor=cursor, sequence=sequence, floor=floor) for name, cursor in here.items()},
        state=state,
        lastupdate=lastupdate,
        welcome=welcome,
        from_moment=from_moment,
    )


def cursors(decided: Start) -> Any:
    return decided.cursors.get("Reading", "absent")


SKIPPED = "lastupdate was set by hand: rows of Reading before {} are skipped"
BEHIND = "central does not have all that it acknowledged; it gets the rest again"
OTHER = "central is another database than before"


@pytest.mark.parametrize(
    ("here", "central", "cursor", "forget"),
    [
        (None, None, None, False),  # the very first time
        ((LATE, 5), (LATE, 5), (LATE, 5), False),
        ((LATE, 5), (LATER, 9), (LATE, 5), False),  # the receipt was lost, or the site's state is from a backup
        ((LATE, 5), (LATE, 9), (LATE, 5), False),
        ((LATE, 5), (EARLY, 3), (EARLY, 3), True),  # central is from a backup
        ((LATE, 5), (LATE, 3), (LATE, 3), True),
        ((LATE, 5), None, None, True),  # from one before all
        ((LATE, "b"), (LATE, "a"), (LATE,), True),  # which comes first, only the database knows
        (None, (LATE, 5), None, False),  # this table's state was lost
    ],
)
def test_untouched(here: Cursor | None, central: Cursor | None, cursor: Cursor | None, forget: bool) -> None:
    state = STATE if here else replace(STATE, marker=None)
    decided = start({"Reading": here} if here else {}, {"reading": central} if central else {}, state.marker, state)
    assert (cursors(decided), decided.forget_identities, decided.start_over) == (cursor, forget, False)
    assert decided.notes == ([BEHIND] if forget else [])


@pytest.mark.parametrize(("resolved", "forget"), [(9, True), (10, False), (11, False)])
def test_a_central_that_gave_fewer_ids_than_the_site_has_was_restored(resolved: int, forget: bool) -> None:
    here: dict[str, Cursor] = {"Reading": (LATE, 5)}
    decided = start(here, {"reading": (LATE, 5)}, LATE, replace(STATE, resolved=10), resolved=resolved)
    assert (cursors(decided), decided.forget_identities) == ((LATE, 5), forget)
    assert decided.notes == ([BEHIND] if forget else [])


@pytest.mark.parametrize("lastupdate", [EARLY, "2026-01-01", "2026-01-01T00:00:00"])
def test_set_back_it_goes_on_from_there(lastupdate: str) -> None:
    decided = start({"Reading": (LATE, 5)}, {"reading": (LATE, 5)}, lastupdate)
    assert cursors(decided) == (lastupdate.replace("T", " "),)
    assert (decided.start_over, decided.forget_identities, decided.notes) == (False, False, [])


def test_set_forward_it_skips_and_says_so() -> None:
    decided = start({"Reading": (LATE, 5)}, {"reading": (LATE, 5)}, LATER)
    assert (cursors(decided), decided.notes) == ((LATER,), [SKIPPED.format(LATER)])


def test_set_to_none_it_starts_over() -> None:
    decided = start({"Reading": (LATE, 5)}, {"reading": (LATE, 5)}, None)
    assert (decided.cursors, decided.start_over) == ({}, True)
    assert decided.notes == ["lastupdate was set to None: everything is sent again"]


def test_set_for_the_first_time_it_skips_and_says_so() -> None:
    decided = start({}, {}, EARLY, NEW)
    assert (cursors(decided), decided.notes, decided.start_over) == ((EARLY,), [SKIPPED.format(EARLY)], False)


def test_set_back_while_central_was_restored_the_ids_are_asked_for_again() -> None:
    decided = start({"Reading": (LATER, 5)}, {"reading": (LATE, 5)}, EARLY)
    assert (cursors(decided), decided.forget_identities, decided.notes) == ((EARLY,), True, [BEHIND])


@pytest.mark.parametrize(
    ("central", "cursor"),
    [((EARLY, 3), (EARLY, 3)), ((LATER, 3), (LATE,)), (None, None)],
)
def test_with_the_state_lost_nothing_is_skipped_that_central_lacks(
    central: Cursor | None, cursor: Cursor | None
) -> None:
    known: dict[str, Cursor] = {"nodestate": (LATE, 1)}
    decided = start({}, known | ({"reading": central} if central else {}), LATE, NEW)
    assert (cursors(decided), decided.forget_identities, decided.notes) == (cursor, False, [])


def test_with_the_state_and_the_marker_lost_all_is_sent_again() -> None:
    decided = start({}, {"reading": (LATER, 3)}, None, NEW)
    assert (cursors(decided), decided.start_over, decided.notes) == (None, False, [])


@pytest.mark.parametrize(("central", "cursor"), [(None, None), ((EARLY, 3), (EARLY, 3))])
def test_another_central_gets_what_it_lacks(central: Cursor | None, cursor: Cursor | None) -> None:
    decided = start({"Reading": (LATE, 5)}, {"reading": central} if central else {}, LATE, instance="another")
    assert (cursors(decided), decided.forget_identities, decided.notes) == (cursor, True, [OTHER])


def test_a_central_exchanged_for_its_copy_gives_new_ids() -> None:
    decided = start({"Reading": (LATE, 5)}, {"reading": (LATE, 5)}, LATE, instance="another")
    assert (cursors(decided), decided.forget_identities, decided.notes) == ((LATE, 5), True, [OTHER])


@pytest.mark.parametrize(("lastupdate", "cursor"), [(LATE, (7,)), (LATER, (7,)), (EARLY, None), ("2026-01-01", None)])
def test_a_stream_without_a_time_can_only_be_set_to_its_beginning(lastupdate: str, cursor: Cursor | None) -> None:
    here: dict[str, Cursor] = {"Reading": (LATE, 5), "Count": (7,)}
    decided = start(here, {"reading": (LATE, 5), "count": (7,)}, lastupdate, streams=(READING, COUNT))
    assert decided.cursors["Count"] == cursor
    assert not decided.forget_identities
    lost = start({}, {"reading": (LATE, 5), "count": (7,)}, LATE, NEW, streams=(READING, COUNT))
    assert lost.cursors == {"Reading": (LATE,), "Count": None}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((EARLY, 1), (LATE, 0), (EARLY, 1)),
        ((EARLY, 1), (EARLY, 1), (EARLY, 1)),
        ((EARLY, 2), (EARLY, 10), (EARLY, 2)),
        ((EARLY, 1.5), (EARLY, 1), (EARLY, 1)),
        ((EARLY, 1, 5), (EARLY, 1, 4), (EARLY, 1, 4)),
        ((EARLY, 1, "a"), (EARLY, 1, "B"), (EARLY,)),
        ((EARLY, "a", 1), (EARLY, "B", 1), (EARLY,)),
        ((EARLY, {"bytes": "AA=="}), (EARLY, {"bytes": "AQ=="}), (EARLY,)),
        ((EARLY,), (EARLY, 3), (EARLY,)),
        (("2026-01-01T00:00:00", 1), (LATE, 1), ("2026-01-01T00:00:00", 1)),
        (("2026-01-01T00:00:00", 2), (EARLY, 1), (EARLY, 1)),
        (("2026-01-01",), (EARLY, 1), ("2026-01-01",)),
        ((9, 1), (10, 0), (9, 1)),
        ((9, 1), (EARLY, 0), None),
        (({"bytes": "AA=="},), ({"bytes": "AQ=="},), None),
    ],
)
def test_older(one: Cursor, other: Cursor, expected: Cursor | None) -> None:
    assert older(one, other) == older(other, one) == expected


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (EARLY, "2026-01-01T00:00:00"),
        ("2026-01-01 00:00:00.000000", "2026-01-01T00:00:00"),
        ("2026-01-01T00:00:00.250000", "2026-01-01T00:00:00.250000"),
        ("2026-01-01 00:00:00.123456789", "2026-01-01T00:00:00.123456"),
        ("2026-01-01 00:00:00.5+00", "2026-01-01T00:00:00.5"),
        ("2026-01-01 00:00:00Z", "2026-01-01T00:00:00"),
        ("2026-01-01", "2026-01-01"),
        ("infinity", None),
        ("0044-03-15 00:00:00 BC", None),
        ("10000-01-01 00:00:00", None),
        ("0000-00-00 00:00:00", None),
        ("2026-02-30 00:00:00", None),
        ("yesterday", None),
        (1767225600, None),
        ({"bytes": "AA=="}, None),
    ],
)
def test_the_moment_of_a_cursor(text: object, moment: str | None) -> None:
    assert moment_of(READING, (text, 1)) == moment


def test_a_number_is_no_moment() -> None:
    assert moment_of(COUNT, (20260101,)) is None


def test_a_central_that_has_fewer_batches_lacks_late_rows() -> None:
    decided = start({"Reading": (LATE, 7)}, {"reading": (LATE, 7)}, LATE, sequence=2)
    assert (decided.forget_identities, decided.notes) == (True, [BEHIND])
    assert not start({"Reading": (LATE, 7)}, {"reading": (LATE, 7)}, LATE).forget_identities


@pytest.mark.parametrize(
    ("floor", "lastupdate", "expected"),
    [
        (None, LATE, None),  # not edited
        ((EARLY,), LATE, (EARLY,)),
        (None, LATER, (LATER,)),  # skipped
        ((EARLY,), LATER, (LATER,)),
        (None, EARLY, None),  # set back
        ((EARLY,), "2026-01-01 12:00:00", (EARLY,)),
        (("2026-01-01 18:00:00",), "2026-01-01 12:00:00", ("2026-01-01 12:00:00",)),
    ],
)
def test_what_is_skipped_stays_skipped_until_it_is_set_back(
    floor: Cursor | None, lastupdate: str, expected: Cursor | None
) -> None:
    decided = start({"Reading": (LATE, 7)}, {"reading": (LATE, 7)}, lastupdate, floor=floor)
    assert decided.floors["Reading"] == expected
