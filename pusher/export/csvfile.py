"""CSV files that any spreadsheet opens without harm: what it would take for a formula stays text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pusher.disk import replace
from pusher.errors import ArchiveDamaged
from pusher.export.answers import json_of
from pusher.formulas import guarded, unguarded

SEALED = "(sealed)"  # in place of a field that could not be decrypted
_HALF = re.compile("[\ud800-\udfff]")  # what a careless cut through a text leaves of a character
_LONGEST_CELL = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Table:
    columns: list[str]
    rows: list[dict[str, str]]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A row's fields as texts: null is empty, what lies within an object has a dot in its name."""
    fields: dict[str, str] = {}
    for name, value in values.items():
        found = flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: text_of(value)}
        for full, text in found.items():
            while full in fields:  # {"a": {"b": 1}, "a.b": 2}
                full += "_"
            fields[full] = text
    return fields


def text_of(value: Any) -> str:
    """As it stands in a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = json_of(value) if isinstance(value, list) else str(value)
    return _HALF.sub("\N{REPLACEMENT CHARACTER}", text)


def lines_of(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    """Rows as they stand in a file, without the head."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows([guarded(row.get(column, "")) for column in columns] for row in rows)
    return out.getvalue().encode()


def head_of(columns: Sequence[str]) -> bytes:
    return lines_of(columns, [{column: column for column in columns}])


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """The whole file at once. Raises WriteFailed."""
    replace(path, head_of(columns) + lines_of(columns, rows))


def read_columns(path: Path) -> list[str]:
    """The head alone. Raises ArchiveDamaged."""
    with _reading(path) as file:
        return [unguarded(cell) for cell in next(csv.reader(file), [])]


def read_table(path: Path) -> Table:
    """Of an earlier program, too; a row that is too short has empty fields. Raises ArchiveDamaged."""
    with _reading(path) as file:
        reader = csv.reader(file)
        columns = [unguarded(cell) for cell in next(reader, [])]
        rows = [dict.fromkeys(columns, "") | dict(_cells(columns, row)) for row in reader if row]
    return Table(columns=columns, rows=rows)


@contextmanager
def _reading(path: Path) -> Iterator[io.TextIOWrapper]:
    csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArchiveDamaged(f"cannot read {path}: {error}; `pusher recover` makes it anew") from error


def _cells(columns: Sequence[str], row: Sequence[str]) -> Iterable[tuple[str, str]]:
    return zip(columns, map(unguarded, row), strict=False)
