"""The rows of entities that a cycle has to hold, until they are in the quarantine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from pusher.held import Fault, Kind, Quarantine
from pusher.ledger import Ledger
from pusher.push.mapping import describe
from pusher.schema.guess import Role
from pusher.schema.plan import Plan, TablePlan
from pusher.wire.messages import Conflict


def goes_both_ways(table: TablePlan) -> bool:
    """Without a natural key nothing would tell that two sites have the same row."""
    return table.direction == "both" and table.role is Role.ENTITY and bool(table.key)


def quarantine_of(ledger: Ledger, location: str, plan: Plan) -> Quarantine:
    """Of tables that go both ways the conflicts are settled already: they are held for somebody to see."""
    return Quarantine(ledger, location, [table.name for table in plan.tables if goes_both_ways(table)])


class Faults:
    def __init__(self, ledger: Ledger, location: str, plan: Plan) -> None:
        self._quarantine = quarantine_of(ledger, location, plan)
        self._held_before = set(self._quarantine.counts())
        self._held: dict[str, dict[str, Fault]] = {}

    def hold(self, table: TablePlan, local_key: str, reason: str, kind: Kind) -> None:
        fault = Fault(local_key=local_key, reason=reason, kind=kind)
        if kind is Kind.CONFLICT and goes_both_ways(table):
            # At once: when it is settled, nothing but this tells that there was one.
            self._quarantine.hold(table.name, [fault], dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
        else:
            self._held.setdefault(table.name, {})[local_key] = fault

    def release(self, table: TablePlan, local_keys: Iterable[str]) -> None:
        """Central has these rows, whatever it said before."""
        keys = list(local_keys)
        held = self._held.get(table.name, {})
        for key in keys if held else ():
            held.pop(key, None)
        if table.name in self._held_before:
            self._quarantine.release(table.name, keys)

    def take(self, table: str) -> list[Fault]:
        """The rows of `table` to be held since the last call."""
        return list(self._held.pop(table, {}).values())


def told(table: TablePlan, conflict: Conflict) -> str:
    """What both sides had, whose it was, and what stands now."""
    if conflict.kind not in ("changed", "met"):
        return describe(table, conflict)
    here = ", ".join(f"{name} = {value!r}" for name, value in conflict.here.items())
    there = ", ".join(f"{name} = {value!r}" for name, value in conflict.central.items())
    whose = f" (site {conflict.owner})" if conflict.owner else ""
    if conflict.kind == "changed":
        what, stands = "was changed on both sides", "the site's came last and stands"
    else:
        what, stands = "was not the same on both sides", "central's stands"
    return f"{table.name} {what}: here {here}; at central {there}{whose}; {stands}"
