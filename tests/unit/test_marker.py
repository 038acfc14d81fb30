"""`lastupdate` says nothing that is not at central."""

from __future__ import annotations

from pathlib import Path

import pytest

from pusher.config import read_lastupdate
from pusher.ledger import Ledger
from pusher.push.marker import Marker, marker_of
from pusher.push.position import Position
from pusher.schema.guess import Role
from pusher.schema.plan import TablePlan
from pusher.wire.tables import Column, Kind, Table

EARLY, LATE = "2026-01-01 00:00:00", "2026-01-02 00:00:00"


def position(cursor: object, *, drained: bool, kind: Kind = Kind.DATETIME) -> Position:
    table = Table(name="t", columns=(Column(name="c", kind=kind),), primary_key=("c",))
    plan = TablePlan(local=table, central=table, role=Role.STREAM, role_reason="", order=("c",))
    return Position(table=plan, cursor=None if cursor is None else (cursor, 1), sequence=0, drained=drained)


def done(cursor: object, kind: Kind = Kind.DATETIME) -> Position:
    return position(cursor, drained=True, kind=kind)


def waiting(cursor: object, kind: Kind = Kind.DATETIME) -> Position:
    return position(cursor, drained=False, kind=kind)


@pytest.mark.parametrize(
    ("positions", "moment"),
    [
        ([], None),
        ([done(EARLY)], EARLY),
        ([done(EARLY), done(LATE)], LATE),  # nothing waits, so the newest that arrived counts
        ([waiting(EARLY), done(LATE)], EARLY),
        ([waiting(LATE), done(EARLY)], LATE),  # nothing older waits anywhere
        ([waiting(LATE), waiting(EARLY)], EARLY),
        ([waiting(None), done(LATE)], None),  # one has not begun
        ([waiting(None), waiting(LATE)], None),
        ([done(None), done(LATE)], LATE),  # one is empty
        ([done(None)], None),
        ([done(7, Kind.INTEGER)], None),
        ([waiting(7, Kind.INTEGER), waiting(LATE)], LATE),
        ([waiting(None, Kind.INTEGER), waiting(LATE)], None),
        ([done("infinity"), done(EARLY)], EARLY),
        ([done("2026-01-01 00:00:00.000000+00", Kind.INSTANT)], EARLY),
        ([done("2026-01-01", Kind.DATE)], "2026-01-01"),
    ],
)
def test_marker_of(positions: list[Position], moment: str | None) -> None:
    assert marker_of(positions) == (moment and moment.replace(" ", "T"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "synchronise.conf"
    path.write_text("[central]\nlastupdate = None ; of pusher\n")
    return path


def lastupdate(config: Path) -> str | None:
    return read_lastupdate(config, "central")


def test_it_follows_at_most_once_a_second_and_at_the_end(config: Path, tmp_path: Path) -> None:
    clock = [100.0]
    with Ledger(tmp_path / "state") as ledger:
        marker = Marker(config, "central", ledger, lambda: clock[0])
        marker.follow([waiting(EARLY)])
        assert lastupdate(config) == EARLY == ledger.location("central").marker
        clock[0] += 0.9
        marker.follow([waiting(LATE)])
        assert lastupdate(config) == EARLY
        marker.follow([waiting(LATE)], at_once=True)
        assert lastupdate(config) == LATE
        clock[0] += 1
        marker.follow([done("2026-01-03 00:00:00.5")])
        assert lastupdate(config) == "2026-01-03 00:00:00.5"
    assert config.read_text() == "[central]\nlastupdate = 2026-01-03 00:00:00.5 ; of pusher\n"


def test_an_edit_that_was_made_meanwhile_stands(config: Path, tmp_path: Path) -> None:
    with Ledger(tmp_path / "state") as ledger:
        marker = Marker(config, "central", ledger)
        marker.follow([done(EARLY)], at_once=True)
        config.write_text(config.read_text().replace("2026-01-01 00:00:00", "None"))
        marker.follow([done(LATE)], at_once=True)
        assert lastupdate(config) is None
        assert ledger.location("central").marker == EARLY  # so the next cycle sees that it was edited


def test_what_no_calendar_knows_is_not_written(config: Path, tmp_path: Path) -> None:
    with Ledger(tmp_path / "state") as ledger:
        marker = Marker(config, "central", ledger)
        for cursor in ("infinity", "2026-02-30 00:00:00", "0000-00-00 00:00:00", "soon", 7):
            marker.follow([done(cursor)], at_once=True)
        assert lastupdate(config) is None
