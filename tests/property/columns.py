"""Columns whose values two sides may spell differently: what is written into them, and what it means at central.

The meanings are made of what the bare drivers give, with Python's own types; nothing of pusher is asked.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from hypothesis import strategies as st

from tests.conftest import DIALECTS

_EXACT = Context(prec=1000, rounding=ROUND_HALF_UP)
_MOMENT = re.compile(r"(\d+-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(\.\d+)?)?( BC)?")

Way = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Sort:
    """`read`: the SQL that has the driver give a cell exactly, by dialect. `meaning`: what a cell is once it stands in
    a column of central with so many digits (None: with all); equal for cells that are the same. `ways`: from a cell to
    one that is like it.
    """

    read: dict[str, str]
    meaning: Callable[[Any, int | None], object]
    ways: tuple[Way, ...]


@dataclass(frozen=True, kw_only=True)
class Column:
    """`types`: of the site's column and of central's, by dialect. `sort`: central's; `source`: the site's. `digits`:
    what central keeps, unless it is SQLite, which keeps everything. `values`: by dialect."""

    name: str
    types: dict[str, tuple[str, str]]
    source: Sort
    sort: Sort
    digits: int | None
    values: dict[str, st.SearchStrategy[Any]]

    def meaning(self, central: str, cell: Any) -> object:
        if cell is None:
            return None
        if self.sort is JSON and central == "mariadb":
            return _spelt(cell).encode()  # whose JSON is no more than text
        return self.sort.meaning(cell, None if central == "sqlite" else self.digits)


# --- what a cell means


def _number(cell: Any) -> Decimal:
    return Decimal(repr(cell) if isinstance(cell, float) else cell)


def _decimal(cell: Any, digits: int | None) -> object:
    number = _number(cell)
    if not number.is_finite() or digits is None:
        return str(number) if number.is_nan() else number
    return number.quantize(Decimal(1).scaleb(-digits), context=_EXACT)


def _float(cell: Any, digits: int | None) -> object:
    """`digits`: the bits, if they are 32."""
    value = float(cell)
    if digits == 32:
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return "NaN" if math.isnan(value) else value


def _moment(cell: Any, digits: int | None) -> object:
    found = _MOMENT.fullmatch(cell)
    if not found:
        return cell
    day, time, fraction, era = found.groups()
    kept = (fraction or ".").ljust(7, "0")[: 1 + (6 if digits is None else digits)].ljust(7, "0")
    return day, time or "00:00:00", kept, era


def _content(cell: Any, _digits: int | None) -> object:
    return cell.encode() if isinstance(cell, str) else bytes(cell)


def _integer(cell: Any, _digits: int | None) -> object:
    return int(cell)


def _spelt(cell: Any) -> str:
    """SQLite makes numbers of JSON that is nothing else."""
    return cell if isinstance(cell, str) else repr(cell)


def _json(cell: Any, _digits: int | None) -> object:
    return _tagged(json.loads(_spelt(cell), parse_float=Decimal, parse_int=Decimal))


def _tagged(document: Any) -> object:
    """Keeps true and 1 apart, which Python does not."""
    if isinstance(document, dict):
        return ("object", frozenset((name, _tagged(value)) for name, value in document.items()))
    if isinstance(document, list):
        return ("array", tuple(map(_tagged, document)))
    return (type(document).__name__, document)


# --- what is like it


def _to_single(towards: int) -> Way:
    """The neighbouring number of 32 bits."""

    def way(cell: Any) -> Any:
        (bits,) = struct.unpack("<i", struct.pack("<f", float(cell)))
        return struct.unpack("<f", struct.pack("<i", bits + towards))[0]

    return way


def _more(digits: int, times: int = 1) -> Way:
    """The next number with so many digits after the point."""
    return lambda cell: f"{_EXACT.add(_number(cell), Decimal(times).scaleb(-digits)):f}"


def _later(**by: int) -> Way:
    def way(cell: Any) -> Any:
        moved = dt.datetime.fromisoformat(cell) + dt.timedelta(**by)
        return moved.isoformat(" ") if len(cell) > len("2013-05-01") else moved.date().isoformat()

    return way


def _turned(document: Any) -> Any:
    """The same with the names of each object the other way round."""
    if isinstance(document, dict):
        return {name: _turned(value) for name, value in reversed(document.items())}
    return list(map(_turned, document)) if isinstance(document, list) else document


def _rewritten(change: Callable[[Any], Any], indent: int | None = None) -> Way:
    def way(cell: Any) -> Any:
        document = json.loads(_spelt(cell))
        return json.dumps(change(document), indent=indent)

    return way


def _bit(cell: Any) -> Any:
    return cell[:-1] + bytes([cell[-1] ^ 1])


def _plain(text: str) -> str:
    """Without accents."""
    return "".join(each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))


_TEXT_WAYS: tuple[Way, ...] = (
    lambda cell: cell[:1].swapcase() + cell[1:],
    lambda cell: cell[:-1] + cell[-1:].swapcase(),
    lambda cell: cell + " ",
    lambda cell: cell.rstrip(" "),
    lambda cell: " " + cell,
    lambda cell: cell + "\0",
    lambda cell: unicodedata.normalize("NFD", cell),
    lambda cell: unicodedata.normalize("NFC", cell),
    _plain,
    lambda cell: cell.replace("ß", "ss"),
    lambda _cell: "",
)
_FLOAT_WAYS: tuple[Way, ...] = (
    lambda cell: math.nextafter(cell, math.inf),
    lambda cell: math.nextafter(cell, -math.inf),
    lambda cell: -cell,
    _to_single(1),
    _to_single(-1),
)

_TEXT_OF = {"mariadb": "CAST({} AS CHAR)", "postgresql": "{}::text", "sqlite": "{}"}
_AS_IT_IS = dict.fromkeys(DIALECTS, "{}")
DECIMAL = Sort(
    read=_TEXT_OF,
    meaning=_decimal,
    ways=(
        _more(10),
        _more(10, -1),
        _more(2),
        _more(3),
        _more(11),
        lambda cell: f"{_EXACT.quantize(_number(cell), Decimal(1).scaleb(-12)):f}",
    ),
)
FLOAT = Sort(read={"mariadb": "{} + 0e0", "postgresql": "{}::float8", "sqlite": "{}"}, meaning=_float, ways=_FLOAT_WAYS)
MOMENT = Sort(
    read=_TEXT_OF,
    meaning=_moment,
    ways=(_later(microseconds=1), _later(microseconds=-1), _later(seconds=1), _later(days=1), _later(hours=1)),
)
TEXT = Sort(read=_TEXT_OF, meaning=_content, ways=_TEXT_WAYS)
BYTES = Sort(
    read=_AS_IT_IS, meaning=_content, ways=(_bit, lambda cell: cell + b"\0", lambda cell: cell + b" ", lambda _: b"")
)
BOOLEAN = Sort(read=_AS_IT_IS, meaning=_integer, ways=(lambda cell: not cell,))
INTEGER = Sort(read=_AS_IT_IS, meaning=_integer, ways=(lambda cell: cell + 1, lambda cell: cell - 1))
JSON = Sort(
    read=_TEXT_OF,
    meaning=_json,
    ways=(
        _rewritten(_turned),
        _rewritten(lambda document: document, indent=1),
        _rewritten(lambda document: [document]),
        _rewritten(lambda document: float(document) if type(document) is int else document),
        _rewritten(lambda document: int(document) if type(document) is bool else document),
        _rewritten(lambda document: math.nextafter(document, math.inf) if type(document) is float else document),
    ),
)

# --- what is written

_letters = st.text(st.sampled_from("aAbBeEéÉ\u0301äÄåßss  'İıKk\t"), max_size=6)
_texts = (
    _letters | st.text(st.characters(exclude_categories=["Cs"]), max_size=10) | st.sampled_from(["😀", "😁", "日本"])
)
_latin = st.text(st.sampled_from("aAeEéÉäÄåßs  '"), max_size=6)
_floats = st.floats(allow_nan=False, allow_infinity=False)
_singles = st.floats(allow_nan=False, allow_infinity=False, width=32)
_short_decimals = st.decimals(-(10**5), 10**5, places=4)
_decimals = _short_decimals | st.decimals(-(10**19), 10**19, places=10) | st.decimals(-9, 9, places=10)
_moments = (
    st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9999, 12, 30))
    | st.integers(0, 2).map(lambda n: dt.datetime(2020, 2, 29, 23, 59, 59, n * 499_999))
).map(lambda moment: moment.isoformat(" "))
_days = st.dates(dt.date(1000, 1, 1), dt.date(9999, 12, 30)).map(dt.date.isoformat)
_names = st.text(st.sampled_from("abAé 1"), max_size=3)
_documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.integers(-2, 2) | _floats | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=5,
).map(json.dumps)


def _by_dialect(
    every: st.SearchStrategy[Any], **more: st.SearchStrategy[Any] | list[Any]
) -> dict[str, st.SearchStrategy[Any]]:
    """`more`: what one dialect has beyond the others."""
    beyond = {name: st.sampled_from(each) if isinstance(each, list) else each for name, each in more.items()}
    return {dialect: every | beyond[dialect] if dialect in beyond else every for dialect in DIALECTS}


def _without_nul(values: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return _by_dialect(values) | {"postgresql": values.filter(lambda text: "\0" not in text and "\\u0000" not in text)}


def _column(
    name: str,
    sort: Sort,
    types: tuple[str, str, str],
    values: dict[str, st.SearchStrategy[Any]],
    *,
    source: Sort | None = None,
    there: tuple[str, str, str] | None = None,
    digits: int | None = None,
) -> Column:
    both = {dialect: (types[place], (there or types)[place]) for place, dialect in enumerate(DIALECTS)}
    return Column(name=name, types=both, source=source or sort, sort=sort, digits=digits, values=values)


_DOUBLE = ("DOUBLE", "DOUBLE PRECISION", "DOUBLE")
_SINGLE = ("FLOAT", "REAL", "REAL")
_EXACT_NUMBER = ("DECIMAL(30,10)", "NUMERIC(30,10)", "DECIMAL(30,10)")
_MICROSECONDS = ("DATETIME(6)", "TIMESTAMP", "DATETIME")
_SECONDS = ("DATETIME", "TIMESTAMP(0)", "DATETIME")
_double_values = _by_dialect(_floats | _singles, postgresql=[math.nan, math.inf, -math.inf], sqlite=[math.inf])
_decimal_values = _by_dialect(_decimals.map(str), postgresql=["NaN"])
_moment_values = _by_dialect(
    _moments,
    mariadb=["0000-00-00 00:00:00", "2013-05-00 00:00:00.000001"],
    postgresql=["infinity", "0044-03-15 12:00:00.25 BC", "294276-12-31 00:00:00.000001"],
    sqlite=["2013-05-01", "2013-05-01T12:00:00", "2013-05-01 12:00:00.50", "2013-05-01T12:00:00.000000"],
)

COLUMNS = (
    _column("double", FLOAT, _DOUBLE, _double_values, digits=64),
    _column("single", FLOAT, _SINGLE, _by_dialect(_singles, postgresql=[math.nan, math.inf]), digits=32),
    _column("halved", FLOAT, _DOUBLE, _double_values, there=_SINGLE, digits=32),
    _column("exact", DECIMAL, _EXACT_NUMBER, _decimal_values, digits=10),
    _column("narrow", DECIMAL, _EXACT_NUMBER, _decimal_values, digits=2,
            there=("DECIMAL(30,2)", "NUMERIC(30,2)", "DECIMAL(30,2)")),
    _column("wide", DECIMAL, ("DECIMAL(12,3)", "NUMERIC(12,3)", "DECIMAL(12,3)"),
            _by_dialect(_short_decimals.map(str)), there=("DECIMAL(65,30)", "NUMERIC", "NUMERIC"), digits=30),
    _column("settled", DECIMAL, _DOUBLE, _double_values, source=FLOAT, there=_EXACT_NUMBER, digits=10),
    _column("floating", FLOAT, _EXACT_NUMBER, _decimal_values, source=DECIMAL, there=_DOUBLE, digits=64),
    _column("precise", MOMENT, _MICROSECONDS, _moment_values, digits=6),
    _column("seconds", MOMENT, _MICROSECONDS, _moment_values, there=_SECONDS, digits=0),
    _column("day", MOMENT, ("DATE", "DATE", "DATE"),
            _by_dialect(_days, mariadb=["0000-00-00", "2013-00-00"], postgresql=["infinity", "4713-01-01 BC"])),
    _column("word", TEXT, ("VARCHAR(60) COLLATE utf8mb4_general_ci", "VARCHAR(60)", "VARCHAR(60) COLLATE NOCASE"),
            _without_nul(_texts)),
    _column("long", TEXT, ("LONGTEXT COLLATE utf8mb4_unicode_ci", "TEXT", "TEXT COLLATE RTRIM"), _without_nul(_texts)),
    _column("fixed", TEXT, ("CHAR(10)", "CHAR(10)", "CHAR(10)"), _without_nul(_texts)),
    _column("latin", TEXT, ("VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german1_ci", "VARCHAR(20)", "VARCHAR(20)"),
            _without_nul(_latin) | {"sqlite": _latin | _texts}),
    _column("raw", BYTES, ("VARBINARY(60)", "BYTEA", "BLOB"), _by_dialect(st.binary(max_size=8))),
    _column("truth", BOOLEAN, ("BOOLEAN", "BOOLEAN", "BOOLEAN"),
            _by_dialect(st.booleans(), mariadb=[2, -128], sqlite=[2])),
    _column("big", INTEGER, ("BIGINT", "BIGINT", "BIGINT"),
            _by_dialect(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63 - 1]))),
    _column("document", JSON, ("JSON", "JSONB", "JSON"), _without_nul(_documents)),
    _column("written", JSON, ("JSON", "JSON", "JSON"), _without_nul(_documents)),
)  # fmt: skip
