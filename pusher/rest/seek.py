"""The order of an answer, and how to go on behind a row of it: by the values of that row, not by counting rows."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa
from starlette.exceptions import HTTPException

from pusher.errors import ProtocolError
from pusher.rest.filters import exact
from pusher.schema.reading import Raw, expression, raw_table
from pusher.schema.storable import encodable
from pusher.wire.batch import pack_cursor, unpack_cursor
from pusher.wire.forms import learn
from pusher.wire.tables import Column, Kind, Table

_LONGEST_TOKEN = 8000
_LARGEST = 2**64
_SERVER_MEMBERS = ("ENUM(", "SET(")
_WALKED = (Kind.INTEGER, Kind.DATE, Kind.DATETIME, Kind.INSTANT)


class _Token(msgspec.Struct, frozen=True, array_like=True):
    """`order`: a hash of the order that it belongs to. `place`: a row's values, or how many rows to leave out."""

    order: str
    place: tuple[Any, ...] | int


learn(_Token)


@dataclass(frozen=True, kw_only=True)
class Order:
    """Columns, each with whether it falls; the last of them tell every row apart, if `total`.

    NULLs stand where the database puts them by itself (PostgreSQL last, the others first, the other way round where
    the order falls): only so can an index give the order.
    """

    dialect: str
    table: Table
    terms: tuple[tuple[str, bool], ...]
    total: bool

    @classmethod
    def of(cls, dialect: str, table: Table, terms: Sequence[tuple[str, bool]]) -> Order:
        """As the client wants it, then by a key in the direction of the last term, so that one index can give both."""
        key = _key(table)
        wanted = dict(terms)
        falling = terms[-1][1] if terms else False
        rest = key or tuple(column.name for column in table.columns)
        behind = [(name, falling) for name in rest if name not in wanted]
        return cls(dialect=dialect, table=table, terms=(*terms, *behind), total=bool(key))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.terms)

    @property
    def is_walk(self) -> bool:
        """Whether rows come in the order of the primary key, from either end, so that each page is found at once."""
        kinds = {self.table.column(name).kind for name in self.names}
        one_way = len({falling for _, falling in self.terms}) == 1
        return one_way and self.names == self.table.primary_key and kinds <= set(_WALKED)

    @cached_property
    def clauses(self) -> list[sa.ColumnElement[Any]]:
        sources = [self._source(name) for name in self.names]
        return [
            sa.desc(source) if falling else source for source, (_, falling) in zip(sources, self.terms, strict=True)
        ]

    def beyond(self, values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """What comes behind the row that has these values, as the driver gives them."""
        (name, falling), value = self.terms[0], values[0]
        behind = self._behind(0, values)
        if value is None or self._may_end_in_null(name, falling):
            return behind
        source, bound = self._source(name), self._bound(name, value)
        # MariaDB uses no index for `behind`, but does for this.
        return sa.and_(source <= bound if falling else source >= bound, behind)

    def token(self, values: Sequence[Any]) -> str:
        return self._packed(pack_cursor(values))

    def counted_token(self, rows: int) -> str:
        """Where nothing tells the rows apart, all that can be said of a place is how many are before it."""
        return self._packed(rows)

    def place(self, token: str) -> tuple[Any, ...] | int:
        """What `token` or `counted_token` was made of. Raises 400 if it was made of another order, or by hand."""
        try:
            if len(token) > _LONGEST_TOKEN:
                raise ValueError
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
            found = msgspec.json.decode(raw, type=_Token)
            place = found.place if isinstance(found.place, int) else unpack_cursor(found.place)
        except (ValueError, msgspec.DecodeError, ProtocolError) as error:
            raise HTTPException(400, "next is not what a Link of this service holds") from error
        if found.order != self._digest:
            raise HTTPException(400, "next belongs to another table or another sort; begin again without it")
        numbers = [place] if isinstance(place, int) else [each for each in place if isinstance(each, int)]
        whole = not self.total if isinstance(place, int) else self.total and len(place) == len(self.terms)
        if not whole or any(not -_LARGEST < number < _LARGEST for number in numbers):
            raise HTTPException(400, "next is not what a Link of this service holds")
        return place

    # ---

    @cached_property
    def _digest(self) -> str:
        return blake2b(repr((self.table.name, self.terms)).encode(), digest_size=6).hexdigest()

    def _packed(self, place: tuple[Any, ...] | int) -> str:
        return urlsafe_b64encode(msgspec.json.encode(_Token(self._digest, place))).decode("ascii").rstrip("=")

    def _behind(self, at: int, values: Sequence[Any]) -> sa.ColumnElement[bool]:
        (name, falling), value = self.terms[at], values[at]
        source = self._source(name)
        nulls_last = self._may_end_in_null(name, falling)
        if value is None:
            further: sa.ColumnElement[bool] = sa.false() if nulls_last else source.is_not(None)
            same: sa.ColumnElement[bool] = source.is_(None)
        else:
            bound = self._bound(name, value)
            further = source < bound if falling else source > bound
            further = sa.or_(further, source.is_(None)) if nulls_last else further
            same = source == bound
        if at + 1 == len(self.terms):
            return further
        return sa.or_(further, sa.and_(same, self._behind(at + 1, values)))

    def _may_end_in_null(self, name: str, falling: bool) -> bool:
        return self.table.column(name).nullable and falling == (self.dialect != "postgresql")

    def _source(self, name: str) -> sa.ColumnElement[Any]:
        column: Column = self.table.column(name)
        source = raw_table(self.table)
        # MariaDB sorts the members of a list by their number, and compares them by their text.
        if self.dialect == "mariadb" and column.declared.startswith(_SERVER_MEMBERS):
            return sa.type_coerce(sa.cast(source.c[name], sa.CHAR), Raw())
        if not self.total:  # by their text all types can be sorted, and no index is lost that would help
            return sa.type_coerce(expression(self.dialect, source, column), Raw())
        return source.c[name]

    def _bound(self, name: str, value: Any) -> Any:
        if isinstance(value, str) and not encodable(value):  # damaged text in SQLite
            return sa.cast(sa.literal(value.encode("utf-8", "surrogateescape"), Raw()), sa.Text)
        return exact(self.dialect, self.table.column(name), value)


def _key(table: Table) -> tuple[str, ...]:
    """What tells every row apart: the primary key, or else unique columns that are never NULL."""
    if table.primary_key:
        return table.primary_key
    never_null = {column.name for column in table.columns if not column.nullable}
    return next((unique for unique in table.uniques if set(unique) <= never_null), ())
