"""Every column type at its extremes between all pairs of dialects: unchanged at central, or refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest
import sqlalchemy as sa

from pusher.config import load
from pusher.held import Quarantine
from pusher.job import Outcome
from pusher.ledger import Ledger
from pusher.push.mapping import joined
from pusher.push.source import Source
from pusher.schema.reading import read
from pusher.wire.fingerprint import row_hashes
from pusher.wire.tables import RowSet
from tests import extremes, meanings
from tests.conftest import DIALECTS, NewDatabase
from tests.inprocess import Database, Site, Workshop
from tests.wired import Wired

_ROLES = {
    "stream": "".join(f"[table {table}]\nrole = stream\ncursor = at\n" for table in extremes.TABLES),
    "entity": "".join(f"[table {table}]\nrole = entity\n" for table in extremes.TABLES),
}
# Settings of a server or a database that every session of pusher must make up for.
_HOSTILE = {
    "mariadb": [
        "SET GLOBAL time_zone = '-11:00'",
        "SET GLOBAL sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT'",
        "SET GLOBAL group_concat_max_len = 1000",
    ],
    "postgresql": [
        f"ALTER DATABASE {{database}} SET {setting}"
        for setting in (
            "timezone = 'Pacific/Apia'",
            "datestyle = 'SQL, DMY'",
            "intervalstyle = 'iso_8601'",
            "extra_float_digits = -3",
            "bytea_output = 'escape'",
            "client_encoding = 'LATIN1'",
        )
    ],
}
_FRIENDLY = [f"SET GLOBAL {name} = DEFAULT" for name in ("time_zone", "sql_mode", "group_concat_max_len")]
# What the database that refuses it does not name: it tells of the domain, or of geometry, instead.
_UNNAMED = {"counted": "domain positive", "place": "GEOMETRY"}
_NULL = ("NoneType", None)


@contextmanager
def sides(new_database: NewDatabase, folder: Path, here: str, there: str, role: str) -> Iterator[tuple[Site, Workshop]]:
    """A site full of extremes, and a central with the same tables, empty."""
    with Workshop(new_database, folder, here, there) as workshop:
        extremes.execute(url(workshop.central), *extremes.create_tables(there))
        site = workshop.site("site", tables=_ROLES[role])
        extremes.execute(url(site), *extremes.create_tables(here))
        extremes.fill(url(site), here)
        yield site, workshop


def url(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def push(site: Site, workshop: Workshop) -> Outcome:
    outcome = site.push(Wired(workshop.store))
    assert outcome.error is None, outcome.error
    assert [(entry.table, entry.stopped) for entry in outcome.tables if entry.stopped] == []
    return outcome


def held(site: Site) -> dict[int, str]:
    """The reason for each row that central refused, by the row's number."""
    with Ledger(load(site.config).general.state) as ledger:
        rows = Quarantine(ledger, "central").rows()
    return {json.loads(row.local_key)[0]: row.reason for row in rows}


def faults(site: Site, workshop: Workshop) -> list[str]:
    """Each value that arrived altered, or whose refusal was not expected or not told well."""
    here, there = site.dialect, workshop.central.dialect
    refused = held(site)
    source: dict[int, dict[str, object]] = {}
    central: dict[int, dict[str, object]] = {}
    for table in extremes.TABLES:
        source |= meanings.read(url(site), here, table)
        central |= meanings.read(url(workshop.central), there, table)
    found = []
    for number, case, value in extremes.rows_of(here):
        if there not in case.types:
            continue
        told = f"{case.name} {str(value.literal)[:60]}"
        if number in refused:
            if extremes.INITIALS[there] not in value.refused:
                found.append(f"{told} is refused: {refused[number]}")
            if _UNNAMED.get(case.name, case.name) not in refused[number]:
                found.append(f"{told} is refused without naming the column: {refused[number]}")
            if number in central:
                found.append(f"{told} is refused and there nevertheless")
        elif extremes.INITIALS[there] in value.refused:
            found.append(f"{told} is not refused but {central[number][case.name]}")
        else:
            expected = dict.fromkeys(central[number], _NULL) | {case.name: source[number][case.name]}
            if central[number] != expected:
                found.append(f"{told} is {str(central[number][case.name])[:60]} at central")
    assert source[0].keys() >= {"big"} or source[0].keys() >= {"packed"}
    assert set(central[0].values()) == {_NULL}
    return found


def assert_hashes_agree(site: Site, workshop: Workshop) -> None:
    """What pusher reads at central has the canonical form of what it reads at the site: they verify as equal."""
    refused = held(site).keys()
    with workshop.central.engine.connect() as connection:
        for table in site.plan(workshop.store).tables:
            assert table.central is not None
            whole = joined(page.rows for page in Source(site.engine).pages(table, None, None, 10_000))
            rows = whole.take([i for i, key in enumerate(whole.column("id")) if key not in refused])
            sent = RowSet(names=table.sent, columns=[rows.column(name) for name in table.sent])
            stored = read(
                connection,
                workshop.central.dialect,
                table.central,
                table.to_central(table.sent),
                lambda select: select.order_by(sa.text("id")),
            )
            columns = table.central_columns(table.sent)
            assert row_hashes(columns, sent) == row_hashes(columns, stored)
            assert len(stored) > 0


