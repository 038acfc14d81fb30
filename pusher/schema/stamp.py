"""A short text that changes whenever anything changes that `reflect` sees, for a small part of what that takes."""

from __future__ import annotations

from hashlib import blake2b

from sqlalchemy.engine import Connection

_MARIADB = """
select count(*), bit_xor(conv(left(md5(line), 15), 16, 10)), bit_xor(conv(right(md5(line), 15), 16, 10)) from (
select concat_ws(',', 't', quote(table_name), table_type) as line
from information_schema.tables where table_schema = database()
union all
select concat_ws(',', 'c', quote(table_name), quote(column_name), ordinal_position, quote(column_default), is_nullable,
column_type, quote(collation_name), extra, quote(generation_expression))
from information_schema.columns where table_schema = database()
union all
select concat_ws(',', 'i', quote(table_name), quote(index_name), non_unique, seq_in_index, quote(column_name),
quote(sub_part))
from information_schema.statistics where table_schema = database()
union all
select concat_ws(',', 'k', quote(table_name), quote(constraint_name), ordinal_position, quote(column_name),
quote(referenced_table_schema), quote(referenced_table_name), quote(referenced_column_name))
from information_schema.key_column_usage where table_schema = database()
) as every
"""
_POSTGRESQL = """
with tables as (
    select oid, relname, relkind, relispartition from pg_class
    where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p', 'f', 'v', 'm')
), columns as (select a.* from pg_attribute a join tables t on a.attrelid = t.oid where a.attnum > 0)
select count(*), sum(hashtextextended(line, 0)), sum(hashtextextended(line, 1)) from (
    select t::text from tables t
    union all select c::text from columns c
    union all select concat(adrelid, ',', adnum, ',', pg_get_expr(adbin, adrelid))
        from pg_attrdef where adrelid in (select oid from tables)
    union all select concat(i::text, pg_get_expr(indpred, indrelid))
        from pg_index i where indrelid in (select oid from tables)
    union all select concat_ws(',', oid, conname, contype, conrelid, conkey, confrelid, confkey)
        from pg_constraint where conrelid in (select oid from tables)
    union all select concat_ws(',', oid, typname, typtype, typbasetype, typtypmod, typnotnull)
        from pg_type where typtype = 'd' or oid in (select atttypid from columns)
    union all select e::text from pg_enum e
) as every (line)
"""
_SQLITE = "select type, name, tbl_name, sql from sqlite_master order by name, type"


def stamp(connection: Connection) -> str:
    """Two schemas with the same stamp are reflected alike; after any change of tables it is another one."""
    name = connection.dialect.name
    query = _SQLITE if name == "sqlite" else _POSTGRESQL if name == "postgresql" else _MARIADB
    found = [tuple(row) for row in connection.exec_driver_sql(query)]
    return blake2b(repr((name, found)).encode(), digest_size=16).hexdigest()
