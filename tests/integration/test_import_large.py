"""A large file with one row in a hundred bad: all others land, those come back, and land once they are mended.

IMPORT_ROWS=100000 is the full size.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks.watched import Peaks
from pusher.datacenter.csvform import ERRORS
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.fault.import_site import NUMBER, Cells, Storage, mended, write_config
from tests.stage import start_pusher

ROWS = int(os.environ.get("IMPORT_ROWS", "5000"))
_FIRST_ROWS = ROWS // 5  # of a file before, with which memory is compared
_BAD_ONE_IN = 100
_GROWTH_MB = 6
_CLINICS = 40

_METADATA = sa.MetaData()
_CLINIC = sa.Table(
    "Clinic",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(30), nullable=False, unique=True),
)
_PATIENT = sa.Table(
    "Patient",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("code", sa.String(20), nullable=False, unique=True),
    sa.Column("clinicId", sa.ForeignKey("Clinic.id"), nullable=False),
    sa.Column("born", sa.Date),
    sa.Column("seen", sa.DateTime),
    sa.Column("weight", sa.Numeric(5, 1)),
    sa.Column("visits", sa.SmallInteger, nullable=False),
    sa.Column("email", sa.String(60), unique=True),
)


def _row(number: int) -> dict[str, str]:
    """As it has to be in the file."""
    return {
        NUMBER: str(number),
        "code": f"P-{number:06}",
        "Clinic.name": f"Clinic {number % _CLINICS}",
        "born": str(dt.date(1930, 1, 1) + dt.timedelta(days=number % 20000)),
        "seen": f"2026-{1 + number % 12:02}-{1 + number % 28:02} {number % 24:02}:{number % 60:02}",
        "weight": f"{40 + number % 600 / 10:.1f}",
        "visits": str(number % 300),
        "email": "" if number % 3 == 0 else f"p{number}@clinic.example",
    }


def _truth(number: int) -> tuple[Any, ...]:
    """As it has to be in the database."""
    return (
        f"P-{number:06}",
        f"Clinic {number % _CLINICS}",
        dt.date.fromordinal(dt.date(1930, 1, 1).toordinal() + number % 20000),
        dt.datetime(2026, 1 + number % 12, 1 + number % 28, number % 24, number % 60),
        Decimal(400 + number % 600) / 10,
        number % 300,
        f"p{number}@clinic.example" if number % 3 else None,
    )


Fault = tuple[dict[str, str], str]  # what is wrong in the row, and what is said of it


def _exists(code: str) -> Fault:
    said = f"there is a Patient with code = '{code}' already; leave the row out, or import it with mode update"
    return {"code": code}, said


# Of the row with a number.
_FAULTS: tuple[Callable[[int], Fault], ...] = (
    lambda number: ({"code": ""}, "code is empty; a new Patient needs it, fill it in"),
    lambda number: ({"code": "P" * 300}, "code: 300 characters do not fit into VARCHAR(20); shorten it"),
    lambda number: ({"visits": "many"}, "visits: 'many' is no whole number; write one such as 42"),
    lambda number: ({"born": "2026-02-30"}, "born: '2026-02-30': there is no such day; correct it"),
    lambda number: (
        {"Clinic.name": f"Nowhere {number}"},
        f"there is no Clinic with name = 'Nowhere {number}'; import it first, or correct Clinic.name",
    ),
    lambda number: _exists(f"P-{number - 7:06}"),  # of this file
    lambda number: _exists(f"P-{number % _FIRST_ROWS:06}"),  # of the file before
    lambda number: (
        {"visits": str(32768 + number)},
        f"visits: {32768 + number} does not fit into SMALLINT(6); write a smaller number",
    ),
    lambda number: ({"visits": "XXX"}, "visits is XXX, and cannot be NULL; write a value"),
    lambda number: (
        {"email": f"p{_with_email(number)}@clinic.example"},
        f"there is another Patient with email = 'p{_with_email(number)}@clinic.example'; choose another email",
    ),
)


def _with_email(number: int) -> int:
    """One before it that has an address."""
    return number - 11 if (number - 11) % 3 else number - 10


def _faults() -> dict[int, Fault]:
    bad = range(_FIRST_ROWS + _BAD_ONE_IN - 1, _FIRST_ROWS + ROWS, _BAD_ONE_IN)
    return {number: _FAULTS[place % len(_FAULTS)](number) for place, number in enumerate(bad)}


class _Site:
    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.storage = Storage(folder / "patients")
        self._config = write_config(folder, url, {"patients": ("Patient", "create")})
        with opened(url) as engine, engine.begin() as connection:
            _METADATA.create_all(connection)
            connection.execute(sa.insert(_CLINIC), [{"name": f"Clinic {number}"} for number in range(_CLINICS)])

    def run(self, name: str, rows: list[Cells]) -> tuple[dict[str, Any], float]:
        """Imports a file in a process of its own: what came of it, and the memory at its peak in MB."""
        self.storage.drop(name, rows)
        command = ("--config", self._config, "import", "run", name, "--json")
        with start_pusher(*command) as child, Peaks([child.pid]) as peaks:
            out, err = child.communicate()
        assert err == "" and child.returncode in (0, 1), err
        return json.loads(out), peaks.found[0]

    def patients(self) -> Counter[tuple[Any, ...]]:
        columns = [column for column in _PATIENT.c if column.name not in ("id", "clinicId")]
        query = sa.select(columns[0], _CLINIC.c.name, *columns[1:]).join(_CLINIC)
        with opened(self.url) as engine, engine.connect() as connection:
            return Counter(tuple(row) for row in connection.execute(query))


@pytest.fixture
def site(new_database: NewDatabase, tmp_path: Path) -> _Site:
    return _Site(tmp_path, new_database("mariadb"))


@pytest.mark.timeout(max(120, ROWS // 300))
def test_what_is_good_lands_and_what_is_bad_comes_back_until_it_is_mended(site: _Site) -> None:
    first, peak_before = site.run("first.csv", [_row(number) for number in range(_FIRST_ROWS)])
    assert (first["tally"]["created"], first["tally"]["refused"]) == (_FIRST_ROWS, 0)

    faults = _faults()
    numbers = range(_FIRST_ROWS, _FIRST_ROWS + ROWS)
    right = {str(number): _row(number) for number in faults}
    rows = (_row(number) | faults[number][0] if number in faults else _row(number) for number in numbers)
    done, peak = site.run("patients.csv", list(rows))
    assert (done["tally"]["created"], done["tally"]["refused"]) == (ROWS - len(faults), len(faults))
    assert peak - peak_before < _GROWTH_MB, f"{peak_before:.1f} MB for {_FIRST_ROWS} rows, {peak:.1f} for {ROWS}"
    assert site.patients() == Counter(_truth(n) for n in range(_FIRST_ROWS + ROWS) if n not in faults)

    ((name, pending),) = site.storage.pending().items()
    assert name == "patients.create.pending.csv"
    assert {int(row[NUMBER]): row[ERRORS] for row in pending} == {n: reason for n, (_, reason) in faults.items()}
    assert [{k: v for k, v in row.items() if k != ERRORS} for row in pending] == [
        _row(number) | cells for number, (cells, _) in faults.items()
    ]

    again, _ = site.run(name, mended(pending, right))
    assert (again["tally"]["created"], again["tally"]["refused"]) == (len(faults), 0)
    assert site.patients() == Counter(map(_truth, range(_FIRST_ROWS + ROWS)))
    assert site.storage.waiting() == []
    assert Counter(int(row[NUMBER]) for row in site.storage.finished()) == Counter(range(_FIRST_ROWS + ROWS))
