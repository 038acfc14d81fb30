"""All days of a scale in one table: which entry of a participant and session is kept, and in which order."""

from __future__ import annotations

import pytest

from pusher.errors import UsageError
from pusher.export.combining import combined, moment_of
from pusher.export.csvfile import SEALED, Table


def day(columns: str, *rows: str) -> Table:
    """`rows`: cells with blanks between them; _ is an empty one."""
    names = columns.split()
    cells = [["" if cell == "_" else cell for cell in row.split()] for row in rows]
    return Table(columns=names, rows=[dict(zip(names, row, strict=True)) for row in cells])


HEAD = "id date participantId session a b"


def ids(*tables: Table) -> list[str]:
    return [row["id"] for row in combined(tables).rows]


def test_the_first_complete_entry_of_a_participant_and_session_stays() -> None:
    monday = day(HEAD, "1 2026-01-05 7 pre 1 _", "2 2026-01-05 7 pre 2 2", "3 2026-01-05 7 end 3 3")
    tuesday = day(HEAD, "4 2026-01-06 7 pre 4 4", "5 2026-01-06 8 pre 5 5")
    found = combined([monday, tuesday])
    assert [row["id"] for row in found.rows] == ["2", "3", "5"]
    assert (found.read, found.left_out, found.nobody) == (5, 2, 0)


def test_the_first_stays_where_none_is_complete() -> None:
    assert ids(day(HEAD, "1 2026-01-05 7 pre _ 1", "2 2026-01-05 7 pre 1 _", "3 2026-01-05 8 pre 1 1")) == ["1", "3"]


def test_first_is_by_date_then_by_number_whatever_the_file() -> None:
    later, earlier = day(HEAD, "2 2026-01-06 7 pre 1 1"), day(HEAD, "9 2026-01-05 7 pre 1 1", "10 2026-01-05 8 pre 1 1")
    assert ids(later, earlier) == ["9", "10"]
    assert ids(day(HEAD, "10 2026-01-05 7 pre 1 1", "9 2026-01-05 8 pre 1 1", "8 _ 9 pre 1 1")) == ["9", "10", "8"]


def test_the_tag_tells_two_entries_of_a_session_apart() -> None:
    head = "id participantId session tag a"
    assert ids(day(head, "1 7 pre _ 1", "2 7 pre post 1", "3 7 pre post 2")) == ["1", "2"]


def test_columns_are_the_union_in_order_of_appearance() -> None:
    found = combined([day("id participantId session a", "1 7 pre 1"), day("id b participantId session", "2 2 8 pre")])
    assert found.columns == ["id", "participantId", "session", "a", "b"]
    assert [row.get("a", "") for row in found.rows] == ["1", ""]


def test_a_column_that_nobody_fills_in_makes_nobody_incomplete() -> None:
    assert ids(day(HEAD, "1 2026-01-05 7 pre 1 _", "2 2026-01-06 7 pre 2 _")) == ["1"]


def test_rows_without_a_participant_are_not_taken_for_one_person() -> None:
    head = "id participantRSA session a"
    found = combined([day(head, "1 _ pre 1", "2 _ pre 1", f"3 {SEALED} pre 1", f"4 {SEALED} pre 1")])
    assert ([row["id"] for row in found.rows], found.nobody) == (["1", "2", "3", "4"], 4)


def test_other_names_of_columns_are_given() -> None:
    tables = [day("id wer wann a", "1 7 pre 1", "2 7 pre 2", "3 7 end 3")]
    found = combined(tables, "wer", "wann")
    assert [row["id"] for row in found.rows] == ["1", "3"]
    found = combined(tables, "wer", "-")
    assert ([row["id"] for row in found.rows], found.session) == (["1"], None)


def test_usual_names_are_found_in_any_case() -> None:
    found = combined([day("ID ParticipantID SessionName", "1 7 pre", "2 7 pre")])
    assert (found.participant, found.session, len(found.rows)) == ("ParticipantID", "SessionName", 1)


@pytest.mark.parametrize(
    ("columns", "participant", "session", "said"),
    [
        ("id größe", None, None, "none of the columns participantId, participant, participantRSA, participant.id in"),
        ("id größe", None, None, "name one with --participant COLUMN; there are: id, größe"),
        (
            "id participant",
            None,
            None,
            "name one with --session COLUMN, or --session - if there is none; there are: id",
        ),
        ("id participant session", "who", None, 'no column "who" in these files'),
        ("id participant session", None, "when", 'no column "when" in these files'),
        ("", None, None, "there are: no columns at all"),
    ],
)
def test_columns_that_are_not_there(columns: str, participant: str | None, session: str | None, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        combined([day(columns)], participant, session)
    assert said in str(caught.value)


def test_dates_as_these_servers_write_them_are_one_order() -> None:
    texts = ["Thu, 01 Jan 2026 13:20:04 -0400", "2026-01-01T17:20:05.000+0000", "1767288006000", "2026-01-01 17:20:07"]
    moments = [moment_of(text) for text in texts]
    assert moments == [1767288004.0, 1767288005.0, 1767288006.0, 1767288007.0]


@pytest.mark.parametrize("text", ["", "soon", "9" * 5000, "²", "2026-13-01", "Thu, 99 Jan 2026", "\x00"])
def test_what_is_no_date_comes_last(text: str) -> None:
    assert moment_of(text) is None
