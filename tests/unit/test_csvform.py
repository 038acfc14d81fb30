"""CSV files from anybody: what they are, their rows, and what is wrong with them, by its line."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.datacenter.csvform import ERRORS, digest_of, examine, lines, row_text
from pusher.errors import FileRefused

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("'\"=+-@,;\t\r\n"))


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)  # so that it is the same whenever it is made


def _file(folder: Path, content: bytes | str) -> Path:
    path = folder / "houses.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _rows(path: Path, skip: int = 0) -> list[tuple[int, list[str]]]:
    return [(line.number, line.cells) for line in lines(path, examine(path), skip)]


def test_what_a_file_is(tmp_path: Path) -> None:
    content = f"Street,{ERRORS},rooms\n1 High St,why,3\n\n , ,\n2 High St,,\n".encode()
    path = _file(tmp_path, content)
    form = examine(path)
    assert (form.columns, form.errors_at, form.rows) == (("Street", "rooms"), 1, 2)
    assert (form.encoding, form.delimiter, form.compressed) == ("utf-8", ",", False)
    assert form.digest == digest_of(path) == hashlib.sha256(content).hexdigest() and form.bytes == len(content)
    assert _rows(path) == [(2, ["1 High St", "3"]), (5, ["2 High St", ""])]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_ends_of_lines_and_packing_are_found(codec: str, packed: bool, end: str, tmp_path: Path) -> None:
    content = end.join(["Straße,Räume", "Hauptstraße 1,drei – vier €", "", "Übrige,"]).encode(codec)
    path = _file(tmp_path, gzip.compress(content) if packed else content)
    form = examine(path)
    assert (form.columns, form.rows, form.compressed) == (("Straße", "Räume"), 2, packed)
    assert _rows(path) == [(2, ["Hauptstraße 1", "drei – vier €"]), (4, ["Übrige", ""])]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_the_one_of_the_head(delimiter: str, tmp_path: Path) -> None:
    text = f'"a,b;;;c"{delimiter}d\n1;2,3\n' if delimiter == "\t" else f'"a,b;c"{delimiter}d\n1{delimiter}2\n'
    assert (examine(_file(tmp_path, text)).delimiter, examine(_file(tmp_path, text)).columns[1]) == (delimiter, "d")


def test_one_column_needs_no_delimiter(tmp_path: Path) -> None:
    assert _rows(_file(tmp_path, "name\na b\n\nc\n")) == [(2, ["a b"]), (4, ["c"])]


def test_rows_are_as_wide_as_the_head(tmp_path: Path) -> None:
    assert _rows(_file(tmp_path, "a,b,,\n1\n1,2\n1,2,\n1,2, ,,\n")) == [
        (2, ["1", ""]),
        (3, ["1", "2"]),
        (4, ["1", "2"]),
        (5, ["1", "2"]),
    ]


def test_a_row_is_known_by_the_line_in_which_it_begins(tmp_path: Path) -> None:
    path = _file(tmp_path, 'a,b\n"1\n\n2",3\r\n\r\n4,"5\r6"\n')
    assert _rows(path) == [(2, ["1\n\n2", "3"]), (6, ["4", "5\r6"])]


def test_rows_that_are_done_are_left_out(tmp_path: Path) -> None:
    path = _file(tmp_path, "a\n1\n\n2\n3\n")
    assert [_rows(path, skip) for skip in (1, 2, 3, 9)] == [[(4, ["2"]), (5, ["3"])], [(5, ["3"])], [], []]


def test_nothing_but_a_reason_is_no_row(tmp_path: Path) -> None:
    path = _file(tmp_path, f"a,b,{ERRORS}\n,,why\n1,,why\n")
    assert examine(path).rows == 1 and _rows(path) == [(3, ["1", ""])]


def test_the_guard_of_a_formula_is_taken_off(tmp_path: Path) -> None:
    path = _file(tmp_path, "'=a,b\n'=1+1,it's\n-5,''=x\n")
    assert examine(path).columns == ("=a", "b")
    assert _rows(path) == [(2, ["=1+1", "it's"]), (3, ["-5", "'=x"])]


def test_what_is_written_is_no_formula() -> None:
    assert row_text(["=1+1", "-5", "a,b", 'say "x"', "a\rb", "a\nb", ""]) == (
        '\'=1+1,-5,"a,b","say ""x""","a\rb","a\nb",\n'
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (f"{ERRORS}\nx\n", "line 1: there is no column beside"),
        ("a,,b\n", "line 1: column 2 has no name"),
        ("a,b,a\n", "line 1: two columns are called a"),
        (",".join(f"c{number}" for number in range(1001)), "line 1: 1001 columns"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells, and the head has 2"),
        ('a,b\n1,2\n1,"2\n3\n', "line 3: a quote"),
        ('a,b\n1,"2"x\n', "line 2: there is more behind a closing quote"),
        (b"a,b\n1,\x00\n", "line 2: holds the character NUL"),
        ("a\n1\n" + "x" * (1 << 20) + "y\n", "line 3: longer than"),
        ('a\n1\n"' + "x\n" * (1 << 20), "line 3: the row that begins here is longer than"),
        ("a\nMüller\n".encode() + b"\xff\n" + "Müller\n".encode(), "line 3: is not UTF-8"),
        (b"a\n1\n\x81\n", "line 3: is not Windows-1252"),
        ("a\n1\n".encode("utf-16") + b"\x00\xd8", "is not UTF-16"),
        (_packed(b"a\n1\n" * 9)[:-9], "is damaged"),
        (_packed(b"a\n1\n") + b"rubbish", "is damaged"),
        (_packed(bytes(range(256)))[:99] + b"\0" * 500, "is damaged"),
    ],
)
def test_what_is_wrong_is_told_by_its_line(content: bytes | str, words: str, tmp_path: Path) -> None:
    with pytest.raises(FileRefused) as caught:
        examine(_file(tmp_path, content))
    said = str(caught.value)
    assert "houses.csv" in said and words in said and "; " in said and "\n" not in said


