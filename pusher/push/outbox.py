"""Takes what the triggers of captured tables wrote at the site over into its ledger, whence each location has it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from pusher.changed import Noted, note_everywhere
from pusher.ledger import Ledger
from pusher.push.mapping import key_text
from pusher.push.source import Source
from pusher.schema.outboxes import Installed, State, columns_of, installed
from pusher.schema.plan import TablePlan
from pusher.schema.reading import Select, raw_table, read_raw, to_plain
from pusher.schema.triggers import ID, REMOVED, outbox_name
from pusher.wire.tables import Column, Kind, RowSet, Table

_PAGE = 5000
_DELETED_AT_ONCE = 1000

# Locations are pushed side by side. Two that took over the same rows could have an old word follow a newer one.
_collecting = threading.Lock()


class Outbox:
    """Every method raises Unreachable if the site's database is not there."""

    def __init__(self, source: Source, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger

    def collect(self, plans: Iterable[TablePlan], locations: Collection[str]) -> dict[str, str]:
        """Notes all that changed for each of these locations, and only then forgets it at the site.

        Whatever ends it in between, the same changes are noted again, in their order. To be called under the lock of
        the state folder. Of a table that is stopped nothing is taken: its key may not be known. Returns why nothing
        was taken of others, by table.
        """
        captured = [plan for plan in plans if plan.captured and not plan.stopped]
        if not captured:
            return {}
        with self._source.reading() as connection:
            there = columns_of(connection, self._source.dialect, [outbox_name(plan.name) for plan in captured])
        left = {}
        for plan in captured:
            kept = there.get(outbox_name(plan.name))
            if kept is None or not set(needed([plan])) <= kept.keys():
                left[plan.name] = remedy(plan.name, State.ABSENT if kept is None else State.OUTDATED)
                continue
            while self._collect_page(plan, locations) == _PAGE:
                pass
        return left

    def _collect_page(self, plan: TablePlan, locations: Collection[str]) -> int:
        with _collecting:
            ids, noted = self.page(plan)
            if ids:
                note_everywhere(self._ledger, locations, plan.name, noted)
                self.take_out(plan, ids)
        return len(ids)

    def page(self, plan: TablePlan) -> tuple[list[int], list[Noted]]:
        """The first rows of an outbox: their numbers, and what they say.

        Rows of a transaction that commits late have lower numbers than others that are gone already. But as long as
        it lasts nobody else can change the same row, so of one row the numbers tell the order.
        """
        outbox = _outbox_table(plan)
        number = raw_table(outbox).c[ID]
        names = (ID, REMOVED, *needed([plan]))

        def narrow(select: Select) -> Select:
            return select.order_by(number).limit(_PAGE)

        with self._source.reading() as connection:
            rows = to_plain(outbox, names, read_raw(connection, self._source.dialect, outbox, names, narrow))
        return rows.column(ID), _noted(plan, rows)

    def take_out(self, plan: TablePlan, ids: Sequence[int]) -> None:
        """Forgets exactly these rows of an outbox."""
        outbox = raw_table(_outbox_table(plan))
        with self._source.writing() as connection:
            for at in range(0, len(ids), _DELETED_AT_ONCE):
                some = list(ids[at : at + _DELETED_AT_ONCE])
                connection.execute(sa.delete(outbox).where(outbox.c[ID].in_(some)))


def needed(plans: Iterable[TablePlan]) -> tuple[str, ...]:
    """The columns of one table, planned for several locations, that an outbox must have."""
    return tuple(dict.fromkeys(name for plan in plans for name in plan.identity + plan.key))


def what_is_installed(source: Source, tables: Iterable[str]) -> Installed:
    with source.reading() as connection:
        return installed(connection, source.dialect, tables)


def waiting(source: Source, table: str) -> int:
    """How many rows are in a table's outbox, which is there."""
    with source.reading() as connection:
        return count_waiting(connection, table)


def count_waiting(connection: sa.Connection, table: str) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(sa.table(outbox_name(table)))) or 0)


def uncaptured(source: Source, plans: Iterable[TablePlan]) -> Mapping[str, str]:
    """Of the tables to be captured those that are not, or not as they are now: what to do, by table."""
    captured = [plan for plan in plans if plan.captured and not plan.stopped]
    if not captured:
        return {}
    found = what_is_installed(source, [plan.name for plan in captured])
    states = {plan.name: found.state(plan.name, needed([plan])) for plan in captured}
    return {name: remedy(name, state) for name, state in states.items() if state is not State.INSTALLED}


def remedy(table: str, state: State) -> str:
    return f"its change capture is {state}; run pusher capture install {table}"


def _outbox_table(plan: TablePlan) -> Table:
    """Its columns are read as those of the table itself are."""
    own = [Column(name=name, kind=Kind.INTEGER, nullable=False) for name in (ID, REMOVED)]
    copied = [
        msgspec.structs.replace(plan.local.column(name), nullable=True, numbered=False, generated=False)
        for name in needed([plan])
    ]
    return Table(name=outbox_name(plan.name), columns=(*own, *copied), primary_key=(ID,))


def _noted(plan: TablePlan, rows: RowSet) -> list[Noted]:
    local, natural = rows.tuples(plan.identity), rows.tuples(plan.key) if plan.key else [()] * len(rows)
    removed: list[Any] = rows.column(REMOVED)
    return [
        Noted(local_key=key_text(mine), natural_key=key_text(shared), removed=bool(gone))
        for mine, shared, gone in zip(local, natural, removed, strict=True)
    ]
