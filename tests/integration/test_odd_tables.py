"""Tables with odd names and odd keys: reserved words, other case at central, no primary key, NULL in a key, UUIDs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tests.conftest import NewDatabase
from tests.inprocess import Workshop, notes

_ODD_TEXTS = ("100 %", "it's", 'a "b" `c` \\', ":name ?", "é😀", "")


def test_reserved_words_and_names_in_another_case_at_central(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    order = """create table "order" (id ID, "key" varchar(20) not null unique, "index" int, "localtime" int,
        "select" varchar(40), "group" int, "a b%c:d" int, foreign key ("group") references "order" (id))"""
    user = """create table "user" ("table" varchar(20) not null, "rank" int not null, "rows" int,
        primary key ("table", "rank"))"""
    value = 'create table "value" ("offset" int not null primary key, "returning" varchar(20))'
    here = 'create table "Sensor_Data" ("orderId" int not null, "Time" MOMENT not null, "Value" REAL64, "Where" int,'
    there = 'create table sensor_data (orderid int not null, time MOMENT not null, value REAL64, "where" int,'
    keys = ' primary key ({order}, {time}), foreign key ({order}) references "order" (id))'
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(order, user, value, there + keys.format(order="orderid", time="time"))
        workshop.central.run("""insert into "order" (id, "key") values (1, 'of central')""")
        site = workshop.site(
            "north",
            order,
            user,
            value,
            here + keys.format(order='"orderId"', time='"Time"'),
            'create view "View" as select 1 a',
        )
        site.run(
            """insert into "order" (id, "key", "index", "localtime", "group") values (1, 'k1', 7, 8, null)""",
            """insert into "order" (id, "key", "index", "localtime", "group") values (2, 'k2', null, 9, 1)""",
            """insert into "user" ("table", "rank", "rows") values ('t', 1, 2)""",
            """insert into "value" ("offset", "returning") values (1, 'r')""",
            """insert into "Sensor_Data" ("orderId", "Time", "Value", "Where")
                values (1, '2026-01-01 00:00:00', 0.5, 1), (2, '2026-01-01 00:00:00', null, null)""",
        )
        site.push_all(workshop.store)
        query = """select o."key", o."index", o."localtime", g."key" from "order" o
            left join "order" g on g.id = o."group" where o."key" <> 'of central' order by o."key\""""
        assert workshop.central.rows(query) == site.rows(query) == [("k1", 7, 8, None), ("k2", None, 9, "k1")]
        query = (
            'select o."key", x.{value}, x.{where} from {table} x join "order" o on o.id = x.{order} order by o."key"'
        )
        assert (
            site.rows(query.format(value='"Value"', where='"Where"', table='"Sensor_Data"', order='"orderId"'))
            == workshop.central.rows(query.format(value="value", where='"where"', table="sensor_data", order="orderid"))
            == [("k1", 0.5, 1), ("k2", None, None)]
        )
        assert workshop.central.rows('select * from "user"') == [("t", 1, 2)]
        assert workshop.central.rows('select * from "value"') == [(1, "r")]
        assert [table.name for table in site.plan(workshop.store).tables] == ["order", "user", "value", "Sensor_Data"]


