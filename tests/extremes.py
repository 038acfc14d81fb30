"""Every column type of the dialects at its extremes, in each dialect's own SQL."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pymysql
from sqlalchemy.engine import make_url

INITIALS = {"mariadb": "m", "postgresql": "p", "sqlite": "s"}
TABLES = ("extreme", "binary")
_AT = "'2026-01-01 00:00:00'"
KEY_AND_CURSOR = {
    "mariadb": "id BIGINT NOT NULL PRIMARY KEY, at DATETIME(6) NOT NULL",
    "postgresql": "id BIGINT NOT NULL PRIMARY KEY, at TIMESTAMP NOT NULL",
    "sqlite": "id BIGINT NOT NULL PRIMARY KEY, at DATETIME NOT NULL",
}


@dataclass(frozen=True)
class Text:
    """A text, or bytes that are to stand in a column of text; written as hexadecimal digits, so nothing escapes it."""

    text: str | bytes

    @property
    def raw(self) -> bytes:
        return self.text if isinstance(self.text, bytes) else self.text.encode()


@dataclass(frozen=True)
class Value:
    """`literal`: SQL as it stands; Text, bytes and float are spelt by `_spell`. `refused`: initials of the
    dialects whose column of the same name cannot hold it."""

    literal: str | Text | bytes | float
    refused: str = ""


@dataclass(frozen=True)
class Case:
    """A column: its type in each dialect that has one like it, and the values in it, by the source's dialect."""

    name: str
    sort: str
    types: dict[str, str]
    values: dict[str, list[Value]]

    @property
    def table(self) -> str:
        """Bytes have a table of their own, since MariaDB's rows are read in another way where they occur."""
        return "binary" if self.sort == "bytes" else "extreme"


def _case(
    name: str, sort: str, mariadb: str | None, postgresql: str | None, sqlite: str, /, **values: list[Any]
) -> Case:
    """Values of `every` dialect, and of one alone; a pair is a value and the initials of those that refuse it."""
    all_types = {"mariadb": mariadb, "postgresql": postgresql, "sqlite": sqlite}
    types = {dialect: type_ for dialect, type_ in all_types.items() if type_ is not None}
    told = {
        dialect: [
            Value(*each) if isinstance(each, tuple) else Value(each)
            for each in [*values.get("every", []), *values.get(dialect, [])]
        ]
        for dialect in types
    }
    return Case(name, sort, types, told)


