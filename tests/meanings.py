"""What a bare driver reads of the tables of extremes, in a form in which the values of all dialects compare."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from typing import Any

from tests.extremes import Case, cases_of, connect, requoted

_READ = {
    ("mariadb", "number"): "CAST({} + 0 AS CHAR)",
    ("mariadb", "bits"): "CAST({} + 0 AS CHAR)",
    ("mariadb", "float"): "{} + 0e0",
    ("mariadb", "bytes"): "CONCAT('x', HEX({}))",
    **{("mariadb", sort): "CAST({} AS CHAR)" for sort in ("text", "moment", "instant", "json", "uuid", "address")},
    ("postgresql", "bytes"): "'x' || encode({}, 'hex')",
    ("postgresql", "float"): "{}::float8",
    **{("postgresql", sort): "{}::text" for sort in ("number", "bits", "text", "moment", "instant", "json", "uuid")},
    ("postgresql", "address"): "abbrev({})",  # as PostgreSQL shows it; its cast to text adds /128
}
_MOMENT = re.compile(r"(?:(\d+-\d\d-\d\d)[ T])?(-?\d+:\d\d)(:\d\d)?(\.\d+)?((?:Z|[+-]\d\d(?::\d\d)?)?)( BC)?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def read(url: str, dialect: str, table: str) -> dict[int, dict[str, object]]:
    """The cells of a table by row number and column, as values that compare equal if they mean the same."""
    cases = cases_of(dialect, table)
    expressions = [_READ.get((dialect, case.sort), "{}").format(f'"{case.name}"') for case in cases]
    with closing(connect(url)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(requoted(dialect, f'SELECT id, {", ".join(expressions)} FROM "{table}"'))
        return {
            row[0]: {case.name: _comparable(dialect, case, cell) for case, cell in zip(cases, row[1:], strict=True)}
            for row in cursor.fetchall()
        }


def _comparable(dialect: str, case: Case, cell: Any) -> object:
    if cell is None or case.sort == "any":
        return (type(cell).__name__, cell)
    if case.sort == "bits" and dialect == "postgresql":
        return Decimal(int(cell, 2))
    return _MEANINGS[case.sort](cell)


def _number(cell: Any) -> object:
    text = {"true": "1", "false": "0"}.get(cell, cell) if isinstance(cell, str) else repr(cell)
    try:
        number = Decimal(text)
    except ArithmeticError:
        return ("stray", cell)
    return str(number) if not number.is_finite() else number


def _float(cell: Any) -> object:
    return cell if not isinstance(cell, float) else "NaN" if cell != cell else cell


def _content(cell: Any) -> object:
    return cell.encode("utf-8", "surrogateescape") if isinstance(cell, str) else cell


def _bytes(cell: Any) -> object:
    """Hexadecimal digits of a server, or what SQLite holds; there text counts as the bytes of it."""
    return bytes.fromhex(cell[1:]) if isinstance(cell, str) and cell.startswith("x") else _content(cell)


def _moment(cell: Any) -> object:
    """Text without what dialects spell differently: T, zeros at the end of a fraction, seconds left out."""
    if not isinstance(cell, str):
        return ("stray", cell)
    text = f"{cell} 00:00:00" if _DAY.fullmatch(cell) else cell
    match = _MOMENT.fullmatch(text)
    if not match:
        return text
    day, time, seconds, fraction, zone, era = match.groups()
    return f"{day or ''} {time}{seconds or ':00'}{(fraction or '').rstrip('0').rstrip('.')}{zone}{era or ''}"


def _instant(cell: Any) -> object:
    text = str(_moment(cell)).strip()
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return text.replace("+00:00", "").replace("+00", "")
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _json(cell: Any) -> object:
    try:
        return json.loads(cell if isinstance(cell, str | bytes) else repr(cell), parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        return ("stray", cell)


_MEANINGS: dict[str, Callable[[Any], object]] = {
    "number": _number,
    "bits": _number,
    "float": _float,
    "text": _content,
    "bytes": _bytes,
    "moment": _moment,
    "instant": _instant,
    "json": _json,
    "address": _content,
    "uuid": lambda cell: str(cell).lower(),
}