@pytest.mark.parametrize(("here", "there"), list(product(DIALECTS, DIALECTS)))
def test_a_stream_arrives_unchanged_or_is_refused(
    here: str, there: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with sides(new_database, tmp_path, here, there, "stream") as (site, workshop):
        outcome = push(site, workshop)
        assert faults(site, workshop) == []
        assert outcome.held == len(held(site))
        assert_hashes_agree(site, workshop)


@pytest.mark.parametrize(
    ("here", "there"), [("mariadb", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "mariadb")]
)
def test_an_entity_arrives_unchanged_or_is_refused(
    here: str, there: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with sides(new_database, tmp_path, here, there, "entity") as (site, workshop):
        outcome = push(site, workshop)
        assert faults(site, workshop) == []
        assert outcome.held == len(held(site))
        stored = sum(entry.created for entry in outcome.tables)
        assert stored > 100
        # A site that lost its memory sends all again; central finds each row to be as it is there already.
        for file in load(site.config).general.state.iterdir():
            file.unlink()
        again = push(site, workshop)
        assert sum(entry.created + entry.updated for entry in again.tables) == 0
        assert again.held == outcome.held


@pytest.mark.parametrize("dialect", ["mariadb", "postgresql"], indirect=True)
def test_settings_of_the_sites_server_change_nothing(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    with sides(new_database, tmp_path, dialect, dialect, "stream") as (site, workshop):
        site.engine.dispose()
        try:
            change_settings(_HOSTILE[dialect], site)
            site.rows("SELECT 1")  # on a connection that begins under these settings, and is kept
        finally:
            if dialect == "mariadb":  # where central is on the same server
                change_settings(_FRIENDLY, site)
        push(site, workshop)
        assert_hashes_agree(site, workshop)
        assert faults(site, workshop) == []


def change_settings(statements: list[str], database: Database) -> None:
    name = database.engine.url.database
    extremes.execute(url(database), *(statement.format(database=name) for statement in statements))


def test_what_central_cannot_hold_as_exactly_is_noted_and_no_difference(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """A narrower column loses what the plan says it loses, and both sides agree on what is left."""
    wide = "n DECIMAL(30,10), d DOUBLE, f DOUBLE, i BIGINT, t DATETIME(6), o TIME(3), e DECIMAL(40,20)"
    narrow = "n DECIMAL(30,2), d FLOAT, f FLOAT, i DOUBLE, t DATETIME, o TIME, e DOUBLE"
    with Workshop(new_database, tmp_path, "mariadb") as workshop:
        key = "CREATE TABLE extreme (id BIGINT NOT NULL PRIMARY KEY, at DATETIME NOT NULL, {})"
        workshop.central.run(key.format(narrow))
        site = workshop.site("site", key.format(wide), tables="[table extreme]\nrole = stream\ncursor = at\n")
        site.run(
            "INSERT INTO extreme VALUES (1, '2026-01-01 00:00:00', 1.2351, 0.1, 1e-60, 9007199254740993, "
            "'2026-01-01 00:00:00.999999', '-01:00:00.999', 0.12345678901234567891)"
        )
        (table,) = site.plan(workshop.store).tables
        lossy = [note.removeprefix("lossy: ") for note in table.notes if note.startswith("lossy: ")]
        assert {note.partition(":")[0] for note in lossy} == {"n", "d", "f", "i", "t", "o", "e"}
        push(site, workshop)
        assert workshop.central.rows("SELECT n, d + 0e0, f, i, CAST(t AS CHAR), CAST(o AS CHAR), e FROM extreme") == [
            (Decimal("1.24"), 0.10000000149011612, 0.0, 9007199254740992.0, "2026-01-01 00:00:00", "-01:00:00",
             0.12345678901234568)
        ]  # fmt: skip
        assert_hashes_agree(site, workshop)


def test_texts_that_are_one_key_to_central_do_not_overwrite_each_other(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    columns = "at DATETIME NOT NULL, code VARCHAR(20) NOT NULL, value INT, PRIMARY KEY (at, code)"
    codes = ["A", "a", "a ", "b", "ä"]  # as SQLite sorts them; to this collation, all but b are one
    with Workshop(new_database, tmp_path, "sqlite", "mariadb") as workshop:
        workshop.central.run(f"CREATE TABLE reading ({columns}) COLLATE utf8mb4_general_ci")
        site = workshop.site("site", f"CREATE TABLE reading ({columns})")
        for value, code in enumerate(codes):
            site.run(f"INSERT INTO reading VALUES ('2026-01-01 00:00:00', '{code}', {value})")
        for _ in range(2):
            push(site, workshop)
            held = dict(site.held()["reading"])
            assert {json.loads(key)[1] for key in held} == {"a", "a ", "ä"}
            assert all("its key is to central that of A" in reason for reason in held.values())
            assert workshop.central.rows("SELECT code, value FROM reading ORDER BY code") == [("A", 0), ("b", 3)]
            workshop.central.run("UPDATE reading SET value = value + 10")
            site.set_lastupdate(None)  # all again, so that the rows that are there are overwritten


def test_a_row_without_a_key_is_refused_and_not_stored_once_more_each_time(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    table = "CREATE TABLE reading (at DATETIME NOT NULL, code VARCHAR(20), value INT, PRIMARY KEY (at, code))"
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(table)
        site = workshop.site("site", table)
        for value, code in enumerate(["NULL", "'a'", "NULL"]):
            site.run(f"INSERT INTO reading VALUES ('2026-01-01 00:00:00', {code}, {value})")
        for _ in range(2):
            assert push(site, workshop).held == 1  # nothing tells the two from each other
            assert [reason for _, reason in site.held()["reading"]] == ["code: NULL has no place here"]
            assert workshop.central.rows("SELECT code, value FROM reading") == [("a", 1)]
            site.set_lastupdate(None)
