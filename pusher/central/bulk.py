"""Stores many objects of any tables, sent over REST at once: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from models import bookkeeping
from pusher.central.creation import Creation, Objection, conflict, explained, missing
from pusher.central.objects import Objects, Refused, is_stream
from pusher.central.owners import Ownership
from pusher.central.rows import Key, Target, can_upsert
from pusher.wire.tables import RowSet, Schema, Table

_SHOWN = 5  # objections that are told


@dataclass(frozen=True, kw_only=True)
class Part:
    """Objects of one table that have the same columns. `places`: where each of them stands in the request."""

    table: Table
    rows: RowSet
    places: list[int]


class Bulk:
    """One request of a site, within one transaction."""

    def __init__(self, connection: sa.Connection, schema: Schema, site: str) -> None:
        self._connection = connection
        self._objects = Objects(connection, schema, site)
        self._schema = schema
        self._site = site

    def store(self, parts: Sequence[Part]) -> None:
        """Raises Refused, naming the first objects at fault, by their places, and why."""
        self._objects.lock(part.table for part in parts)
        for part in _parents_first(parts):
            key = part.table.primary_key
            keyed = bool(key) and set(key) <= set(part.rows.names)
            stream = is_stream(self._schema, part.table)
            upserts = stream and keyed and can_upsert(self._schema.dialect, part.table, part.rows.names, key)
            if upserts and not self._is_mapped(part.table):
                objections = self._upsert(part)
            else:
                objections = self._create(part, stream)
            if objections:
                raise refusal({part.places[i]: each for i, each in objections.items()})

    def _is_mapped(self, table: Table) -> bool:
        """Whether agents know rows of it one by one, so that its key says not whose they are."""
        map_ = bookkeeping.identity
        return (
            self._connection.scalar(sa.select(map_.c.site).where(map_.c.table_name == table.name).limit(1)) is not None
        )

    def _upsert(self, part: Part) -> dict[int, Objection]:
        """Rows of a stream, which their key makes the same rows however often they are sent."""
        table, rows = part.table, part.rows
        target, key = self._objects.target(table), table.primary_key
        lacking = missing(table, rows.names)
        if lacking:
            return dict.fromkeys(range(len(rows)), Objection(400, f"{table.name}.{lacking} is missing"))
        bound, faults = target.parameters(rows)
        if faults:
            return {i: Objection(400, f"{table.name}.{reason}") for i, reason in faults.items()}
        own = Ownership(target=target, site=self._site, key=key, rows=rows, bound=bound)
        if own.foreign:
            return {i: Objection(409, conflict(table, owner)) for i, owner in own.foreign.items()}
        mine = [i for i in range(len(rows)) if i not in own.same]
        rows, bound = (rows.take(mine), [bound[i] for i in mine]) if own.same else (rows, bound)
        cursor = self._objects.noted_cursor(table)
        before = self._moments(target, cursor, rows, bound) if cursor and cursor not in key else []
        refused = target.upsert(rows.names, key, bound)
        if refused:
            told = sorted(refused)[:_SHOWN]  # to explain each would take long where all lack the same
            reasons = {at: explained(target, self._schema, rows, at, refused[at]) for at in told}
            return {mine[at]: Objection(409, reasons.get(at, reason)) for at, reason in refused.items()}
        own.note(mine)
        if cursor:
            now = rows.column(cursor) if cursor in key else self._moments(target, cursor, rows, bound)
            self._objects.doubt(table, cursor, before + now)
        return {}

    def _moments(self, target: Target, cursor: str, rows: RowSet, bound: Sequence[Key]) -> list[Any]:
        """Where rows that have a key lie in the order of their stream."""
        key = target.table.primary_key
        places = [rows.names.index(name) for name in key]
        return target.find((cursor,), key, [tuple(row[place] for place in places) for row in bound]).column(cursor)

    def _create(self, part: Part, stream: bool) -> dict[int, Objection]:
        table, target = part.table, self._objects.target(part.table)
        creation = Creation(
            target=target,
            schema=self._schema,
            site=self._site,
            rows=part.rows,
            count=len(part.places),
            stream=stream,
            seek_equal=True,
        ).run()
        cursor = self._objects.noted_cursor(table) if stream and creation.added and not creation.refused else None
        if cursor and table.primary_key:
            keys = RowSet.of(table.primary_key, [creation.keys[i] or () for i in creation.added])
            bound, _ = target.parameters(keys)
            self._objects.doubt(table, cursor, self._moments(target, cursor, keys, bound))
        return creation.refused


def refusal(objections: Mapping[int, Objection]) -> Refused:
    """What is wrong with the first of the objects at these places; 409 only if nothing is wrong in itself."""
    ordered = sorted(objections.items())
    words = [f"object {place}: {each.reason}" for place, each in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        words.append(f"and {len(ordered) - _SHOWN} more")
    return Refused(min(each.status for _, each in ordered), "; ".join(words))


def _parents_first(parts: Iterable[Part]) -> list[Part]:
    """In the order in which each finds there what it refers to; within one table, as they were sent."""
    waiting: dict[str, list[Part]] = {}
    for part in parts:
        waiting.setdefault(part.table.name, []).append(part)
    ordered: list[Part] = []
    while waiting:
        names = {name.casefold() for name in waiting}
        free = [
            name
            for name, (first, *_) in waiting.items()
            if not any(reference.parent.casefold() in names - {name.casefold()} for reference in first.table.references)
        ]
        for name in free or list(waiting)[:1]:  # tables that refer to each other: one has to begin
            ordered += waiting.pop(name)
    return ordered
