"""A site and a central that go through random trouble, and must be equal once it is quiet."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import sqlalchemy as sa

from pusher.central.migrate import upgrade
from pusher.central.tokens import new_token
from pusher.job import NoProgress
from pusher.schema.engine import opened
from pusher.verification import verify
from tests.fault.collecting import Collecting, differences, world_tables
from tests.fault.orders import Orders
from tests.fault.processes import Agent, Central
from tests.fault.proxy import FaultyProxy
from tests.fault.sides import MariaSide, Side, SqliteSide
from tests.servers import MariaDB
from tests.stage import push, write_config

_SITE = "house-37"
_QUIET_CYCLES = 5
_BATCH_ROWS = 100
_SETTLE = "settle = 0 ; else each cycle waits for rows that are being written"
_TABLES = "".join(f"\n[table {name}]\n{_SETTLE}\n" for name in ("Reading", "NodeState", "Note"))


class World:
    """Every choice comes from `seed`, so a run can be had again. `injected` counts the faults.

    `server`: for central's database, which is an SQLite file without it; `site_too`: and for the site's.
    """

    def __init__(self, folder: Path, seed: int, server: MariaDB | None = None, *, site_too: bool = False) -> None:
        self.rng = random.Random(seed)
        self.injected: Counter[str] = Counter()
        self.tables = world_tables()
        self.edits: list[str] = []  # what the operator wrote into the configuration
        orders = folder / "central" / "orders"
        orders.parent.mkdir()
        self.site: Side = MariaSide(server) if server and site_too else SqliteSide(folder / "site.db", orders)
        self.central: Side = MariaSide(server) if server else SqliteSide(orders.with_name("central.db"), orders)
        self.collecting = Collecting(self.site.url, self.tables, self.rng)
        with opened(self.central.url) as engine:
            upgrade(engine)
            self.tables.tables["Note"].create(engine)
            token = new_token(engine, _SITE, "push")
        self.service = Central(self.central.url, orders)
        with ExitStack() as stack:
            stack.callback(self.service.kill)
            self.proxy = FaultyProxy(self.service.port, random.Random(self.rng.random()))
            stack.callback(self.proxy.close)
            resturl = f"http://127.0.0.1:{self.proxy.port}/rest/"
            self.config = write_config(
                folder / "agent", _SITE, self.site.url, resturl, token, pushlimit=_BATCH_ROWS, extra=_TABLES
            )
            self.service.start()
            self._stack = stack.pop_all()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- what happens

    def collect(self) -> None:
        """The site gets some rows more."""
        self.collecting.on_time(self.rng.randrange(20, 150))
        if self.rng.random() < 0.2:
            self.collecting.change_entities()

    def cycle(self) -> int:
        """One cycle, in this process: for trouble that comes from outside."""
        return push(self.config).exit_code

    def agent(self, orders: Orders | None = None, clock: str | None = None) -> Agent:
        return Agent(self.config, "--once", orders=orders, clock=clock)

    def restart_central(self) -> None:
        self.service.kill()
        self.service.start()

    def settled_wrongs(self) -> list[str]:
        """What is wrong once it is quiet: the link whole, both sides up, what was late come, and a cycle ended well.

        Rows lost, doubled or different, words of the operator that are gone; empty if all is well.
        """
        self.proxy.rate = 0.0
        self.service.start()
        self.proxy.deliver_late()
        wrongs: list[str] = []
        for _ in range(_QUIET_CYCLES):
            outcome = push(self.config)
            wrongs = self._wrongs() if outcome.exit_code == 0 else [f"no cycle ends well: {outcome}"]
            if not wrongs:
                break
        return wrongs

    def _wrongs(self) -> list[str]:
        with opened(self.site.url) as here, opened(self.central.url) as there:
            found = differences(here, there, self.tables)
        for deep in (False, True) if not found else ():
            (verdict,) = verify(self.config, [], [], NoProgress(), deep=deep)
            if verdict.exit_code:
                found.append(f"verify does not see that both sides are equal: {verdict}")
        text = self.config.read_text()
        return found + [f"the operator's edit is gone: {edit}" for edit in self.edits if edit not in text]

    # --- tables that change

    def alter(self, side: Side, table: str, column: str) -> None:
        with opened(side.url) as engine, engine.begin() as connection:
            if column not in {each["name"] for each in sa.inspect(connection).get_columns(table)}:
                name = engine.dialect.identifier_preparer.quote(table)
                connection.exec_driver_sql(f"alter table {name} add column {column} integer")

    def add_to_both(self, table: str, column: str) -> None:
        """From now on rows carry a value there, and it is compared."""
        self.alter(self.central, table, column)
        self.alter(self.site, table, column)
        self.tables.tables[table].append_column(sa.Column(column, sa.Integer, info={"added": True}))

    def repeat_alterations(self) -> None:
        """On a central that was restored from a time before them."""
        for table in self.tables.sorted_tables:
            for column in table.columns:
                if column.info.get("added"):
                    self.alter(self.central, table.name, column.name)
