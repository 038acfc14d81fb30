"""Which names a destination can have, by the rules of POSIX and of Windows."""

from __future__ import annotations

import pytest

from pusher.paths.names import beside, fault_of, folded, long_path

_STAMP = "20260131T235959Z"


@pytest.mark.parametrize(
    "name",
    ["a.csv", "a/b/c.csv", "Größe µ/日本 1.csv", ".hidden", "a/.pusher/b", "pusher/a", "..a", "a..b", "...", "é" * 127],
)
def test_names_that_any_destination_takes(name: str) -> None:
    assert fault_of(name, windows=False) is None
    assert (fault_of(name, windows=True) is None) is not name.endswith(".")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "'' is no name"),
        ("/a", "/a is not relative"),
        ("C:a", "C:a is not relative"),
        ("c:/a", "c:/a is not relative"),
        ("../a", "'..' is no name"),
        ("a/..", "'..' is no name"),
        ("a/./b", "'.' is no name"),
        ("a//b", "'' is no name"),
        ("a/", "'' is no name"),
        ("a/b\0c", "b\\x00c holds a NUL"),
        ("a/\udcff.csv", "\\udcff.csv is not UTF-8"),
        ("\ud800", "\\ud800 is not UTF-8"),
        (".pusher", "own folder"),
        (".PUSHER/a", "own folder"),
        (".pu\u017fher/a", "own folder"),  # a long s, which is an s where case does not count
        ("a/" + "é" * 128, "is longer than 255 bytes"),
        ("/".join(["a" * 200] * 5 + ["b" * 20]), "is longer than 1024 bytes"),
    ],
)
@pytest.mark.parametrize("windows", [False, True])
def test_names_that_no_destination_takes(name: str, words: str, windows: bool) -> None:
    fault = fault_of(name, windows=windows)
    assert fault is not None and words in fault
    assert fault.endswith("; rename the file, or use rename or exclude")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((f"a/b{each}c", f"holds {each!r}") for each in '<>:"|?*\\\n\t\x1f'),
        ("a./b", "'a.' ends with"),
        ("a/b ", "'b ' ends with"),
        ("con", "con is the name of a device"),
        ("a/Prn.csv", "Prn.csv is"),
        ("AUX .csv", "AUX .csv is"),
        ("nul.tar.gz/a", "nul.tar.gz is"),
        ("COM0", "COM0 is"),
        ("com¹.txt", "com¹.txt is"),
        ("LPT9.res", "LPT9.res is"),
        ("conin$", "conin$ is"),
        ("CONOUT$.log", "CONOUT$.log is"),
    ],
)
def test_names_that_only_windows_refuses(name: str, words: str) -> None:
    fault = fault_of(name, windows=True)
    assert fault is not None and words in fault
    assert fault_of(name, windows=False) is None


@pytest.mark.parametrize("name", ["console", "com10", "com", "lpt", "nul_1.csv", "a.con", " a", "conin"])
def test_names_that_only_look_like_devices(name: str) -> None:
    assert fault_of(name, windows=True) is None


def test_a_fault_is_one_short_line() -> None:
    for name in ("/\n\x1b[2J", "a" * 10_000 + "\n", "\n" * 300, "\ud800" * 1000):
        fault = fault_of(name, windows=True)
        assert fault is not None and fault.isprintable() and len(fault) < 2000


def test_names_that_are_one() -> None:
    assert folded("e\u0301.csv", folds_case=False) == folded("\u00e9.csv", folds_case=False)
    assert folded("A/B.CSV", folds_case=True) == folded("a/b.csv", folds_case=True)
    assert folded("E\u0301", folds_case=True) == folded("\u00e9", folds_case=True)
    assert folded("A", folds_case=False) != folded("a", folds_case=False)


_LONG = "\\".join(["d" * 60] * 4) + "\\" + "e" * 10


@pytest.mark.parametrize(
    ("path", "opened"),
    [
        (f"C:\\{_LONG}", f"\\\\?\\C:\\{_LONG}"),
        (f"C:/a/{_LONG}", f"\\\\?\\C:\\a\\{_LONG}"),
        (f"C:\\x\\..\\a\\.\\\\{_LONG}", f"\\\\?\\C:\\a\\{_LONG}"),
        (f"\\\\nas\\share\\{_LONG}", f"\\\\?\\UNC\\nas\\share\\{_LONG}"),
        (f"\\\\nas\\share\\a/{_LONG}", f"\\\\?\\UNC\\nas\\share\\a\\{_LONG}"),
        ("C:\\" + "😀" * 123, "\\\\?\\C:\\" + "😀" * 123),  # two characters each, as Windows counts
    ],
)
def test_a_long_path_of_windows_has_a_prefix(path: str, opened: str) -> None:
    assert long_path(path) == opened
    assert long_path(opened) == opened


@pytest.mark.parametrize(
    "path",
    [
        "C:\\raw\\a.csv",
        "C:\\" + "a" * 244,  # 247 characters
        f"C:{_LONG}",
        _LONG,
        f"/data/{_LONG}",
        f"\\\\.\\{_LONG}",
    ],
)
def test_other_paths_stay_as_they_are(path: str) -> None:
    assert long_path(path) == path


def test_the_prefix_begins_at_248_characters() -> None:
    assert long_path("C:\\" + "a" * 245) == "\\\\?\\C:\\" + "a" * 245


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("a/b.csv", "a/b~S.csv"),
        ("b", "b~S"),
        ("a.tar.gz", "a.tar~S.gz"),
        (".hidden", ".hidden~S"),
        (".hidden.csv", ".hidden~S.csv"),
        ("a.b/c", "a.b/c~S"),
    ],
)
def test_a_second_content_stands_beside_the_first(name: str, other: str) -> None:
    assert beside(name, "S") == other


def test_a_long_name_is_cut_between_letters() -> None:
    assert beside("é" * 125 + ".csv", _STAMP) == "é" * 117 + f"~{_STAMP}.csv"


def test_a_suffix_without_end_is_no_suffix() -> None:
    assert beside("1." + "x" * 253, _STAMP) == "1." + "x" * 236 + f"~{_STAMP}"


def test_a_name_that_has_no_room_for_a_stamp_is_cut_where_it_ends() -> None:
    folder = "/".join(["d" * 200] * 4 + ["e" * 150])
    assert fault_of(f"{folder}/{'f' * 65}.csv", windows=True) is None
    assert beside(f"{folder}/{'f' * 65}.csv", _STAMP) == f"{folder}/{'f' * 48}~{_STAMP}.csv"
