"""Tells what an error of a database driver means: the row, the table, or the moment is at fault."""

from __future__ import annotations

from enum import Enum

from sqlalchemy import exc

from pusher.schema.engine import first_line


class Fault(Enum):
    ROW = "row"  # this row will never be taken as it is
    TABLE = "table"  # the statement does not suit the table: the schema changed
    CONTENTION = "contention"  # another transaction was in the way: at once again
    MOMENT = "moment"  # disk full, database gone, read-only: later again


_MARIADB_CONTENTION = frozenset((1205, 1213, 1020, 1180, 1412))
_MARIADB_TABLE = frozenset((1044, 1045, 1054, 1142, 1143, 1146, 1305))
_MARIADB_MOMENT = frozenset(
    (
        3,
        5,
        23,
        28,
        126,
        1016,
        1021,
        1023,
        1026,
        1030,
        1037,
        1038,
        1040,
        1041,
        1053,
        1114,
        1158,
        1159,
        1160,
        1161,
        1184,
        1203,
        1226,
        1290,
        1317,
        1836,
        1878,
        1969,
        3024,
    )
)
_MARIADB_CLIENT_ERRORS = range(2000, 3000)
_SQLITE_MOMENT = ("locked", "full", "readonly", "disk i/o", "unable to open", "busy")


def fault_of(error: BaseException) -> Fault:
    """What is at fault. An error that no database raised, such as an integer too large to bind, is the row's."""
    if not isinstance(error, exc.DBAPIError):
        return Fault.ROW
    if error.connection_invalidated:
        return Fault.MOMENT
    cause = error.orig
    state = getattr(cause, "sqlstate", None)
    if state is not None or type(cause).__module__.startswith("psycopg"):
        return _postgresql_fault(state)
    if type(cause).__module__.startswith("sqlite3"):
        return _sqlite_fault(error)
    return _mariadb_fault(cause)


def reason_of(error: BaseException) -> str:
    """One line for the operator, in the database's own words."""
    return first_line(getattr(error, "orig", None) or error)


def _postgresql_fault(state: str | None) -> Fault:
    if state is None:
        return Fault.ROW  # refused by the driver before it was sent: a NUL in a text
    if state in ("40001", "40P01", "55P03"):
        return Fault.CONTENTION
    if state == "42804" or state[:2] in ("22", "23", "P0", "44", "HV"):
        return Fault.ROW
    return Fault.TABLE if state[:2] in ("42", "3F") else Fault.MOMENT


def _sqlite_fault(error: exc.DBAPIError) -> Fault:
    text = str(error.orig).lower()
    if isinstance(error, exc.OperationalError):
        return Fault.MOMENT if any(word in text for word in _SQLITE_MOMENT) else Fault.TABLE
    return Fault.MOMENT if "malformed" in text else Fault.ROW


def _mariadb_fault(cause: BaseException | None) -> Fault:
    number = cause.args[0] if cause is not None and cause.args and isinstance(cause.args[0], int) else 0
    if number in _MARIADB_CONTENTION:
        return Fault.CONTENTION
    if number in _MARIADB_TABLE:
        return Fault.TABLE
    if number in _MARIADB_MOMENT or number in _MARIADB_CLIENT_ERRORS:
        return Fault.MOMENT
    return Fault.ROW
