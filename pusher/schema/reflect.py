"""Reads the tables of a database into the form that both sides can compare."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc, types
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.interfaces import ReflectedColumn

from pusher.schema.engine import reaching
from pusher.schema.stamp import stamp
from pusher.wire.forms import learn
from pusher.wire.tables import Column, Kind, Reference, Schema, Table

# "Did not recognize type": such a column is text to us. Once for all, since threads share the filters.
warnings.filterwarnings("ignore", category=exc.SAWarning, module=__name__)

# The first that fits decides, so subclasses stand before their parents.
_KINDS: tuple[tuple[type[types.TypeEngine[Any]], Kind], ...] = (
    (types.Uuid, Kind.UUID),
    (types.JSON, Kind.JSON),
    (types.Enum, Kind.TEXT),
    (types.Boolean, Kind.BOOLEAN),
    (types.Integer, Kind.INTEGER),
    (types.REAL, Kind.SINGLE),
    (types.Float, Kind.FLOAT),
    (types.Numeric, Kind.DECIMAL),
    (types.DateTime, Kind.DATETIME),
    (types.Date, Kind.DATE),
    (types.Time, Kind.TIME),
    (types.LargeBinary, Kind.BYTES),
    (types._Binary, Kind.BYTES),
    (types.String, Kind.TEXT),
)
# Types that only one dialect has, by the name its compiler knows them by: to import them takes the whole dialect.
_OWN_KINDS = {
    ("mariadb", "BIT"): Kind.INTEGER,
    ("mariadb", "YEAR"): Kind.INTEGER,
    ("mariadb", "SET"): Kind.TEXT,
    ("postgresql", "BIT"): Kind.TEXT,
}

_MARIADB = ("mysql", "mariadb")
_INTEGER_BITS = 64
_COLUMN_TYPES = sa.text(
    "select table_name, column_name, data_type from information_schema.columns where table_schema = database()"
)
_PARTITIONS = sa.text(
    "select relname from pg_class where relispartition and relnamespace = current_schema()::regnamespace"
)
_GEOMETRIES = (
    *("geometry", "point", "linestring", "polygon"),
    *("multipoint", "multilinestring", "multipolygon", "geometrycollection"),
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "0": "\0"}


def reflect(engine: Engine, what: str = "the database") -> Schema:
    """Every base table of the engine's default schema; views are left alone.

    Raises Unreachable, naming `what`, if the database is not there.
    """
    with reaching(what), engine.connect() as connection:
        return Schema(dialect=dialect_name(engine), tables=_reflect_tables(connection))


class Reflected(msgspec.Struct, frozen=True, kw_only=True):
    """The tables of a database, and the stamp that it had just before they were read."""

    stamp: str
    schema: Schema


learn(Reflected)


def reflect_changed(engine: Engine, known: Reflected | None, what: str = "the database") -> Reflected:
    """`known` itself as long as no table has changed, which takes a small part of the time. Raises Unreachable."""
    with reaching(what), engine.connect() as connection:
        now = stamp(connection)
        if known and known.stamp == now:
            return known
        return Reflected(stamp=now, schema=Schema(dialect=dialect_name(engine), tables=_reflect_tables(connection)))


def dialect_name(engine: Engine) -> str:
    """`mariadb` (also for MySQL: they differ in nothing that matters here), `postgresql` or `sqlite`."""
    return "mariadb" if engine.dialect.name in _MARIADB else engine.dialect.name


def schema_hash(schema: Schema) -> str:
    return blake2b(msgspec.json.encode(schema), digest_size=16).hexdigest()


def _reflect_tables(connection: Connection) -> tuple[Table, ...]:
    inspector = sa.inspect(connection)
    columns = inspector.get_multi_columns()
    primary_keys = inspector.get_multi_pk_constraint()
    uniques = inspector.get_multi_unique_constraints()
    # Of SQLite's UNIQUE constraints not all are found in the text of a table, but all have an index.
    indexes = inspector.get_multi_indexes(include_auto_indexes=True)
    foreign_keys = inspector.get_multi_foreign_keys()
    if connection.dialect.name in _MARIADB:
        _name_geometries(connection, columns)
    # The rows of a partition are those of its table; on both sides they would be another's.
    hidden = set(connection.scalars(_PARTITIONS)) if connection.dialect.name == "postgresql" else set()
    tables = []
    for place in sorted(columns, key=lambda place: place[1]):
        if place[1] in hidden:
            continue
        primary_key = tuple(primary_keys[place]["constrained_columns"]) if primary_keys.get(place) else ()
        references = _references(key for key in foreign_keys.get(place, []) if key["referred_table"] not in hidden)
        tables.append(
            Table(
                name=place[1],
                columns=_reflect_columns(connection, place[1], columns[place], primary_key, references),
                primary_key=primary_key,
                uniques=_uniques(uniques.get(place, []), indexes.get(place, []), primary_key),
                references=references,
                indexes=_indexes(indexes.get(place, []), primary_key),
            )
        )
    return tuple(tables)


def _name_geometries(connection: Connection, columns: Any) -> None:
    """What SQLAlchemy has no type for is text; but a geometry has no exact text form, so it travels as its bytes."""
    from sqlalchemy.dialects.mysql import LONGBLOB

    unknown = {
        (place[1], column["name"]): column
        for place, of_table in columns.items()
        for column in of_table
        if isinstance(column["type"], types.NullType)
    }
    if not unknown:
        return
    for table, name, type_ in connection.execute(_COLUMN_TYPES):
        if (table, name) in unknown and type_.lower() in _GEOMETRIES:
            unknown[table, name]["type"] = LONGBLOB()


def _references(foreign_keys: Any) -> tuple[Reference, ...]:
    found = {
        Reference(
            columns=tuple(key["constrained_columns"]),
            parent=key["referred_table"],
            parent_columns=tuple(key["referred_columns"]),
        )
        for key in foreign_keys
        if not key["referred_schema"]
    }
    return tuple(sorted(found, key=lambda reference: (reference.columns, reference.parent)))


def _uniques(constraints: Any, indexes: Any, primary_key: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    found = {tuple(constraint["column_names"]) for constraint in constraints}
    for index in indexes:
        partial = any(key.endswith("_where") for key in index.get("dialect_options", {}))
        if index["unique"] and not partial and all(index["column_names"]):
            found.add(tuple(index["column_names"]))
    return tuple(sorted(found - {primary_key}, key=lambda names: (len(names), names)))


def _indexes(indexes: Any, primary_key: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    found = {tuple(index["column_names"]) for index in indexes if all(index["column_names"])}
    return tuple(sorted(found | ({primary_key} if primary_key else set())))


_SQLITE_TYPE = sa.text("select type from pragma_table_info(:table) where name = :column")


def _reflect_columns(
    connection: Connection,
    table: str,
    columns: list[ReflectedColumn],
    primary_key: tuple[str, ...],
    references: tuple[Reference, ...],
) -> tuple[Column, ...]:
    referring = {name for reference in references for name in reference.columns}
    own_key = None if len(primary_key) != 1 or primary_key[0] in referring else primary_key[0]
    if own_key and connection.dialect.name == "sqlite":
        # Only this very word makes it an alias of the rowid, and SQLAlchemy takes INT for the same type.
        declared = connection.execute(_SQLITE_TYPE, {"table": table, "column": own_key}).scalar()
        own_key = own_key if str(declared).upper() == "INTEGER" else None
    return tuple(
        _reflect_column(
            connection, column, in_key=column["name"] in primary_key, numbered_key=column["name"] == own_key
        )
        for column in columns
    )


def _reflect_column(connection: Connection, column: ReflectedColumn, *, in_key: bool, numbered_key: bool) -> Column:
    dialect = dialect_name(connection.engine)
    type_: Any = column["type"]
    while type_.__visit_name__ == "DOMAIN":
        type_ = type_.data_type
    kind = _kind(type_, dialect)
    return Column(
        name=column["name"],
        kind=kind,
        declared=_declared(type_, connection),
        # SQLite lets a primary key be NULL; but then nothing tells a row from another.
        nullable=column["nullable"] and not in_key,
        length=_length(type_),
        precision=getattr(type_, "precision", None) if kind is Kind.DECIMAL else None,
        scale=_scale(type_, kind, dialect),
        padded=isinstance(type_, types.CHAR | types.BINARY) and dialect != "sqlite",
        numbered=_is_numbered(column, dialect, numbered_key),
        generated="computed" in column,
        has_default=column.get("default") is not None,
    )


def _kind(type_: Any, dialect: str) -> Kind:
    own = type_.__visit_name__
    if isinstance(type_, types.DateTime) and (type_.timezone or (dialect == "mariadb" and own == "TIMESTAMP")):
        return Kind.INSTANT
    if dialect == "mariadb" and isinstance(type_, types.FLOAT) and (type_.precision or 0) <= 24:
        return Kind.SINGLE
    if dialect == "postgresql" and own == "BIT" and not type_.varying and (type_.length or 1) <= _INTEGER_BITS:
        return Kind.INTEGER  # as MariaDB's BIT is
    if dialect == "sqlite" and isinstance(type_, types.Float):
        return Kind.FLOAT  # REAL is 64 bits there
    found = (kind for known, kind in _KINDS if isinstance(type_, known))
    return _OWN_KINDS.get((dialect, own)) or next(found, Kind.TEXT)


def _length(type_: Any) -> int | None:
    sized = isinstance(type_, types.String | types._Binary) and not isinstance(type_, types.Enum)
    return getattr(type_, "length", None) if sized and type_.__visit_name__ != "SET" else None


def _scale(type_: types.TypeEngine[Any], kind: Kind, dialect: str) -> int | None:
    if kind is Kind.DECIMAL:
        return getattr(type_, "scale", None) if dialect != "sqlite" else None
    if kind in (Kind.FLOAT, Kind.SINGLE) and dialect == "mariadb":
        return getattr(type_, "scale", None)  # FLOAT(7, 3) rounds
    if kind in (Kind.DATETIME, Kind.INSTANT, Kind.TIME):
        if dialect == "mariadb":
            return getattr(type_, "fsp", None) or 0
        return getattr(type_, "precision", None)
    return None


def _declared(type_: Any, connection: Connection) -> str:
    name = type_.__visit_name__
    if name in ("ENUM", "SET"):  # of MariaDB
        members = type_.enums if name == "ENUM" else type_.values
        return f"{name}({','.join(map(_quoted, members))})"
    try:
        # As a plain str: the name of an ENUM of PostgreSQL comes as a subclass of it, which no message can hold.
        return str(type_.compile(dialect=connection.dialect)).partition(" CHARACTER SET ")[0]
    except exc.CompileError:
        return "unknown"


def _quoted(member: str) -> str:
    """A member of an ENUM as it is, in quotes that are doubled within; MariaDB shows it with escapes as well."""
    text = _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), member)
    return "'" + text.replace("'", "''") + "'"


def _is_numbered(column: Mapping[str, Any], dialect: str, numbered_key: bool) -> bool:
    if dialect == "sqlite":
        return numbered_key
    if dialect == "postgresql":
        return bool(column.get("identity")) or "nextval(" in str(column.get("default") or "")
    return column.get("autoincrement") is True
