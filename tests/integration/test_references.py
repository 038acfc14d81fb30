"""Foreign keys of every shape: to itself, in circles, over several columns, dangling, to streams, in other spelling."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tests.inprocess import Site, Workshop, meanings

_NODE = """create table node (id ID, code varchar(20) not null unique, parent_id int{null},
    foreign key (parent_id) references node (id))"""


def pushed_alike(workshop: Workshop, *sites: Site) -> None:
    """After a push of each site, central has what they have, and a second push sends nothing."""
    for site in sites:
        site.push_all(workshop.store)
    parts = [meanings(site) for site in sites]
    assert all(all(part.values()) for part in parts)
    assert meanings(workshop.central) == {name: sum((part[name] for part in parts), Counter()) for name in parts[0]}
    assert [site.push_all(workshop.store).sent for site in sites] == [0] * len(sites)


# --- to the table itself


def test_a_tree_whose_numbers_say_nothing_of_its_order(dialect: str, new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        ddl = _NODE.format(null="")
        workshop.central.run(ddl, "insert into node (id, code) values (1, 'of central')")
        site = workshop.site("north", ddl)
        rows = ((1, "leaf", 3), (2, "root", None), (3, "branch", 2), (4, "own", 4), (5, "a", 6), (6, "b", 5))
        codes = {id_: code for id_, code, _ in rows}
        site.insert("node", ("id", "code"), [(id_, code) for id_, code, _ in rows])
        site.run(*(f"update node set parent_id = {parent} where id = {id_}" for id_, _, parent in rows if parent))
        site.push_all(workshop.store)
        query = "select n.code, p.code from node n left join node p on p.id = n.parent_id where n.code <> 'of central'"
        assert sorted(workshop.central.rows(query), key=str) == sorted(
            ((code, codes.get(parent or 0)) for _, code, parent in rows), key=str
        )
        assert site.push_all(workshop.store).sent == 0


def test_a_chain_of_a_hundred_generations(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        ddl = _NODE.format(null="")
        workshop.central.run(ddl)
        site = workshop.site("north", ddl)
        rows = [f"({id_}, 'n{id_}', {id_ + 1 if id_ < 100 else 'null'})" for id_ in range(1, 101)]
        site.run(f"insert into node (id, code, parent_id) values {', '.join(rows)}")
        outcome = site.push_all(workshop.store)
        query = "select n.code, p.code from node n left join node p on p.id = n.parent_id order by 1"
        assert workshop.central.rows(query) == site.rows(query)
        # Not a request for each generation: what comes after the twentieth went all at once, and once more.
        assert outcome.sent == 100 + 79


def test_a_row_whose_parent_is_refused_does_not_go_without_it(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        ddl = _NODE.format(null="")
        workshop.central.run(ddl.replace("unique,", "unique check (code <> 'bad'),"))
        site = workshop.site("north", ddl)
        site.run("insert into node values (1, 'bad', null), (2, 'child', 1), (3, 'grandchild', 2), (4, 'other', null)")
        site.push(workshop.store)
        assert workshop.central.rows("select code from node") == [("other",)]
        reasons = dict(site.held()["node"])
        assert "constraint" in reasons["[1]"]
        assert {key: reason for key, reason in reasons.items() if key != "[1]"} == {
            "[2]": "parent_id = 1 refers to a node that is missing or held itself",
            "[3]": "parent_id = 2 refers to a node that is missing or held itself",
        }


def test_a_row_that_is_its_own_parent_where_none_may_be_null(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        ddl = _NODE.format(null=" not null")
        workshop.central.run(ddl)
        site = workshop.site("north", ddl)
        site.run("insert into node (id, code, parent_id) values (1, 'root', 1), (2, 'child', 1)")
        outcome = site.push(workshop.store)
        assert outcome.exit_code == 1
        reasons = dict(site.held()["node"])
        assert reasons["[1]"] == (
            "parent_id = 1 refers to a node that is missing or held itself, "
            "or waits for this row, and central takes no NULL for parent_id meanwhile"
        )
        assert set(reasons) == {"[1]", "[2]"}


# --- circles over tables


def _team(not_null: str, circle: bool) -> tuple[str, ...]:
    team = "create table team (id ID, name varchar(20) not null unique, captain_id int{captain})"
    player = f"""create table player (id ID, nick varchar(20) not null unique, team_id int{not_null},
        foreign key (team_id) references team (id))"""
    if circle:  # SQLite lets a table refer to one that is not there yet
        return team.format(captain=", foreign key (captain_id) references player (id)"), player
    return team.format(captain=""), player, "alter table team add foreign key (captain_id) references player (id)"


@pytest.mark.parametrize("not_null", ["", " not null"])
def test_tables_that_refer_to_each_other(
    dialect: str, not_null: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        ddl = _team(not_null, dialect == "sqlite")
        workshop.central.run(*ddl, "insert into team (name) values ('x'), ('y')", "delete from team")
        site = workshop.site("north", *ddl)
        site.run(
            "insert into team (id, name) values (1, 'Reds'), (2, 'Blues'), (3, 'Empty')",
            "insert into player (id, nick, team_id) values (1, 'al', 2), (2, 'bo', 1), (3, 'cy', 1)",
            "update team set captain_id = 3 where id = 1",
            "update team set captain_id = 1 where id = 2",
        )
        query = """select t.name, c.nick, ct.name from team t left join player c on c.id = t.captain_id
            left join team ct on ct.id = c.team_id"""
        outcome = site.push_all(workshop.store)
        assert sorted(workshop.central.rows(query), key=str) == sorted(site.rows(query), key=str)
        assert len(workshop.central.rows("select * from player")) == 3
        # Only one of the tables goes twice: the one whose reference may be NULL for a while.
        expected = {"team": 3 + 2, "player": 3} if not_null else {"team": 3, "player": 3 + 3}
        assert {entry.table: entry.sent for entry in outcome.tables} == expected
        assert site.push_all(workshop.store).sent == 0
        site.run("update team set captain_id = 2 where id = 3")
        site.push_all(workshop.store)
        assert sorted(workshop.central.rows(query), key=str) == sorted(site.rows(query), key=str)


# --- over several columns, and to other columns than the primary key


def test_a_key_of_several_columns_with_one_that_is_shared(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    ddl = (
        "create table tenant (id ID, name varchar(20) not null unique)",
        """create table doc (tenant_id int not null, number int not null, title varchar(20),
            primary key (tenant_id, number), foreign key (tenant_id) references tenant (id))""",
        """create table page (id ID, label varchar(20) not null unique, tenant_id int not null, doc_number int,
            foreign key (tenant_id) references tenant (id),
            foreign key (tenant_id, doc_number) references doc (tenant_id, number))""",
    )
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(*ddl)
        sites = []
        for name in ("north", "south"):
            site = workshop.site(name, *ddl)
            site.run(
                f"insert into tenant (id, name) values (1, '{name} one'), (2, '{name} two')",
                f"insert into doc (tenant_id, number, title) values (1, 7, '{name} a'), (2, 7, '{name} b')",
                f"""insert into page (id, label, tenant_id, doc_number)
                    values (1, '{name} p', 2, 7), (2, '{name} q', 2, null), (3, '{name} r', 1, 7)""",
            )
            sites.append(site)
            site.push_all(workshop.store)
        query = """select p.label, t.name, d.title, dt.name from page p join tenant t on t.id = p.tenant_id
            left join doc d on d.tenant_id = p.tenant_id and d.number = p.doc_number
            left join tenant dt on dt.id = d.tenant_id"""
        expected = [row for site in sites for row in site.rows(query)]
        assert len(expected) == 6
        assert sorted(workshop.central.rows(query), key=str) == sorted(expected, key=str)
        assert [site.push_all(workshop.store).sent for site in sites] == [0, 0]


def test_a_reference_to_a_unique_column_and_to_a_table_whose_key_is_a_reference(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    ddl = (
        "create table person (id ID, badge varchar(20) not null unique, boss varchar(20),"
        " foreign key (boss) references person (badge))",
        """create table profile (person_id int not null primary key, bio varchar(20),
            foreign key (person_id) references person (id))""",
        """create table photo (id ID, name varchar(20) not null unique, profile_id int not null, owner varchar(20),
            foreign key (profile_id) references profile (person_id), foreign key (owner) references person (badge))""",
    )
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(*ddl)
        sites = []
        for name in ("north", "south"):
            site = workshop.site(name, *ddl)
            site.run(
                f"insert into person (id, badge) values (2, '{name}-0')",
                f"insert into person (id, badge, boss) values (1, '{name}-1', '{name}-0'), (3, '{name}-3', '{name}-1')",
                f"insert into profile (person_id, bio) values (1, '{name} bio'), (2, null)",
                f"""insert into photo (id, name, profile_id, owner)
                    values (1, '{name} p', 2, '{name}-3'), (2, '{name} q', 1, null)""",
            )
            sites.append(site)
        pushed_alike(workshop, *sites)


# --- streams that others refer to


_MESSAGE = """create table message (id ID, sent_at MOMENT not null, reply_to int, body varchar(20),
    foreign key (reply_to) references message (id))"""
_ATTACHMENT = """create table attachment (id ID, stored_at MOMENT not null, message_id int not null, name varchar(20),
    foreign key (message_id) references message (id))"""


@pytest.mark.parametrize("pushlimit", [2, 1000])
def test_a_stream_known_by_its_origin_that_refers_to_itself_and_is_referred_to(
    dialect: str, pushlimit: int, new_database: NewDatabase, tmp_path: Path
) -> None:
    with Workshop(new_database, tmp_path, dialect) as workshop:
        workshop.central.run(_MESSAGE, _ATTACHMENT)
        sites = []
        for name in ("north", "south"):
            site = workshop.site(
                name, _MESSAGE, _ATTACHMENT, tables="\n[table message]\nrole = stream\n", pushlimit=pushlimit
            )
            # A reply to a later one, two that reply to each other, and a chain.
            site.run(
                *(
                    f"insert into message (id, sent_at, body) values ({at}, '2026-03-01 1{at}:00:00', '{name} {at}')"
                    for at in range(1, 8)
                ),
                *(
                    f"update message set reply_to = {to} where id = {at}"
                    for at, to in {1: 5, 2: 3, 3: 2, 5: 4, 6: 5, 7: 6}.items()
                ),
                f"""insert into attachment (id, stored_at, message_id, name) values
                    (1, '2026-03-01 09:00:00', 6, '{name} x'), (2, '2026-03-01 12:30:00', 1, '{name} y')""",
            )
            sites.append(site)
        for site in sites:
            site.push_all(workshop.store)
        query = """select m.body, r.body, a.name from message m left join message r on r.id = m.reply_to
            left join attachment a on a.message_id = m.id"""
        expected = [row for site in sites for row in site.rows(query)]
        assert len(expected) == 14
        assert sorted(workshop.central.rows(query), key=str) == sorted(expected, key=str)
        sites[0].set_lastupdate(None)
        sites[0].push_all(workshop.store)
        assert sorted(workshop.central.rows(query), key=str) == sorted(expected, key=str)


# --- what is not there, or spelt in another way


def test_dangling_references_are_held_and_said_and_go_when_the_parent_comes(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    ddl = (
        "create table house (id ID, address varchar(20) not null unique)",
        """create table room (id ID, name varchar(20) not null unique, house_id int,
            foreign key (house_id) references house (id))""",
        """create table reading (room_id int not null, time MOMENT not null, primary key (room_id, time),
            foreign key (room_id) references room (id))""",
    )
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        workshop.central.run(*ddl)
        site = workshop.site("north", *ddl)
        site.run(
            "commit",  # SQLite heeds the pragma only outside a transaction
            "pragma foreign_keys = off",
            "insert into house values (1, 'a')",
            "insert into room values (1, 'kitchen', 1), (2, 'lost', 9), (3, 'none', null)",
            """insert into reading values (1, '2026-01-01 00:00:00'), (2, '2026-01-01 00:00:00'),
                (7, '2026-01-01 00:00:00')""",
            "pragma foreign_keys = on",
            "begin",
        )
        outcome = site.push(workshop.store)
        assert (outcome.exit_code, outcome.error) == (1, None)
        assert {table: dict(rows) for table, rows in site.held().items()} == {
            "room": {"[2]": "house_id = 9 refers to a house that is missing or held itself"},
            "reading": {
                f'[{room},"2026-01-01 00:00:00"]'.replace(" ", "T"): (
                    f"room_id = {room} refers to a room that is missing or held itself"
                )
                for room in (2, 7)
            },
        }
        assert sorted(workshop.central.rows("select name from room")) == [("kitchen",), ("none",)]
        assert workshop.central.rows("select count(*) from reading") == [(1,)]
        assert outcome.table("room", "entity").held == 1

        site.run("insert into house (id, address) values (9, 'b')")
        site.push(workshop.store)
        assert "room" not in site.held()
        query = "select r.name, h.address from room r left join house h on h.id = r.house_id order by r.name"
        assert workshop.central.rows(query) == site.rows(query)


@pytest.mark.parametrize("dialect", ["mariadb", "sqlite"], indirect=True)
def test_a_reference_that_only_the_database_holds_for_equal(
    dialect: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    if dialect == "mariadb":  # its usual collation ignores case
        key, parents, children = "varchar(10)", ("'A'", "'B'"), ("'a'", "'b'")
    else:  # a column without a type holds 1 and '1', and the affinity of the parent makes them equal
        key, parents, children = "integer", ("1", "2"), ("'1'", "'2'")
    child_key = key if dialect == "mariadb" else "varchar(10)"
    with Workshop(new_database, tmp_path, dialect) as workshop:
        ddl = (
            f"create table kind (code {key} not null, title varchar(10), up {child_key}, primary key (code),"
            " foreign key (up) references kind (code))",
            f"create table thing (id ID, name varchar(10) not null unique, kind {child_key} not null,"
            " foreign key (kind) references kind (code))",
        )
        workshop.central.run(*ddl)
        site = workshop.site("north", *ddl)
        site.run(
            f"insert into kind (code, title, up) values ({parents[1]}, 'second', null)",
            f"insert into kind (code, title, up) values ({parents[0]}, 'first', {children[1]})",
            f"insert into thing (id, name, kind) values (1, 'x', {children[0]}), (2, 'y', {parents[1]})",
        )
        site.push_all(workshop.store)
        query = """select t.name, k.title, u.title from thing t join kind k on k.code = t.kind
            left join kind u on u.code = k.up order by t.name"""
        assert workshop.central.rows(query) == site.rows(query) == [("x", "first", "second"), ("y", "second", None)]
        assert site.push_all(workshop.store).sent == 0


def test_foreign_keys_spelt_in_another_case_than_the_tables(new_database: NewDatabase, tmp_path: Path) -> None:
    with Workshop(new_database, tmp_path, "sqlite") as workshop:
        ddl = (
            "create table House (Id ID, Address varchar(20) not null unique)",
            """create table Room (id ID, name varchar(20) not null unique, HouseId int,
                foreign key (HOUSEID) references hOUSE (ID))""",
            "create table Door (id ID, name varchar(20) not null unique, house int references house)",
        )
        workshop.central.run(*ddl, "insert into House values (1, 'of central')")
        site = workshop.site("north", *ddl)
        site.run(
            "insert into House values (1, 'a'), (2, 'b')",
            "insert into Room values (1, 'r', 2)",
            "insert into Door values (1, 'd', 1)",
        )
        site.push_all(workshop.store)
        query = """select r.name, h.Address, d.name, g.Address from Room r join House h on h.Id = r.HouseId,
            Door d join House g on g.Id = d.house"""
        assert workshop.central.rows(query) == site.rows(query) == [("r", "b", "d", "a")]
