"""All days of a scale in one table: of each participant and session the first entry that is complete."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from pusher.errors import UsageError
from pusher.export.csvfile import SEALED, Table
from pusher.export.reports import columns_of

NONE = "-"  # in place of a session column: the scale has none
_PARTICIPANT = ("participantId", "participant", "participantRSA", "participant.id")
_SESSION = ("session", "sessionName", "session.name")
_MOST_DIGITS = 18
_ID, _DATE, _TAG = ("id",), ("date", "dateCompleted", "dateSubmitted"), ("tag",)

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Combined:
    """`read`: how many rows there were. `left_out`: how many of them are not in `rows`. `nobody`: rows kept without a
    participant, since whose they are is not known."""

    columns: list[str]
    rows: list[Row]
    read: int
    left_out: int
    nobody: int
    participant: str
    session: str | None


def combined(tables: Sequence[Table], participant: str | None = None, session: str | None = None) -> Combined:
    """`tables`: one a day. `participant`, `session`: the columns that say whose an entry is, where their names are not
    usual ones. Raises UsageError if there are no such columns."""
    columns = columns_of(tables)
    whose = _column(columns, "--participant", participant, _PARTICIPANT)
    when = None if session == NONE else _column(columns, "--session", session, _SESSION)
    date, id_, tag = (_found(columns, names) for names in (_DATE, _ID, _TAG))
    rows = sorted((row for table in tables for row in table.rows), key=lambda row: _order(row, date, id_))
    described = {whose, when, date, id_, tag}
    answers = [name for name in columns if name not in described and any(row.get(name) for row in rows)]
    kept: dict[object, Row] = {}
    nobody = 0
    for place, row in enumerate(rows):
        key: object = (row.get(whose), row.get(when or ""), row.get(tag or ""))
        if row.get(whose, "") in ("", SEALED):
            key = place
            nobody += 1
        if key not in kept or (not _complete(kept[key], answers) and _complete(row, answers)):
            kept[key] = row
    chosen = sorted(kept.values(), key=lambda row: _order(row, date, id_))
    return Combined(
        columns=columns,
        rows=chosen,
        read=len(rows),
        left_out=len(rows) - len(chosen),
        nobody=nobody,
        participant=whose,
        session=when,
    )


def _complete(row: Row, answers: Iterable[str]) -> bool:
    return all(row.get(name) for name in answers)


def _column(columns: Sequence[str], option: str, named: str | None, usual: Sequence[str]) -> str:
    found = named if named in columns else None if named else _found(columns, usual)
    if found is None:
        wanted = f'no column "{named}"' if named else f"none of the columns {', '.join(usual)}"
        without = f", or {option} {NONE} if there is none" if option == "--session" else ""
        there = ", ".join(columns) or "no columns at all"
        raise UsageError(f"{wanted} in these files; name one with {option} COLUMN{without}; there are: {there}")
    return found


def _found(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    """The column that has one of these names, in any case."""
    by_name = {name.casefold(): name for name in reversed(columns)}
    return next((by_name[name.casefold()] for name in usual if name.casefold() in by_name), None)


def _order(row: Row, date: str | None, id_: str | None) -> tuple[bool, float, bool, int]:
    """By date, then by id; what has none comes last."""
    moment = moment_of(row.get(date or "", ""))
    number = row.get(id_ or "", "")
    numbered = _is_number(number)
    return moment is None, moment or 0.0, not numbered, int(number) if numbered else 0


def moment_of(text: str) -> float | None:
    """Seconds since 1970 of a date as these servers write them: ISO 8601, as in mail, or milliseconds since 1970."""
    if _is_number(text):
        return int(text) / 1000
    for parse in (dt.datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, OverflowError):
            found = parse(text)
            return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
