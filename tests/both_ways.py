"""Sites whose houses go both ways, and what came of a cycle there."""

from __future__ import annotations

from collections.abc import Sequence

from pusher.config import load
from pusher.held import HeldList, Kind, Selection
from pusher.job import Outcome
from pusher.ledger import Ledger
from tests.inprocess import Database, Site, Workshop, notes

HOUSE = "create table house (id ID, address varchar(40) not null unique, colour varchar(20), floors int)"
BOTH = "[table house]\ndirection = both\n"
COLOURS = "select address, colour from house order by 1"


def conflicts(site: Site) -> list[str]:
    """What `pusher held list --kind conflict` shows."""
    with Ledger(load(site.config).general.state) as ledger:
        return [row.reason for row in HeldList(ledger).rows(Selection(kind=Kind.CONFLICT))]


def give_up(site: Site) -> None:
    """`pusher held release`, of all."""
    with Ledger(load(site.config).general.state) as ledger:
        held = HeldList(ledger)
        held.give_up([row.id for row in held.rows(Selection())])


def travelled(outcome: Outcome) -> list[int]:
    """How many rows went up, came down, and changed here."""
    assert outcome.error is None, outcome.error
    return [sum(getattr(entry, name) for entry in outcome.tables) for name in ("sent", "created_here", "updated_here")]


def settle(workshop: Workshop, *sites: Site) -> None:
    """A further cycle of each finds nothing to do."""
    for site in sites:
        outcome = site.push(workshop.store)
        assert travelled(outcome) == [0, 0, 0]
        assert notes(outcome) == []


def paint(database: Database, colour: str, address: str = "a") -> None:
    database.run(f"update house set colour = '{colour}' where address = '{address}'")


def make_sites(workshop: Workshop, *names: str, rows: Sequence[str] = ("a", "b")) -> list[Site]:
    """Sites that all have the same houses, numbered otherwise at each, and central, too."""
    workshop.central.run(HOUSE)
    sites = []
    for at, name in enumerate(names):
        site = workshop.site(name, HOUSE, tables=BOTH)
        for row in rows if at % 2 else rows[::-1]:
            site.run(f"insert into house (address, colour) values ('{row}', 'red')")
        site.push_all(workshop.store)
        sites.append(site)
    return sites
