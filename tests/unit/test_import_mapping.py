"""Which column of a CSV file gives which field: by what is given, then by name."""

from __future__ import annotations

import pytest

from pusher.datacenter.mapping import Mapping, propose
from pusher.datacenter.processing import Field

FIELDS = (
    Field(name="address", required=True, locates=True),
    Field(name="startDate"),
    Field(name="Deployment.name", required=True, others=("deploymentId.name",)),
    Field(name="deploymentId", gives=("Deployment.name",), spare=True),
    Field(name="id", spare=True),
)


def mapped(columns: list[str], *given: tuple[str, str]) -> Mapping:
    return propose(columns, FIELDS, given)


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("address", "address"),
        ("Address", "address"),
        ("start date", "startDate"),
        ("Start_Date", "startDate"),
        ("START-DATE", "startDate"),
        ("deploymentId.name", "Deployment.name"),
        ("deployment.NAME", "Deployment.name"),
        ("deploymentId", "deploymentId"),
        ("id", "id"),
    ],
)
def test_a_header_that_is_called_as_a_field_gives_it(header: str, field: str) -> None:
    assert mapped([header]).by_column([header]) == {header: field}


def test_the_cells_of_a_row_come_in_the_order_of_the_names() -> None:
    mapping = mapped(["Remark", "start", "address", "Deployment.name"], ("start", "startDate"))
    assert mapping.names == ("startDate", "address", "Deployment.name")
    assert mapping.pick(["no", "2026-01-31", "Home", "north"]) == ["2026-01-31", "Home", "north"]
    assert mapping.left_out == ("Remark",)
    assert mapping.faults == ()


def test_what_is_given_goes_before_what_a_header_is_called() -> None:
    mapping = mapped(["address", "Street", "Deployment.name"], ("Street", "address"))
    assert mapping.by_column(["address", "Street"]) == {"address": None, "Street": "address"}


def test_an_exact_name_goes_before_one_that_is_alike() -> None:
    mapping = mapped(["ADDRESS", "address", "Deployment.name"])
    assert mapping.by_column(["ADDRESS", "address"]) == {"ADDRESS": None, "address": "address"}


def test_a_pair_may_be_the_other_way_round_where_only_that_makes_sense() -> None:
    mapping = mapped(["Street", "Deployment.name"], ("address", "Street"))
    assert mapping.by_column(["Street"]) == {"Street": "address"}


def test_a_header_with_an_empty_field_is_left_out() -> None:
    mapping = mapped(["address", "startDate", "Deployment.name"], ("startDate", ""))
    assert mapping.left_out == ("startDate",)


def test_a_pair_of_a_header_that_this_file_lacks_is_no_fault() -> None:
    assert mapped(["address", "Deployment.name"], ("Begin", "startDate")).faults == ()


def test_a_field_that_nobody_gives_and_every_row_needs_is_missing() -> None:
    mapping = mapped(["startDate"])
    assert mapping.missing == ("address", "Deployment.name")
    assert mapping.faults == ("no column gives address, Deployment.name; map one to it, or add it to the file",)


def test_the_number_of_a_parent_does_instead_of_its_name() -> None:
    assert mapped(["address", "deploymentId"]).missing == ()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ([("Street", "adress")], 'Street:adress: there is no field adress; did you mean "address"?'),
        (
            [("Street", "colour")],
            "Street:colour: there is no field colour; possible: address, startDate, Deployment.name",
        ),
        ([("Street", "address"), ("Road", "address")], "Street and Road both give address; keep one"),
        ([("Street", "address"), ("Street", "startDate")], "Street is mapped twice; keep one"),
    ],
)
def test_a_fault_is_told_with_what_to_do(given: list[tuple[str, str]], fault: str) -> None:
    mapping = mapped(["Street", "Road", "address", "Deployment.name"], *given)
    assert mapping.faults == (fault,)
