"""What is bound for a value, and what is refused because a database would silently make something else of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pusher.schema.writing import to_parameters
from pusher.wire.tables import Column, Kind

_M, _P, _S = "mariadb", "postgresql", "sqlite"


def column(kind: Kind, declared: str = "", **how: Any) -> Column:
    return Column(name="c", kind=kind, declared=declared, **how)


def bound(dialect: str, column: Column, value: Any) -> Any:
    """The one parameter for a value that must not be refused."""
    (parameter,), refused = to_parameters(dialect, column, [value])
    assert not refused
    return parameter


_ENUM = column(Kind.TEXT, "ENUM('a','it''s','1','x,y')")
_SET = column(Kind.TEXT, "SET('a','b','2')")
_DATETIME = column(Kind.DATETIME, "DATETIME(6)", scale=6)


@pytest.mark.parametrize(
    ("dialect", "column", "value", "expected"),
    [
        (_M, column(Kind.INTEGER, "TINYINT(1)"), True, 1),
        (_P, column(Kind.INTEGER, "SMALLINT"), "7.00", 7),
        (_M, column(Kind.INTEGER, "YEAR(4)"), 0, 0),
        (_M, column(Kind.INTEGER, "BIGINT(20) UNSIGNED"), 2**64 - 1, 2**64 - 1),
        (_P, column(Kind.INTEGER, "BIT(4)"), 5, "0101"),
        (_M, column(Kind.INTEGER, "BIT(4)"), 5, 5),
        (_P, column(Kind.FLOAT), math.inf, math.inf),
        (_M, column(Kind.FLOAT), "0.5", 0.5),
        (_P, column(Kind.SINGLE), 0.1, 0.1),
        (_P, column(Kind.DECIMAL, scale=2, precision=5), "1.005", "1.01"),
        (_P, column(Kind.DECIMAL), 1e22, "10000000000000000000000"),
        (_S, column(Kind.DECIMAL), "0.10", 0.1),
        (_S, column(Kind.DECIMAL), "5.00", 5),
        (_S, column(Kind.DECIMAL), "NaN", "NaN"),
        (_P, column(Kind.BOOLEAN), 1, True),
        (_S, column(Kind.BOOLEAN), True, True),
        (_M, _ENUM, "it's", "it's"),
        (_M, _ENUM, "x,y", "x,y"),
        (_M, _SET, "a,2", "a,2"),
        (_M, _SET, "", ""),
        (_P, column(Kind.TEXT), b"abc", "abc"),
        (_P, column(Kind.TEXT), 0.1, "0.1"),
        (_S, column(Kind.TEXT, "TEXT"), 0.1 + 0.2, "0.30000000000000004"),
        (_S, column(Kind.TEXT, "unknown"), 0.1, 0.1),
        (_P, column(Kind.BYTES), "é", b"\xc3\xa9"),
        (_P, column(Kind.BYTES), "\udcff", b"\xff"),
        (_M, _DATETIME, "2013-05-01T12:00:00.500000", "2013-05-01T12:00:00.5"),
        (_P, column(Kind.DATETIME), "0044-03-15T12:00:00 BC", "0044-03-15T12:00:00 BC"),
        (_P, column(Kind.INSTANT), "2013-05-01T12:00:00+02:00", "2013-05-01T10:00:00"),
        (_M, column(Kind.TIME, scale=6), "-12:00:00", "-12:00:00"),
        (_S, column(Kind.DATETIME), "2013-05-01T12:00:00", "2013-05-01 12:00:00.000000"),
        (_S, column(Kind.DATETIME), "2013-05-01T12:00:00.1234567", "2013-05-01 12:00:00.1234567"),
        (_S, column(Kind.DATETIME), "2013-05-01T12:00", "2013-05-01 12:00:00.000000"),
        (_S, column(Kind.DATETIME), "hello world", "hello world"),
        (_S, column(Kind.TIME), "12:00:00.5", "12:00:00.500000"),
        (_S, column(Kind.TIME), "12:00:00+05:30", "12:00:00+05:30"),
        (_S, column(Kind.DATE), "2013-05-01", "2013-05-01"),
        (_P, column(Kind.JSON), 5, "5"),
        (_P, column(Kind.JSON), b"[]", "[]"),
        (_S, column(Kind.JSON), "1.50", 1.5),
        (_S, column(Kind.FLOAT), math.inf, math.inf),
        (_S, column(Kind.INTEGER), "x", "x"),
        (_S, column(Kind.INTEGER), b"\xff", b"\xff"),
    ],
)
def test_what_is_bound(dialect: str, column: Column, value: Any, expected: Any) -> None:
    assert repr(bound(dialect, column, value)) == repr(expected)


_REFUSED: list[tuple[str, Column, Any]] = [
    (_P, column(Kind.INTEGER, "SMALLINT"), 32768),
    (_M, column(Kind.INTEGER, "TINYINT(4) UNSIGNED"), -1),
    (_M, column(Kind.INTEGER, "MEDIUMINT(9)"), 2**23),
    (_S, column(Kind.INTEGER), 2**63),
    (_M, column(Kind.INTEGER, "YEAR(4)"), 5),
    (_M, column(Kind.INTEGER, "BIT(4)"), 16),
    (_M, column(Kind.INTEGER, "BIT(4)"), "101"),
    (_P, column(Kind.INTEGER, "INTEGER"), 1.5),
    (_P, column(Kind.INTEGER, "INTEGER"), "007"),
    (_P, column(Kind.INTEGER, "INTEGER"), "1_000"),
    (_M, column(Kind.FLOAT), math.nan),
    (_M, column(Kind.FLOAT), "1e999"),
    (_M, column(Kind.FLOAT, scale=2), 0.125),
    (_P, column(Kind.SINGLE), 1e39),
    (_S, column(Kind.FLOAT), math.nan),
    (_S, column(Kind.TEXT, "unknown"), math.nan),
    (_M, column(Kind.DECIMAL), "NaN"),
    (_P, column(Kind.DECIMAL, precision=5, scale=2), "999.995"),
    (_P, column(Kind.DECIMAL, precision=5, scale=2), "Infinity"),
    (_S, column(Kind.DECIMAL), "0.12345678901234567890"),
    (_S, column(Kind.DECIMAL), "9223372036854775809"),
    (_P, column(Kind.BOOLEAN), 2),
    (_P, column(Kind.BOOLEAN), "yes"),
    (_M, _ENUM, "A"),
    (_M, _ENUM, "2"),
    (_M, _ENUM, "a "),
    (_M, _ENUM, ""),
    (_M, _SET, "b,a"),
    (_M, _SET, "a,a"),
    (_M, _SET, "3"),
    (_P, column(Kind.TEXT, "VARCHAR(3)", length=3), "ab  "),
    (_M, column(Kind.TEXT, "TEXT"), "x" * 65_535 + " "),
    (_M, column(Kind.TEXT, "TINYTEXT"), "é" * 127 + "  "),
    (_P, column(Kind.TEXT, "CHAR(3)", length=3, padded=True), "ab "),
    (_P, column(Kind.TEXT), "a\0b"),
    (_P, column(Kind.TEXT), b"\xff"),
    (_P, column(Kind.TEXT, "BIT VARYING"), 10),
    (_M, column(Kind.TEXT), "\udcff"),
    (_P, column(Kind.TEXT), "\udcff"),
    (_S, column(Kind.TEXT), "\udcff"),
    (_M, column(Kind.BYTES, "BINARY(4)", length=4, padded=True), b"ab"),
    (_M, column(Kind.BYTES, "VARBINARY(1)", length=1), b"ab"),
    (_P, column(Kind.BYTES), 1),
    *((_P, column(Kind.DATETIME), text) for text in (
        "now", "2013-05-01T24:00:00", "2013-05-01T23:59:60", "2013-05-01T12:00:00+02:00", "20130501", "13-05-01",
        "2013-05-01T12:00:00.0000001", "2013-05-01T12:00:00.1234567", "")),
    (_M, column(Kind.DATETIME, scale=0), "2013-05-01T12:00:00.1234567"),
    (_M, _DATETIME, "infinity"),
    (_M, _DATETIME, 20130501),
    (_M, column(Kind.DATE), "2013-05-01T12:00:00"),
    (_P, column(Kind.DATE), "today"),
    (_P, column(Kind.TIME, "TIME WITHOUT TIME ZONE"), "12:00:00+02"),
    (_P, column(Kind.TIME, "TIME WITH TIME ZONE"), "12:00:00"),
    (_P, column(Kind.TIME, "TIME WITHOUT TIME ZONE"), "23:59:60"),
    (_P, column(Kind.TIME, "TIME WITHOUT TIME ZONE"), "-00:00:01"),
    (_M, column(Kind.TIME, scale=6), "12"),
    (_S, column(Kind.DATE), "2013"),
    (_P, column(Kind.JSON), math.nan),
    (_S, column(Kind.JSON), "1.00000000000000000001"),
    (_P, column(Kind.UUID), "{a0eebc99-9c0b-4ef8-8b6d-6bb9bd380a11}"),
    (_P, column(Kind.TEXT, nullable=False), None),
    (_S, column(Kind.INTEGER, numbered=True), None),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "column", "value"), _REFUSED)
def test_what_is_refused(dialect: str, column: Column, value: Any) -> None:
    parameters, refused = to_parameters(dialect, column, [value])
    assert parameters == [None]
    assert refused.keys() == {0}
    assert refused[0].startswith("c: ")


def test_only_the_bad_values_of_a_column_are_refused() -> None:
    parameters, refused = to_parameters(_P, column(Kind.INTEGER, "SMALLINT"), [1, 40000, None, "x", -3])
    assert parameters == [1, None, None, None, -3]
    assert refused == {1: "c: 40000 does not fit into SMALLINT", 3: "c: 'x' is not an integer"}


def test_a_reason_shows_no_more_than_the_beginning_of_a_long_value() -> None:
    _, refused = to_parameters(_P, column(Kind.INTEGER, "INTEGER"), ["x" * 10_000])
    assert len(refused[0]) < 100


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Kind.INTEGER, [1, None, 2]),
        (Kind.FLOAT, [0.5, None]),
        (Kind.TEXT, ["a", None, "é"]),
        (Kind.BYTES, [b"\xff", None]),
    ],
)
@pytest.mark.parametrize("dialect", [_M, _P, _S])
def test_columns_that_fit_are_not_copied(dialect: str, kind: Kind, values: list[Any]) -> None:
    assert to_parameters(dialect, column(kind), values)[0] is values
