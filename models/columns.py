"""The column types that mean the same on MariaDB, MySQL, PostgreSQL and SQLite."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, DateTime, Integer, String, Text
from sqlalchemy.dialects import mysql

_MYSQL = ("mysql", "mariadb")

# Engine and character set stand in the table, so that neither depends on how an operator made the database.
TABLE_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in _MYSQL
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def moment() -> DateTime:
    """A datetime with microseconds; plain DATETIME of MariaDB would cut them."""
    return DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL)


def exact(length: int) -> String:
    """Text of at most `length` characters whose every letter counts, also where MariaDB would ignore case."""
    return String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), *_MYSQL)


def long_text() -> Text:
    """Text beyond the 64 KiB where TEXT of MariaDB ends."""
    return Text().with_variant(mysql.LONGTEXT(), *_MYSQL)


def global_id() -> Integer:
    """An id that the application chooses.

    SQLite numbers rows only through a column declared exactly INTEGER PRIMARY KEY; another name for
    the type lets reflection tell a chosen id from a numbered one.
    """
    return Integer().with_variant(BigInteger(), "sqlite")
