"""What holds for whatever files are called."""

from __future__ import annotations

import os
import unicodedata
from fnmatch import fnmatchcase

from hypothesis import assume, example, given
from hypothesis import strategies as st

from pusher.paths.choice import Choice
from pusher.paths.names import beside, fault_of, folded, long_path
from pusher.paths.renaming import parse_renaming

_STAMP = "20260131T235959Z"
_ODD = ["", ".", "..", "...", "a.", "a ", "~", "C:", "NUL", "com1.csv", ".pusher", ".Pusher", ".pusher2", "a/.pusher"]
_letters = st.characters() | st.sampled_from("aAéÉ ß.:/\\~\0\n\ud800\udcff\u0301")
_usual = st.text(st.sampled_from("aAéÉ 日😀_-.\u0301"), min_size=1, max_size=12).map(lambda text: f"{text}x")
_long = st.text(st.sampled_from("aé日😀."), min_size=60, max_size=130).map(lambda text: f"{text}.csv")
_any = st.sampled_from(_ODD) | st.text(_letters, max_size=12)
_name = st.lists(_usual | _usual | _long | _any, min_size=1, max_size=4).map("/".join)
_plain = st.lists(st.text(st.sampled_from("aAbéÉ.\u0301e{}%"), min_size=1, max_size=4), min_size=1, max_size=4).map(
    "/".join
)


def _sound(name: str, windows: bool) -> str:
    assume(fault_of(name, windows=windows) is None)
    return name


@given(_name, st.booleans())
@example("\ud800", False)
@example("a/" * 600, True)
def test_every_name_has_a_fault_of_one_line_or_none(name: str, windows: bool) -> None:
    fault = fault_of(name, windows=windows)
    assert fault is None or (fault.isprintable() and len(fault) < 4000)


@given(_name)
def test_a_sound_name_stays_below_the_root(name: str) -> None:
    _sound(name, windows=False)
    path = os.path.normpath(os.path.join("/srv/data", name))
    assert path == f"/srv/data/{name}" and not path.startswith("/srv/data/.pusher/")


@given(_name)
def test_what_windows_takes_any_destination_takes(name: str) -> None:
    _sound(name, windows=True)
    assert fault_of(name, windows=False) is None


@given(_name, st.booleans())
def test_a_part_of_a_sound_name_is_sound(name: str, windows: bool) -> None:
    _sound(name, windows)
    assert fault_of(name.rpartition("/")[0] or name, windows=windows) is None


@given(_plain, st.booleans())
def test_case_and_form_do_not_count_where_they_should_not(name: str, folds_case: bool) -> None:
    once = folded(name, folds_case=folds_case)
    assert folded(once, folds_case=folds_case) == once
    assert folded(name.swapcase(), folds_case=True) == folded(name, folds_case=True)


@given(_name, st.booleans())
def test_letters_in_parts_are_the_letters(name: str, folds_case: bool) -> None:
    _sound(name, windows=False)
    parted = unicodedata.normalize("NFD", name)
    assert folded(parted, folds_case=folds_case) == folded(name, folds_case=folds_case)


@given(_name, st.booleans())
@example("/".join(["d" * 200] * 4 + ["e" * 150, "f" * 65 + ".csv"]), False)
@example("1." + "x" * 253, True)
def test_a_name_beside_a_sound_one_is_sound(name: str, windows: bool) -> None:
    _sound(name, windows)
    folder, _, last = name.rpartition("/")
    assume(len(folder.encode()) + len(_STAMP) + len(last.rpartition(".")[2].encode()) + 8 <= 1024)
    other = beside(name, _STAMP)
    assert fault_of(other, windows=windows) is None
    assert other.rpartition("/")[0] == folder and other != name
    assert f"~{_STAMP}" in other and other.startswith(".") == name.startswith(".")


@given(_name, st.sampled_from(["C:\\", "\\\\nas\\share\\", "/srv/", ""]))
def test_a_path_gets_its_prefix_once(name: str, root: str) -> None:
    path = long_path(root + name)
    assert long_path(path) == path
    assert path == root + name or path.startswith("\\\\?\\")


@given(_name)
def test_a_file_keeps_its_name_where_the_template_says_so(name: str) -> None:
    _sound(name, windows=False)
    for template in ("{name}", "{stem}{suffix}", "{folder}/{name}", "{folder}/{stem}{suffix}"):
        assert parse_renaming(template).apply(name, mtime_ns=0, size=0, site="s", location="l") == name


@given(st.text(max_size=20) | st.lists(st.sampled_from("{}!:.%Yab[]/") | st.just("{stem}"), max_size=12).map("".join))
def test_a_template_is_refused_or_works(template: str) -> None:
    try:
        renaming = parse_renaming(template)
    except ValueError:
        return
    assert "cell" in renaming.apply("a/cell.res", mtime_ns=0, size=0, site="s", location="l")


@given(_plain, st.lists(st.text(st.sampled_from("aAéÉ*?[]!./"), min_size=1, max_size=6), min_size=1, max_size=4))
def test_patterns_are_those_of_the_shell_in_any_case(name: str, patterns: list[str]) -> None:
    expected = any(
        fnmatchcase((name if "/" in each else name.rpartition("/")[2]).lower(), each.lstrip("/").lower())
        for each in patterns
    )
    assert Choice(include=tuple(patterns)).suits(name, 0) is expected
    assert Choice(exclude=tuple(patterns)).suits(name, 0) is not expected
