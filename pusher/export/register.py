"""What the site's ledger knows of an export location: which rows are archived and gone from the server, and when each
scale was asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from pusher.ledger import Ledger

_NOTE_FILE = """
insert into raw_file (location, scale, day, size) values (?1, ?2, ?3, ?4)
on conflict (location, scale, day) do update set size = excluded.size
"""
_NOTE_ROW = "insert or ignore into archived (location, scale, id, hash, day) values (?, ?, ?, ?, ?)"
_MAKE_SCALE = "insert or ignore into scale (location, scale) values (?, ?)"
_RAISE_BENCHMARK = """
update scale set benchmark = max(ifnull(benchmark, ?3), ?3) where location = ?1 and scale = ?2
"""
_KNOWN = """
select id, hash, day, gone from archived
where location = ? and scale = ? and id in (select value from json_each(?))
"""
_THERE = "select id, hash from archived where location = ? and scale = ? and gone is null order by id"
_GONE = "update archived set gone = ? where location = ? and scale = ? and id = ? and hash = ?"
_BACK = "update archived set gone = null where location = ? and scale = ? and id = ? and hash = ?"
_DECODED = """
update raw_file set decoded = ?, active_size = ?, key = ?, sealed = ? where location = ? and scale = ? and day = ?
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A raw file. `size`: of what is proven; `decoded`: up to where the active file, of `active_size` bytes, shows it,
    decrypted with the key of this fingerprint but for `sealed` fields."""

    size: int
    decoded: int
    active_size: int | None
    key: str | None
    sealed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """`benchmark`: the highest id. `snapshot`: what the newest one of a static scale hashes to. `asked`:
    when the server last gave rows, by its own clock; `asked_whole`: all of them, by the site's. ISO 8601 in UTC."""

    benchmark: int | None = None
    snapshot: str | None = None
    asked: str | None = None
    asked_whole: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """`day`: of the raw file. `gone`: when it was deleted on the server, empty if it vanished there by itself."""

    day: dt.date
    gone: str | None


Content = tuple[int, str]  # a row's id, and its hash


class Register:
    """Every change is on disk before a method returns."""

    def __init__(self, ledger: Ledger, location: str) -> None:
        self._ledger = ledger
        self._location = location

    def files(self, scale: str) -> dict[dt.date, File]:
        query = "select day, size, decoded, active_size, key, sealed from raw_file where location = ? and scale = ?"
        return {
            dt.date.fromisoformat(day): File(
                size=size, decoded=decoded, active_size=active_size, key=key, sealed=sealed
            )
            for day, size, decoded, active_size, key, sealed in self._ledger.read(query, self._location, scale)
        }

    def asked(self, scale: str) -> Asked:
        query = "select benchmark, snapshot, asked, asked_whole from scale where location = ? and scale = ?"
        for benchmark, snapshot, asked, asked_whole in self._ledger.read(query, self._location, scale):
            return Asked(benchmark=benchmark, snapshot=snapshot, asked=asked, asked_whole=asked_whole)
        return Asked()

    def scales(self) -> list[str]:
        """All that were archived ever."""
        query = "select scale from scale where location = ? order by scale"
        return [scale for (scale,) in self._ledger.read(query, self._location)]

    def benchmarks(self) -> dict[str, int]:
        query = "select scale, benchmark from scale where location = ? and benchmark is not null order by scale"
        return dict(self._ledger.read(query, self._location))

    def known(self, scale: str, ids: Iterable[int]) -> dict[Content, Known]:
        """Which contents of these rows are archived."""
        numbers = msgspec.json.encode(list(ids)).decode()
        return {
            (id_, hash_): Known(day=dt.date.fromisoformat(day), gone=gone)
            for id_, hash_, day, gone in self._ledger.read(_KNOWN, self._location, scale, numbers)
        }

    def still_there(self, scale: str) -> list[Content]:
        """What is archived, and not known to be gone from the server."""
        return list(self._ledger.read(_THERE, self._location, scale))

    def counts(self) -> dict[str, tuple[int, int]]:
        """By scale how many contents are archived, and how many of them are not known to be gone from the server."""
        query = "select scale, count(*), count(*) - count(gone) from archived where location = ? group by scale"
        return {scale: (rows, there) for scale, rows, there in self._ledger.read(query, self._location)}

    def note_archived(
        self, scale: str, day: dt.date, size: int, rows: Iterable[Content], snapshot: str | None = None
    ) -> None:
        """What was read back from the disk and found right. `snapshot`: the hash of one that is whole now."""
        each = list(rows)
        with self._ledger.change() as db:
            db.execute(_MAKE_SCALE, (self._location, scale))
            db.execute(_NOTE_FILE, (self._location, scale, day.isoformat(), size))
            values = ((self._location, scale, id_, hash_, day.isoformat()) for id_, hash_ in each)
            db.executemany(_NOTE_ROW, values)
            if each:
                db.execute(_RAISE_BENCHMARK, (self._location, scale, max(id_ for id_, _ in each)))
            if snapshot:
                query = "update scale set snapshot = ? where location = ? and scale = ?"
                db.execute(query, (snapshot, self._location, scale))

    def note_asked(self, scale: str, moment: str, whole: str | None) -> None:
        """`whole`: when, if it gave all rows."""
        query = "update scale set asked = ?, asked_whole = ifnull(?, asked_whole) where location = ? and scale = ?"
        with self._ledger.change() as db:
            db.execute(_MAKE_SCALE, (self._location, scale))
            db.execute(query, (moment, whole, self._location, scale))

    def note_gone(self, scale: str, rows: Iterable[Content], now: str) -> None:
        with self._ledger.change() as db:
            db.executemany(_GONE, ((now, self._location, scale, *row) for row in rows))

    def forget_file(self, scale: str, day: dt.date) -> None:
        """A raw file that is no more: what is still on the server of it must be archived again."""
        values = (self._location, scale, day.isoformat())
        with self._ledger.change() as db:
            db.execute("delete from raw_file where location = ? and scale = ? and day = ?", values)
            db.execute("delete from archived where location = ? and scale = ? and day = ? and gone is null", values)

    def note_back(self, scale: str, rows: Iterable[Content]) -> None:
        """The server has them again, or still."""
        with self._ledger.change() as db:
            db.executemany(_BACK, ((self._location, scale, *row) for row in rows))

    def note_decoded(self, scale: str, day: dt.date, file: File) -> None:
        values = (file.decoded, file.active_size, file.key, file.sealed)
        with self._ledger.change() as db:
            db.execute(_DECODED, (*values, self._location, scale, day.isoformat()))
