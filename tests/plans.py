"""Tables in few words, and the plan that is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pusher.config import TableSettings
from pusher.schema.plan import Plan, TablePlan, make_plan
from pusher.wire.tables import Column, Kind, Reference, Schema, Table

ID = Column(name="id", kind=Kind.INTEGER, declared="INTEGER", nullable=False, numbered=True)


def column(name: str, kind: Kind = Kind.INTEGER, **more: Any) -> Column:
    return Column(name=name, kind=kind, declared=kind.value.upper(), **more)


def filled(name: str, kind: Kind = Kind.INTEGER, **more: Any) -> Column:
    return column(name, kind, nullable=False, **more)


def moment(name: str) -> Column:
    return filled(name, Kind.DATETIME)


def refers(columns: str, parent: str, parent_columns: str = "id") -> Reference:
    return Reference(columns=tuple(columns.split()), parent=parent, parent_columns=tuple(parent_columns.split()))


def table(
    name: str, *columns: Column, key: str = "", unique: str = "", references: tuple[Reference, ...] = ()
) -> Table:
    """`key`: the primary key; `unique`: unique keys, with a comma between them. Every key has an index."""
    uniques = tuple(tuple(each.split()) for each in unique.split(",") if each)
    primary_key = tuple(key.split())
    indexes = (primary_key, *uniques) if primary_key else uniques
    return Table(
        name=name, columns=columns, primary_key=primary_key, uniques=uniques, references=references, indexes=indexes
    )


def plan_of(
    local: list[Table], central: list[Table] | None = None, settings: Mapping[str, TableSettings] | None = None
) -> Plan:
    """`central`: by default it has the same tables."""
    return make_plan(
        Schema(dialect="sqlite", tables=tuple(local)),
        Schema(dialect="postgresql", tables=tuple(local if central is None else central)),
        settings or {},
    )


def only(local: Table, central: Table | None = None, **settings: Any) -> TablePlan:
    own = {local.name: TableSettings(name=local.name, **settings)}
    return plan_of([local], [central or local], own).table(local.name)


HOUSE = table("house", ID, filled("address", Kind.TEXT), key="id", unique="address")
READING = table("reading", moment("time"), filled("node"), column("value"), key="time node")
VISIT = table("visit", ID, filled("house_id"), moment("at"), key="id", references=(refers("house_id", "house"),))
