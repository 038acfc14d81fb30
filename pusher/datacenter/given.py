"""What some rows of a CSV file say of the columns of a table, and how that is told to who wrote it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pusher.central.rows import Key, Target
from pusher.datacenter.cells import NOTHING, read_cells, show
from pusher.datacenter.links import Leaf, Link, Rows
from pusher.datacenter.parents import Parents, bind
from pusher.wire.fingerprint import canonical
from pusher.wire.tables import Column, Kind, RowSet

Marks = list[tuple[Any, ...] | None]


class Given:
    """`refused`: the reason for each row that cannot be stored as it is.

    `texts`: the cells of each field as they stand in the file.
    """

    def __init__(self, target: Target, rows: Rows, null: str, count: int, texts: Mapping[str, Sequence[str]]) -> None:
        self.refused: dict[int, str] = {}
        self._target = target
        self._rows = rows
        self._null = null
        self._count = count
        self._texts = texts
        self._values: dict[str, list[Any]] = {}  # by column
        self._cells = self._read()
        self._parents = Parents(
            connection=target.connection, dialect=target.dialect, null=null, cells=self._cells, texts=texts
        )
        links = [part for part in (*rows.parts, *rows.raw) if isinstance(part, Link)]
        given = [link for link in links if any(leaf.name in texts for leaf in link.leaves())]
        # The foreign keys that the file gives, each in all the ways in which it does.
        links_of = {link.columns: [each for each in given if each.columns == link.columns] for link in given}
        others = [each for each in links_of.values() if each[0].parent.name != rows.table.name]
        self.own = [each for each in links_of.values() if each not in others]
        for each in others:
            self._resolve(each, range(count), fresh=False)

    def _read(self) -> dict[str, list[Any]]:
        """The cells as plain values, by the name of the field."""
        cells = {}
        for name, texts in self._texts.items():
            leaf = self._rows.named[name]
            cells[name], faults = read_cells(leaf.column, self._target.dialect, name, texts, self._null)
            self.refuse(faults)
            if leaf in self._rows.parts:
                self._values[leaf.column.name] = cells[name]
        return cells

    def resolve_own(self, rows: Sequence[int]) -> None:
        """Finds the parents of these rows that stand in the same table, as it now is."""
        for links in self.own:
            self._resolve(links, rows, fresh=True)

    def _resolve(self, links: list[Link], rows: Sequence[int], *, fresh: bool) -> None:
        """Puts into the columns of a foreign key what it is to hold."""
        for name in links[0].columns:
            self._values.setdefault(name, [NOTHING] * self._count)
        columns = [self._values[name] for name in links[0].columns]
        for link in links:
            going = self.going(rows)
            found = self._parents.find(link, going, fresh=fresh)
            self.refuse({going[place]: reason for place, reason in found.refused.items()})
            for row, key in zip(going, found.keys, strict=True):
                if key is NOTHING:
                    continue
                if columns[0][row] is not NOTHING:
                    names = " and ".join(leaf.name for each in links for leaf in each.leaves())
                    self.refuse({row: f"{names} are both given; give one, and leave the other empty"})
                for place, column in enumerate(columns):
                    column[row] = None if key is None else key[place]

    # --- the values

    def going(self, rows: Iterable[int]) -> list[int]:
        """Those that are not refused."""
        return [row for row in rows if row not in self.refused] if self.refused else list(rows)

    def refuse(self, reasons: Mapping[int, str]) -> None:
        self.refused |= {row: reason for row, reason in reasons.items() if row not in self.refused}

    @property
    def columns(self) -> Iterable[str]:
        """All of which some row may say something."""
        return self._values.keys()

    def value(self, name: str, row: int) -> Any:
        """NOTHING if the row says nothing of this column."""
        return self._values[name][row] if name in self._values else NOTHING

    def patterns(self, rows: Sequence[int]) -> Sequence[tuple[object, ...]]:
        """Of each row, column by column, whether it says something: NOTHING, None for NULL, or True."""
        said = [
            [value if value is NOTHING or value is None else True for value in map(values.__getitem__, rows)]
            for values in self._values.values()
        ]
        return list(zip(*said, strict=True)) if said else [()] * len(rows)

    def taken(self, names: Sequence[str], rows: Sequence[int]) -> RowSet:
        """NULL where a row says nothing."""
        columns = []
        for name in names:
            values = self._values[name]
            columns.append([None if (value := values[row]) is NOTHING else value for row in rows])
        return RowSet(names=tuple(names), columns=columns)

    def bound(self, wanted: RowSet) -> tuple[list[Key], dict[int, str]]:
        """As the database takes them, and the reason for each index that it cannot hold."""
        columns = self._target.columns(wanted.names)
        return bind(self._target.dialect, columns, wanted, {column.name: self.called(column) for column in columns})

    # --- keys

    def has_key(self, row: int) -> bool:
        key = self._rows.key
        return bool(key) and all(self.value(name, row) not in (NOTHING, None) for name in key)

    def keys(self, rows: Sequence[int]) -> Marks:
        """By what each row is found, None if it does not say. Those of two rows are equal if their keys may be so to
        the database."""
        return self._marks([self._values[name] for name in self._rows.key if name in self._values], rows)

    def sought(self, rows: Sequence[int]) -> Marks | None:
        """By what the parents in the same table are found; None if no row has such a one."""
        if not self.own:
            return None
        named = {leaf.column.name: leaf.name for leaf in self.own[0][0].leaves()}
        return self._marks([self._cells[named[name]] for name in self._rows.key if named[name] in self._cells], rows)

    def _marks(self, values: Sequence[Sequence[Any]], rows: Sequence[int]) -> Marks:
        marks: Marks = [None] * len(rows)
        if not values or len(values) < len(self._rows.key):
            return marks
        whole = [place for place, row in enumerate(rows) if not any(each[row] in (NOTHING, None) for each in values)]
        columns = [
            _alike(column, [each[rows[place]] for place in whole])
            for column, each in zip(self._target.columns(self._rows.key), values, strict=True)
        ]
        for place, mark in zip(whole, zip(*columns, strict=True), strict=True):
            marks[place] = mark
        return marks

    # --- in words

    def called(self, column: Column) -> str:
        """The fields that give a column: those of the file, else those that it could have."""
        named = [[leaf.name for leaf in part.leaves()] for part in self._giving(column.name)]
        return " and ".join(next((names for names in named if set(names) & self._texts.keys()), named[0]))

    def _giving(self, column: str) -> Iterator[Leaf | Link]:
        return (part for part in (*self._rows.parts, *self._rows.raw) if column in part.columns)

    def lacking(self, column: Column, row: int) -> str:
        """Why a row has no value for a column."""
        if column.name not in self._values:
            return f"{self.called(column)} is not given"
        return f"{self.called(column)} is {self._null if self.value(column.name, row) is None else 'empty'}"

    def locating(self) -> list[str]:
        """The fields of the file by which rows are found."""
        parts = [part for part in (*self._rows.parts, *self._rows.raw) if self._rows.locates(part)]
        return [leaf.name for part in parts for leaf in part.leaves() if leaf.name in self._texts]

    def told(self, row: int) -> str:
        """What a row says of its own key."""
        return self.said(self._rows.key, row)

    def said(self, columns: Iterable[str], row: int) -> str:
        """What a row says of some columns, as it stands in the file."""
        parts = dict.fromkeys(part for name in columns for part in self._giving(name))
        fields = (leaf.name for part in parts for leaf in part.leaves() if leaf.name in self._texts)
        return " and ".join(f"{name} = {show(self._texts[name][row])}" for name in fields if self._texts[name][row])


def _alike(column: Column, values: list[Any]) -> Sequence[Any]:
    """The same for values that a database may take for the same, as MariaDB does texts that differ in case, accents, or
    spaces at the end."""
    if column.kind is not Kind.TEXT:
        return canonical(column, values)
    return [text.lower().rstrip() if text.isascii() else _folded(text) for text in values]


def _folded(text: str) -> str:
    parted = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in parted if not unicodedata.combining(each)).casefold().rstrip()
