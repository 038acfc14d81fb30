"""What is wrong with locations of kind import once all is quiet; nothing, if no row was done twice and none is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pusher.datacenter.csvform import ERRORS
from pusher.held import Quarantine
from pusher.ledger import Ledger
from tests.fault.import_clerks import Clerk, Target
from tests.fault.import_site import NUMBER

_SHOWN = 10


def wrongs(folder: Path, target: Target, clerks: Mapping[str, Clerk]) -> list[str]:
    """`folder`: with the state of the agent. `clerks`: by the mode, which is the name of the location, too."""
    return list(_of_the_table(target, clerks)) + [
        f"{mode}: {wrong}"
        for mode, clerk in clerks.items()
        for wrong in (
            *_of_rows(clerk),
            *_of_files(clerk, mode),
            *_of_runs(clerk, target, mode),
            *_differing("held", Counter(_held(folder, mode)), Counter(clerk.storage.waiting())),
        )
    ]


def _of_the_table(target: Target, clerks: Mapping[str, Clerk]) -> Iterator[str]:
    visitors, houses = target.start()
    for clerk in clerks.values():
        clerk.tell(visitors, houses)
    there = target.rows()
    yield from _differing("visitors", there[0], visitors)
    yield from _differing("houses", Counter(there[1].items()), Counter(houses.items()))


def _of_rows(clerk: Clerk) -> Iterator[str]:
    finished = Counter(tuple(row.items()) for row in clerk.storage.finished())
    yield from _differing("finished", finished, Counter(tuple(clerk.good[number].items()) for number in clerk.done()))
    pending = Counter((row[NUMBER], row.get(ERRORS)) for rows in clerk.storage.pending().values() for row in rows)
    yield from _differing("pending", pending, Counter((number, clerk.reasons[number]) for number in clerk.refused()))
    buried = Counter((row["address"], row["floors"]) for row in clerk.storage.deleted() if row["del_date"])
    yield from _differing("deleted", buried, clerk.buried())


def _of_files(clerk: Clerk, mode: str) -> Iterator[str]:
    wanted = {f"deleted/{clerk.table}.csv"} if clerk.buried() else set()
    for name, (content, numbers) in clerk.dropped.items():
        stem = name.removesuffix(".csv")
        half_done = not clerk.refused().isdisjoint(numbers)
        home = f"unfinished/{name}" if half_done else f"finished/{name}"
        path = clerk.storage.root / home
        if path.exists() and path.read_bytes() != content:
            yield f"{home} is not what was dropped"
        wanted |= {home, f"finished/{stem}.{mode}.finished.csv"}
        wanted |= {f"{stem}.{mode}.pending.csv"} if half_done else set()
    yield from _differing("files", Counter(clerk.storage.tree().keys()), Counter({*wanted, ".lock"}))


def _of_runs(clerk: Clerk, target: Target, location: str) -> Iterator[str]:
    """As the target has them noted."""
    runs = target.runs(location)
    yield from (f"{run.name} has not ended" for run in runs if run.ended is None)
    of_whole = Counter(run.name for run in runs if run.name in clerk.dropped)
    yield from _differing("runs", of_whole, Counter(clerk.dropped.keys()))
    done = sum(run.state.tally.done for run in runs)
    if done != len(clerk.done()):
        yield f"{done} rows are noted as done, not {len(clerk.done())}"


def _held(folder: Path, location: str) -> list[str]:
    with Ledger(folder / "state") as ledger:
        return [str(row.key[0]) for row in Quarantine(ledger, location).rows()]


def _differing(what: str, found: Counter[Any], wanted: Counter[Any]) -> Iterator[str]:
    for said, more in (("too many", found - wanted), ("too few", wanted - found)):
        if more:
            yield f"{what}: {more.total()} {said}, such as {list(more)[:_SHOWN]}"
