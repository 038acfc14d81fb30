"""Tells what an error of a database driver means: the row, the table, or the moment is at fault."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from enum import Enum

from sqlalchemy import exc

from pusher.schema.engine import first_line


class Fault(Enum):
    ROW = "row"  # this row will never be taken as it is
    TABLE = "table"  # the statement does not suit the table: the schema changed
    CONTENTION = "contention"  # another transaction was in the way: at once again
    MOMENT = "moment"  # disk full, database gone, read-only: later again


_MARIADB_CONTENTION = frozenset((1020, 1180, 1205, 1213, 1412))
_MARIADB_TABLE = frozenset((1044, 1045, 1054, 1064, 1142, 1143, 1146, 1305, 1364))
_MARIADB_MOMENT = frozenset(
    (
        *(3, 5, 23, 28, 126),
        *(1016, 1021, 1023, 1026, 1030, 1037, 1038, 1040, 1041, 1047, 1053, 1114, 1158, 1159, 1160, 1161, 1184),
        *(1203, 1226, 1290, 1317, 1792, 1836, 1878, 1927, 1969, 3024, 4031),
    )
)
_MARIADB_CLIENT_ERRORS = range(2000, 3000)
_SQLITE_ROW = frozenset((sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG))
_SQLITE_TABLE = frozenset((sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA))
# SQLite has one number for what is wrong with a statement and for what a value does to an expression.
_SQLITE_ROW_WORDS = ("malformed json", "bad json", "overflow", "user-defined function")
_POSTGRESQL_PARAMETER = re.compile(r"parameter \$(\d+)")


def fault_of(error: BaseException) -> Fault:
    """What is at fault. A driver that cannot even write a value down raises what no database raises."""
    if not isinstance(error, exc.DBAPIError):
        return Fault.ROW if isinstance(error, OverflowError | UnicodeError) else Fault.MOMENT
    if error.connection_invalidated:
        return Fault.MOMENT
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return _sqlite_fault(cause)
    driver = type(cause).__module__
    return _postgresql_fault(cause) if driver.startswith("psycopg") else _mariadb_fault(cause)


def reason_of(error: BaseException, names: Sequence[str] = ()) -> str:
    """One line for the operator, in the database's own words.

    `names`: the columns in the order of the statement's parameters, by whose number PostgreSQL speaks of them.
    """
    cause = getattr(error, "orig", None) or error
    context = getattr(getattr(cause, "diag", None), "context", None)
    number = _POSTGRESQL_PARAMETER.search(context or "")
    column = f"{names[int(number[1]) - 1]}: " if number and int(number[1]) <= len(names) else ""
    return column + first_line(cause)


def _postgresql_fault(cause: BaseException | None) -> Fault:
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return _driver_fault(cause)
    if state in ("40001", "40P01", "55P03"):
        return Fault.CONTENTION
    if state == "42804" or state[:2] in ("22", "23", "54", "P0", "44", "HV"):
        return Fault.ROW
    return Fault.TABLE if state[:2] in ("42", "3F") else Fault.MOMENT


def _sqlite_fault(cause: sqlite3.Error) -> Fault:
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return Fault.ROW  # a value that the driver does not know how to bind
    primary = code & 0xFF
    if primary in _SQLITE_TABLE:
        return Fault.ROW if any(word in str(cause).lower() for word in _SQLITE_ROW_WORDS) else Fault.TABLE
    return Fault.ROW if primary in _SQLITE_ROW else Fault.MOMENT


def _mariadb_fault(cause: BaseException | None) -> Fault:
    number = cause.args[0] if cause is not None and cause.args and isinstance(cause.args[0], int) else None
    if number in _MARIADB_CONTENTION:
        return Fault.CONTENTION
    if number in _MARIADB_TABLE:
        return Fault.TABLE
    if not number:  # 0: on a connection that is closed already
        return _driver_fault(cause)
    return Fault.MOMENT if number in _MARIADB_MOMENT or number in _MARIADB_CLIENT_ERRORS else Fault.ROW


def _driver_fault(cause: BaseException | None) -> Fault:
    """What the driver itself raised: before it sent a value that it cannot write down, or on a line that broke."""
    return Fault.MOMENT if type(cause).__name__ in ("OperationalError", "InterfaceError") else Fault.ROW
