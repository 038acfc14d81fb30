"""Clerks who drop files and mend what comes back, and who know what must be in the database in the end."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa

from models.columns import exact
from models.importing import imports
from pusher.datacenter.register import Register, Run
from pusher.schema.engine import opened
from tests.fault.import_site import NUMBER, Cells, Storage, mended

_NOBODYS = "a house that no file names"
_UNCHANGED = -1  # floors of a house before a file tells them

_METADATA = sa.MetaData()
# Nothing but a number tells its rows apart, so a row that is done twice is there twice.
_VISIT = sa.Table(
    "Visit",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("time", sa.DateTime, nullable=False),
    sa.Column("who", sa.String(20), nullable=False),
)
_HOUSE = sa.Table(
    "House",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("address", exact(40), nullable=False, unique=True),
    sa.Column("floors", sa.Integer),
)


class Target:
    """The database, and what the import job notes there."""

    def __init__(self, url: str) -> None:
        self.url = url

    def prepare(self) -> None:
        with opened(self.url) as engine:
            _METADATA.create_all(engine)
            imports.metadata.create_all(engine)
        self.build(_NOBODYS, _UNCHANGED)

    def start(self) -> tuple[Counter[str], dict[str, int]]:
        """As `rows` has it, before any file is dropped."""
        return Counter(), {_NOBODYS: _UNCHANGED}

    def build(self, address: str, floors: int) -> None:
        with opened(self.url) as engine, engine.begin() as connection:
            connection.execute(sa.insert(_HOUSE).values(address=address, floors=floors))

    def ended(self) -> int:
        """How many files are done."""
        return self._count(imports.c.ended.is_not(None))

    def has_ended(self, run: str) -> bool:
        return self._count(imports.c.ended.is_not(None), imports.c.run == run) > 0

    def _count(self, *conditions: sa.ColumnElement[bool]) -> int:
        with opened(self.url) as engine, engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(imports).where(*conditions)) or 0

    def runs(self, location: str) -> Sequence[Run]:
        with opened(self.url) as engine:
            return Register(engine, location).newest(10**6)

    def rows(self) -> tuple[Counter[str], dict[str, int]]:
        """The visitors, and the houses with their floors."""
        with opened(self.url) as engine, engine.connect() as connection:
            visitors = Counter(connection.scalars(sa.select(_VISIT.c.who)))
            houses = {each.address: each.floors for each in connection.execute(sa.select(_HOUSE))}
        return visitors, houses


class Clerk(ABC):
    """Of one location. `good`: each row as it has to be, by its number; `reasons`: of those that are dropped otherwise,
    what has to be said of them. `dropped`: the content of each file, and the numbers of its rows."""

    table: str

    def __init__(self, root: Path, target: Target, random_: random.Random) -> None:
        self.storage = Storage(root)
        self.good: dict[str, Cells] = {}
        self.reasons: dict[str, str] = {}
        self.dropped: dict[str, tuple[bytes, list[str]]] = {}
        self._target = target
        self._random = random_
        self._mended: set[str] = set()

    def refused(self) -> set[str]:
        return self.reasons.keys() - self._mended

    def done(self) -> set[str]:
        return self.good.keys() - self.refused()

    def drop(self, rows: int, bad: Collection[int]) -> None:
        """A new file of so many rows. `bad`: the places of those that must not be done."""
        content, numbers = [], []
        for place in range(rows):
            number = str(len(self.good))
            row = self.good[number] = {NUMBER: number, **self._good(int(number))}
            if place in bad:
                wrong, self.reasons[number] = self._bad(int(number))
                row = {**row, **wrong}
            content.append(row)
            numbers.append(number)
        name = f"file {len(self.dropped)}.csv"
        self.dropped[name] = self.storage.drop(name, content), numbers

    def mend(self, name: str, share: float) -> None:
        """Some rows of a file that came back, whatever the job is about."""
        rows = self.storage.pending()[name]
        right = {row[NUMBER]: self.good[row[NUMBER]] for row in rows if self._random.random() < share}
        if right:
            self.storage.drop(name, mended(rows, right))
            self._mended |= right.keys()

    @abstractmethod
    def _good(self, number: int) -> Cells:
        """The cells of a row, for which the database is made ready."""

    @abstractmethod
    def _bad(self, number: int) -> tuple[Cells, str]:
        """What is wrong in a row, and what has to be said of it."""

    @abstractmethod
    def tell(self, visitors: Counter[str], houses: dict[str, int]) -> None:
        """Adds what has to be in the database."""

    def buried(self) -> Counter[tuple[str, str]]:
        """The address and the floors of each house that has to be among the deleted ones."""
        return Counter()


class Creating(Clerk):
    table = "Visit"

    def _good(self, number: int) -> Cells:
        return {"time": "2026-01-31 23:59", "who": f"visitor {number}"}

    def _bad(self, number: int) -> tuple[Cells, str]:
        return {"time": "soon"}, "time: 'soon' is no date and time, such as 2026-01-31 23:59"

    def tell(self, visitors: Counter[str], houses: dict[str, int]) -> None:
        visitors.update(self.good[number]["who"] for number in self.done())


class Upserting(Clerk):
    """Every other house is there already."""

    table = "House"

    def _good(self, number: int) -> Cells:
        address = f"{number} Old St" if number % 2 else f"{number} New St"
        if number % 2:
            self._target.build(address, _UNCHANGED)
        return {"address": address, "floors": str(number)}

    def _bad(self, number: int) -> tuple[Cells, str]:
        return {"floors": "many"}, "floors: 'many' is no whole number; write one such as 42"

    def tell(self, visitors: Counter[str], houses: dict[str, int]) -> None:
        for number, row in self.good.items():
            if number in self.done():
                houses[row["address"]] = int(row["floors"])
            elif int(number) % 2:
                houses[row["address"]] = _UNCHANGED


class Removing(Clerk):
    table = "House"

    def _good(self, number: int) -> Cells:
        self._target.build(f"{number} Lost St", number)
        return {"address": f"{number} Lost St"}

    def _bad(self, number: int) -> tuple[Cells, str]:
        said = f"there is no House with address = '{number} No St'; correct address, or leave the row out"
        return {"address": f"{number} No St"}, said

    def tell(self, visitors: Counter[str], houses: dict[str, int]) -> None:
        houses |= {row["address"]: int(number) for number, row in self.good.items() if number in self.refused()}

    def buried(self) -> Counter[tuple[str, str]]:
        return Counter((self.good[number]["address"], number) for number in self.done())


CLERKS: Mapping[str, type[Clerk]] = {"create": Creating, "upsert": Upserting, "remove": Removing}