def test_a_file_is_called_as_its_owner_calls_it(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"mine\.csv, line 1"):
        examine(_file(tmp_path, "a,a\n"), name="mine.csv")


def test_packed_parts_are_one_file(tmp_path: Path) -> None:
    path = _file(tmp_path, b"".join(gzip.compress(part) for part in (b"a,b\n1", b"", b",2\n3,4\n")) + b"\0" * 512)
    assert _rows(path) == [(2, ["1", "2"]), (3, ["3", "4"])]


def test_a_large_file_is_read_as_it_is_counted(tmp_path: Path) -> None:
    """Lines fall across the parts in which it is read, letters too."""
    written = [[f"{number}", "ü€😀" * (number % 50), '"\n\r' * (number % 3)] for number in range(20_000)]
    path = _file(tmp_path, row_text(["a", "b", "c"]) + "".join(map(row_text, written)))
    form = examine(path)
    assert form.rows == len(written)
    assert [line.cells for line in lines(path, form)] == written
    assert [line.cells for line in islice(lines(path, form, 19_999), 5)] == written[19_999:]


@given(st.lists(st.lists(_TEXT, min_size=3, max_size=3), max_size=4))
def test_any_row_that_is_written_comes_back(written: Sequence[Sequence[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = _file(Path(folder), row_text(["a", "b", "c"]) + "".join(map(row_text, written)))
        form = examine(path)
        found = [line.cells for line in lines(path, form)]
    assert found == [row for row in written if any(map(str.strip, row))]
    assert form.rows == len(found)


_ODD = st.lists(st.sampled_from([b"a", b",", b"\n", b"\r", b'"', b"\xff", b"\xc3\xbc", b"\0"])).map(b"".join)


@given(st.binary(max_size=300) | _ODD)
def test_of_any_bytes_nothing_but_a_refusal_comes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for each in (content, gzip.compress(content), b"\x1f\x8b" + content):
            path = _file(Path(folder), each)
            with suppress(FileRefused):
                form = examine(path)
                assert sum(1 for _ in lines(path, form)) == form.rows
