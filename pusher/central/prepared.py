"""Whether central's database is ready for this version of pusher, told without the machinery that would make it so."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from pusher.errors import SchemaMismatch
from pusher.schema.engine import reaching

VERSION_TABLE = "pusher_alembic_version"
BOOKKEEPING = "bookkeeping_0003"  # the revision that this version needs; tests hold it to the newest migration

_BRANCH = "bookkeeping_"


def is_prepared(engine: Engine) -> bool:
    """Whether central's bookkeeping tables are those of this version.

    Raises SchemaMismatch if a newer pusher was here.
    """
    found = _revision(engine)
    if found is not None and found > BOOKKEEPING:
        raise SchemaMismatch(f"the database is at revision {found}, which a newer pusher made")
    return found == BOOKKEEPING


def refuse_unprepared(engine: Engine) -> None:
    """Raises SchemaMismatch, telling what to do, if central's bookkeeping tables are not there, or not all of them."""
    if not is_prepared(engine):
        what = "is not prepared for pusher" if _revision(engine) is None else "is of an older pusher"
        raise SchemaMismatch(f"this database {what}; first: pusher db upgrade --db URL")


def _revision(engine: Engine) -> str | None:
    """Of the bookkeeping tables, None if there are none."""
    table = sa.table(VERSION_TABLE, sa.column("version_num"))
    with reaching("the database"), engine.connect() as connection:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return None
        revisions = connection.scalars(sa.select(table.c.version_num)).all()
    return next((each for each in revisions if each.startswith(_BRANCH)), None)
