"""What is done with each table: role, key and cursor with their reasons, and what cannot be pushed."""

from __future__ import annotations

from typing import Any

import pytest

from pusher.config import TableSettings
from pusher.schema.guess import Role
from pusher.schema.plan import unknown_tables
from pusher.wire.tables import Column, Kind, Schema, Table
from tests.plans import HOUSE, ID, READING, VISIT, column, filled, moment, only, plan_of, refers, table

# --- role and cursor


@pytest.mark.parametrize(
    ("tables", "role", "cursor", "reason"),
    [
        ([READING], Role.STREAM, "time", "time is part of its primary key"),
        ([VISIT, HOUSE], Role.STREAM, "at", "at tells when, and no table refers to it"),
        ([HOUSE], Role.ENTITY, None, "no column that is never null tells when"),
        ([HOUSE, VISIT], Role.ENTITY, None, "other tables refer to it"),
        ([table("note", ID, column("at", Kind.DATETIME), key="id")], Role.ENTITY, None, "no column that is never null"),
        ([table("deal", ID, moment("valid_from"), key="id")], Role.ENTITY, None, "no column that is never null"),
        ([table("deal", ID, moment("startDate"), key="id")], Role.ENTITY, None, "no column that is never null"),
        ([table("day", ID, filled("on", Kind.DATE), key="id")], Role.ENTITY, None, "no column that is never null"),
        ([table("pusher_batch", ID, moment("applied"), key="id")], Role.IGNORE, None, "bookkeeping"),
        ([table("alembic_version", column("v"))], Role.IGNORE, None, "bookkeeping"),
        ([table("Pushstatus", ID, moment("time"), key="id")], Role.IGNORE, None, "bookkeeping"),
    ],
    ids=lambda value: value[0].name if isinstance(value, list) else "",
)
def test_role(tables: list[Table], role: Role, cursor: str | None, reason: str) -> None:
    planned = plan_of(tables).table(tables[0].name)
    assert (planned.role, planned.cursor) == (role, cursor)
    assert reason in planned.role_reason


@pytest.mark.parametrize(
    ("columns", "key", "cursor"),
    [
        (["created", "updated"], "id", "updated"),
        (["created_at", "time"], "id", "time"),
        (["inserted", "logged_at"], "id", "logged_at"),
        (["due", "stamp"], "id", "stamp"),
        (["updated", "time"], "time id", "time"),
        (["whenever"], "id", "whenever"),
    ],
)
def test_the_column_that_most_likely_tells_when(columns: list[str], key: str, cursor: str) -> None:
    planned = only(table("t", ID, *map(moment, columns), key=key))
    assert planned.cursor == cursor
    assert planned.order == (cursor, *(name for name in planned.local.primary_key if name != cursor))


def test_a_table_is_referred_to_also_if_only_central_says_so() -> None:
    house = table("house", ID, moment("created"), filled("address", Kind.TEXT), key="id", unique="address")
    bare = table("room", ID, filled("house_id"), key="id")
    told = table("Room", ID, filled("House_Id"), key="id", references=(refers("house_id", "house"),))
    assert plan_of([house, bare]).table("house").role is Role.STREAM
    planned = plan_of([house, bare], [house, told])
    assert planned.table("house").role is Role.ENTITY
    (link,) = planned.table("room").links
    assert (link.columns, link.parent, link.parent_columns) == (("house_id",), "house", ("id",))


def test_a_reference_to_the_table_itself_makes_no_entity_of_a_stream() -> None:
    told = table("message", ID, moment("sent"), column("reply"), key="id", references=(refers("reply", "message"),))
    planned = only(told)
    assert planned.role is Role.STREAM
    assert [(link.parent, link.deferred) for link in planned.links] == [("message", False)]


# --- natural key


@pytest.mark.parametrize(
    ("local", "key", "sent", "reason"),
    [
        (HOUSE, "address", "address", "unique, and id is only a number of this database"),
        (READING, "time node", "time node value", "its primary key"),
        (table("t", filled("id"), column("a"), key="id"), "id", "id a", "the application chooses its primary key"),
        (table("t", filled("code", Kind.TEXT), key="code"), "code", "code", "the application chooses its primary key"),
        (table("t", ID, column("a"), key="id"), "", "a", "nothing but a number of this database tells its rows apart"),
        (table("t", filled("a"), filled("b"), unique="a b"), "a b", "a b", "unique"),
        (table("t", ID, filled("a"), filled("b"), key="id", unique="a b,b"), "b", "a b", "unique"),
        (table("t", ID, column("a"), filled("b"), filled("c"), key="id", unique="a,b c"), "b c", "a b c", "unique"),
        (table("t", ID, column("a"), key="id", unique="id a"), "", "a", "nothing but a number"),
        (table("t", filled("x"), ID, column("a"), key="x id"), "", "x a", "nothing but a number"),
    ],
)
def test_natural_key(local: Table, key: str, sent: str, reason: str) -> None:
    planned = only(local)
    assert planned.stopped is None
    assert (planned.key, planned.sent) == (tuple(key.split()), tuple(sent.split()))
    assert reason in planned.key_reason


