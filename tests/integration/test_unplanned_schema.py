"""A schema nobody planned for, in plain SQL: two sites that number their rows alike push it to one central."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from pusher.central.tokens import new_token
from pusher.schema.guess import Role
from tests.conftest import NewDatabase
from tests.inprocess import Database, Row, Workshop, meanings, notes
from tests.stage import serving, write_config

_REGION = "create table region (id ID, name varchar(40) not null unique)"
_STATION = """create table station (id ID, code varchar(20) not null unique, region_id int not null,
    parent_id int, foreign key (region_id) references region (id), foreign key (parent_id) references station (id))"""
_PERSON = """create table person (id ID, email varchar(60) not null unique, {person}
    full_name varchar(60))"""
_PROJECT = """create table project (id ID, title varchar(60) not null, lead_id int,
    foreign key (lead_id) references person (id))"""
_PROJECT_PERSON = """create table project_person (project_id int not null, person_id int not null, task varchar(40),
    primary key (project_id, person_id), foreign key (project_id) references project (id),
    foreign key (person_id) references person (id))"""
_INSTRUMENT = """create table instrument (id ID, station_id int not null, serial_no varchar(20) not null, {instrument}
    unique (station_id, serial_no), foreign key (station_id) references station (id))"""
_CALIBRATION = """create table calibration (id ID, instrument_id int not null, performed_at MOMENT not null,
    factor REAL64, foreign key (instrument_id) references instrument (id))"""
_MEASUREMENT = """create table measurement (instrument_id int not null, taken_at MOMENT not null,
    quantity varchar(10) not null, value REAL64, primary key (instrument_id, taken_at, quantity),
    foreign key (instrument_id) references instrument (id))"""
_REMARK = """create table remark (id ID, written_at MOMENT not null, author_id int not null, reply_to int,
    body varchar(200), foreign key (author_id) references person (id), foreign key (reply_to) references remark (id))"""
_TAG = "create table tag (id ID, label varchar(20) not null unique)"
_STATION_TAG = """create table station_tag (id ID, station_id int not null, tag_id int not null,
    unique (station_id, tag_id), foreign key (station_id) references station (id),
    foreign key (tag_id) references tag (id))"""
_TABLES = (
    _REGION, _STATION, _PERSON, _PROJECT, _PROJECT_PERSON, _INSTRUMENT, _CALIBRATION, _MEASUREMENT, _REMARK, _TAG,
    _STATION_TAG,
)  # fmt: skip
# Central knows whether an address was verified, and cares nothing for the colour of an instrument.
_HERE = tuple(table.format(person="", instrument="colour varchar(20),") for table in _TABLES)
_CENTRAL = tuple(table.format(person="verified int,", instrument="") for table in _TABLES)
_ONE_SIDED = (("person", "verified"), ("instrument", "colour"))


def fill(site: Database, name: str, shift: int) -> None:
    """Rows that another site has too (a region, a tag, a person), and the site's own, all numbered from 1.

    `shift` turns the numbers, so that what both sites have, they number differently.
    """

    def turned(*rows: Row) -> list[Row]:
        return [(at, *row) for at, row in enumerate(rows[shift:] + rows[:shift], 1)]

    regions = turned(("Coast",), (f"Hills of {name}",), ("Marsh",))
    coast = next(id_ for id_, label in regions if label == "Coast")
    people = turned(("ann@example.org", "Ann"), (f"bob@{name}", "Bob"), (f"cy@{name}", None))
    ann = next(id_ for id_, email, _ in people if email.startswith("ann"))
    tags = turned(("wet",), ("dry",), (f"only {name}",))
    hours = [f"2026-03-0{day} {hour:02d}:30:00" for day in (1, 2) for hour in range(24)]
    tables: dict[str, list[Row]] = {
        "region (id, name)": regions,
        "station (id, code, region_id, parent_id)": [
            (1, f"{name}-0", coast, None),
            (2, f"{name}-1", coast % 3 + 1, 1),
            (3, f"{name}-2", coast, 2),
        ],
        "person (id, email, full_name)": people,
        "project (id, title, lead_id)": [(1, "Survey", ann), (2, "Survey", ann % 3 + 1), (3, f"Of {name}", None)],
        "project_person (project_id, person_id, task)": [(1, 1, "dig"), (1, 2, None), (2, 2, name), (3, ann, "lead")],
        "instrument (id, station_id, serial_no, colour)": [
            (1, 3, "S1", "red"),
            (2, 1, "S1", None),
            (3, 2, "S2", "blue"),
        ],
        "calibration (id, instrument_id, performed_at, factor)": [
            (at, at % 3 + 1, f"2026-02-{at:02d} 08:00:00", at / 7 + shift) for at in range(1, 9)
        ],
        "measurement (instrument_id, taken_at, quantity, value)": [
            (instrument, moment, quantity, instrument / 3 + shift)
            for moment in hours
            for instrument in (1, 2, 3)
            for quantity in ("t", "rh")
        ],
        "remark (id, written_at, author_id, reply_to, body)": [
            (1, "2026-03-01 09:00:00", ann, None, f"first of {name}"),
            (2, "2026-03-01 09:00:00", ann % 3 + 1, 1, "I agree"),
            (3, "2026-03-02 09:00:00", ann, 2, "I agree"),
            (4, "2026-03-03 09:00:00", ann, 1, None),
        ],
        "tag (id, label)": tags,
        "station_tag (id, station_id, tag_id)": [(1, 1, 1), (2, 1, 2), (3, 3, 3)],
    }
    for into, rows in tables.items():
        values = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows)
        site.run(f"insert into {into} values {values}")


def _literal(value: object) -> str:
    return "null" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


def shared(site: dict[str, Counter[object]], other: dict[str, Counter[object]]) -> dict[str, Counter[object]]:
    """What central has of two sites: what both have by natural key is there once, all else for each."""
    by_natural_key = ("region", "tag", "person")
    return {name: site[name] | other[name] if name in by_natural_key else site[name] + other[name] for name in site}


def check_two_sites(workshop: Workshop) -> None:
    workshop.central.run(*_CENTRAL)
    sites = {name: workshop.site(name, *_HERE) for name in ("north", "south")}
    for shift, (name, site) in enumerate(sites.items()):
        fill(site, name, shift)
        assert notes(site.push_all(workshop.store)) == []
    north, south = (meanings(site, _ONE_SIDED) for site in sites.values())
    assert {len(rows) > 1 for rows in north.values()} == {True}
    assert meanings(workshop.central, _ONE_SIDED) == shared(north, south)

    for site in sites.values():
        assert site.push_all(workshop.store).sent == 0
    assert meanings(workshop.central, _ONE_SIDED) == shared(north, south)


def test_two_sites_with_the_same_numbers_keep_their_meaning(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        check_two_sites(workshop)


def test_a_site_on_mariadb_and_central_on_postgresql(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "mariadb", "postgresql") as workshop:
        check_two_sites(workshop)


def test_what_the_tables_are_is_found_out(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(*_CENTRAL)
        plan = workshop.site("north", *_HERE).plan(workshop.store)
    streams = {table.name: (table.key, table.cursor) for table in plan.working if table.role is Role.STREAM}
    assert streams == {
        "calibration": ((), "performed_at"),
        "measurement": (("instrument_id", "taken_at", "quantity"), "taken_at"),
        "remark": ((), "written_at"),
    }
    entities = {table.name: table.key for table in plan.working if table.role is Role.ENTITY}
    assert entities == {
        "region": ("name",),
        "station": ("code",),
        "person": ("email",),
        "project": (),
        "project_person": ("project_id", "person_id"),
        "instrument": ("station_id", "serial_no"),
        "tag": ("label",),
        "station_tag": ("station_id", "tag_id"),
    }
    assert {table.name: table.only_here for table in plan.tables if table.only_here} == {"instrument": ("colour",)}
    assert {table.name: table.only_central for table in plan.tables if table.only_central} == {"person": ("verified",)}


def test_the_command_names_the_two_columns(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(*_CENTRAL)
        workshop.site("north", *_HERE)
        db, localurl = (f"sqlite:///{tmp_path}/database-{number}.db" for number in (1, 2))

        with serving(db) as resturl:
            config = write_config(
                tmp_path / "plan", "north", localurl, resturl, new_token(workshop.central.engine, "north", "push")
            )
            command = [sys.executable, "-m", "pusher.cli.main", "--config", str(config), "plan"]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            views = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert "instrument: not sent, since central has no such column: colour" in text
    assert "person: left to central, since the site has no such column: verified" in text
    one_sided = {view["table"]: (view["only_here"], view["only_central"]) for view in views}
    assert {name: columns for name, columns in one_sided.items() if any(columns)} == {
        "instrument": (["colour"], []),
        "person": ([], ["verified"]),
    }
