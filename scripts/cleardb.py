#!/usr/bin/env python3
"""Empties the tables of sites and centrals, and shows what that would delete as long as it is not told --yes.

Domain tables are emptied, and what pusher noted at central about the rows in them: batches, checkpoints, the
identity map and when each site called. Tokens, the identity of central, the record of migrations and all other
tables stay, and no table is dropped. A site's own state folder is not touched.
"""

from __future__ import annotations

import argparse
import sys

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Engine

from models import Base, bookkeeping
from pusher.errors import PusherError
from pusher.schema.engine import first_line, open_engine, reaching, writing

# Children before their parents, so that no foreign key stands in the way.
CLEARED = (
    *reversed(Base.metadata.sorted_tables),
    bookkeeping.batch,
    bookkeeping.checkpoint,
    bookkeeping.identity,
    bookkeeping.site,
)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        for url in options.urls:
            _clear(url, options.yes)
    except PusherError as error:
        print(f"cleardb: {error}", file=sys.stderr)
        return error.exit_code
    except exc.IntegrityError as error:
        print(
            f"cleardb: nothing deleted here, another table refers to a row: {first_line(error.orig or error)}",
            file=sys.stderr,
        )
        return 1
    if not options.yes:
        print("nothing deleted; --yes does it")
    return 0


def _clear(url: str, really: bool) -> None:
    engine = open_engine(url)
    try:
        print(engine.url.render_as_string(hide_password=True))
        with reaching("the database"):
            there = set(sa.inspect(engine).get_table_names())
        tables = [table for table in CLEARED if table.name in there]
        _report(_delete(engine, tables) if really else _count(engine, tables), really)
    finally:
        engine.dispose()


def _count(engine: Engine, tables: list[sa.Table]) -> dict[str, int]:
    with engine.connect() as connection:
        return {table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables}


def _delete(engine: Engine, tables: list[sa.Table]) -> dict[str, int]:
    with writing(engine).begin() as connection:
        return {table.name: connection.execute(sa.delete(table)).rowcount for table in tables}


def _report(rows: dict[str, int], really: bool) -> None:
    for table, count in rows.items():
        print(f"{count:>12,}  {table}")
    print(f"{sum(rows.values()):>12,}  rows {'deleted' if really else 'to delete'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="+", metavar="URL", help="database of a site or of central")
    parser.add_argument("--yes", action="store_true", help="really delete")
    return parser


if __name__ == "__main__":
    sys.exit(main())
