"""The quarantine: rows that central did not take, each with its reason, in the site's ledger. None is ever dropped."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from pusher.errors import UsageError
from pusher.ledger import Ledger
from pusher.wire.batch import unpack_cursor

_HOLD = """
insert into held (location, table_name, local_key, kind, reason, since, tried) values (?1, ?2, ?3, ?4, ?5, ?6, ?6)
on conflict (location, table_name, local_key)
do update set kind = excluded.kind, reason = excluded.reason, tried = excluded.tried, retry = 0
where not (?7 and held.kind = 'conflict')
"""
_ADD_REASON = """
update held set retry = 0, tried = ?6,
reason = case when instr(reason, ?5) then reason else ?5 || '; before: ' || reason end
where ?7 and location = ?1 and table_name = ?2 and local_key = ?3 and kind = 'conflict'
"""
_READ = "select id, location, table_name, local_key, kind, reason, since, tried, retry from held"
_SELECTED = """
(?1 is null or id in (select value from json_each(?1)))
and (?2 is null or location in (select value from json_each(?2)))
and (?3 is null or table_name = ?3) and (?4 is null or kind = ?4) and (not ?5 or retry)
"""


class Kind(StrEnum):
    """Why a row is held: central's database refuses it, another site owns its key, its parent is not at central, or
    central lacks it or has it otherwise, as `pusher verify` found, so that it is sent again. Or it is no row, but a
    file that cannot go where it should, an answer that could not be decrypted, a scale whose rows stay on their
    server, or a CSV file that waits to be mended."""

    REFUSED = "refused"
    CONFLICT = "conflict"
    PARENT = "parent"
    LACKING = "lacking"
    FILE = "file"
    SEALED = "sealed"
    DELETE = "delete"
    IMPORT = "import"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A row to be held: its local key as a JSON array, and why."""

    local_key: str
    reason: str
    kind: Kind = Kind.REFUSED


@dataclass(frozen=True, kw_only=True)
class HeldRow:
    """`since`, `tried`: when it was first and last refused, ISO 8601 in UTC. `retry`: the next run tries it again."""

    id: int
    location: str
    table: str
    local_key: str
    kind: Kind
    reason: str
    since: str
    tried: str
    retry: bool

    @property
    def key(self) -> tuple[Any, ...]:
        """The values of the columns that are the row's identity at the site."""
        return unpack_cursor(msgspec.json.decode(self.local_key))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Held rows of any location: those that suit whatever is given. `asked`: that somebody wants tried again."""

    ids: tuple[int, ...] | None = None
    locations: tuple[str, ...] | None = None
    table: str | None = None
    kind: Kind | None = None
    asked: bool = False

    def parameters(self) -> tuple[object, ...]:
        """In the order of _SELECTED."""
        ids, locations = (None if each is None else _json(each) for each in (self.ids, self.locations))
        return ids, locations, self.table, self.kind, self.asked


class HeldList:
    """What is held of all locations, as an operator sees it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def count(self, selection: Selection) -> int:
        ((number,),) = self._ledger.read(f"select count(*) from held where {_SELECTED}", *selection.parameters())
        return int(number)

    def rows(self, selection: Selection, *, limit: int = -1) -> list[HeldRow]:
        query = f"{_READ} where {_SELECTED} order by id limit ?6"
        return [_held(row) for row in self._ledger.read(query, *selection.parameters(), limit)]

    def locations(self, selection: Selection) -> list[str]:
        query = f"select distinct location from held where {_SELECTED} order by location"
        return [name for (name,) in self._ledger.read(query, *selection.parameters())]

    def check_known(self, ids: Iterable[int], selection: Selection) -> None:
        """Raises UsageError, naming the numbers under which nothing is held in `selection`."""
        known = {row.id for row in self.rows(selection)}
        unknown = [str(each) for each in dict.fromkeys(ids) if each not in known]
        if unknown:
            raise UsageError(f"no row is held under the number {', '.join(unknown)}; pusher held list shows all")

    def ask_retry(self, selection: Selection) -> None:
        """The next run tries these rows again."""
        with self._ledger.change() as db:
            db.execute(f"update held set retry = 1 where {_SELECTED}", selection.parameters())

    def give_up(self, ids: Iterable[int]) -> list[HeldRow]:
        """No longer holds these rows, which it returns. Raises UsageError if one is unknown; then nothing changes."""
        selection = Selection(ids=tuple(ids))
        with self._ledger.change() as db:
            rows = self.rows(selection)
            self.check_known(selection.ids or (), selection)
            db.execute(f"delete from held where {_SELECTED}", selection.parameters())
        return rows


