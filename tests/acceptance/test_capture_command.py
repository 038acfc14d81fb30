"""`pusher capture`: what is made in the site's database is shown first, made, made anew and removed by an operator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models import Base
from pusher.central.migrate import upgrade
from pusher.central.tokens import new_token
from pusher.push.outbox import Outbox
from pusher.schema.engine import opened
from pusher.schema.triggers import outbox_name
from tests.capturing import CODES, INSERT, LOCATIONS, Site, site_on
from tests.conftest import NewDatabase
from tests.stage import pusher, serving, write_config


@pytest.fixture
def site(dialect: str, new_database: NewDatabase, tmp_path: Path) -> Iterator[Site]:
    with site_on(dialect, new_database(dialect), tmp_path) as found:
        yield found


def test_it_asks_before_it_changes_the_database(site: Site) -> None:
    assert site.shown() == {"order": ("not installed", None), CODES: ("not installed", None)}
    code, said = site.capture("show")
    assert code == 1 and "CREATE TRIGGER" in said and "CREATE TABLE" in said
    code, said = site.capture("install")
    assert code == 2 and "CREATE TRIGGER" in said and "add --yes to do so" in said
    assert site.shown()["order"] == ("not installed", None)
    for table, hint in (("quiet", "add capture = triggers to [table quiet]"), ("oder", 'did you mean "order"')):
        code, said = site.capture("install", table, "--yes")
        assert code == 2 and hint in said, said
    site.install("order")
    assert site.shown() == {"order": ("installed", 0), CODES: ("not installed", None)}


def test_it_is_installed_again_and_keeps_what_waits(site: Site) -> None:
    site.install()
    site.execute(INSERT)
    site.install()
    site.install("order")
    assert site.shown() == {"order": ("installed", 1), CODES: ("installed", 0)}
    site.execute('DELETE FROM "order"')
    assert site.shown()["order"] == ("installed", 2)
    assert site.capture("show")[0] == 0
    site.collect()
    site.check_truth()


def test_outboxes_are_no_tables_of_the_site(site: Site) -> None:
    before = site.source.schema()
    site.install()
    assert {table.name for table in before.tables} == {"order", CODES, "quiet"}
    assert site.source.schema() == before


_WIDER = {
    "mariadb": 'ALTER TABLE "order" MODIFY "The name" VARCHAR(80) NOT NULL',
    "postgresql": 'ALTER TABLE "order" ALTER COLUMN "The name" TYPE VARCHAR(80)',
}


@pytest.mark.parametrize("dialect", _WIDER)  # in SQLite its columns have no type
def test_an_outbox_is_made_anew_when_nothing_waits_in_it(site: Site) -> None:
    site.install()
    site.execute(INSERT, _WIDER[site.dialect])
    assert site.shown()["order"] == ("out of date", 1)
    code, said = site.capture("install", "--yes")
    assert code == 1 and "1 changes wait in its outbox" in said
    site.execute('UPDATE "order" SET "value" = 5')  # it goes on as it was
    site.collect()
    site.install()
    assert site.shown()["order"] == ("installed", 0)
    site.execute(f"""UPDATE "order" SET "The name" = '{"x" * 80}'""")
    site.collect()
    site.check_truth()


def test_another_key_in_the_configuration_needs_other_columns(site: Site) -> None:
    site.install()
    site.execute(INSERT)
    site.config.write_text(site.config.read_text().replace("key = localtime, The name", "key = The name, value"))
    assert site.shown()["order"] == ("out of date", 1)
    with site.ledger() as ledger:
        (why,) = Outbox(site.source, ledger).collect([site.plan("order")], LOCATIONS).values()
    assert why.endswith("out of date; run pusher capture install order")
    code, said = site.capture("install", "order", "--yes")
    assert code == 1 and "pusher capture remove order --force" in said
    assert site.capture("remove", "order", "--force", "--yes")[0] == 0
    site.install("order")
    assert site.shown()["order"] == ("installed", 0)


def test_it_is_removed_unless_changes_wait(site: Site) -> None:
    site.install()
    site.execute(INSERT)
    code, said = site.capture("remove", "--yes")
    assert code == 1 and "give them up with --force" in said
    assert site.capture("remove", "order", "--force")[0] == 2
    code, said = site.capture("remove", "order", "--force", "--yes")
    assert code == 0 and "removed: order" in said
    assert site.shown() == {"order": ("not installed", None), CODES: ("installed", 0)}
    site.execute('DELETE FROM "order"')
    code, said = site.capture("remove", "order", "--yes")
    assert code == 2 and "no change capture is installed" in said
    assert site.capture("remove", "--yes")[0] == 0
    assert site.capture("remove", "--yes") == (0, "nothing is captured\n")


def test_an_outbox_outlives_its_table(site: Site) -> None:
    site.install()
    site.execute(INSERT, 'DROP TABLE "order"')
    assert site.shown()["order"] == ("out of date", 1)
    assert site.capture("install", "order", "--yes") == (
        1,
        "pusher: table order cannot be captured: the site has no such table\n",
    )
    assert site.capture("remove", "order", "--yes", "--force")[0] == 0
    assert site.shown()["order"] == ("not installed", None)


def test_a_table_with_a_long_name(site: Site) -> None:
    names = ["é" * 27 + each for each in ("a", "b")]
    for name in names:
        site.execute(f'CREATE TABLE "{name}" (id INTEGER PRIMARY KEY, name VARCHAR(10))')
        with site.config.open("a") as config:
            config.write(f"[table {name}]\ncapture = triggers\n")
    assert len({outbox_name(name) for name in names}) == 2
    site.install(*names)
    site.execute(f'INSERT INTO "{names[0]}" VALUES (1, NULL)')
    assert [site.shown()[name] for name in names] == [("installed", 1), ("installed", 0)]
    site.install(*names)
    assert site.capture("remove", *names, "--force", "--yes")[0] == 0


def test_check_says_what_is_not_installed(new_database: NewDatabase, tmp_path: Path) -> None:
    here, there = new_database("sqlite"), new_database("sqlite")
    with opened(here) as engine, opened(there) as central, serving(there) as resturl:
        Base.metadata.create_all(engine)
        upgrade(central)
        settings = "\n[table House]\ncapture = triggers\n"
        config = write_config(tmp_path, "north", here, resturl, new_token(central, "north", "push"), extra=settings)
        done = pusher("--config", config, "check")
        assert done.returncode == 1
        assert "table House: its change capture is not installed; run pusher capture install House" in done.stdout
        assert pusher("--config", config, "capture", "install", "--yes").returncode == 0
        assert pusher("--config", config, "check").returncode == 0
        assert "pusher_outbox" not in pusher("--config", config, "plan", "--json").stdout
