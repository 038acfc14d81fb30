"""The import of a clerk's CSV file beside the script that would be written for it, and beside MariaDB's own way."""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from benchmarks.ends import agent_command, database, fresh, say
from benchmarks.results import Measurement, Series, against
from benchmarks.watched import Command, Done, piped
from models import Base, Deployment
from pusher.schema.engine import opened
from tests.fault.import_site import Cells, Storage, write_config
from tests.servers import DatabaseServer

_DEPLOYMENTS = 50
_BAD_ONE_IN = 100
_PUSHER, _PUSHER_BAD = "pusher import run", "the same, a row in 100 refused"
_SCRIPT_NAME, _LOAD_NAME = "script, a savepoint a row", "LOAD DATA LOCAL INFILE"
_CHANGES = ("update", "remove")
_YEARS = {"create": 2026, "update": 2025, "remove": 2024}  # of all days in a file, so that none is imported twice

# What somebody writes who wants each good row in the database and each bad one named.
_SCRIPT = """
import csv, sys, pymysql
host, port, user, db, path, refused, mode = sys.argv[1:]
statement = {
    "create": "INSERT INTO House (address, deploymentId, startDate) VALUES (%(address)s, %(deployment)s, %(day)s)",
    "update": "UPDATE House SET deploymentId = %(deployment)s, startDate = %(day)s WHERE address = %(address)s",
    "remove": "DELETE FROM House WHERE address = %(address)s",
}[mode]
connection = pymysql.connect(host=host, port=int(port), user=user, database=db, charset="utf8mb4")
cursor = connection.cursor()
cursor.execute("SELECT name, id FROM Deployment")
deployments = dict(cursor.fetchall())
with open(path, newline="", encoding="utf-8") as source, open(refused, "w", newline="", encoding="utf-8") as bad:
    writer = csv.writer(bad)
    for number, row in enumerate(csv.DictReader(source), 1):
        cursor.execute("SAVEPOINT import_row")
        try:
            values = {"address": row["address"], "day": row["startDate"] or None}
            values["deployment"] = deployments[row["Deployment.name"]]
            if not cursor.execute(statement, values):
                raise KeyError("no such row")
            cursor.execute("RELEASE SAVEPOINT import_row")
        except (KeyError, pymysql.Error) as error:
            cursor.execute("ROLLBACK TO SAVEPOINT import_row")
            writer.writerow([*row.values(), error])
        if number % 1000 == 0:
            connection.commit()
connection.commit()
"""
_LOAD = """
import sys, pymysql
host, port, user, db, path = sys.argv[1:]
connection = pymysql.connect(host=host, port=int(port), user=user, database=db, charset="utf8mb4", local_infile=True)
connection.cursor().execute(
    "LOAD DATA LOCAL INFILE %s INTO TABLE House CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' "
    "LINES TERMINATED BY '\\r\\n' IGNORE 1 LINES (@number, address, @deployment, startDate) "
    "SET deploymentId = (SELECT id FROM Deployment WHERE name = @deployment)", (path,))
connection.commit()
"""


