"""Change capture: whatever collectors do, the newest word on each row in the ledger is the truth."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from pusher.changed import note_everywhere
from pusher.push.outbox import Outbox, waiting
from pusher.schema.engine import opened, writing
from tests import extremes
from tests.capturing import CODES, INSERT, LOCATIONS, MOMENT, Site, site_on
from tests.conftest import NewDatabase

_BUSY = (sa.exc.IntegrityError, sa.exc.OperationalError)  # another session has the key, or the row


@pytest.fixture
def site(dialect: str, new_database: NewDatabase, tmp_path: Path) -> Iterator[Site]:
    with site_on(dialect, new_database(dialect), tmp_path) as found:
        yield found


# --- what collectors do


def _moment(rng: random.Random) -> str:
    return f"2026-01-01 00:00:{rng.randrange(3):02}.{rng.choice((0, 1, 500_000)):06}"


def _name(rng: random.Random) -> str:
    return rng.choice(("pump", "Pump", "PUMP", "pümp", "valve \U0001f600", "100% 'x'"))


def _change_order(site: Site, rng: random.Random, connection: sa.Connection) -> None:
    values = {"id": rng.randrange(1, 30), "to": rng.randrange(1, 40), "name": _name(rng)}
    at = f"TIMESTAMP '{_moment(rng)}'" if site.dialect != "sqlite" else f"'{_moment(rng)}'"
    statement = rng.choice(
        (
            f'INSERT INTO "order" ("localtime", "The name", "value") VALUES ({at}, :name, 1)',
            f'INSERT INTO "order" ("localtime", "The name", "value") VALUES ({at}, :name, 1)',
            'UPDATE "order" SET "value" = 2 WHERE id = :id',
            'UPDATE "order" SET "The name" = :name WHERE id = :id',
            'UPDATE "order" SET "The name" = UPPER("The name") WHERE id = :id',
            f'UPDATE "order" SET "localtime" = {at} WHERE id = :id',
            'UPDATE "order" SET id = :to WHERE id = :id',
            'DELETE FROM "order" WHERE id = :id',
        )
    )
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    connection.execute(sa.text(site.quoted(statement)), used)


def _change_code(site: Site, rng: random.Random, connection: sa.Connection) -> None:
    values = {
        "a": rng.randrange(3),
        "b": rng.choice((b"", b"\0", b"A", b"a", b"\xff'%")),
        "k": rng.choice(("x", "it's")),
    }
    values |= {"c": rng.choice((b"", b"\0", b"A", b"a"))}
    kind = "CAST(:k AS kind)" if site.dialect == "postgresql" else ":k"
    table, where = f'"{CODES}"', f'"a" = :a AND "50%" = :b AND "Kind" = {kind}'
    statement = rng.choice(
        (
            f'INSERT INTO {table} ("a", "50%", "Kind", "value") VALUES (:a, :b, {kind}, 1)',
            f'UPDATE {table} SET "50%" = :c WHERE {where}',
            f'UPDATE {table} SET "value" = 3 WHERE {where}',
            f"DELETE FROM {table} WHERE {where}",
        )
    )
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    connection.execute(sa.text(site.quoted(statement)), used)


def _collector(site: Site, seed: int) -> int:
    """One session; gives how many of its transactions were committed."""
    rng, committed = random.Random(seed), 0
    with opened(site.url) as engine:
        for _ in range(60):
            try:
                with writing(engine).connect() as connection, connection.begin() as transaction:
                    for _ in range(rng.randrange(1, 5)):
                        rng.choice((_change_order, _change_code))(site, rng, connection)
                    if rng.random() < 0.3:
                        transaction.rollback()
                    else:
                        transaction.commit()
                        committed += 1
            except _BUSY:
                continue
    return committed


def test_the_newest_word_on_each_row_is_true(site: Site) -> None:
    site.install()
    over = Event()

    def take_over() -> None:
        while not over.is_set():
            site.collect()

    with ThreadPoolExecutor() as pool:
        takers = [pool.submit(take_over) for _ in LOCATIONS]
        committed = sum(pool.map(lambda seed: _collector(site, seed), range(4)))
        over.set()
        for taker in takers:
            taker.result()
    site.collect()
    assert committed > 50
    site.check_truth()
    assert any(not present for present in site.words("order").values())
    assert waiting(site.source, "order") == waiting(site.source, CODES) == 0


def test_nothing_is_missed_while_triggers_are_renewed(site: Site) -> None:
    site.install()
    with ThreadPoolExecutor() as pool:
        collectors = [pool.submit(_collector, site, seed) for seed in range(2)]
        while not all(collector.done() for collector in collectors):
            site.install()
    assert sum(collector.result() for collector in collectors) > 25
    site.collect()
    site.check_truth()


# --- single cases


def test_a_change_of_case_is_a_change_of_key(site: Site) -> None:
    site.install()
    site.execute(INSERT, """UPDATE "order" SET "The name" = 'PUMP'""", 'UPDATE "order" SET "value" = 1')
    site.collect()
    old, new = ("[1]", f'["{MOMENT}","pump"]'), ("[1]", f'["{MOMENT}","PUMP"]')
    assert site.words("order") == {old: False, new: True}
    site.execute('UPDATE "order" SET id = 2')
    site.execute('DELETE FROM "order"')
    site.collect()
    assert site.words("order") == {old: False, new: False, ("[2]", new[1]): False}


def test_what_is_rolled_back_leaves_nothing(site: Site) -> None:
    site.install()
    with writing(site.engine).connect() as connection, connection.begin() as transaction:
        connection.execute(sa.text(site.quoted(INSERT)))
        transaction.rollback()
    assert waiting(site.source, "order") == 0


def test_what_ends_between_ledger_and_outbox_is_noted_again(site: Site) -> None:
    site.install()
    site.execute(INSERT)
    plan = site.plan("order")
    with site.ledger() as ledger:
        outbox = Outbox(site.source, ledger)
        ids, noted = outbox.page(plan)
        note_everywhere(ledger, LOCATIONS, "order", noted)
        # Here it ended, and this came before the next time.
        site.execute('DELETE FROM "order"')
        site.collect()
        assert list(site.words("order").values()) == [False]
        outbox.take_out(plan, ids)  # what is gone already does no harm
    site.check_truth()


def test_an_old_word_never_follows_a_newer_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two locations take over side by side, and the first is slow."""
    site.install()
    site.execute(INSERT)
    reached, over = Event(), Event()

    def slow(*arguments: Any) -> None:
        if not reached.is_set():
            reached.set()
            assert over.wait(30)
        note_everywhere(*arguments)

    monkeypatch.setattr("pusher.push.outbox.note_everywhere", slow)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(site.collect)
        assert reached.wait(30)
        site.execute('DELETE FROM "order"')
        second = pool.submit(site.collect)
        wait([second], timeout=0.5)
        over.set()
        first.result()
        second.result()
    assert list(site.words("order").values()) == [False]


