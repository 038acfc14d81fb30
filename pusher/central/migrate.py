"""Brings the tables of a database to what this version of pusher expects."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Engine

from models import Base, bookkeeping
from pusher.central.differences import differences
from pusher.central.prepared import VERSION_TABLE
from pusher.errors import SchemaMismatch, Unreachable
from pusher.schema.engine import reaching, writing

# Not Alembic's usual name: the application that owns a foreign database may keep its own revision there.

_METADATA = {"bookkeeping": bookkeeping.metadata, "domain": Base.metadata}
_LOCK_SECONDS = 60
_LOCK_NUMBER = 7_874_688  # any number will do, as long as every pusher takes the same

# Alembic keeps what it is working on in variables of its modules, so one thread at a time.
_ALEMBIC = threading.Lock()

# Alembic reports each step at INFO; what an operator needs to know, the caller says.
logging.getLogger("alembic").setLevel(logging.WARNING)


def upgrade(engine: Engine, *, only_bookkeeping: bool = False) -> None:
    """Creates what is missing, and does no harm where nothing is.

    Raises SchemaMismatch if a newer pusher was here, or if a domain table is there that differs from ours.
    """
    with _connection(writing(engine)) as connection, _alone(connection), connection.begin():
        revisions = _current(connection)
        for branch in _branches(only_bookkeeping):
            if revisions[branch] is None:
                _refuse_foreign(connection, branch)
            with _ALEMBIC:
                command.upgrade(_config(connection), f"{branch}@head")


def current(engine: Engine) -> dict[str, str | None]:
    """The revision that the database is at, by branch; None where it has none.

    Raises SchemaMismatch if a newer pusher was here.
    """
    with _connection(engine) as connection:
        return _current(connection)


def check(engine: Engine, *, only_bookkeeping: bool = False) -> list[str]:
    """One sentence for each difference between the database and what this version of pusher expects.

    Raises SchemaMismatch if a newer pusher was here.
    """
    with _connection(engine) as connection:
        revisions = _current(connection)
        script = ScriptDirectory.from_config(_config(connection))
        found = []
        for branch in _branches(only_bookkeeping):
            newest = script.as_revision_number(f"{branch}@head")
            if revisions[branch] != newest:
                found.append(f"{branch} is at {revisions[branch] or 'no revision'}, expected {newest}")
            found += differences(connection, _METADATA[branch], _METADATA[branch].tables)
        return found


def _branches(only_bookkeeping: bool) -> tuple[str, ...]:
    return ("bookkeeping",) if only_bookkeeping else tuple(_METADATA)


def _current(connection: sa.Connection) -> dict[str, str | None]:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    script = ScriptDirectory.from_config(_config(connection))
    revisions: dict[str, str | None] = dict.fromkeys(_METADATA)
    for head in context.get_current_heads():
        try:
            revision = script.get_revision(head)
        except CommandError as error:
            raise SchemaMismatch(f"the database is at revision {head}, which a newer pusher made") from error
        revisions |= dict.fromkeys(revision.branch_labels, head)
    return revisions


def _refuse_foreign(connection: sa.Connection, branch: str) -> None:
    """Tables of our names are taken over if they are as ours would be: made by create_all, or half-way through."""
    metadata = _METADATA[branch]
    found = differences(connection, metadata, metadata.tables.keys() & sa.inspect(connection).get_table_names())
    if found:
        hint = "; use only the bookkeeping tables in a database of another program" if branch == "domain" else ""
        raise SchemaMismatch(f"there are tables that pusher did not make: {'; '.join(found)}{hint}")


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["configure"] = {"connection": connection, "version_table": VERSION_TABLE}
    return config


def _folder() -> Path:
    """Where the migrations are: within the package if it was installed from a wheel, else in the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "alembic"


@contextmanager
def _connection(engine: Engine) -> Iterator[sa.Connection]:
    with ExitStack() as stack:
        with reaching("the database"):
            connection = stack.enter_context(engine.connect())
        yield connection


@contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    """Makes services that start at the same time upgrade one after the other."""
    match connection.dialect.name:
        case "postgresql":
            take, give = sa.func.pg_advisory_lock(_LOCK_NUMBER), sa.func.pg_advisory_unlock(_LOCK_NUMBER)
        case "mysql" | "mariadb":
            # The lock is the server's, so its name holds the database's; hashed, since 64 letters are the limit.
            name = sa.func.concat("pusher ", sa.func.md5(sa.func.database()))
            take, give = sa.func.get_lock(name, _LOCK_SECONDS), sa.func.release_lock(name)
        case _:
            yield  # the transaction takes SQLite's write lock
            return
    if connection.scalar(sa.select(take)) == 0:
        raise Unreachable("another pusher is upgrading this database")
    connection.commit()
    try:
        yield
    finally:
        connection.execute(sa.select(give))
        connection.commit()
