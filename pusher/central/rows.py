"""Finds and writes rows of one table of central; what a row's database refuses is told row by row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from pusher.central.joined import can_join, joined_delete, joined_update
from pusher.central.parents import checked_once
from pusher.central.refusals import Fault, fault_of, reason_of
from pusher.errors import SchemaMismatch
from pusher.schema.reading import Raw, raw_table, read_by_key
from pusher.schema.writing import to_parameters
from pusher.wire.tables import Column, Kind, RowSet, Table

Key = tuple[Any, ...]
_MARKS = re.compile(r" VALUES (\((?:%\(p\d+\)s(?:, )?)+\))")
_MARK = re.compile(r"%\(p(\d+)\)s")
_LONG_STATEMENT_CHARACTERS = 1 << 21  # longer than any that holds more than one row


Statement = Callable[[str, Table, tuple[str, ...], tuple[str, ...]], sa.UpdateBase]  # dialect, table, names, key


@dataclass(frozen=True, kw_only=True)
class Target:
    """A table of central within one transaction. `referenced`: whether rows of another table may refer to its own."""

    connection: sa.Connection
    dialect: str
    table: Table
    referenced: bool = True

    def columns(self, names: Iterable[str]) -> tuple[Column, ...]:
        return tuple(self.table.column(name) for name in names)

    def parameters(self, rows: RowSet) -> tuple[list[Key], dict[int, str]]:
        """The rows to bind, one tuple each, and the reason for each index that cannot be stored."""
        bound, refused = [], {}
        for column, values in zip(self.columns(rows.names), rows.columns, strict=True):
            parameters, faults = to_parameters(self.dialect, column, values)
            bound.append(parameters)
            refused.update({index: reason for index, reason in faults.items() if index not in refused})
        return list(zip(*bound, strict=True)), refused

    def find(self, names: tuple[str, ...], by: tuple[str, ...], keys: Sequence[Key]) -> RowSet:
        """The columns `names` of the rows whose columns `by` hold one of `keys` (bound values, no NULL)."""
        return read_by_key(self.connection, self.dialect, self.table, names, by, keys)

    def insert(self, names: tuple[str, ...], rows: list[Key]) -> dict[int, str]:
        """Adds rows; returns the reason for each index that the database refused."""
        return self._write(_insert, names, (), rows)

    def upsert(self, names: tuple[str, ...], key: tuple[str, ...], rows: list[Key]) -> dict[int, str]:
        """Adds rows, or overwrites those whose `key`, which the database keeps unique, is there already."""
        if self.dialect != "mariadb" or self.referenced:
            return self._write(_upsert, names, key, rows)
        with checked_once(self.connection, self.table, names, rows):
            return self._write(_upsert, names, key, rows)

    def update(self, names: tuple[str, ...], key: tuple[str, ...], rows: list[Key]) -> dict[int, str]:
        """Overwrites the rows whose columns `key` are those of `rows`; the other columns are set."""
        if set(names) <= set(key):
            return {}
        if can_join(self.connection.dialect, self.table, names, key, rows):
            return self._write_texts(joined_update(self.connection.dialect, self.table, names, key), rows, names)
        return self._write(_update, names, key, rows)

    def delete(self, key: tuple[str, ...], rows: list[Key]) -> dict[int, str]:
        """Deletes the rows whose columns `key` are those of `rows`; the reason for each index that was refused."""
        if can_join(self.connection.dialect, self.table, key, key, rows):
            return self._write_texts(joined_delete(self.connection.dialect, self.table, key), rows, key)
        return self._write(_delete, key, key, rows)

    def number(self, count: int) -> list[Key]:
        """`count` fresh primary keys of a table that the database numbers; call it under the table's lock."""
        name = next(name for name in self.table.primary_key if self.table.column(name).numbered)
        column = raw_table(self.table).c[name]
        highest = sa.select(column).order_by(column.desc()).limit(1)
        if self.dialect == "postgresql":
            return [(number,) for number in self._draw(name, count, self.connection.scalar(highest) or 0)]
        last = self.connection.scalar(highest.with_for_update()) or 0
        return [(last + step,) for step in range(1, count + 1)]

    def _draw(self, name: str, count: int, last: int) -> list[int]:
        """Of a column's sequence, which is behind `last` where rows came with numbers of their own, as from a dump."""
        sequence = sa.func.pg_get_serial_sequence(sa.literal(f'"{self.table.name}"'), sa.literal(name))
        draw = sa.select(sa.func.nextval(sequence)).select_from(sa.func.generate_series(1, count))
        numbers = list(self.connection.scalars(draw))
        if numbers[0] is None:
            raise SchemaMismatch(
                f"central's {self.table.name}.{name} has no sequence of its own (ALTER SEQUENCE OWNED BY)"
            )
        if numbers[0] <= last:
            self.connection.execute(sa.select(sa.func.setval(sequence, max(last, numbers[-1]))))
            numbers = list(self.connection.scalars(draw))
        return numbers

    def _write(self, make: Statement, names: tuple[str, ...], key: tuple[str, ...], rows: list[Key]) -> dict[int, str]:
        if not rows:
            return {}
        compiled = _compiled(make, self.connection.dialect, self.dialect, self.table, names, key)
        text = str(compiled)
        named = [names[int(place)] for place in dict.fromkeys(_MARK.findall(text))]
        marks = _MARKS.search(text) if self.dialect == "mariadb" else None
        if marks:
            # PyMySQL would write the same text, but value by value.
            # Without parameters, the driver does not take %% for %.
            around = (text[: marks.start(1)].replace("%%", "%"), text[marks.end(1) :].replace("%%", "%"))
            order = [int(place) for place in re.findall(r"\d+", marks[1])]
            return self._write_texts(around, _ordered(rows, order), named)
        # Handed to the driver as they are: for so many rows, naming each value would cost more than the rest.
        bound = _in_order(rows, compiled)
        return _write_or_split(self.connection, lambda part: self.connection.exec_driver_sql(text, part), bound, named)

    def _write_texts(self, around: tuple[str, str], rows: list[Key], named: Sequence[str]) -> dict[int, str]:
        """With statements that have the rows themselves in their text; `around`: what stands before and behind them."""
        from pusher.central.literals import statements  # and with it PyMySQL

        def write(part: list[Key]) -> None:
            for each in statements(*around, part):
                self._check_length(each)
                self.connection.exec_driver_sql(each, execution_options={"no_parameters": True})

        return _write_or_split(self.connection, write, rows, named)

    def _check_length(self, statement: str) -> None:
        """MariaDB hangs up on what is too long for it, which would look as if it were gone for a moment."""
        if len(statement) < _LONG_STATEMENT_CHARACTERS:
            return
        limit = self.connection.exec_driver_sql("select @@max_allowed_packet").scalar() or 0
        if len(statement.encode()) >= limit:
            raise OverflowError(f"the row is longer than central's max_allowed_packet, {limit} bytes")