def test_a_primary_key_that_is_a_reference_is_the_parents_number() -> None:
    profile = table("profile", ID, column("bio"), key="id", references=(refers("id", "house"),))
    planned = plan_of([HOUSE, profile]).table("profile")
    assert (planned.key, planned.sent) == (("id",), ("id", "bio"))
    assert [link.columns for link in planned.links] == [("id",)]


def test_a_key_is_chosen_among_what_central_has() -> None:
    local = table("t", ID, filled("a"), filled("b"), filled("c"), key="id", unique="a,b,c")
    central = table("t", ID, filled("b", generated=True), filled("c"), key="id", unique="b,c")
    planned = only(local, central)
    assert (planned.key, planned.sent, planned.only_here) == (("c",), ("c",), ("a",))
    without = table("t", ID, column("x"), key="id")
    assert only(table("t", ID, filled("a"), column("x"), key="id", unique="a"), without).key == ()


def test_numbers_mean_nothing_only_if_both_sides_give_them() -> None:
    chosen = table("t", filled("id"), column("a"), key="id")
    numbered = table("t", ID, column("a"), key="id")
    for local, central in ((chosen, numbered), (numbered, chosen)):
        assert (only(local, central).key, only(local, central).sent) == (("id",), ("id", "a"))


def test_the_types_that_both_sides_share_must_agree() -> None:
    kind = table("kind", filled("id"), column("name", Kind.TEXT), column("units", Kind.TEXT), key="id")
    assert only(kind).agree == ("name",)
    assert only(kind, agree=("units", "name")).agree == ("units", "name")
    assert only(HOUSE).agree == ()


# --- the operator's word


def test_the_operator_has_the_last_word() -> None:
    planned = only(HOUSE, role="stream", cursor="id", key=("origin",), direction="both")
    assert (planned.role, planned.role_reason) == (Role.STREAM, "the configuration says so")
    assert (planned.key, planned.key_reason, planned.cursor) == ((), "the configuration says so", "id")
    assert planned.direction == "both"
    assert only(HOUSE, role="ignore").role is Role.IGNORE
    assert only(READING, role="entity").cursor is None
    assert only(HOUSE, role="stream").cursor == "id"  # a number that grows does as well


def test_what_the_operator_names_and_the_site_has_not() -> None:
    settings = {
        "reading": TableSettings(name="reading", cursor="tiem", key=("time", "nod"), agree=("value",)),
        "rading": TableSettings(name="rading"),
        "house": TableSettings(name="house", key=("origin",)),
    }
    schema = Schema(dialect="sqlite", tables=(HOUSE, READING))
    assert unknown_tables(schema, settings) == [
        "[table reading]: the table has no column tiem",
        "[table reading]: the table has no column nod",
        "[table rading]: the site's database has no such table",
    ]


# --- what cannot be pushed


@pytest.mark.parametrize(
    ("local", "central", "settings", "sentence"),
    [
        (HOUSE, table("haus", ID), {}, "central has no table house"),
        (
            READING,
            table("reading", moment("time"), filled("node"), filled("unit"), key="time node"),
            {},
            "central's column unit must have a value, and the site has no such column",
        ),
        (
            READING,
            table("reading", moment("time"), key="time"),
            {},
            "its key needs column node, which central does not",
        ),
        (HOUSE, HOUSE, {"key": ("addres",)}, "its key needs column addres, which the site does not have"),
        (
            table("t", filled("a"), key="a"),
            table("t", filled("a", generated=True), key="a"),
            {},
            "its key needs column a, which central computes itself",
        ),
        (table("heap", column("a")), None, {}, "it has neither a primary key nor a unique constraint; name its key"),
        (
            HOUSE,
            table("house", filled("id"), filled("address", Kind.TEXT), key="id", unique="address"),
            {"key": ("origin",)},
            "its rows are known by their number alone, and central does not number them itself; name its key",
        ),
        (
            table("t", ID, column("a"), key="id"),
            table("t", ID, column("a"), filled("other"), key="other"),
            {"key": ("origin",)},
            "central's column other must have a value",
        ),
        (table("t", ID, key="id"), None, {}, "it has no column to send but the number of its rows"),
        (HOUSE, None, {"role": "stream", "cursor": "at"}, "its cursor at is not a column of it"),
        (
            table("t", column("code", Kind.TEXT), key="code"),
            None,
            {"role": "stream"},
            "no column tells when a row was written; name its cursor in the configuration",
        ),
        (
            table("t", ID, column("at", Kind.DATETIME), key="id"),
            None,
            {"role": "stream", "cursor": "at"},
            "its cursor at can be NULL, and such rows would never be sent; make it NOT NULL, or let role = entity",
        ),
        (
            table("t", moment("at"), column("a"), unique="at a"),
            None,
            {},
            "it has no primary key, and a of its key can be NULL, so rows may look alike",
        ),
        (HOUSE, None, {"agree": ("colour",)}, "colour cannot agree on both sides: the site does not have"),
    ],
)
def test_a_table_that_cannot_be_pushed_says_why(
    local: Table, central: Table | None, settings: dict[str, Any], sentence: str
) -> None:
    planned = only(local, central, **settings)
    assert planned.stopped is not None and planned.stopped.startswith(sentence)