def _single(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


_TEXTS = [
    Text(""),
    Text("trailing  "),
    Text(" leading"),
    Text("'\"`\\ \\n ? :b"),
    Text("%s %% %(a)s %"),
    Text("a\tb\nc\rd\r\ne\x1a"),
    Text("".join(map(chr, range(1, 20)))),
    Text("".join(map(chr, [*range(20, 32), 127, 128, 0x2028]))),
    Text("\U0001f600日本語é"),
    Text("é" * 20),
    Text("007"),
    Text("1e5"),
    Text("NULL"),
    Text("NaN"),
    Text("2013-05-01 12:00:00"),
]
_JSON = [
    Text('{"b": [1, 2.50, "x", null, true, {"é": "\U0001f600"}], "a": 1e2, "c": -0.0}'),
    Text("[]"),
    Text('"text"'),
    Text("1"),
    Text("0.1"),
    Text("null"),
    Text("true"),
    Text('{"a": 1, "a": 2}'),
    Text('"\\ud83d\\ude00 \\\\ \\" \\n"'),
    Text('{"long": 12345678901234567890.123456789012345678901}'),
]
_DOUBLES = [0.1, 1 / 3, -0.0, 1e-308, 5e-324, -1.7976931348623157e308, 1e22, 9007199254740993.0, 100.0]

CASES = [
    _case("tiny", "number", "TINYINT", "SMALLINT", "TINYINT", every=["-128", "127", "0"]),
    _case("small", "number", "SMALLINT", "SMALLINT", "SMALLINT", every=["-32768", "32767"], sqlite=[("32768", "mp")]),
    _case("medium", "number", "MEDIUMINT", "INTEGER", "MEDIUMINT", every=["-8388608", "8388607"]),
    _case("plain", "number", "INT", "INTEGER", "INTEGER", every=["-2147483648", "2147483647"],
          sqlite=[("2147483648", "mp"), ("'x'", "mp"), ("x'01'", "mp"), ("1.5", "mp"), ("9e999", "mp")]),
    _case("big", "number", "BIGINT", "BIGINT", "BIGINT", every=["-9223372036854775808", "9223372036854775807"],
          sqlite=[("9.5e18", "mp")]),
    _case("unsigned", "number", "BIGINT UNSIGNED", "NUMERIC(20)", "BIGINT UNSIGNED",
          every=["0", "9223372036854775807"],
          mariadb=[("9223372036854775808", "s"), ("18446744073709551615", "s")],
          postgresql=[("18446744073709551615", "s"), ("18446744073709551617", "ms"), ("-1", "m")],
          sqlite=[("-1", "m")]),
    _case("zerofill", "number", "INT(5) ZEROFILL", "BIGINT", "INTEGER", every=["7", "4294967295"]),
    _case("zerofilled", "number", "DECIMAL(8,2) ZEROFILL", "NUMERIC(8,2)", "DECIMAL(8,2)", every=["7.25", "0"]),
    _case("flag", "number", "BOOLEAN", "BOOLEAN", "BOOLEAN", mariadb=["0", "1", ("2", "p")],
          postgresql=["true", "false"], sqlite=["0", "1", ("2", "p"), ("'maybe'", "mp")]),
    _case("bit", "bits", "BIT(1)", "BIT(1)", "INTEGER", mariadb=["b'0'", "b'1'"], postgresql=["B'0'", "B'1'"],
          sqlite=["0", "1", ("2", "mp"), ("-1", "mp")]),
    _case("bits", "bits", "BIT(64)", "BIT(64)", "INTEGER",
          mariadb=["0", "5", ("18446744073709551615", "s")],
          postgresql=["0::bit(64)", "5::bit(64)", ("(-1)::bit(64)", "s")], sqlite=["0", "9223372036854775807"]),
    _case("varbit", "text", "VARCHAR(64)", "BIT VARYING(64)", "TEXT", postgresql=["B''", "B'00101'"]),
    _case("made", "number", "YEAR", "SMALLINT", "INTEGER", mariadb=["0000", "1901", "2155"],
          postgresql=["0", "1901", "2155", ("5", "m"), ("70", "m"), ("2156", "m")], sqlite=["0", ("5", "m")]),
    _case("exact", "number", "DECIMAL(30,10)", "NUMERIC(30,10)", "DECIMAL(30,10)",
          every=["0", "0.1", "-0.1", "0.0000000001", "12345.5", "-100"],
          mariadb=[("99999999999999999999.9999999999", "s"), ("-0.1234567891", "")],
          postgresql=[("99999999999999999999.9999999999", "s"), ("'NaN'", "m")],
          sqlite=["9007199254740993", ("1e20", "mp"), ("9e999", "mp"), ("'x'", "mp"), ("x'00'", "mp")]),
    _case("number", "number", "DECIMAL(65,30)", "NUMERIC", "NUMERIC", every=["1e-30", "0.1", "12345"],
          postgresql=[("'NaN'", "m"), ("'Infinity'", "m"), ("'-Infinity'", "m"), ("1e40", "m"), ("1e-30", ""),
                      ("12345678901234567890.123456789", "s")],
          sqlite=[("1e40", "m"), ("9e999", "m"), "1e20"]),
    _case("single", "float", "FLOAT", "REAL", "REAL",
          every=[_single(0.1), -0.0, 1.0, _single(3.402823466e38), _single(1.2e-38), _single(1e-45), 16777216.0],
          postgresql=[("'NaN'", "ms"), ("'Infinity'", "m"), ("'-Infinity'", "m")],
          sqlite=[("9e999", "m"), ("1e39", "mp"), ("'x'", "mp")]),
    _case("double", "float", "DOUBLE", "DOUBLE PRECISION", "DOUBLE", every=_DOUBLES,
          postgresql=[("'NaN'", "ms"), ("'Infinity'", "m"), ("'-Infinity'", "m")],
          sqlite=[("9e999", "m"), ("-9e999", "m"), ("'NaN'", "m"), ("x'00'", "mp")]),
    _case("scaled", "float", "DOUBLE(10,2)", "DOUBLE PRECISION", "DOUBLE", every=[0.25, 0.1, 12.34],
          postgresql=[(0.125, "m")], sqlite=[(0.125, "m")]),
    _case("precise", "moment", "DATETIME(6)", "TIMESTAMP", "DATETIME",
          every=["'1000-01-01 00:00:00'", "'9999-12-31 23:59:59.999999'", "'2013-05-01 12:00:00.5'",
                 "'2013-05-01 12:00:00.000001'", "'1969-12-31 23:59:59'"],
          mariadb=[("'0000-00-00 00:00:00'", "p"), ("'2013-05-00 00:00:00'", "p"), ("'0000-01-01 00:00:00'", "p")],
          postgresql=["'0001-01-01 00:00:00'", ("'infinity'", "m"), ("'-infinity'", "m"),
                      ("'4713-01-01 00:00:00.25 BC'", "m"), ("'294276-12-31 23:59:59.999999'", "m")],
          sqlite=["'2013-05-01T12:00:00'", "'2013-05-01'", "'2013-05-01 12:00'", "'2013-05-01 12:00:00.500000'",
                  *[(f"'{text}'", "mp") for text in (
                      "now", "13-05-01", "hello world", "hello T world", "2013-05-01 23:59:60",
                      "2013-05-01 24:00:00", "2013-05-01 12:00:00+02:00", "2013-05-01 12:00:00.1234567",
                      "2013-05-01 12:00:00.0000001", "2013-02-30 12:00:00", "")],
                  ("1367409600", "mp"), ("1.5", "mp"), ("x'32303133'", "mp")]),
    _case("seconds", "moment", "DATETIME", "TIMESTAMP(0)", "DATETIME",
          every=["'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'", "'2013-05-01 12:00:00'"]),
    _case("instant", "instant", "TIMESTAMP(6) NULL", "TIMESTAMPTZ", "TIMESTAMP",
          every=["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'", "'2013-05-01 12:00:00.5'",
                 "'2013-10-27 01:30:00'"],
          mariadb=[("'0000-00-00 00:00:00'", "p")],
          postgresql=["'2013-05-01 12:00:00+05:30'", ("'1970-01-01 00:00:00+00'", "m"),
                      ("'2038-01-19 03:14:08+00'", "m"), ("'infinity'", "m"), ("'0044-03-15 12:00:00+00 BC'", "m")],
          sqlite=["'2013-05-01 12:00:00+02:00'", "'2013-05-01T12:00:00Z'"]),
    _case("day", "text", "DATE", "DATE", "DATE", every=["'1000-01-01'", "'9999-12-31'", "'2012-02-29'"],
          mariadb=[("'0000-00-00'", "p"), ("'2013-00-00'", "p")],
          postgresql=[("'infinity'", "m"), ("'4713-01-01 BC'", "m"), ("'5874897-12-31'", "m")],
          sqlite=[("'2013-05-01 12:00:00'", "mp"), ("'2013-02-30'", "mp"), ("'today'", "mp"), ("'2013'", "mp"),
                  ("20130501", "mp"), ("''", "mp")]),
    _case("time", "moment", "TIME(6)", "TIME", "TIME",
          every=["'00:00:00'", "'23:59:59.999999'", "'12:00:00.5'"],
          mariadb=["'24:00:00'", ("'-838:59:59.999999'", "p"), ("'838:59:59.999999'", "p"), ("'-00:00:00.5'", "p")],
          postgresql=["'24:00:00'"],
          sqlite=["'12:00'", ("'25:00:00'", "p"), ("'-12:00:00'", "p"), ("'12:00:00+02'", "mp"), ("'noon'", "mp"),
                  ("'12'", "mp"), ("'23:59:60'", "mp")]),
    _case("zoned", "text", "VARCHAR(40)", "TIMETZ", "TEXT", postgresql=["'12:00:00+05:30'", "'23:59:59.5-15:59'"],
          sqlite=[("'12:00:00'", "p")]),
    _case("fixed", "text", "CHAR(5)", "CHAR(5)", "CHAR(5)",
          every=[Text(""), Text("ab"), Text(" \u65e5\U0001f600é")], sqlite=[("'ab  '", "mp"), ("'abcdef'", "mp")]),
    _case("short", "text", "VARCHAR(20)", "VARCHAR(20)", "VARCHAR(20)", every=_TEXTS,
          mariadb=[(Text("a\0b"), "p")],
          sqlite=[(Text("a\0b"), "p"), (Text("é" * 21), "mp"), (Text("x" * 20 + " "), "mp"), (Text(b"a\xffb"), "mps"),
                  (Text(b"\xed\xa0\x80"), "mps"), ("x'6162'", ""), ("x'ff'", "mp")]),
    _case("long", "text", "LONGTEXT", "TEXT", "TEXT",
          every=[*_TEXTS[:8], Text("\U0001f600" * 20_000 + "\\'\"" * 5_000), Text("x" * 65_536 + " ")]),
    _case("middling", "text", "TEXT", "TEXT", "TEXT", every=[Text("x" * 65_534 + " ")],
          postgresql=[(Text("x" * 65_535 + " "), "m"), (Text("x" * 65_536), "m")]),
    _case("latin", "text", "VARCHAR(10) CHARACTER SET latin1", "VARCHAR(10)", "VARCHAR(10)",
          every=[Text("\u20acé'\\ ")], postgresql=[(Text("日"), "m")]),
    _case("chosen", "text", r"ENUM('a','b''c','1','x\\y','100%','Ö',' d')",
          "mood", "TEXT",
          every=[Text("a"), Text("b'c"), Text("1"), Text("x\\y"), Text("100%"), Text("Ö"), Text(" d")],
          postgresql=[(Text("A"), "m"), (Text("2"), "m")],
          sqlite=[(Text("A"), "m"), (Text("2"), "m"), (Text("a "), "mp"), (Text(""), "mp")]),
    _case("several", "text", "SET('a','b','2')", "TEXT", "TEXT", every=[Text("a,b"), Text(""), Text("2")],
          sqlite=[(Text("b,a"), "m"), (Text("3"), "m"), (Text("a,a"), "m"), (Text("A"), "m")]),
    _case("packed", "bytes", "BINARY(4)", "BYTEA", "BLOB", every=[b"ab\0\0", b"\xff\0\xff\n"],
          postgresql=[(b"ab", "m"), (b"abcde", "m")], sqlite=[(b"", "m")]),
    _case("every_byte", "bytes", "VARBINARY(300)", "BYTEA", "BLOB", every=[bytes(range(256)), b"", b"\0"],
          postgresql=[(bytes(301), "m")], sqlite=[("'text'", ""), ("1", "mp"), ("9e999", "mp")]),
    _case("large", "bytes", "LONGBLOB", "BYTEA", "BLOB", every=[bytes(range(256)) * 300]),
    _case("document", "json", "JSON", "JSONB", "JSON", every=_JSON[:9],
          mariadb=[(_JSON[9], ""), (Text("12345678901234567890.5"), "s"), (Text('"\\u0000"'), "p"),
                   (Text('{"x": 1e400}'), "")],
          postgresql=[(_JSON[9], ""), (Text("12345678901234567890.5"), "s")],
          sqlite=[(Text("{"), "mp"), (Text(""), "mp"), ("5", ""), ("9e999", "mp"), (Text('"\\ud800"'), "mp")]),
    _case("written", "json", "JSON", "JSON", "TEXT", every=_JSON),
    _case("uuid", "uuid", "UUID", "UUID", "CHAR(36)", every=[Text("a0eebc99-9c0b-4ef8-8b6d-6bb9bd380a11")],
          sqlite=[Text("A0EEBC99-9C0B-4EF8-8B6D-6BB9BD380A12"), (Text("none"), "mp")]),
    _case("address", "address", "INET6", "INET", "TEXT", every=[Text("::1"), Text("2001:db8::1")],
          postgresql=[(Text("10.0.0.0/8"), "m")], sqlite=[(Text("nowhere"), "mp")]),
    _case("span", "text", "VARCHAR(80)", "INTERVAL", "TEXT",
          postgresql=["'1 year 2 mons -3 days +04:05:06.789'", "'00:00:00'", "'-178000000 years'"]),
    _case("numbers", "text", "TEXT", "INTEGER[]", "TEXT", postgresql=["'{1,NULL,-2}'", "'{}'", "'{{1},{2}}'"]),
    _case("counted", "number", "INT", "positive", "INTEGER", every=["1"], mariadb=[("-1", "p")]),
    _case("place", "bytes", "POINT", "BYTEA", "BLOB", mariadb=["POINT(1, 0.1)"], postgresql=[(b"no", "m")]),
    _case("anything", "any", None, None, "", sqlite=["1", "0.1", "9e999", "'1'", "x'31'", "1e20", "'0.10'"]),
]  # fmt: skip

# Types that a database must know before a table of it.
BEFORE = {
    "postgresql": [
        r"""CREATE TYPE mood AS ENUM ('a', 'b''c', '1', 'x\y', '100%', 'Ö', ' d', 'A', '2')""",
        "CREATE DOMAIN positive AS INTEGER CHECK (value > 0)",
    ]
}


def create_tables(dialect: str) -> list[str]:
    """The statements that make both tables, with all cases that a dialect has a type for."""
    statements = list(BEFORE.get(dialect, []))
    for table in TABLES:
        columns = [f'"{case.name}" {case.types[dialect]}' for case in cases_of(dialect, table)]
        statement = f'CREATE TABLE "{table}" ({KEY_AND_CURSOR[dialect]}, {", ".join(columns)})'
        statements.append(requoted(dialect, statement))
    return statements


def cases_of(dialect: str, table: str) -> list[Case]:
    return [case for case in CASES if dialect in case.types and case.table == table]


def requoted(dialect: str, statement: str) -> str:
    return statement.replace('"', "`") if dialect == "mariadb" else statement


# --- the drivers themselves


def connect(url: str) -> Any:
    """A connection of the bare driver, which commits each statement."""
    place = make_url(url)
    match place.get_backend_name():
        case "sqlite":
            lite = sqlite3.connect(place.database or "", isolation_level=None)
            lite.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            return lite
        case "postgresql":
            session = {"TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "postgres", "extra_float_digits": "1"}
            return psycopg.connect(
                host=place.host,
                port=place.port,
                user=place.username,
                dbname=place.database,
                autocommit=True,
                client_encoding="UTF8",
                options=" ".join(f"-c {name}={value}" for name, value in session.items()),
            )
        case _:
            return pymysql.connect(
                host=place.host,
                port=place.port or 0,
                user=place.username,
                database=place.database,
                charset="utf8mb4",
                autocommit=True,
                init_command="SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'",
            )


def execute(url: str, *statements: str) -> None:
    with closing(connect(url)) as connection, closing(connection.cursor()) as cursor:
        for statement in statements:
            cursor.execute(statement)


def rows_of(dialect: str) -> Iterator[tuple[int, Case, Value]]:
    """One row for each value: its number, its only column that is not NULL, its value."""
    values = [(case, value) for case in CASES for value in case.values.get(dialect, [])]
    return ((number, case, value) for number, (case, value) in enumerate(values, 1))


def fill(url: str, dialect: str) -> None:
    """Puts every value of the dialect into its table, and into each a row of nothing but NULL as number 0."""
    with closing(connect(url)) as connection, closing(connection.cursor()) as cursor:
        for number, case, value in rows_of(dialect):
            literal, parameters = _spell(dialect, value.literal)
            insert = requoted(dialect, f'INSERT INTO "{case.table}" (id, at, "{case.name}") VALUES')
            cursor.execute(f"{insert} ({number}, {_AT}, {literal})", *([parameters] if parameters else []))
        for table in TABLES:
            cursor.execute(requoted(dialect, f'INSERT INTO "{table}" (id, at) VALUES (0, {_AT})'))


def _spell(dialect: str, literal: str | Text | bytes | float) -> tuple[str, tuple[float, ...]]:
    if isinstance(literal, float):
        return "?" if dialect == "sqlite" else "%s", (literal,)
    if isinstance(literal, str):
        return literal, ()
    digits = (literal.raw if isinstance(literal, Text) else literal).hex()
    if dialect == "postgresql":
        bytes_ = rf"'\x{digits}'::bytea"
        # From an unknown literal, so that it becomes whatever the column is.
        return (_quoted(literal.raw.decode()), ()) if isinstance(literal, Text) else (bytes_, ())
    if isinstance(literal, bytes):
        return f"x'{digits}'", ()
    return (f"_utf8mb4 x'{digits}'" if dialect == "mariadb" else f"CAST(x'{digits}' AS TEXT)"), ()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
