"""The forms of an answer: JSON as old clients know it, CSV, and a JSON object a line; encoded column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from starlette.exceptions import HTTPException

from pusher.rest.forms import TABLE_KEY, shown, shown_values
from pusher.wire.tables import Kind, RowSet, Table

Columns = list[list[Any]]
_ENCODER = msgspec.json.Encoder()
_SPECIAL = ('"', ",", "\r", "\n")
_TRUTH = {None: "", True: "true", False: "false"}


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Of an answer: what stands before its rows, between two parts of them, and behind them."""

    rows: Callable[[Columns], bytes]
    opening: bytes = b""
    separator: bytes = b""
    ending: bytes = b""

    def parts(self, pages: Iterable[Columns]) -> Iterator[bytes]:
        """`pages`: the plain values of each column, so many rows at a time."""
        before = self.opening
        for columns in pages:
            yield before + self.rows(columns)
            before = self.separator
        yield self.ending if before is not self.opening else self.opening + self.ending


@dataclass(frozen=True, kw_only=True)
class Format:
    name: str
    media_type: str
    encoding: Callable[[Table, tuple[str, ...]], Encoding]


def _json(table: Table, names: tuple[str, ...]) -> Encoding:
    objects = _objects(table, names)
    return Encoding(
        rows=lambda columns: _ENCODER.encode(objects(columns))[1:-1], opening=b"[", separator=b",", ending=b"]"
    )


def _ndjson(table: Table, names: tuple[str, ...]) -> Encoding:
    objects = _objects(table, names)
    return Encoding(rows=lambda columns: _ENCODER.encode_lines(objects(columns)))


def _objects(table: Table, names: tuple[str, ...]) -> Callable[[Columns], list[Any]]:
    try:
        make = _object_form(table, names)
    except ValueError:  # a name that needs escapes, which msgspec does not write
        return lambda columns: list(shown(table, RowSet(names=names, columns=columns)))
    kinds = [table.column(name).kind for name in names]

    def objects(columns: Columns) -> list[Any]:
        return list(map(make, *(shown_values(kind, values) for kind, values in zip(kinds, columns, strict=True))))

    return objects


@lru_cache(maxsize=256)
def _object_form(table: Table, names: tuple[str, ...]) -> type[msgspec.Struct]:
    """A class whose objects are written as `forms.shown` shows rows; made and written several times as fast."""
    fields = [(f"c{place}", Any) for place in range(len(names))]
    spelt = {f"c{place}": name for place, name in enumerate(names)}
    if TABLE_KEY in names:  # the column counts
        return msgspec.defstruct("Row", fields, rename=spelt)
    return msgspec.defstruct("Row", fields, rename=spelt, tag_field=TABLE_KEY, tag=table.name)


# --- CSV: RFC 4180


def _csv(table: Table, names: tuple[str, ...]) -> Encoding:
    kinds = [table.column(name).kind for name in names]
    empty = '""' if len(names) == 1 else ""  # a line with nothing on it is to many readers no row

    def rows(columns: Columns) -> bytes:
        cells = [_cells(kind, shown_values(kind, values), empty) for kind, values in zip(kinds, columns, strict=True)]
        lines = cells[0] if len(cells) == 1 else map(",".join, zip(*cells, strict=True))
        return ("\r\n".join(lines) + "\r\n").encode() if columns[0] else b""

    header = ",".join(map(_quoted, names)) + "\r\n"
    return Encoding(rows=rows, opening=header.encode())


def _cells(kind: Kind, values: list[Any], empty: str) -> list[str]:
    types = set(map(type, values))
    if types == {int}:
        return list(map(str, values))
    if types == {float}:
        return list(map(repr, values))
    if types == {str}:
        return values if _is_plain(values) else list(map(_quoted, values))
    if kind is Kind.BOOLEAN and types <= {bool, type(None)}:
        return [_TRUTH[value] or empty for value in values]
    return [_cell(value, empty) for value in values]


def _cell(value: Any, empty: str) -> str:
    if value is None:
        return empty
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return _TRUTH[value]
    if isinstance(value, dict):  # what does not fit its column: see wire/values.py
        return _quoted(msgspec.json.encode(value).decode())
    return repr(value)


def _is_plain(values: list[str]) -> bool:
    text = "\x1f".join(values)
    return not any(each in text for each in _SPECIAL) and "" not in values


def _quoted(text: str) -> str:
    """In quotes also if it is empty: only so it differs from NULL."""
    if text and not any(each in text for each in _SPECIAL):
        return text
    return '"' + text.replace('"', '""') + '"'


# --- which of them


JSON = Format(name="json", media_type="application/json", encoding=_json)
CSV = Format(name="csv", media_type="text/csv; charset=utf-8; header=present", encoding=_csv)
NDJSON = Format(name="ndjson", media_type="application/x-ndjson", encoding=_ndjson)
FORMATS = {each.name: each for each in (JSON, CSV, NDJSON)}
_RANGES = {  # what a client may call each, the more exact name first
    "json": ("application/json", "text/json", "application/javascript", "text/javascript", "application/*", "*/*"),
    "csv": ("text/csv", "text/*", "*/*"),
    "ndjson": ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/*", "*/*"),
}


def accepted(accept: str) -> Format:
    """The format that a client likes best by its header Accept, JSON if it does not say. Raises 406."""
    wishes = qualities(accept)
    if not wishes:
        return JSON

    def quality(form: Format) -> float:
        return next((wishes[name] for name in _RANGES[form.name] if name in wishes), 0.0)

    best = max(FORMATS.values(), key=quality)
    if quality(best) <= 0:
        raise HTTPException(406, f"there is {', '.join(names[0] for names in _RANGES.values())}, nothing else")
    return best


def qualities(header: str) -> dict[str, float]:
    """What a header like Accept names, in lower case, each with its q; what has none that can be read counts as 1."""
    found: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        if name:
            found[name] = next((_quality(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
    return found


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"\d(\.\d{0,3})?", text.strip(), re.ASCII) else 1.0