def test_what_refers_to_a_stopped_table_is_stopped_too() -> None:
    heap = table("heap", column("id"))
    child = table("child", ID, column("heap_id"), key="id", references=(refers("heap_id", "heap"),))
    grandchild = table("grandchild", ID, column("child_id"), key="id", references=(refers("child_id", "child"),))
    planned = plan_of([child, grandchild, heap, HOUSE])
    assert {each.name: each.stopped for each in planned.stopped if each.name != "heap"} == {
        "child": "it refers to heap, which cannot be pushed",
        "grandchild": "it refers to child, which cannot be pushed",
    }
    assert [each.name for each in planned.working] == ["house"]
    with pytest.raises(KeyError):
        planned.table("garden")


@pytest.mark.parametrize(
    ("central", "settings", "note"),
    [
        ([VISIT], {}, "house_id refers to house, which is not at central: its values are sent as they are"),
        ([VISIT, HOUSE], {"role": "ignore"}, "house_id refers to house, which is not pushed: its values are sent"),
    ],
)
def test_a_parent_that_is_not_pushed_is_noted(central: list[Table], settings: dict[str, Any], note: str) -> None:
    planned = plan_of([HOUSE, VISIT], central, {"house": TableSettings(name="house", **settings)}).table("visit")
    assert planned.stopped is None
    assert [each for each in planned.notes if each.startswith(note)]
    assert planned.links == ()


def test_a_parent_column_that_does_not_travel_is_noted() -> None:
    child = table("child", ID, column("code", Kind.TEXT), key="id", references=(refers("code", "house", "code"),))
    here = table("house", ID, filled("address"), column("code", Kind.TEXT), key="id", unique="address,code")
    planned = plan_of([here, child], [HOUSE, child]).table("child")
    assert planned.notes == (
        "code refers to house, whose column code does not travel: its values are sent as they are",
    )
    lost = table("child", ID, column("code", Kind.TEXT), key="id", references=(refers("code", "nowhere", "code"),))
    assert plan_of([lost]).table("child").notes[0].startswith("code refers to nowhere, which the site does not have")


# --- what one side has and the other has not


def test_columns_of_one_side_only() -> None:
    here = table("house", ID, filled("address", Kind.TEXT), column("colour"), key="id", unique="address")
    there = table(
        "house", ID, filled("address", Kind.TEXT), column("checked"), filled("since", has_default=True),
        key="id", unique="address",
    )  # fmt: skip
    planned = only(here, there)
    assert (planned.stopped, planned.only_here, planned.only_central) == (None, ("colour",), ("checked", "since"))
    assert planned.sent == ("address",)


@pytest.mark.parametrize(
    ("here", "there", "lost"),
    [
        (column("v", Kind.FLOAT), column("v", Kind.SINGLE), "all but about 7 digits"),
        (column("v", Kind.DECIMAL), column("v", Kind.FLOAT), "all but about 16 digits"),
        (column("v"), column("v", Kind.SINGLE), "the exact value of very large numbers"),
        (column("v", Kind.DECIMAL, scale=4), column("v", Kind.DECIMAL, scale=2), "digits after the 2th decimal place"),
        (column("v", Kind.DATETIME), column("v", Kind.DATETIME, scale=0), "fractions of a second finer than 0 digits"),
        (column("v", Kind.SINGLE), column("v", Kind.FLOAT), None),
        (column("v"), column("v", Kind.DECIMAL, scale=0), None),
        (column("v", Kind.DATETIME, scale=0), column("v", Kind.DATETIME, scale=3), None),
        (column("v", Kind.TEXT), column("v", Kind.TEXT, length=3), None),
    ],
)
def test_a_narrower_column_is_noted(here: Column, there: Column, lost: str | None) -> None:
    planned = only(table("t", filled("a"), here, key="a"), table("t", filled("a"), there, key="a"))
    expected = f"lossy: v: {here.declared} here, {there.declared} at central, which loses {lost}"
    assert planned.notes == ((expected,) if lost else ())


def test_a_key_that_central_does_not_keep_unique_is_noted() -> None:
    there = table("house", ID, filled("address", Kind.TEXT), key="id")
    assert only(HOUSE, there).notes == ("central does not keep address unique, so rows are compared one by one",)


def test_a_stream_without_an_index_is_noted() -> None:
    assert only(READING).notes == ()
    bare = table("reading", ID, moment("time"), column("value"), key="id")
    assert only(bare).notes == ("no index begins with time, so each batch reads the whole table",)


def test_the_moment_since_which_a_row_has_ended() -> None:
    assert only(table("t", filled("a"), column("EndDate", Kind.DATETIME), key="a")).active_until == "EndDate"
    assert only(table("t", filled("a"), key="a")).active_until is None
