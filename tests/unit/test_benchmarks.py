"""The numbers of the benchmarks are put together correctly; nothing is measured here."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks.__main__ import main
from benchmarks.agents import Cycle, SiteReport, cycles_needed
from benchmarks.ends import check_equally_many, house
from benchmarks.load import Loads, load, memory
from benchmarks.results import Measurement, Reference, Series, against, as_json, percentile, table
from benchmarks.sites import Crowd, Crowded, shown
from benchmarks.watched import family, peak_mb, piped

PIPE = Series(name="pipe", values=(1.0, 10.0, 2.0), rows=100)
OURS = Series(name="ours", values=(2.0, 40.0, 6.0), rows=100, against=(against(PIPE),))


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds_not_the_ratio_of_medians() -> None:
    assert OURS.ratio(OURS.against[0]) == 3.0
    assert Series(name="ours", values=(1.0, 9.0, 2.0), against=()).ratio(against(PIPE)) == 1.0
    assert (PIPE.median, PIPE.rows_per_second) == (2.0, 50.0)


def test_a_single_reference_stands_for_every_round() -> None:
    assert OURS.ratio(Reference(name="once", values=(2.0,))) == 3.0


def test_rounds_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError):
        OURS.ratio(Reference(name="other", values=(1.0, 2.0)))


def test_the_table_shows_medians_spread_rate_and_ratio() -> None:
    text = table(Measurement(title="load", rows=1000, series=(OURS, PIPE), notes=("beware",)))
    heading, ours, pipe, note = text.splitlines()
    assert heading.startswith("load, 1,000 readings, medians of 3")
    assert ours.split() == ["ours", "6", "s", "(2..40)", "17", "rows/s", "3.00", "x", "pipe", "(2)"]
    assert pipe.split() == ["pipe", "2", "s", "(1..10)", "50", "rows/s"]
    assert note == "  - beware"


def test_a_measurement_without_rounds_or_series_has_a_table_all_the_same() -> None:
    once = Series(name="wire", values=(2.7,), unit="B a row")
    assert table(Measurement(title="wire", series=(once,))).splitlines() == ["wire", "  wire  2.70 B a row"]
    assert table(Measurement(title="none", series=())) == "none"


def test_json_holds_every_round() -> None:
    found = json.loads(json.dumps(as_json(Measurement(title="load", rows=1000, series=(OURS, PIPE)))))
    ours, pipe = found["series"]
    assert ours["values"] == [2.0, 40.0, 6.0]
    assert ours["against"] == [{"name": "pipe", "values": [1.0, 10.0, 2.0], "median": 2.0, "ratio": 3.0}]
    assert (pipe["median"], pipe["rows_per_second"], pipe["against"]) == (2.0, 50.0, [])


def test_percentiles() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, part) for part in (0.01, 0.5, 0.95, 1.0)] == [1.0, 50.0, 95.0, 100.0]
    assert percentile([3.0], 0.5) == 3.0


def test_a_load_is_held_against_every_other_tool_and_names_what_is_missing() -> None:
    loads = Loads(rows=100)
    loads.seconds |= {"pusher run --once": [4.0, 6.0], "mariadb-dump | mariadb": [2.0, 2.0], "dlt": [8.0, 8.0]}
    loads.peaks["agent"] = [80.0, 90.0]
    found = load(loads, ["sling"])
    assert [each.name for each in found.series] == ["pusher run --once", "mariadb-dump | mariadb", "dlt"]
    assert [found.series[0].ratio(each) for each in found.series[0].against] == [2.5, 0.625]
    assert found.notes[-1] == "not installed: sling"
    assert loads.rows_per_second == 20.0
    assert [(each.name, each.median, each.unit) for each in memory(loads).series] == [("agent", 85.0, "MB")]


def test_rows_that_a_load_loses_are_noticed() -> None:
    check_equally_many({"reading": 2}, {"reading": 2}, "a tool")
    with pytest.raises(RuntimeError, match="a tool: not equally many"):
        check_equally_many({"reading": 2}, {"reading": 1}, "a tool")


def test_a_row_counts_the_cycles_that_began_after_it() -> None:
    cycles = [
        Cycle(began=0, ended=2, arrived=1),
        Cycle(began=3, ended=4, arrived=1),
        Cycle(began=5, ended=6, arrived=3),
    ]
    assert cycles_needed([1.0, 2.5, 4.5, 5.5], cycles) == [1, 2, 1, None]


def test_what_came_of_a_crowd_is_added_up() -> None:
    live = SiteReport(number=1, errors=["away"], seconds=[5.0, 1.0, 3.0], cycles_a_row=[1, 1, 2], missing=1)
    behind = SiteReport(number=2, seconds=[9.0], caught_up=9.0)
    found = shown(
        Crowded(
            crowd=Crowd(sites=2, backlog=1000),
            seconds=10.0,
            arrived=1000,
            extra=0,
            live=(live,),
            behind=(behind,),
            cpu={"central": 4.0},
            whole_seconds=11.0,
            peaks=(90.0,),
            log=("Traceback",),
        ),
        200.0,
    )
    numbers = {series.name: series.median for series in found.series}
    assert found.series[0].ratio(found.series[0].against[0]) == 0.5
    assert numbers["errors"] == 1
    assert numbers["live rows, most cycles until one arrived"] == 2
    assert numbers["live rows that never arrived"] == 1
    assert numbers["first cycle of a live site, p50"] == 5.0
    assert (numbers["its later cycles, p50"], numbers["its later cycles, p95"]) == (1.0, 3.0)
    assert any("away" in note for note in found.notes)
    assert any("Traceback" in note for note in found.notes)


def test_sites_share_neither_house_nor_nodes() -> None:
    houses = [house(number) for number in range(200)]
    assert len({each.address for each in houses}) == len({each.deployment for each in houses}) == 200
    assert len({node for each in houses for node in each.nodes}) == 400


def test_a_program_is_watched() -> None:
    done = piped([sys.executable, "-c", "print('x' * 10)"], [sys.executable, "-c", "print(input())"])
    assert done.output == b"x" * 10 + b"\n"
    assert done.seconds > 0 and len(done.peaks) == 2
    assert peak_mb(family(1)[0]) > 0 and peak_mb(2**22 + 1) == 0.0


def test_a_tool_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.__main__.installed", list)
    with pytest.raises(SystemExit):
        main(["--peers", "sling"])
    assert "not installed: sling" in capsys.readouterr().err