@pytest.mark.parametrize("dialect", ["mariadb", "postgresql"])  # in SQLite one transaction writes at a time
def test_a_late_transaction_is_not_passed_over(site: Site) -> None:
    site.install()
    with site.engine.connect() as late, late.begin():
        late.execute(sa.text(site.quoted(INSERT)))
        site.execute(INSERT.replace("(1,", "(2,").replace("pump", "other"))
        site.collect()
        assert len(site.words("order")) == 1
    site.collect()
    assert len(site.words("order")) == 2
    site.check_truth()


def test_more_than_a_page_is_taken_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pusher.push.outbox._PAGE", 7)
    monkeypatch.setattr("pusher.push.outbox._DELETED_AT_ONCE", 3)
    site.install()
    for number in range(1, 22):
        site.execute(INSERT.replace("(1,", f"({number},").replace("pump", f"pump {number}"))
    site.collect()
    assert len(site.words("order")) == 21
    site.check_truth()


@pytest.mark.parametrize("dialect", ["mariadb", "sqlite"])  # PostgreSQL's lastval(): see docs/configuration.md
def test_a_collector_learns_the_number_of_its_own_row(site: Site) -> None:
    site.install()
    site.execute(*[INSERT.replace("(1,", f"({n},").replace("pump", f"pump {n}") for n in (1, 2, 3)])
    site.execute('DELETE FROM "order" WHERE id < 3')
    with writing(site.engine).begin() as connection:
        insert = INSERT.replace("id, ", "").replace("1, ", "", 1)
        done = connection.exec_driver_sql(site.quoted(insert.replace("'pump'", "'last'")))
        assert (done.lastrowid, done.rowcount) == (4, 1)