class Quarantine:
    """What is held of one location. `lasting`: the tables whose conflicts are settled already, and are held for the
    operator to see: until he has them tried again, or gives them up."""

    def __init__(self, ledger: Ledger, location: str, lasting: Collection[str] = ()) -> None:
        self._ledger = ledger
        self._location = location
        self._lasting = lasting

    def hold(self, table: str, faults: Iterable[Fault], now: str) -> None:
        """A row that is held already keeps its number and gets the new reason, a lasting conflict beside its own."""
        lasting = table in self._lasting
        with self._ledger.change() as db:
            rows = [(self._location, table, f.local_key, f.kind, f.reason, now, lasting) for f in faults]
            db.executemany(_ADD_REASON, rows)
            db.executemany(_HOLD, rows)

    def counts(self) -> dict[str, int]:
        query = "select table_name, count(*) from held where location = ? group by table_name"
        return dict(self._ledger.read(query, self._location))

    def rows(self, table: str | None = None, *, limit: int = -1) -> list[HeldRow]:
        query = f"{_READ} where location = ? and (? is null or table_name = ?) order by id limit ?"
        return [_held(row) for row in self._ledger.read(query, self._location, table, table, limit)]

    def due(self, table: str, before: str, limit: int) -> list[HeldRow]:
        """The rows that wait for a parent, or were not tried since `before`: those that waited longest first."""
        due = "(kind in ('parent', 'lacking') or tried < ?) and not (? and kind = 'conflict')"
        query = f"{_READ} where location = ? and table_name = ? and {due} order by tried, id limit ?"
        lasting = table in self._lasting
        return [_held(row) for row in self._ledger.read(query, self._location, table, before, lasting, limit)]

    def asked(self, table: str, after: int, limit: int) -> list[HeldRow]:
        """The next rows behind number `after` that somebody wants tried again."""
        query = f"{_READ} where location = ? and table_name = ? and retry and id > ? order by id limit ?"
        return [_held(row) for row in self._ledger.read(query, self._location, table, after, limit)]

    def release(self, table: str, local_keys: Iterable[str]) -> None:
        """No longer holds rows that central has taken since, or that are gone; lasting conflicts it keeps."""
        query = "delete from held where location = ? and table_name = ? and local_key = ?"
        query += " and not (? and kind = 'conflict')"
        lasting = table in self._lasting
        with self._ledger.change() as db:
            db.executemany(query, ((self._location, table, key, lasting) for key in local_keys))

    def release_tried(self, table: str) -> None:
        """No longer holds the lasting conflicts that somebody wanted tried again, and that were not held anew."""
        query = "delete from held where location = ? and table_name = ? and kind = 'conflict' and retry"
        if table in self._lasting:
            with self._ledger.change() as db:
                db.execute(query, (self._location, table))


def _json(values: Iterable[object]) -> str:
    return msgspec.json.encode(values).decode()


def _held(row: tuple[int, str, str, str, str, str, str, str, int]) -> HeldRow:
    id_, location, table, local_key, kind, reason, since, tried, retry = row
    return HeldRow(
        id=id_,
        location=location,
        table=table,
        local_key=local_key,
        kind=Kind(kind),
        reason=reason,
        since=since,
        tried=tried,
        retry=bool(retry),
    )
