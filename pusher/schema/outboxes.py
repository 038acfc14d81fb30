"""What of change capture is in a database: outboxes, triggers, and the types that columns have, as SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from pusher.schema.triggers import ID, OUTBOX, REMOVED, TRIGGER, Capture, outbox_name, trigger_names

Types = Mapping[str, str]  # name of a column → its type

_SCHEMA = "select current_schema()"
_HERE = "(select oid from pg_namespace where nspname = current_schema())"
# As the database itself writes them: SQLAlchemy does not know every type. SQLite's bind no value.
_COLUMNS = {
    "mariadb": """
        select table_name, column_name, column_type,
            concat(' CHARACTER SET ', character_set_name, ' COLLATE ', collation_name)
        from information_schema.columns where table_schema = database() and table_name in :tables
        order by table_name, ordinal_position""",
    "postgresql": f"""
        select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), case when a.attcollation <> t.typcollation
            then ' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(l.collname) end
        from pg_class c join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid = a.atttypid
        left join pg_collation l on l.oid = a.attcollation left join pg_namespace n on n.oid = l.collnamespace
        where c.relnamespace = {_HERE} and c.relkind in ('r', 'p') and c.relname in :tables
            and a.attnum > 0 and not a.attisdropped
        order by c.relname, a.attnum""",
    "sqlite": """
        select m.name, c.name, '', null from sqlite_master m join pragma_table_xinfo(m.name) c
        where m.type = 'table' and m.name in :tables order by m.name, c.cid""",
}
_OUTBOXES = {
    "mariadb": "select table_name from information_schema.tables where table_schema = database()",
    "postgresql": f"select relname from pg_class where relnamespace = {_HERE} and relkind = 'r'",
    "sqlite": "select name from sqlite_master where type = 'table'",
}
_TRIGGERS = {
    "mariadb": """
        select trigger_name, event_object_table from information_schema.triggers
        where trigger_schema = database() and event_object_schema = database()""",
    "postgresql": f"""
        select t.tgname, c.relname from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = {_HERE} and not c.relispartition and not t.tgisinternal and t.tgenabled <> 'D'""",
    "sqlite": "select name, tbl_name from sqlite_master where type = 'trigger'",
}


class State(StrEnum):
    ABSENT = "not installed"
    INSTALLED = "installed"
    OUTDATED = "out of date"


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """`columns`: of each table asked for, and of each outbox. `triggers`: name → table; only those of pusher."""

    dialect: str
    schema: str | None
    columns: Mapping[str, Types]
    triggers: Mapping[str, str]
    outboxes: frozenset[str]

    def tables(self) -> list[str]:
        """Of which anything is there; that of an outbox whose table is gone is told by the outbox's name."""
        found = set(self.triggers.values()) | {name for name in self.columns if outbox_name(name) in self.outboxes}
        left = self.outboxes - {outbox_name(name) for name in found}
        return sorted(found | {name[len(OUTBOX) :] for name in left})

    def has_outbox(self, table: str) -> bool:
        return outbox_name(table) in self.outboxes

    def kept(self, table: str) -> Types:
        """The columns of its outbox that tell of the table's rows."""
        columns = self.columns.get(outbox_name(table), {})
        return {name: declared for name, declared in columns.items() if name not in (ID, REMOVED)}

    def fits(self, table: str, needed: Iterable[str]) -> bool:
        """Whether the outbox has the columns that are needed, all of them as they are in the table."""
        kept, columns = self.kept(table), self.columns.get(table, {})
        return set(needed) <= kept.keys() and kept.items() <= columns.items()

    def state(self, table: str, needed: Iterable[str]) -> State:
        there = {name for name, of in self.triggers.items() if of == table} & set(trigger_names(table).values())
        if not there and not self.has_outbox(table):
            return State.ABSENT
        whole = len(there) == len(trigger_names(table)) and self.fits(table, needed)
        return State.INSTALLED if whole else State.OUTDATED

    def capture(self, table: str, needed: Iterable[str], texts: Collection[str] = ()) -> Capture:
        """As it is to be: the outbox stays as it is where it fits."""
        columns = self.columns.get(table, {})
        wanted = {name: columns[name] for name in needed}
        kept = self.kept(table) if self.fits(table, wanted) else wanted
        return Capture(dialect=self.dialect, schema=self.schema, table=table, columns=kept, texts=texts)


def installed(connection: sa.Connection, dialect: str, tables: Iterable[str]) -> Installed:
    """What is there of all tables; columns are read of these and of those of which anything is there."""
    triggers = {name: of for name, of in connection.execute(sa.text(_TRIGGERS[dialect])) if name.startswith(TRIGGER)}
    outboxes = {name for (name,) in connection.execute(sa.text(_OUTBOXES[dialect])) if name.startswith(OUTBOX)}
    return Installed(
        dialect=dialect,
        schema=connection.scalar(sa.text(_SCHEMA)) if dialect == "postgresql" else None,
        columns=columns_of(connection, dialect, {*tables, *triggers.values(), *outboxes}),
        triggers=triggers,
        outboxes=frozenset(outboxes),
    )


def columns_of(connection: sa.Connection, dialect: str, tables: Collection[str]) -> dict[str, Types]:
    """Of those of these tables that are there."""
    found: dict[str, dict[str, Any]] = {}
    query = sa.text(_COLUMNS[dialect]).bindparams(sa.bindparam("tables", expanding=True))
    for table, column, declared, collation in connection.execute(query, {"tables": sorted(tables)}):
        found.setdefault(table, {})[column] = _text(declared) + (collation or "")
    return dict(found)


def _text(declared: str | bytes) -> str:
    return declared.decode() if isinstance(declared, bytes) else declared
