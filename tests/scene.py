"""A site with an entity, a stream known by its key and two that are not, all of it at central."""

from __future__ import annotations

from pusher.push.verdict import TableVerdict
from tests.inprocess import Site, Workshop

_NODE = 'CREATE TABLE "node" (id ID, name VARCHAR(20) NOT NULL UNIQUE, note VARCHAR(20))'
_READING = """CREATE TABLE "reading" ("time" MOMENT NOT NULL, node INT NOT NULL, value REAL64,
    PRIMARY KEY ("time", node), FOREIGN KEY (node) REFERENCES "node" (id))"""
_VISIT = 'CREATE TABLE "visit" (id ID, "time" MOMENT NOT NULL, who VARCHAR(20))'
_COUNT = 'CREATE TABLE "count" (id ID, who VARCHAR(20))'
TABLES = (_NODE, _READING, _VISIT, _COUNT)
MINUTES = 900


def moment(minute: int) -> str:
    return f"2026-01-{1 + minute // 1440:02} {minute // 60 % 24:02}:{minute % 60:02}:00.000000"


class Scene:
    def __init__(self, workshop: Workshop, tables: str = "") -> None:
        """`tables`: sections of the site's configuration."""
        self.central, self.store = workshop.central, workshop.store
        self.central.run(*TABLES)
        self.site = workshop.site("north", *TABLES, tables=tables, pushlimit=200)
        self.fill(self.site)
        self.site.push_all(self.store)

    def fill(self, site: Site, first_node: int = 1) -> None:
        name = "south" if first_node > 1 else "north"
        site.run(f"""INSERT INTO "node" VALUES ({first_node}, '{name}', 'x'), ({first_node + 1}, '{name} 2', NULL)""")
        rows = [(moment(minute), first_node + minute % 2, minute / 7) for minute in range(MINUTES)]
        site.insert("reading", ("time", "node", "value"), rows)
        site.insert("visit", ("id", "time", "who"), [(n, moment(n), f"v{n}") for n in range(1, 200)])
        site.insert("count", ("id", "who"), [(n, f"c{n}") for n in range(1, 1500)])

    def verify(
        self, since: str | None = None, until: str | None = None, *, deep: bool = True
    ) -> dict[str, TableVerdict]:
        return {each.table: each for each in self.site.verify(self.store, (since, until), deep=deep)}

    def differing(self, *, deep: bool = True) -> dict[str, tuple[list[str], list[str], list[str]]]:
        return {
            name: (each.missing, each.different, each.only_central)
            for name, each in self.verify(deep=deep).items()
            if each.verdict != "equal"
        }