@lru_cache(maxsize=256)
def _compiled(
    make: Statement,
    own_dialect: sa.Dialect,
    dialect: str,
    table: Table,
    names: tuple[str, ...],
    key: tuple[str, ...],
) -> sa.Compiled:
    return make(dialect, table, names, key).compile(dialect=own_dialect)


def _in_order(rows: list[Key], compiled: sa.Compiled) -> list[Any]:
    """Rows as the driver's way of marking parameters needs them; the parameter p3 is the fourth value."""
    order = getattr(compiled, "positiontup", None)
    if order is None:
        return [{f"p{place}": value for place, value in enumerate(row)} for row in rows]
    return _ordered(rows, [int(name[1:]) for name in order])


def _ordered(rows: list[Key], places: list[int]) -> list[Key]:
    """SQLAlchemy lists columns as the table does, not as the caller."""
    if places == list(range(len(places))):
        return rows
    return [tuple([row[place] for place in places]) for row in rows]


def _write_or_split(
    connection: sa.Connection,
    write: Callable[[list[Any]], object],
    rows: list[Any],
    names: Sequence[str],
    start: int = 0,
) -> dict[int, str]:
    """All rows at once; if the database refuses, each half by itself, down to the row that is at fault.

    Returns the reason for each index that was refused, counted from `start`.
    """
    if not rows:
        return {}
    savepoint = connection.begin_nested()
    try:
        write(rows)
        savepoint.commit()
        return {}
    except Exception as error:
        if fault_of(error) is not Fault.ROW:
            raise
        savepoint.rollback()
        error.__traceback__ = None  # the driver's error refers to itself, and so would keep all rows until a collection
        if len(rows) == 1:
            return {start: reason_of(error, names)}
    middle = len(rows) // 2
    refused = _write_or_split(connection, write, rows[:middle], names, start)
    return refused | _write_or_split(connection, write, rows[middle:], names, start + middle)


