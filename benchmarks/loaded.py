"""What a site costs whose readings are at central already: a delta, a cycle with nothing new, verify."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from benchmarks.ends import (
    agent_command,
    central,
    check_equally_many,
    counts,
    cycle,
    dump_command,
    fresh,
    house,
    login,
    restore_command,
    say,
    site,
)
from benchmarks.results import Measurement, Series, against
from benchmarks.watched import Done, piped
from models import Base, NodeState, Reading
from pusher.schema.engine import opened
from tests.servers import DatabaseServer, binary
from tests.stage import write_config

DELTA_ROWS = 10_000
_READING = Base.metadata.tables[Reading.__tablename__]
_DELTA_SPAN = dt.timedelta(hours=3)  # a little more than those rows cover
_LATE = {"10 minutes late": dt.timedelta(minutes=10), "up to a day late": dt.timedelta(days=1)}


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A site and central that hold the same `rows` readings, and a copy of the site that a dump made."""

    rows: int
    site: str
    config: Path
    central: str
    copy: str


@contextmanager
def loaded(server: DatabaseServer, folder: Path, rows: int) -> Iterator[Loaded]:
    say(f"loading {rows:,}")
    with site(server, rows) as source, fresh(server) as copy, central(server) as service:
        piped(dump_command(source), restore_command(copy))
        config = write_config(folder / f"loaded-{rows}", "site", source, service.resturl, service.token("site"))
        cycle(config)
        yield Loaded(rows=rows, site=source, config=config, central=service.db, copy=copy)


def noop(both: Loaded, rounds: int) -> Measurement:
    """A cycle with nothing new, beside a dump of what is newer than the newest, which is nothing."""
    ours, pipe = [], []
    for number in range(rounds):
        say(f"noop at {both.rows:,}, round {number + 1}")
        done, outcome = cycle(both.config)
        assert not any(entry["sent"] for entry in outcome["tables"]), outcome
        ours.append(done.seconds)
        pipe.append(_pipe_since(both, _newest(both.site)).seconds)
    reference = Series(name="mariadb-dump --where | mariadb", values=tuple(pipe))
    series = Series(name="pusher run --once", values=tuple(ours), against=(against(reference),))
    note = "of the reference somebody must know since when, and it sees no late rows"
    return Measurement(title="nothing new", rows=both.rows, series=(series, reference), notes=(note,))


def delta(both: Loaded, rounds: int) -> Measurement:
    """New readings and some late ones, beside a dump of all that is newer than what was there."""
    ours, pipe = [], []
    arrived = {"central": dict.fromkeys(_LATE, 0), "the copy": dict.fromkeys(_LATE, 0)}
    for number in range(rounds):
        say(f"delta at {both.rows:,}, round {number + 1}")
        since = _newest(both.site)
        _add_new(both.site, since)
        late = _add_late(both.site, since, number)
        done, outcome = cycle(both.config)
        assert not outcome["error"], outcome
        ours.append(done.seconds)
        pipe.append(_pipe_since(both, since).seconds)
        for place, url in (("central", both.central), ("the copy", both.copy)):
            for name, moment in late.items():
                arrived[place][name] += _is_there(url, moment)
    notes = [
        f"{name}: {found} of {rounds} arrived at {place} in that cycle"
        for place, names in arrived.items()
        for name, found in names.items()
    ]
    notes.append("behind the window of lookback, late rows are found by a count, which is put off while it is slow")
    if all(found == rounds for found in arrived["central"].values()):
        check_equally_many(counts(both.site), counts(both.central), "delta")
    reference = Series(name="mariadb-dump --where | mariadb", values=tuple(pipe), rows=DELTA_ROWS)
    series = Series(name="pusher run --once", values=tuple(ours), rows=DELTA_ROWS, against=(against(reference),))
    title = f"delta of {DELTA_ROWS:,} new rows and {len(_LATE)} late ones"
    return Measurement(title=title, rows=both.rows, series=(series, reference), notes=tuple(notes))


def verify(both: Loaded, rounds: int) -> Measurement:
    """Both kinds, beside what MariaDB's own checksums of both databases take."""
    kinds = {"pusher verify": (), "pusher verify --deep": ("--deep",)}
    rows = counts(both.site)["reading"]
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    wire: dict[str, list[float]] = {name: [] for name in kinds}
    checksum = []
    for number in range(rounds):
        say(f"verify at {both.rows:,}, round {number + 1}")
        for name, options in kinds.items():
            done = piped(agent_command(both.config, "verify", "--json", *options))
            (found,) = json.loads(done.output)
            seconds[name].append(done.seconds)
            wire[name].append(found["bytes_sent"] + found["bytes_received"])
        checksum.append(_checksum(both.site).seconds + _checksum(both.central).seconds)
    reference = Series(name="CHECKSUM TABLE on both sides", values=tuple(checksum), rows=rows)
    ours = [
        Series(name=name, values=tuple(values), rows=rows, against=(against(reference),))
        for name, values in seconds.items()
    ]
    sizes = [Series(name=f"{name}, on the wire", values=tuple(values), unit="B") for name, values in wire.items()]
    note = "a checksum says whether a table differs, not where, and compares only like servers"
    return Measurement(title="verify", rows=both.rows, series=(*ours, reference, *sizes), notes=(note,))


def _newest(url: str) -> dt.datetime:
    with opened(url) as engine, engine.connect() as connection:
        found = connection.scalar(sa.select(sa.func.max(Reading.time)))
    assert isinstance(found, dt.datetime)
    return found


def _add_new(url: str, since: dt.datetime) -> None:
    with opened(url) as engine:
        house(0).bulk(engine, DELTA_ROWS, end=since + _DELTA_SPAN)


def _add_late(url: str, newest: dt.datetime, number: int) -> dict[str, dt.datetime]:
    """One reading each between two that are there, so long before the newest that was pushed. Gives their times."""
    times = {}
    with opened(url) as engine, engine.begin() as connection:
        first = connection.scalar(sa.select(sa.func.min(Reading.time)))
        like = connection.execute(sa.select(_READING).limit(1)).mappings().one()
        assert first is not None
        for name, age in _LATE.items():
            place = max(newest - age, first) + dt.timedelta(milliseconds=500 + number)
            connection.execute(sa.insert(_READING), [{**like, "time": place}])
            times[name] = place
    return times


def _is_there(url: str, moment: dt.datetime) -> bool:
    with opened(url) as engine, engine.connect() as connection:
        return bool(connection.scalar(sa.select(sa.func.count()).where(Reading.time == moment)))


def _pipe_since(both: Loaded, moment: dt.datetime) -> Done:
    where = f"--where=time > '{moment.isoformat(' ')}'"
    tables = [Reading.__tablename__, NodeState.__tablename__]
    return piped(dump_command(both.site, "--no-create-info", where, tables=tables), restore_command(both.copy))


def _checksum(url: str) -> Done:
    query = f"CHECKSUM TABLE {Reading.__tablename__}, {NodeState.__tablename__}"
    return piped([binary("mariadb"), *login(url), f"--execute={query}", url.rpartition("/")[2]])
