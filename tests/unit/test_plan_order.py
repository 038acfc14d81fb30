"""How the tables of both sides find each other, and in which order they go."""

from __future__ import annotations

import pytest

from pusher.schema.names import match, pair
from pusher.schema.plan import openings
from pusher.wire.tables import Column, Kind, Reference, Table
from tests.plans import HOUSE, ID, column, filled, moment, only, plan_of, refers, table

# --- names


def test_names_in_another_case() -> None:
    here = table("Sensor_Data", moment("Time"), filled("nodeId"), column("Value"), key="Time nodeId")
    there = table("sensor_data", moment("time"), filled("NODEID"), column("value"), key="time NODEID")
    planned = only(here, there)
    assert (planned.central_name, planned.key, planned.only_here) == ("sensor_data", ("Time", "nodeId"), ())
    assert planned.to_central(planned.sent) == ("time", "NODEID", "value")
    assert [each.name for each in planned.central_columns(["Value"])] == ["value"]


@pytest.mark.parametrize(
    ("names", "candidates", "pairs"),
    [
        ("time Time", "time", {"time": "time"}),
        ("Time TIME", "time", {}),
        ("time", "Time TIME", {}),
        ("Time", "time", {"Time": "time"}),
        ("a B", "A b", {"a": "A", "B": "b"}),
        ("Time time", "TIME time", {"time": "time", "Time": "TIME"}),
        ("a", "b", {}),
    ],
)
def test_each_name_has_one_twin(names: str, candidates: str, pairs: dict[str, str]) -> None:
    assert pair(names.split(), {name: name for name in candidates.split()}) == pairs


def test_the_same_name_goes_before_one_in_another_case() -> None:
    assert match("a", {"A": 1, "a": 2}) == 2
    assert match("a", {"A": 1}) == 1
    assert match("a", {}) is None


@pytest.mark.parametrize("reference", [refers("HOUSE_ID", "House", "ID"), refers("house_id", "HOUSE", "")])
def test_a_foreign_key_may_be_spelt_in_any_case_or_without_columns(reference: Reference) -> None:
    child = table("room", ID, filled("house_id"), key="id", references=(reference,))
    (link,) = plan_of([HOUSE, child]).table("room").links
    assert (link.columns, link.parent, link.parent_columns) == (("house_id",), "house", ("id",))


# --- order


def _tables(*wanted: str) -> list[Table]:
    """From "child>parent": a foreign key that must be filled; "child?parent": one that may be NULL."""
    names = sorted({name for each in wanted for name in each.replace("?", ">").split(">")})
    found = []
    for name in names:
        columns: list[Column] = []
        references = []
        for each in wanted:
            child, sign, parent = each.partition("?" if "?" in each else ">")
            if child == name and parent:
                columns.append(column(f"to_{parent}", nullable=sign == "?"))
                references.append(refers(f"to_{parent}", parent))
        label = filled("label", Kind.TEXT)
        found.append(table(name, ID, label, *columns, key="id", unique="label", references=tuple(references)))
    return found


@pytest.mark.parametrize(
    ("wanted", "order", "deferred", "stopped"),
    [
        (["a>b", "b>c", "c>d"], "dcba", set(), set()),
        (["a>a", "b>a"], "ab", set(), set()),
        (["a?b", "b>a"], "ab", {("a", "b")}, set()),
        (["a>b", "b?a"], "ba", {("b", "a")}, set()),
        (["a?b", "b?c", "c?a"], "acb", {("a", "b")}, set()),
        (["a>b", "b>a", "c>a", "d?c", "e>e"], "eabcd", set(), set("abcd")),
        (["a?c", "c>d", "d?c"], "dca", {("d", "c")}, set()),
        (["a?b", "b>a", "c?d", "d>c", "a?c"], "cadb", {("a", "b"), ("c", "d")}, set()),
    ],
)
def test_parents_come_first_and_circles_are_opened_where_null_may_stand(
    wanted: list[str], order: str, deferred: set[tuple[str, str]], stopped: set[str]
) -> None:
    planned = plan_of(_tables(*wanted))
    assert "".join(each.name for each in planned.tables) == order
    assert {(each.name, link.parent) for each in planned.tables for link in each.links if link.deferred} == deferred
    assert {each.name for each in planned.stopped} == stopped


def test_a_circle_without_a_way_in_says_so() -> None:
    planned = plan_of(_tables("a>b", "b>a", "c>a"))
    reason = "it is part of a circle of foreign keys none of which may be NULL"
    assert [each.stopped for each in planned.stopped] == [
        reason, reason, "it refers to a, which cannot be pushed"
    ]  # fmt: skip


def test_a_null_opens_a_key_of_several_columns() -> None:
    tenant = table("tenant", filled("id"), key="id")
    doc = table("doc", filled("tenant"), filled("no"), key="tenant no", references=(refers("tenant", "tenant"),))
    page = table(
        "page", filled("id"), filled("tenant"), column("no"), key="id",
        references=(refers("tenant", "tenant"), refers("tenant no", "doc", "tenant no")),
    )  # fmt: skip
    planned = plan_of([tenant, doc, page]).table("page")
    assert {link.parent: openings(planned, link) for link in planned.links} == {"tenant": (), "doc": ("no",)}