def _binds(names: Iterable[str]) -> dict[str, sa.BindParameter[Any]]:
    # Numbered, because a column may be called what no driver takes as the name of a parameter.
    return {name: sa.bindparam(f"p{place}", type_=Raw()) for place, name in enumerate(names)}


def _insert(_dialect: str, table: Table, names: tuple[str, ...], _key: tuple[str, ...]) -> sa.UpdateBase:
    return sa.insert(raw_table(table)).values(_binds(names))


def _update(_dialect: str, table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> sa.UpdateBase:
    source, binds = raw_table(table), _binds(names)
    values = {name: bind for name, bind in _binds(names).items() if name not in key}
    return sa.update(source).where(*(source.c[name] == binds[name] for name in key)).values(values)


def _delete(_dialect: str, table: Table, _names: tuple[str, ...], key: tuple[str, ...]) -> sa.UpdateBase:
    source, binds = raw_table(table), _binds(key)
    return sa.delete(source).where(*(source.c[name] == binds[name] for name in key))


def _upsert(dialect: str, table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> sa.UpdateBase:
    if dialect == "mariadb":
        return _mariadb_upsert(table, names, key)
    if dialect == "postgresql":  # to import a dialect takes its time
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    source = raw_table(table)
    others = [name for name in names if name not in key]
    conflict = insert(source).values(_binds(names))
    if not others:
        return conflict.on_conflict_do_nothing(index_elements=list(key))
    return conflict.on_conflict_do_update(
        index_elements=list(key), set_={name: conflict.excluded[name] for name in others}
    )


def _mariadb_upsert(table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> sa.UpdateBase:
    from sqlalchemy.dialects import mysql

    source = raw_table(table)
    statement = mysql.insert(source).values(_binds(names))
    # Setting the key to itself changes nothing, unlike INSERT IGNORE, which hides errors.
    others = [name for name in names if name not in key] or key
    values: dict[str, Any] = {name: statement.inserted[name] for name in others}
    for name in key:
        if table.column(name).kind is Kind.TEXT:
            # To MariaDB texts may be equal that differ in case, accents or spaces at the end: an error then, lest the
            # wrong row be overwritten. It has no way to raise one but a text that is no number.
            here, sent = source.c[name], statement.inserted[name]
            same = sa.cast(here, sa.BINARY) == sa.cast(sent, sa.BINARY)
            told = sa.func.concat(sa.literal_column("'its key is to central that of '"), here)
            values[name] = sa.case((same, here), else_=sa.cast(told, mysql.INTEGER))
    return statement.on_duplicate_key_update(values)


def can_upsert(dialect: str, table: Table, names: Iterable[str], key: tuple[str, ...]) -> bool:
    """Whether the database can decide by `key` alone: it keeps it unique, and no other unique key may interfere."""
    enforced = [frozenset(each) for each in table.unique_keys()]
    if frozenset(key) not in enforced or any(
        table.column(name).nullable and name not in table.primary_key for name in key
    ):
        return False
    # MariaDB overwrites the row that any unique key hits; the others look at the named key only.
    return dialect != "mariadb" or all(each == frozenset(key) for each in enforced if each <= frozenset(names))


def is_numbered(table: Table) -> bool:
    return any(table.column(name).numbered for name in table.primary_key)
