"""A site whose changes are captured: its database, its configuration, and what the commands make of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from click.testing import CliRunner

from pusher.changed import Change, ChangedRows
from pusher.cli.main import app
from pusher.config import load
from pusher.errors import PusherError
from pusher.ledger import Ledger
from pusher.push.mapping import key_text
from pusher.push.outbox import Outbox
from pusher.push.source import Source, open_source
from pusher.schema.engine import opened, writing
from pusher.schema.plan import TablePlan, make_plan
from tests.stage import write_config

LOCATIONS = ("central", "lab")
_ORDER = {
    "mariadb": """CREATE TABLE `order` (
        id INT AUTO_INCREMENT PRIMARY KEY, `localtime` DATETIME(6) NOT NULL,
        `The name` VARCHAR(40) COLLATE utf8mb4_general_ci NOT NULL, `value` DOUBLE,
        UNIQUE (`localtime`, `The name`))""",
    "postgresql": """CREATE TABLE "order" (
        id SERIAL PRIMARY KEY, "localtime" TIMESTAMP(6) NOT NULL,
        "The name" VARCHAR(40) NOT NULL, "value" DOUBLE PRECISION, UNIQUE ("localtime", "The name"))""",
    "sqlite": """CREATE TABLE "order" (
        id INTEGER PRIMARY KEY, "localtime" DATETIME NOT NULL,
        "The name" VARCHAR(40) COLLATE NOCASE NOT NULL, "value" DOUBLE, UNIQUE ("localtime", "The name"))""",
}
_CODE = {
    "mariadb": """CREATE TABLE `Sensor Code's 100%` (
        `a` SMALLINT UNSIGNED, `50%` VARBINARY(8), `Kind` ENUM('x', 'it''s'), `value` DOUBLE,
        PRIMARY KEY (`a`, `50%`, `Kind`))""",
    "postgresql": """CREATE TABLE "Sensor Code's 100%" (
        "a" SMALLINT, "50%" BYTEA, "Kind" kind, "value" DOUBLE PRECISION, PRIMARY KEY ("a", "50%", "Kind"))""",
    "sqlite": """CREATE TABLE "Sensor Code's 100%" (
        "a" SMALLINT, "50%" BLOB, "Kind" TEXT, "value" DOUBLE, PRIMARY KEY ("a", "50%", "Kind"))""",
}
CODES = "Sensor Code's 100%"
SETTINGS = f"""
[table order]
role = entity
key = localtime, The name
capture = triggers
[table {CODES}]
capture = triggers
[table quiet]
capture = none
"""
_QUIET = "CREATE TABLE quiet (id INTEGER PRIMARY KEY, name VARCHAR(10))"


INSERT = """INSERT INTO "order" (id, "localtime", "The name") VALUES (1, '2026-01-01 00:00:00.000001', 'pump')"""
MOMENT = "2026-01-01T00:00:00.000001"


@dataclass
class Site:
    """A site's database, a configuration that captures two tables of it, and what the commands make of them."""

    dialect: str
    url: str
    config: Path
    engine: sa.Engine
    source: Source = field(init=False)

    def execute(self, *statements: str, **values: Any) -> None:
        with writing(self.engine).begin() as connection:
            for statement in statements:
                connection.execute(sa.text(self.quoted(statement)), values)

    def scalar(self, query: str) -> Any:
        with self.engine.connect() as connection:
            return connection.scalar(sa.text(self.quoted(query)))

    def quoted(self, statement: str) -> str:
        return statement.replace('"', "`") if self.dialect == "mariadb" else statement

    def capture(self, *arguments: str) -> tuple[int, str]:
        """As a shell without a terminal runs it: the exit code, and all that is said."""
        done = CliRunner().invoke(app, ["--config", str(self.config), "capture", *arguments])
        if isinstance(done.exception, PusherError):
            return done.exception.exit_code, f"{done.output}pusher: {done.exception}\n"
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    def install(self, *tables: str) -> None:
        code, said = self.capture("install", "--yes", *tables)
        assert code == 0, said

    def shown(self) -> dict[str, tuple[str, int | None]]:
        return {
            view["table"]: (view["state"], view["waiting"]) for view in json.loads(self.capture("show", "--json")[1])
        }

    def plan(self, table: str) -> TablePlan:
        schema = self.source.schema()
        return make_plan(schema, schema, load(self.config).tables).table(table)

    def collect(self, *tables: str) -> None:
        with self.ledger() as ledger:
            plans = [self.plan(table) for table in tables or ("order", CODES)]
            assert Outbox(self.source, ledger).collect(plans, LOCATIONS) == {}

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        with Ledger(load(self.config).general.state) as ledger:
            yield ledger

    def words(self, table: str, location: str = "central") -> dict[tuple[str, str], bool]:
        """Of each row that was ever told of whether it is there."""
        with self.ledger() as ledger:
            changes: list[Change] = ChangedRows(ledger, location).waiting(table, 0, 1_000_000)
        return {(change.local_key, change.natural_key): not change.removed for change in changes}

    def there(self, table: str) -> set[tuple[str, str]]:
        plan = self.plan(table)
        keys: set[tuple[str, str]] = set()
        for rows in self.source.entities(plan):
            natural = rows.tuples(plan.key) if plan.key else [()] * len(rows)
            keys |= set(zip(map(key_text, rows.tuples(plan.identity)), map(key_text, natural), strict=True))
        return keys

    def check_truth(self) -> None:
        for table in ("order", CODES):
            for location in LOCATIONS:
                words = self.words(table, location)
                assert {key for key, present in words.items() if present} == self.there(table)


@contextmanager
def site_on(dialect: str, url: str, folder: Path, settings: str = "") -> Iterator[Site]:
    """`settings`: else those of the two awkward tables, which are then made."""
    config = write_config(folder, "north", url, "http://127.0.0.1:1/rest/", "x", extra=settings or SETTINGS)
    with ExitStack() as stack:
        found = Site(dialect, url, config, stack.enter_context(opened(url)))
        found.source = stack.enter_context(open_source(load(config)))
        if not settings:
            kind = ["CREATE TYPE kind AS ENUM ('x', 'it''s')"] if dialect == "postgresql" else []
            found.execute(*kind, _ORDER[dialect], _CODE[dialect], _QUIET)
        yield found
