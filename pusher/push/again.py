"""Finds held rows again in the site's database, by the keys under which they are held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from msgspec.structs import replace

from pusher.push.mapping import Key, joined
from pusher.push.source import Source
from pusher.schema.plan import TablePlan
from pusher.schema.reading import plain_columns
from pusher.wire.tables import Kind, RowSet

_MOMENTS = (Kind.DATETIME, Kind.INSTANT, Kind.TIME)
_FRACTION = len("000000")


def find_again(source: Source, table: TablePlan, keys: Sequence[Key], by: tuple[str, ...] = ()) -> RowSet:
    """The rows whose columns `by`, or their identity, hold one of `keys` (plain values), as far as they are there."""
    by = by or table.identity
    rows = source.by_key(table, by, keys)
    found = set(rows.tuples(by))
    left = [key for key in keys if key not in found]
    kinds = [table.local.column(name).kind for name in by]
    if source.dialect != "sqlite" or not left or not set(kinds) & set(_MOMENTS):
        return rows
    # SQLite keeps moments as whatever text a program wrote, and finds a text only as it is spelt.
    columns = tuple(replace(each, kind=Kind.TEXT) if each.kind in _MOMENTS else each for each in table.local.columns)
    as_texts = replace(table, local=replace(table.local, columns=columns))
    spelt = source.by_key(as_texts, by, [each for key in left for each in _spelt(kinds, key)])
    other = plain_columns(table.local, spelt.names, spelt.columns)
    return joined([rows, other]) if len(other) else rows


def _spelt(kinds: Sequence[Kind], key: Key) -> Iterator[Key]:
    return product(
        *(_spellings(value) if kind in _MOMENTS else (value,) for kind, value in zip(kinds, key, strict=True))
    )


def _spellings(value: Any) -> tuple[Any, ...]:
    """How programs write a moment: T or a blank before the time; the fraction as it is, or with three or six digits."""
    if not isinstance(value, str):
        return (value,)
    moment, zone = (value[: -len("+00:00")], True) if value.endswith("+00:00") else (value, False)
    main, _, fraction = moment.partition(".")
    fractions = {fraction, fraction.rstrip("0"), f"{fraction:0<3}", f"{fraction:0<{_FRACTION}}"}
    texts = [f"{main}.{each}" if each else main for each in fractions]
    texts += [text.replace("T", " ") for text in texts if "T" in text]
    return tuple(dict.fromkeys(texts + [f"{text}+00:00" for text in texts if zone]))