def test_a_collector_needs_no_right_on_the_outbox(new_database: NewDatabase, tmp_path: Path) -> None:
    url = new_database("postgresql")
    role = f"collector_{sa.make_url(url).database}"
    with site_on("postgresql", url, tmp_path) as site:
        site.execute(
            f"CREATE ROLE {role} LOGIN",
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON "order" TO {role}',
        )
        site.install()
        with opened(url.replace("postgres@", f"{role}@")) as theirs:
            with theirs.begin() as connection:
                connection.execute(sa.text("SET LOCAL search_path = nowhere"))
                connection.execute(sa.text(INSERT.replace('INTO "order"', 'INTO public."order"')))
            for forbidden in (
                'SELECT * FROM "pusher_outbox_order"',
                "CREATE TEMP TABLE mine (id INT); CREATE TRIGGER mine AFTER INSERT ON mine FOR EACH ROW"
                ' EXECUTE FUNCTION "pusher_capture_order"()',
            ):
                with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), theirs.begin() as connection:
                    connection.exec_driver_sql(forbidden)
        site.collect()
        assert len(site.words("order")) == 1


def test_every_type_may_be_in_a_key(site: Site) -> None:
    """An outbox holds each value just as the table does."""
    extremes.execute(site.url, *extremes.create_tables(site.dialect))
    with site.config.open("a") as config:
        for table in extremes.TABLES:
            names = ", ".join(case.name for case in extremes.cases_of(site.dialect, table))
            config.write(f"[table {table}]\nrole = entity\nkey = {names}\ncapture = triggers\n")
    site.install(*extremes.TABLES)
    extremes.fill(site.url, site.dialect)
    site.execute(*[f'UPDATE "{table}" SET at = at' for table in extremes.TABLES])
    site.collect(*extremes.TABLES)
    for table in extremes.TABLES:
        words = site.words(table)
        assert words == dict.fromkeys(site.there(table), True)
        assert len(words) > 5
        site.execute(f'DELETE FROM "{table}"')
    site.collect(*extremes.TABLES)
    assert not any(any(site.words(table).values()) for table in extremes.TABLES)


def test_rows_move_between_partitions(new_database: NewDatabase, tmp_path: Path) -> None:
    settings = "\n[table part]\nrole = entity\nkey = id\ncapture = triggers\n"
    with site_on("postgresql", new_database("postgresql"), tmp_path, settings) as site:
        site.execute(
            "CREATE TABLE part (id INT PRIMARY KEY, name TEXT) PARTITION BY RANGE (id)",
            "CREATE TABLE low PARTITION OF part FOR VALUES FROM (0) TO (10)",
            "CREATE TABLE high PARTITION OF part FOR VALUES FROM (10) TO (20)",
        )
        site.install()
        site.execute("INSERT INTO part VALUES (1, 'a'), (2, 'b')", "UPDATE part SET id = 11 WHERE id = 1")
        site.collect("part")
        assert site.words("part") == {("[1]", "[1]"): False, ("[2]", "[2]"): True, ("[11]", "[11]"): True}
        assert site.shown() == {"part": ("installed", 0)}
