"""The name that a file gets at its destination."""

from __future__ import annotations

import datetime as dt

import pytest

from pusher.paths.renaming import parse_renaming

_MOMENT = dt.datetime(2026, 1, 31, 23, 59, 59, 250_000)
_MTIME_NS = round(_MOMENT.timestamp() * 10**6) * 1000


def renamed(template: str, relative: str = "a/b/cell.1.res", mtime_ns: int = _MTIME_NS) -> str:
    renaming = parse_renaming(template)
    return renaming.apply(relative, mtime_ns=mtime_ns, size=1234, site="pc-7", location="instrument")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{stem}_{mtime:%Y%m%d}{suffix}", "a/b/cell.1_20260131.res"),
        ("{name}", "a/b/cell.1.res"),
        ("{mtime}_{name}", "a/b/20260131T235959_cell.1.res"),
        ("{mtime:}_{name}", "a/b/20260131T235959_cell.1.res"),
        ("{mtime:%H:%M:%S.%f} {name}", "a/b/23:59:59.250000 cell.1.res"),
        ("{mtime:100%%}{name}", "a/b/100%cell.1.res"),
        ("{site}-{location}-{size}-{name}", "a/b/pc-7-instrument-1234-cell.1.res"),
        ("{{{stem}}}{suffix}", "a/b/{cell.1}.res"),
        ("all/{name}", "all/cell.1.res"),
        ("/{name}", "cell.1.res"),
        ("{mtime:%Y/%m}/{name}", "2026/01/cell.1.res"),
        ("{site}/{folder}/{name}", "pc-7/a/b/cell.1.res"),
        ("{folder}_{name}", "a/b_cell.1.res"),
        ("{site}//{folder}///{name}", "pc-7/a/b/cell.1.res"),
    ],
)
def test_a_template_and_its_name(template: str, name: str) -> None:
    assert renamed(template) == name


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{stem}_1{suffix}", "cell_1.res"),
        ("{folder}/{name}", "cell.res"),
        ("{site}/{folder}/{name}", "pc-7/cell.res"),
    ],
)
def test_at_the_top_there_is_no_folder(template: str, name: str) -> None:
    assert renamed(template, "cell.res") == name


@pytest.mark.parametrize(("relative", "name"), [("a/.hidden", "a/.hidden_1"), ("b", "b_1"), ("c.", "c._1")])
def test_a_name_without_a_suffix_is_all_stem(relative: str, name: str) -> None:
    assert renamed("{stem}_1{suffix}", relative) == name


def test_the_file_itself_is_no_template() -> None:
    assert renamed("{stem}-{size}{suffix}", "{site}/{stem}%Y{0}.{mtime}") == "{site}/{stem}%Y{0}-1234.{mtime}"


@pytest.mark.parametrize("mtime_ns", [10**22, -(10**22)])
def test_a_clock_that_was_far_off_does_not_hold_a_file_up(mtime_ns: int) -> None:
    assert renamed("{stem}_1{suffix}", "a.csv", mtime_ns) == "a_1.csv"
    year = renamed("{mtime:%Y}_{name}", "a.csv", mtime_ns).removesuffix("_a.csv")
    assert int(year) == (9999 if mtime_ns > 0 else 1)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{stm}{suffix}", "there is no {stm}; did you mean {stem}?"),
        ("{Stem}", "there is no {Stem}; did you mean {stem}?"),
        ("{when}{name}", "there is no {when}; possible: stem, suffix, name, folder, mtime, size, site, location"),
        ("{}{name}", "there is no {}; possible"),
        ("{0}{name}", "there is no {0}; possible"),
        ("{stem.__class__}", "there is no {stem.__class__}"),
        ("{stem[0]}", "there is no {stem[0]}"),
        ("{name!r}", "{name!r}: write it without !r"),
        ("{name:>20}", "{name:>20}: only mtime takes a format"),
        ("{name", "a brace that is meant as itself is written twice"),
        ("name}", "a brace that is meant as itself is written twice"),
        ("{mtime:%Q}{name}", "%Q is no format of a date; write it like %Y%m%d"),
        ("{mtime:%Y%}{name}", "%Y% is no format of a date"),
        ("{mtime:{name}}{name}", "{name} is no format of a date"),
        ("{mtime:%Y%m%d}{suffix}", "all files would have one name; write {stem} or {name} into it"),
        ("results.csv", "all files would have one name"),
        ("", "all files would have one name"),
    ],
)
def test_a_template_that_is_at_fault_says_how_to_mend_it(template: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_renaming(template)
    assert words in str(caught.value)
