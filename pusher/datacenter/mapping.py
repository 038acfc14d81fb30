"""Which column of a CSV file gives which field."""

from __future__ import annotations

from collections.abc import Mapping as Named
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pusher.config_keys import guess
from pusher.datacenter.processing import Field


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """`names`: of the fields that a file gives; `places`: of their columns in it. `left_out`: headers that nobody
    takes. `missing`: fields without which no row can be processed, and which nobody gives. `faults`: why no row can be
    processed, a sentence each."""

    names: tuple[str, ...]
    places: tuple[int, ...]
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def pick(self, cells: Sequence[str]) -> list[str]:
        """Of one row of the file the texts of the fields."""
        return [cells[place] for place in self.places]

    def by_column(self, columns: Sequence[str]) -> Named[str, str | None]:
        """The field that each column gives, None if nobody takes it."""
        given = dict(zip(self.places, self.names, strict=True))
        return {column: given.get(place) for place, column in enumerate(columns)}


def propose(columns: Sequence[str], fields: Sequence[Field], given: Sequence[tuple[str, str]]) -> Mapping:
    """`given`: header and field, pair by pair, which go first; then each header that is called as a field is. A header
    with an empty field is left out, whatever it is called."""
    return _Proposal(columns, fields).make(given)


class _Proposal:
    def __init__(self, columns: Sequence[str], fields: Sequence[Field]) -> None:
        self._columns = list(columns)
        self._fields = fields
        others = {other: field.name for field in fields for other in field.others}
        self._called = others | {field.name: field.name for field in fields}
        self._taken: dict[str, str] = {}  # by field: the header that gives it
        self._unwanted: set[str] = set()
        self._faults: list[str] = []

    def make(self, given: Sequence[tuple[str, str]]) -> Mapping:
        for header, field in given:
            self._give(header, field)
        for fold in (str, _folded):
            called = {fold(other): field for other, field in reversed(self._called.items())}
            for column in self._columns:
                name = called.get(fold(column))
                free = column not in self._unwanted and column not in self._taken.values()
                if name and free and name not in self._taken:
                    self._taken[name] = column
        missing = self._missing()
        if missing:
            self._faults.append(f"no column gives {', '.join(missing)}; map one to it, or add it to the file")
        return Mapping(
            names=tuple(self._taken),
            places=tuple(self._columns.index(header) for header in self._taken.values()),
            left_out=tuple(column for column in self._columns if column not in self._taken.values()),
            missing=missing,
            faults=tuple(self._faults),
        )

    def _give(self, header: str, field: str) -> None:
        """A header that the file does not have is no fault: one map may serve several files."""
        if not field:
            self._unwanted.add(header)
            return
        if field not in self._called and header in self._called and field in self._columns:
            header, field = field, header
        name = self._called.get(field)
        if not name:
            self._faults.append(f"{header}:{field}: there is no field {field}{guess(field, self._shown)}")
        elif header in self._columns:
            if name in self._taken:
                self._faults.append(f"{self._taken[name]} and {header} both give {name}; keep one")
            elif header in self._taken.values():
                self._faults.append(f"{header} is mapped twice; keep one")
            else:
                self._taken[name] = header

    @cached_property
    def _shown(self) -> list[str]:
        return [field.name for field in self._fields if not field.spare]

    def _missing(self) -> tuple[str, ...]:
        otherwise = {name for field in self._fields if field.name in self._taken for name in field.gives}
        return tuple(
            field.name
            for field in self._fields
            if field.required and field.name not in self._taken and field.name not in otherwise
        )


def _folded(name: str) -> str:
    return name.casefold().replace(" ", "").replace("_", "").replace("-", "")
