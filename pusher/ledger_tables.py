"""The tables of the site's ledger, and how those of an earlier version become them."""

from __future__ import annotations

VERSION = 6

TABLES = """
create table location (
    name text primary key, epoch text not null, marker text, instance text, schema_hash text, schema text,
    resolved integer not null default 0
) without rowid;
create table checkpoint (
    location text, table_name text, cursor text, sequence integer not null default 0, floor text,
    counted real not null default 0, count_seconds real not null default 0, form text,
    primary key (location, table_name)
) without rowid;
create table block (
    location text, table_name text, start, rows integer not null, total text not null, sequence integer not null,
    primary key (location, table_name, start)
) without rowid;
create table identity (
    location text, table_name text, local_key text, central_key text not null, row_hash text not null,
    version integer not null default 0, primary key (location, table_name, local_key)
) without rowid;
create table entity (
    location text, table_name text, digest text not null, form text, primary key (location, table_name)
) without rowid;
create table held (
    id integer primary key autoincrement, location text not null, table_name text not null, local_key text not null,
    kind text not null, reason text not null, since text not null, tried text not null,
    retry integer not null default 0, unique (location, table_name, local_key)
);
create table changed (
    id integer primary key autoincrement, location text not null, table_name text not null, local_key text not null,
    natural_key text not null, removed integer not null, unique (location, table_name, local_key, natural_key)
);
create table verdict (
    location text, table_name text, verified text not null, deep integer not null, verdict text not null,
    primary key (location, table_name)
) without rowid;
create table own_schema (id integer primary key, version text not null, content blob not null);
create table run (
    id integer primary key, location text not null, started text not null, seconds real not null,
    outcome text not null, exit_code integer not null
);
create index run_location on run (location, id);
"""
# The view is for operators with an SQLite shell, who may also set the code of a file there.
_FILES = """
create table file (
    id integer primary key autoincrement, location text not null, path text not null, code integer not null default 1,
    size integer, modified_ns integer, sha256 text, destination text, arrived text, there_modified integer,
    coming text, fault text, unique (location, path)
);
create table earlier_file (
    id integer primary key autoincrement, location text not null, path text not null, destination text not null,
    size integer not null, sha256 text not null, arrived text not null
);
create view filelist as
select id, arrived as processed_date, path as local_name, destination as external_name, sha256 as checksum, code
from file;
create trigger filelist_code instead of update of code on filelist
begin update file set code = new.code where id = old.id; end
"""
# Of each scale what is archived, until when it was asked for, and which active files show how much of it.
_EXPORT = """
create table scale (
    location text, scale text, benchmark integer, snapshot text, asked text, asked_whole text,
    primary key (location, scale)
) without rowid;
create table archived (
    location text, scale text, id integer, hash text, day text not null, gone text,
    primary key (location, scale, id, hash)
) without rowid;
create index archived_there on archived (location, scale) where gone is null;
create table raw_file (
    location text, scale text, day text, size integer not null, decoded integer not null default 0,
    active_size integer, key text, sealed integer not null default 0, primary key (location, scale, day)
) without rowid
"""
# What is wrong, as one JSON document, and the messages that still wait for their way to take them.
_ALERTS = """
create table alert_state (id integer primary key check (id = 1), content blob not null);
create table alert_outbox (
    id integer primary key autoincrement, way text not null, made text not null, content blob not null,
    attempts integer not null default 0, next_try text not null, fault text
)
"""
TABLES += _FILES + ";\n" + _EXPORT + ";\n" + _ALERTS + ";"
UPGRADES = {
    1: """
alter table checkpoint add column sequence integer not null default 0;
alter table checkpoint add column floor text;
alter table checkpoint add column counted real not null default 0;
alter table checkpoint add column count_seconds real not null default 0;
create table block (
    location text, table_name text, start, rows integer not null, total text not null, sequence integer not null,
    primary key (location, table_name, start)
) without rowid;
alter table held rename to held_1;
create table held (
    id integer primary key autoincrement, location text not null, table_name text not null, local_key text not null,
    kind text not null, reason text not null, since text not null, tried text not null,
    retry integer not null default 0, unique (location, table_name, local_key)
);
insert into held (location, table_name, local_key, kind, reason, since, tried)
select location, table_name, local_key, 'refused', reason, since, since from held_1;
drop table held_1
""",
    2: """
alter table checkpoint add column form text;
alter table entity add column form text;
alter table identity add column version integer not null default 0;
create table changed (
    id integer primary key autoincrement, location text not null, table_name text not null, local_key text not null,
    natural_key text not null, removed integer not null, unique (location, table_name, local_key, natural_key)
);
create table verdict (
    location text, table_name text, verified text not null, deep integer not null, verdict text not null,
    primary key (location, table_name)
) without rowid
""",
    3: "create table own_schema (id integer primary key, version text not null, content blob not null)",
    4: _FILES,
    5: _EXPORT + ";\n" + _ALERTS,
}
