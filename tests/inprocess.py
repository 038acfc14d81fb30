"""Sites that push to a central in the same process: plain SQL on both sides, and no HTTP between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from pusher.central.store import Store
from pusher.config import load, write_lastupdate
from pusher.held import HeldList, Quarantine, Selection
from pusher.job import NoProgress, Outcome
from pusher.ledger import Ledger
from pusher.push.pusher import PushJob
from pusher.push.reconcile import Deleted, Reconciliation
from pusher.push.source import Source
from pusher.push.verdict import TableVerdict
from pusher.push.verify import Period
from pusher.schema.engine import opened
from pusher.schema.plan import Plan
from pusher.transport.central import Central
from tests.conftest import NewDatabase
from tests.prepared import prepare
from tests.stage import write_config
from tests.wired import Wired

Row = tuple[Any, ...]

# What differs between the dialects in the plain SQL of the tests.
_WORDS = {
    "sqlite": {"ID": "INTEGER PRIMARY KEY", "MOMENT": "DATETIME", "REAL64": "DOUBLE"},
    "mariadb": {"ID": "INT NOT NULL AUTO_INCREMENT PRIMARY KEY", "MOMENT": "DATETIME(6)", "REAL64": "DOUBLE"},
    "postgresql": {"ID": "SERIAL PRIMARY KEY", "MOMENT": "TIMESTAMP", "REAL64": "DOUBLE PRECISION"},
}


class Database:
    """One side, written to in plain SQL with "names" in double quotes and ID, MOMENT, REAL64 for what differs."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect = "mariadb" if engine.dialect.name == "mysql" else engine.dialect.name

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection, closing(connection.connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(self.spelt(statement))  # not by SQLAlchemy, which would see % as a parameter

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        bare = sa.table(table, *map(sa.column, columns))
        with self.engine.begin() as connection:
            connection.execute(sa.insert(bare), [dict(zip(columns, row, strict=True)) for row in rows])

    def rows(self, query: str) -> list[Row]:
        with self.engine.connect() as connection, closing(connection.connection.cursor()) as cursor:
            cursor.execute(self.spelt(query))
            return [tuple(row) for row in cursor.fetchall()]

    def spelt(self, statement: str) -> str:
        """As this database spells it."""
        for word, meaning in _WORDS[self.dialect].items():
            statement = statement.replace(f" {word}", f" {meaning}")
        return statement.replace('"', "`") if self.dialect == "mariadb" else statement


class Site(Database):
    def __init__(self, engine: Engine, config: Path) -> None:
        super().__init__(engine)
        self.config = config

    def set_lastupdate(self, text: str | None) -> None:
        write_lastupdate(self.config, "central", text)

    def push(self, central: Central, *, force: bool = False) -> Outcome:
        """One cycle, whatever comes of it."""
        with self._job(central, force=force) as job:
            return job.run(NoProgress())

    def push_all(self, central: Central) -> Outcome:
        """One cycle after which everything must be at central."""
        outcome = self.push(central)
        assert outcome.error is None, outcome.error
        assert [(entry.table, entry.stopped) for entry in outcome.tables if entry.stopped] == []
        assert self.held() == {}
        return outcome

    def verify(self, central: Central, period: Period = (None, None), *, deep: bool = True) -> list[TableVerdict]:
        with self._reconciliation(central) as both:
            return both.verify([], NoProgress(), period, deep=deep)

    def repair(self, central: Central, verdicts: list[TableVerdict]) -> Outcome:
        """Has a cycle send what the verdicts name."""
        with self._reconciliation(central) as both:
            both.send_again(verdicts)
        return self.push(central)

    def delete(self, central: Central, verdicts: list[TableVerdict], *, force: bool = False) -> Deleted:
        """Has central delete what the verdicts name as only there."""
        with self._reconciliation(central) as both:
            return both.delete(verdicts, force=force)

    def retry_held(self) -> None:
        """The next cycle tries all held rows again."""
        with Ledger(load(self.config).general.state) as ledger:
            HeldList(ledger).ask_retry(Selection())

    def plan(self, central: Central) -> Plan:
        with self._job(central) as job:
            return job.meet().plan

    def held(self) -> dict[str, list[tuple[str, str]]]:
        """The rows that central did not take, by table: (local key, reason)."""
        with Ledger(load(self.config).general.state) as ledger:
            rows = Quarantine(ledger, "central").rows()
        found: dict[str, list[tuple[str, str]]] = {}
        for row in rows:
            found.setdefault(row.table, []).append((row.local_key, row.reason))
        return found

    @contextmanager
    def _job(self, central: Central, *, force: bool = False) -> Iterator[PushJob]:
        settings = load(self.config)
        with Ledger(settings.general.state) as ledger:
            yield PushJob(settings, settings.locations[0], Source(self.engine), central, ledger, force=force)

    @contextmanager
    def _reconciliation(self, central: Central) -> Iterator[Reconciliation]:
        settings = load(self.config)
        with Ledger(settings.general.state) as ledger:
            source = Source(self.engine)
            job = PushJob(settings, settings.locations[0], source, central, ledger)
            yield Reconciliation(settings, job, source, central, ledger)


class Workshop:
    """Makes the two sides of a test; `store` is central as the sites see it."""

    def __init__(
        self, new_database: NewDatabase, folder: Path, dialect: str, central_dialect: str | None = None
    ) -> None:
        self._new_database = new_database
        self._folder = folder
        self._dialect = dialect
        self._stack = ExitStack()
        self.central = Database(self._open(new_database(central_dialect or dialect)))
        prepare(self.central.engine, only_bookkeeping=True)
        self.store: Central = Wired(Store(self.central.engine))

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def site(self, name: str, *ddl: str, tables: str = "", pushlimit: int = 1000) -> Site:
        """A site whose database is made by `ddl`; `tables`: sections of its configuration."""
        url = self._new_database(self._dialect)
        config = write_config(
            self._folder / name, name, url, "http://localhost/rest/", "unused", pushlimit=pushlimit, extra=tables
        )
        site = Site(self._open(url), config)
        site.run(*ddl)
        return site

    def _open(self, url: str) -> Engine:
        return self._stack.enter_context(opened(url))


def notes(outcome: Outcome) -> list[str]:
    """What a run had to say, of all tables."""
    return outcome.notes + [note for entry in outcome.tables for note in entry.notes]


def meanings(database: Database, leaving_out: Collection[tuple[str, str]] = ()) -> dict[str, Counter[object]]:
    """Every row of every table, each number of this database replaced by the row that it stands for.

    So a foreign key that leads to the wrong row makes a difference. `leaving_out`: (table, column).
    """
    tables = sa.MetaData()
    tables.reflect(database.engine)
    kept = {name: table for name, table in tables.tables.items() if not name.startswith("pusher_")}
    with database.engine.connect() as connection:
        # As the driver gives them: SQLAlchemy's types would round here what they do not round there.
        bare = {name: sa.table(name, *(sa.column(column) for column in table.c.keys())) for name, table in kept.items()}
        rows = {name: list(connection.execute(sa.select(table)).mappings()) for name, table in bare.items()}
    return {
        name: Counter(_meaning(table, row, kept, rows, leaving_out) for row in rows[name])
        for name, table in kept.items()
    }


def _meaning(
    table: sa.Table,
    row: Any,
    tables: dict[str, sa.Table],
    rows: dict[str, list[Any]],
    leaving_out: Collection[tuple[str, str]],
) -> object:
    links = {fk.parent.name: (fk.column.table.name, fk.column.name) for fk in table.foreign_keys}
    meant: list[tuple[str, object]] = []
    for name in sorted(table.c.keys()):
        value = row[name]
        if (table.name, name) in leaving_out or (name in table.primary_key.c and _is_number(table, name)):
            continue
        if value is not None and name in links:
            parent, column = links[name]
            (value,) = [
                _meaning(tables[parent], each, tables, rows, leaving_out)
                for each in rows[parent]
                if each[column] == value
            ]
        meant.append((name, value if isinstance(value, tuple) else str(value).removesuffix(".000000")))
    return tuple(meant)


def _is_number(table: sa.Table, name: str) -> bool:
    return len(table.primary_key) == 1 and not table.c[name].foreign_keys and isinstance(table.c[name].type, sa.Integer)
