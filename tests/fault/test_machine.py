"""Sites and a central in one process, driven through any order of events that Hypothesis can think of.

`HYPOTHESIS_PROFILE=search FAULT_EXAMPLES=2000 pytest tests/fault/test_machine.py` looks for new orders.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pusher.errors import CentralUnreachable
from pusher.transport.central import Central
from tests.fault.sides import copy_database
from tests.fault.troubles import OF_ROWS_ON
from tests.inprocess import Row, Site, Workshop

_EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "8"))
_STEPS = 25
_QUIET_CYCLES = 4
_BATCH_ROWS = 3

_ROOM = "create table room (id ID, name varchar(40) not null unique, colour varchar(8))"
_READING = """create table reading (room_id int not null, time MOMENT not null, value int, primary key (room_id, time),
    foreign key (room_id) references room (id))"""
_NOTE = "create table note (id ID, at MOMENT not null, text varchar(40))"
# A row with what its ids stand for, so that each side may number as it likes. Those of rooms are the same at both
# sites where the names are; all others are each one's own.
_ROOMS = "select name, colour from room"
_ROWS = (
    "select r.name, x.time, x.value from reading x join room r on r.id = x.room_id",
    "select at, text from note",
)
_BEGINNING = dt.datetime(2026, 1, 1)

_which = st.sampled_from((0, 1))
_some = st.integers(1, 5)


class Interrupted:
    """Central that cannot be reached at the call number `at`, before or after it did its part."""

    def __init__(self, central: Central, at: int, *, after: bool) -> None:
        self._central = central
        self._left = at
        self._after = after

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        method: Callable[[Any], Any] = getattr(self._central, name)

        def call(message: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise CentralUnreachable("the request was lost")
            answer = method(message)
            if self._left == 0:
                raise CentralUnreachable("the answer was lost")
            return answer

        return call


class SitesAndCentral(RuleBasedStateMachine):
    """Moments are whole seconds after the beginning; each site's have a fraction of their own, so none collide."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pusher-machine-")))
        self._backup = folder / "backup.db"
        numbers = count(1)

        def new_database(_: str) -> str:
            path = folder / f"{next(numbers)}.db"
            path.touch()
            return f"sqlite:///{path}"

        self._workshop = self._stack.enter_context(Workshop(new_database, folder, "sqlite"))
        ddl = (_ROOM, _READING, _NOTE)
        self._workshop.central.run(*ddl)
        self._sites = [self._workshop.site(name, *ddl, pushlimit=_BATCH_ROWS) for name in ("north", "south")]
        self._seconds = 0
        self._met = False
        self._numbers = count(1)
        for site in self._sites:
            site.insert("room", ("name",), [("hall",)])

    @initialize(known=st.booleans())
    def begins(self, known: bool) -> None:
        if known:
            for which in (0, 1):
                self.rows_come(which, _BATCH_ROWS + 1)
            self.it_is_quiet()

    # --- what sites collect

    @rule(which=_which, rows=_some)
    def rows_come(self, which: int, rows: int) -> None:
        for _ in range(rows):
            self._seconds += 1
            self._add(which, self._seconds)

    @rule(which=_which, shared=st.booleans())
    def a_room_comes(self, which: int, shared: bool) -> None:
        owner = "both" if shared else f"site {which}"
        known = {name for (name,) in self._sites[which].rows("select name from room")}
        name = next(name for number in count(1) if (name := f"room {number} of {owner}") not in known)
        self._sites[which].insert("room", ("name",), [(name,)])

    @rule(which=_which, colour=st.sampled_from(("red", "green")))
    def a_room_changes(self, which: int, colour: str) -> None:
        self._sites[which].run(f"update room set colour = '{colour}' where name like '% of site %'")

    @precondition(lambda self: OF_ROWS_ON)
    @rule(which=_which, rows=_some, back=st.sampled_from((1, 7, 5000, 200_000)))
    def rows_come_late(self, which: int, rows: int, back: int) -> None:
        for number in range(rows):
            self._add(which, self._seconds - back - number, fraction=next(self._numbers))

    @precondition(lambda self: OF_ROWS_ON)
    @rule(which=_which)
    def rows_come_tied(self, which: int) -> None:
        """A moment again that has a row already: another room, perhaps one with a smaller id."""
        self._add(which, self._seconds)

    @precondition(lambda self: OF_ROWS_ON)
    @rule(which=_which, days=st.sampled_from((1, 3650)))
    def rows_come_from_the_future(self, which: int, days: int) -> None:
        self._add(which, self._seconds + 86400 * days, fraction=next(self._numbers))

    @precondition(lambda self: OF_ROWS_ON)
    @rule(which=_which)
    def a_recent_row_changes(self, which: int) -> None:
        recent = (self._moment(which, self._seconds - back) for back in (5, 0))
        between = " and ".join(f"'{moment}'" for moment in recent)
        self._sites[which].run(f"update reading set value = value + 1000000 where time between {between}")

    # --- what goes wrong

    @rule(which=_which, at=st.integers(1, 9), after=st.booleans())
    def a_cycle_is_interrupted(self, which: int, at: int, after: bool) -> None:
        self._sites[which].push(cast(Central, Interrupted(self._workshop.store, at, after=after)))

    @rule(which=_which)
    def a_cycle_runs(self, which: int) -> None:
        self._sites[which].push(self._workshop.store)

    @rule(which=_which)
    def a_state_is_lost(self, which: int) -> None:
        shutil.rmtree(self._sites[which].config.parent / "state", ignore_errors=True)

    # A site whose state is lost and of which central knows nothing either is a new one: then lastupdate is the
    # operator's word. So no backup is older than the first rows of both.
    @precondition(lambda self: self._met)
    @rule()
    def central_is_backed_up(self) -> None:
        copy_database(self._central_file(), self._backup)

    @precondition(lambda self: self._backup.exists())
    @rule()
    def central_is_restored(self) -> None:
        self._workshop.central.engine.dispose()
        copy_database(self._backup, self._central_file())

    @precondition(lambda self: self._met)
    @rule(which=_which, rows=_some)
    def central_forgets_a_cycle(self, which: int, rows: int) -> None:
        self.central_is_backed_up()
        self.rows_come(which, rows)
        self.a_cycle_runs(which)
        self.central_is_restored()

    @rule(which=_which, back=st.none() | st.integers(0, 30))
    def lastupdate_is_set_back(self, which: int, back: int | None) -> None:
        moment = None if back is None else self._moment(which, max(self._seconds - back, 0))
        written = self._lastupdate(self._sites[which])
        if moment is None or (written is not None and moment <= written):
            self._sites[which].set_lastupdate(moment)

    # --- what must hold

    @rule()
    def it_is_quiet(self) -> None:
        for site in self._sites:
            for _ in range(_QUIET_CYCLES):
                outcome = site.push(self._workshop.store)
                if outcome.exit_code == 0:
                    break
            assert (outcome.exit_code, site.held()) == (0, {}), outcome
        central = self._workshop.central
        assert {row for site in self._sites for row in site.rows(_ROOMS)} == set(central.rows(_ROOMS))
        assert len(central.rows(_ROOMS)) == len(set(central.rows(_ROOMS)))
        for query in _ROWS:
            here = sum((Counter(site.rows(query)) for site in self._sites), Counter[Row]())
            there = Counter(central.rows(query))
            assert (here - there, there - here) == (Counter(), Counter())
        self._met = all(site.rows("select id from note") for site in self._sites)

    def teardown(self) -> None:
        try:
            self.it_is_quiet()
        finally:
            self._stack.close()

    # ---

    def _add(self, which: int, second: int, fraction: int = 0) -> None:
        """A reading, in any room that has none then, and a note."""
        site, moment, number = self._sites[which], self._moment(which, second, fraction), next(self._numbers)
        taken = f"select room_id from reading where time = '{moment}'"
        rooms = site.rows(f"select id from room where id not in ({taken}) order by id desc")
        if rooms:
            (room,) = rooms[number % len(rooms)]
            site.insert("reading", ("room_id", "time", "value"), [(room, moment, number)])
        site.insert("note", ("at", "text"), [(moment, f"note {number}")])

    def _moment(self, which: int, second: int, fraction: int = 0) -> str:
        moment = _BEGINNING + dt.timedelta(seconds=second, microseconds=2 * fraction + which)
        return moment.isoformat(" ", "microseconds")

    def _lastupdate(self, site: Site) -> str | None:
        line = next(line for line in site.config.read_text().splitlines() if line.startswith("lastupdate"))
        value = line.partition("=")[2].partition(";")[0].strip()
        return None if value == "None" else value

    def _central_file(self) -> Path:
        return Path(str(self._workshop.central.engine.url.database))


TestSitesAndCentral = SitesAndCentral.TestCase
TestSitesAndCentral.settings = settings(
    max_examples=_EXAMPLES,
    stateful_step_count=_STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