def imports(server: DatabaseServer, folder: Path, rows: int, rounds: int) -> Measurement:
    """Every contender once a round, in turn, each into empty tables. Raises RuntimeError if one left a row behind."""
    contenders: dict[str, Callable[[str, Path], Done]] = {
        _PUSHER: lambda url, home: _pusher(url, home, rows),
        _PUSHER_BAD: lambda url, home: _pusher(url, home, rows, bad=True),
        _SCRIPT_NAME: lambda url, home: _script(url, home, rows),
        _LOAD_NAME: lambda url, home: _peer(url, home, rows, _LOAD),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    peaks: list[float] = []
    for number in range(rounds):
        for name, run in contenders.items():
            say(f"import of {rows:,}, round {number + 1}: {name}")
            home = _home(folder)
            with _target(server) as url:
                done = run(url, home)
                _check(url, rows - (rows // _BAD_ONE_IN if name == _PUSHER_BAD else 0), name, "create")
            seconds[name].append(done.seconds)
            peaks += [done.peaks[0]] if name == _PUSHER else []
    series = {name: Series(name=name, values=tuple(values), rows=rows) for name, values in seconds.items()}
    others = tuple(against(series[name]) for name in (_SCRIPT_NAME, _LOAD_NAME))
    ours = [Series(name=name, values=series[name].values, rows=rows, against=others) for name in (_PUSHER, _PUSHER_BAD)]
    return Measurement(
        title=f"import of {rows:,} rows",
        series=(*ours, series[_SCRIPT_NAME], series[_LOAD_NAME]),
        notes=(
            f"largest resident memory of {_PUSHER}: {max(peaks):.1f} MB",
            "LOAD DATA checks nothing, and tells nobody which row it changed or left out",
        ),
    )


def changes(server: DatabaseServer, folder: Path, rows: int, rounds: int) -> Measurement:
    """Both contenders once a round, in turn, each with the same rows there: all are updated, then all are removed."""
    contenders = {_PUSHER: _pusher, _SCRIPT_NAME: _script}
    seconds: dict[tuple[str, str], list[float]] = {(name, mode): [] for mode in _CHANGES for name in contenders}
    for number in range(rounds):
        for name, run in contenders.items():
            with _target(server) as url:
                _peer(url, _home(folder), rows, _LOAD)
                for mode in _CHANGES:
                    say(f"import of {rows:,}, round {number + 1}: {name}, {mode}")
                    done = run(url, _home(folder), rows, mode)
                    _check(url, rows if mode == "update" else 0, name, mode)
                    seconds[name, mode].append(done.seconds)
    series = {
        (name, mode): Series(name=f"{name}, mode {mode}", values=tuple(values), rows=rows)
        for (name, mode), values in seconds.items()
    }
    return Measurement(title=f"import that changes {rows:,} rows", series=tuple(_in_pairs(series)))


def _in_pairs(series: dict[tuple[str, str], Series]) -> Iterator[Series]:
    for mode in _CHANGES:
        ours, theirs = series[_PUSHER, mode], series[_SCRIPT_NAME, mode]
        yield Series(name=ours.name, values=ours.values, rows=ours.rows, against=(against(theirs),))
        yield theirs


@contextmanager
def _target(server: DatabaseServer) -> Iterator[str]:
    with fresh(server) as url:
        with opened(url) as engine, engine.begin() as connection:
            Base.metadata.create_all(connection)
            names = [{"name": f"Deployment {number}"} for number in range(_DEPLOYMENTS)]
            connection.execute(sa.insert(Deployment), names)
        yield url


def _home(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix="import-", dir=folder))


def _row(number: int, mode: str, *, bad: bool = False) -> Cells:
    """Of ten bad rows the database alone finds one: to MariaDB it has the address of the row before."""
    wrong = bad and number % _BAD_ONE_IN == _BAD_ONE_IN - 1
    alike = wrong and number % (10 * _BAD_ONE_IN) == _BAD_ONE_IN - 1
    return {
        "Number": str(number),
        "address": f"{number - 1} Push Street " if alike else f"{number} Push Street",
        "Deployment.name": "Nowhere" if wrong and not alike else f"Deployment {number % _DEPLOYMENTS}",
        "startDate": f"{_YEARS[mode]}-{1 + number % 12:02}-{1 + number % 28:02}",
    }


def _pusher(url: str, home: Path, rows: int, mode: str = "create", *, bad: bool = False) -> Done:
    config = write_config(home, url, {"houses": ("House", mode)})
    Storage(home / "houses").drop("houses.csv", [_row(number, mode, bad=bad) for number in range(rows)])
    # A row that is refused makes it end 1, which is well here.
    command = agent_command(config, "import", "run", "houses.csv")
    return piped(["sh", "-c", '"$@"; test $? -le 1', "sh", *command] if bad else command)


def _script(url: str, home: Path, rows: int, mode: str = "create") -> Done:
    return _peer(url, home, rows, _SCRIPT, str(home / "refused.csv"), mode, mode=mode)


def _peer(url: str, home: Path, rows: int, script: str, *more: str, mode: str = "create") -> Done:
    path = home / "houses.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(_row(0, mode)))
        writer.writeheader()
        writer.writerows(_row(number, mode) for number in range(rows))
    parts = sa.make_url(url)
    login = [str(parts.host), str(parts.port), str(parts.username), database(url)]
    command: Command = [sys.executable, "-c", script, *login, str(path), *more]
    return piped(command)


def _check(url: str, rows: int, whose: str, mode: str) -> None:
    with opened(url) as engine, engine.connect() as connection:
        query = "SELECT COUNT(*), COUNT(DISTINCT address), COUNT(deploymentId), COUNT(NULLIF(YEAR(startDate) = {}, 0))"
        found = tuple(connection.exec_driver_sql(f"{query.format(_YEARS[mode])} FROM House").one())
    if found != (rows,) * 4:
        raise RuntimeError(f"{whose}, {mode}: {found} rows, addresses, deployments, days; expected {rows} of each")