def test_names_and_texts_that_look_like_sql(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = 'create table "per%cent" ("the label" varchar(40) not null primary key, "?" varchar(40), ":x" int)'
    columns = ("the label", "?", ":x")
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(ddl)
        site = workshop.site("north", ddl)
        site.insert("per%cent", columns, [(text, text, at) for at, text in enumerate(_ODD_TEXTS)])
        site.push_all(workshop.store)
        expected = sorted((text, text, at) for at, text in enumerate(_ODD_TEXTS))
        assert sorted(workshop.central.rows('select * from "per%cent"')) == expected
        site.run("""update "per%cent" set "?" = '%s' where ":x" = 0""")
        site.push_all(workshop.store)
        assert workshop.central.rows("""select ":x" from "per%cent" where "?" = '%s'""") == [(0,)]


def test_two_names_that_differ_only_in_case_stay_two(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "postgresql") as workshop:
        workshop.central.run('create table thing (code varchar(10) primary key, "time" int)')
        site = workshop.site(
            "north",
            'create table thing (code varchar(10) primary key, "Time" int, "time" int)',
            'create table "Thing" (code varchar(10) primary key)',
            "insert into thing values ('a', 1, 2)",
            "insert into \"Thing\" values ('b')",
        )
        outcome = site.push(workshop.store)
        assert workshop.central.rows("select * from thing") == [("a", 2)]
        assert outcome.table("Thing", "entity").stopped == "central has no table Thing"
        assert site.plan(workshop.store).table("thing").only_here == ("Time",)


def test_partitions_and_views_are_no_tables_of_their_own(new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = (
        """create table log (id int generated by default as identity, at timestamp not null, words text,
            primary key (id, at)) partition by range (at)""",
        "create table log_2026 partition of log for values from ('2026-01-01') to ('2027-01-01')",
        """create table remark (code varchar(10) primary key, log_id int, log_at timestamp,
            foreign key (log_id, log_at) references log (id, at))""",
        "create view newest as select max(at) at from log",
        "create materialized view oldest as select min(at) at from log",
    )
    with Workshop(new_database, tmp_path, "postgresql") as workshop:
        workshop.central.run(*ddl, "insert into log (at, words) values ('2026-01-01', 'of central')")
        site = workshop.site("north", *ddl, "insert into log (at, words) values ('2026-01-01', 'a')")
        site.run("insert into remark select 'r', id, at from log")
        assert [entry.table for entry in site.push_all(workshop.store).tables] == ["log", "remark"]
        assert workshop.central.rows("select words from log order by id") == [("of central",), ("a",)]
        query = "select r.code, l.words from remark r join log l on l.id = r.log_id and l.at = r.log_at"
        assert workshop.central.rows(query) == [("r", "a")]


# --- keys


def test_tables_without_a_primary_key(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = (
        "create table diary (station varchar(9) not null, day date not null, words varchar(20), unique (station, day))",
        "create table gauge (station varchar(10), taken_at MOMENT not null, unique (taken_at))",
        "create table heap (words varchar(20))",
        "create table loose (a int, b int, words varchar(20), unique (a, b))",
    )
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(*ddl)
        site = workshop.site("north", *ddl)
        site.run(
            "insert into diary values ('s1', '2026-01-01', 'x'), ('s1', '2026-01-02', null), ('s2', '2026-01-01', 'y')",
            "insert into gauge values ('s1', '2026-01-01 00:00:00'), (null, '2026-01-01 01:00:00')",
            "insert into heap values ('z')",
            "insert into loose values (1, 1, 'one'), (1, null, 'two'), (1, null, 'three'), (null, null, null)",
        )
        outcome = site.push(workshop.store)
        for query in ("select * from diary order by 1, 2", "select station from gauge order by taken_at"):
            assert workshop.central.rows(query) == site.rows(query)
        assert outcome.table("heap", "entity").stopped == (
            "it has neither a primary key nor a unique constraint; name its key in the configuration"
        )
        assert workshop.central.rows("select * from loose") == [(1, 1, "one")]
        assert {reason for _, reason in site.held()["loose"]} == {
            "a, b is NULL, so nothing tells this row from another"
        }
        assert outcome.table("loose", "entity").held >= 2
        site.run("update diary set words = 'later' where station = 's2'")
        site.push(workshop.store)
        assert workshop.central.rows("select words from diary where station = 's2'") == [("later",)]


def test_a_unique_column_that_is_null_at_first(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = (
        "create table contact (id ID, code varchar(10) unique, name varchar(20))",
        """create table visit (id ID, contact_id int not null, visited_at MOMENT not null,
            foreign key (contact_id) references contact (id))""",
    )
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(*ddl)
        north, south = (workshop.site(name, *ddl) for name in ("north", "south"))
        for name, site in (("north", north), ("south", south)):
            site.run(
                f"insert into contact values (1, null, '{name} 1'), (2, 'c', 'shared'), (3, null, '{name} 3')",
                """insert into visit values (1, 1, '2026-01-01 00:00:00'), (2, 2, '2026-01-01 00:00:00'),
                    (3, 3, '2026-01-01 00:00:00')""",
            )
            site.push_all(workshop.store)
        query = "select c.code, c.name from visit v join contact c on c.id = v.contact_id order by 2, 1"
        expected = [
            (None, "north 1"), (None, "north 3"), ("c", "shared"), ("c", "shared"), (None, "south 1"), (None, "south 3")
        ]  # fmt: skip
        expected.sort(key=lambda row: row[1])
        assert workshop.central.rows(query) == expected
        assert workshop.central.rows("select count(*) from contact") == [(5,)]
        # The same row gets its name; it does not become another.
        north.run("update contact set code = 'n1' where id = 1")
        north.push_all(workshop.store)
        assert workshop.central.rows("select count(*) from contact") == [(5,)]
        assert workshop.central.rows("select name from contact where code = 'n1'") == [("north 1",)]


def test_uuids_in_one_spelling_and_another(new_database: NewDatabase, tmp_path: Path) -> None:
    parent, child = "6F9619FF-8B86-D011-B42D-00CF4FC964FF", "0e984725c51c4bf49960e1c80e27aba0"
    ddl = (
        "create table device (uid {key} primary key, label varchar(20))",
        """create table part (uid {key} primary key, device_uid {key} not null, label varchar(20),
            foreign key (device_uid) references device (uid))""",
    )
    with Workshop(new_database, tmp_path, "mariadb", "postgresql") as workshop:
        workshop.central.run(*(each.format(key="uuid") for each in ddl))
        sites = [workshop.site(name, *(each.format(key="char(36)") for each in ddl)) for name in ("north", "south")]
        for site in sites:
            site.run(
                f"insert into device values ('{parent}', 'd')", f"insert into part values ('{child}', '{parent}', 'p')"
            )
        north, south = sites
        north.push_all(workshop.store)
        assert north.push_all(workshop.store).sent == 0
        south.run("update device set label = 'of south'")
        (note,) = notes(south.push(workshop.store))
        assert note.startswith("device is left as site north has it") and "'of south'" in note
        query = "select d.uid, d.label, p.uid from part p join device d on d.uid = p.device_uid"
        assert [tuple(map(str, row)) for row in workshop.central.rows(query)] == [
            (parent.lower(), "d", "0e984725-c51c-4bf4-9960-e1c80e27aba0")
        ]


def test_keys_of_bytes_and_of_moments(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    key = {"sqlite": "blob", "mariadb": "varbinary(16)", "postgresql": "bytea"}[dialect]
    ddl = (
        f"create table device (uid {key} not null primary key, label varchar(20), made MOMENT not null unique)",
        f"""create table part (uid {key} not null primary key, device_uid {key}, made MOMENT,
            foreign key (device_uid) references device (uid), foreign key (made) references device (made))""",
    )
    moment = dt.datetime(2026, 1, 1, 0, 0, 0, 500000)
    made = moment if dialect != "sqlite" else "2026-01-01 00:00:00.500000"
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(*ddl)
        site = workshop.site("north", *ddl, tables="\n[table device]\nrole = entity\n")
        site.insert("device", ("uid", "label", "made"), [(b"\x00\xff\x01", "d", made)])
        site.insert("part", ("uid", "device_uid", "made"), [(b"\xfe", b"\x00\xff\x01", made), (b"\x01", None, None)])
        site.push_all(workshop.store)
        assert site.push_all(workshop.store).sent == 0
        query = """select p.uid, d.label, e.label from part p join device d on d.uid = p.device_uid
            join device e on e.made = p.made"""
        assert workshop.central.rows(query) == site.rows(query) == [(b"\xfe", "d", "d")]
        site.run("update device set label = 'changed'")
        site.push_all(workshop.store)
        assert workshop.central.rows("select label from device") == [("changed",)]


def test_a_number_within_a_key_of_several_columns(new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = (
        "create table tenant (id serial primary key, name varchar(20) not null unique)",
        "create table bill (tenant_id int references tenant (id), id serial, total int, primary key (tenant_id, id))",
        """create table line (id serial primary key, tenant_id int, bill_id int, label varchar(20) not null unique,
            foreign key (tenant_id, bill_id) references bill (tenant_id, id))""",
    )
    with Workshop(new_database, tmp_path, "postgresql") as workshop:
        workshop.central.run(*ddl)
        sites = [workshop.site(name, *ddl) for name in ("north", "south")]
        for name, site in zip(("north", "south"), sites, strict=True):
            site.run(
                f"insert into tenant (name) values ('{name} 1'), ('{name} 2')",
                "insert into bill (tenant_id, total) values (2, 10), (1, 20)",
                f"insert into line (tenant_id, bill_id, label) values (1, 2, '{name} x'), (2, 1, '{name} y')",
            )
            site.push_all(workshop.store)
            site.run("update bill set total = total + 1")
            site.push_all(workshop.store)
        query = """select l.label, b.total, t.name from line l
            join bill b on b.tenant_id = l.tenant_id and b.id = l.bill_id
            join tenant t on t.id = b.tenant_id order by 1"""
        assert workshop.central.rows(query) == [row for site in sites for row in site.rows(query)]
        assert workshop.central.rows("select count(*) from bill") == [(4,)]


# --- what central holds for equal, or numbers by itself


def test_two_rows_that_central_holds_for_one(new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = (
        "create table kind (id ID, name varchar(20) not null unique, colour varchar(20))",
        """create table room (id ID, name varchar(20) not null unique, kind_id int,
            foreign key (kind_id) references kind (id))""",
    )
    with Workshop(new_database, tmp_path, "sqlite", "mariadb") as workshop:
        workshop.central.run(*ddl)
        site = workshop.site("north", *ddl)
        site.run(
            "insert into kind values (1, 'Kitchen', 'red'), (2, 'kitchen', 'blue'), (3, 'Hall', null)",
            "insert into room values (1, 'a', 1), (2, 'b', 2)",
        )
        assert notes(site.push(workshop.store)) == [
            "kind is left as site north has it: here name = 'kitchen', colour = 'blue'; "
            "at central name = 'Kitchen', colour = 'red'"
        ]
        query = "select r.name, k.name, k.colour from room r join kind k on k.id = r.kind_id order by 1"
        assert workshop.central.rows(query) == [("a", "Kitchen", "red"), ("b", "Kitchen", "red")]
        # The other one changes: it is still not the one that central has.
        site.run("update kind set colour = 'green' where id = 2")
        assert len(notes(site.push(workshop.store))) == 1
        site.run("update kind set name = 'KITCHEN' where id = 1")
        site.push(workshop.store)
        assert workshop.central.rows("select name, colour from kind order by 1") == [("Hall", None), ("KITCHEN", "red")]


def test_two_rows_of_a_site_with_one_key_that_the_operator_named(new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = "create table tool (id ID, name varchar(20) not null, colour varchar(20))"
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(ddl)
        site = workshop.site("north", ddl, tables="\n[table tool]\nkey = name\n")
        site.run("insert into tool values (1, 'saw', 'red'), (2, 'saw', 'red'), (3, 'saw', 'blue')")
        (note,) = notes(site.push(workshop.store))
        assert note.startswith("tool is left as site north has it") and "'blue'" in note
        assert workshop.central.rows("select name, colour from tool") == [("saw", "red")]
        site.retry_held()
        site.push(workshop.store)
        assert workshop.central.rows("select name, colour from tool") == [("saw", "red")]
        assert dict(site.held()["tool"]) == {"[3]": note}
        site.repair(workshop.store, site.verify(workshop.store))
        assert workshop.central.rows("select name, colour from tool") == [("saw", "red")]
        site.run("insert into tool values (4, 'axe', 'red'), (5, 'axe', 'red')")
        workshop.central.run(
            "create trigger no_axe before insert on tool when new.name = 'axe' "
            "begin select raise(abort, 'no axes'); end"
        )
        site.push(workshop.store)
        assert dict(site.held()["tool"]) == {"[3]": note, "[4]": "no axes", "[5]": "no axes"}


def test_two_rows_of_a_stream_with_one_key_that_the_operator_named(new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = "create table event (id ID, at MOMENT not null, code int not null, words varchar(20))"
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(ddl)
        north, south = (workshop.site(name, ddl, tables="\n[table event]\nkey = code\n") for name in ("north", "south"))
        north.run(
            "insert into event values (1, '2026-01-01', 7, 'first'), (2, '2026-01-02', 7, 'second'),"
            " (3, '2026-01-03', 8, 'other')"
        )
        north.push(workshop.store)
        assert dict(north.held()["event"]) == {"[2]": "another row of this site has its key"}
        south.run("insert into event values (1, '2026-01-04', 7, 'of south')")
        south.push(workshop.store)
        assert dict(south.held()["event"]) == {"[1]": "its key is that of a row of site north, which is another"}
        assert sorted(workshop.central.rows("select code, words from event")) == [(7, "first"), (8, "other")]


def test_a_sequence_of_central_that_is_behind_its_rows(new_database: NewDatabase, tmp_path: Path) -> None:
    ddl = "create table job (id ID, words varchar(20))"
    with Workshop(new_database, tmp_path, "postgresql") as workshop:
        workshop.central.run(ddl, "insert into job values (1, 'restored'), (2, 'restored'), (7, 'restored')")
        site = workshop.site("north", ddl, "insert into job (words) values ('a'), ('b'), ('c')")
        site.push_all(workshop.store)
        assert workshop.central.rows("select id, words from job where id > 7") == [(8, "a"), (9, "b"), (10, "c")]


def test_a_table_that_holds_nothing_but_numbers_is_stopped(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run("create table counter (id ID)")
        site = workshop.site("north", "create table counter (id ID)", "insert into counter values (5)")
        outcome = site.push(workshop.store)
        assert outcome.table("counter", "entity").stopped == "it has no column to send but the number of its rows"
