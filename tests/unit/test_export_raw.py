"""Raw files: what was sent, to the last digit, with what proves it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from pusher.errors import ArchiveDamaged, ProtocolError
from pusher.export.answers import Answer, rows_of
from pusher.export.pool import Pool
from pusher.export.rawfile import Closing, closing_line, closing_of, lines_of, newest_snapshot, read_from, read_rows

_NOW = dt.datetime(2026, 11, 26, 4, 37, 40, 123456, tzinfo=dt.UTC)
_BODY = b"""[
  {"id": 2, "n": 1.10,
   "big": 123456789012345678901234567890, "t": "a\\nb", "half": "\\ud83d"},
  {"id": 1, "n": 1e400, "o": {"z": [1, null], "a": true}}
]"""


def _answers() -> list[Answer]:
    return rows_of(_BODY)


def test_rows_come_by_their_ids_and_keep_every_digit() -> None:
    first, second = _answers()
    assert (first.id, second.id) == (1, 2)
    assert first.text == '{"id": 1, "n": 1e400, "o": {"z": [1, null], "a": true}}'
    assert "1.10" in second.text and "123456789012345678901234567890" in second.text and "\n" not in second.text
    assert json.loads(second.text)["t"] == "a\nb"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"id": 1, "a": 2}', b'{"a":2,"id":1}', True),
        (b'{"id": 1, "a": {"x": 1, "y": 2}}', b'{"id": 1, "a": {"y": 2, "x": 1}}', True),
        (b'{"id": 1, "a": 1}', b'{"id": 1, "a": "1"}', False),
        (b'{"id": 1, "a": 1}', b'{"id": 1, "a": 1.0}', False),
        (b'{"id": 1, "a": null}', b'{"id": 1}', False),
        (b'{"id": 1, "a": null}', b'{"id": 1, "a": "null"}', False),
        (b'{"id": 1, "a": "x\\",\\"b\\":\\"y"}', b'{"id": 1, "a": "x", "b": "y"}', False),
        (b'{"id": 1, "a": true}', b'{"id": 1, "a": 1}', False),
    ],
)
def test_a_hash_is_of_the_content(one: bytes, other: bytes, same: bool) -> None:
    ((first,), (second,)) = rows_of(b"[%s]" % one), rows_of(b"[%s]" % other)
    assert (first.hash == second.hash) is same


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON array"),
        (b" <html>", "HTML page"),
        (b'{"id": 1}', "no JSON array"),
        (b"[1]", "no object"),
        (b'[{"id": 1}', "ends early"),
        (b'[{"id": 1} {"id": 2}]', "ends early"),
        (b'[{"id": 1}]]', "goes on"),
        (b'[{"id": "1"}]', "row 1 has no whole number as id"),
        (b'[{"id": 1}, {"id": 1.5}]', "row 2 has no whole number as id"),
        (b'[{"id": 1, "a": NaN}]', "ends early, or is no JSON"),
        (b'[{"id": 1, "a": "\xff"}]', "not UTF-8"),
        (b'[{"id": 1, "a": "x\ny"}]', "no JSON"),
    ],
)
def test_what_is_no_answer(body: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        rows_of(body)


def test_lines_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "DD_2026-11-26.json"
    path.write_bytes(lines_of("DD", _answers(), _NOW))
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert keys == ["DD_2026-11-26T04:37:40.123456Z", "DD_2026-11-26T04:37:40.123457Z"]
    rows = list(read_rows(path))
    assert [(row.id, row.hash, row.values) for row in rows] == [(a.id, a.hash, a.values) for a in _answers()]


def test_a_line_that_is_not_what_its_hash_says(tmp_path: Path) -> None:
    path = tmp_path / "DD_2026-11-26.json"
    content = lines_of("DD", _answers(), _NOW)
    path.write_bytes(content.replace(b"1e400", b"1e401"))
    with pytest.raises(ArchiveDamaged, match="damaged at byte 0"):
        list(read_rows(path))


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_half_a_line_at_the_end(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "DD_2026-11-26.json"
    content = lines_of("DD", _answers(), _NOW)
    path.write_bytes(content[:-cut])
    found = read_from(path, 0)
    whole = content.index(b"\n") + 1
    if cut == 1:
        assert found.unended and not found.torn and len(found.entries) == 2
    else:
        assert found.torn and found.size == whole and len(found.entries) == 1


def test_behind_what_is_proven_anything_may_be_torn(tmp_path: Path) -> None:
    """Blocks reach the disk in any order when the power fails."""
    path = tmp_path / "DD_2026-11-26.json"
    first, second = lines_of("DD", _answers(), _NOW).splitlines(keepends=True)
    path.write_bytes(first + b"\0" * 50 + b"\n" + second)
    found = read_from(path, len(first))
    assert found.torn and found.size == len(first) and not found.entries
    with pytest.raises(ArchiveDamaged):
        read_from(path, 0)


def _snapshot(name: str, answers: list[Answer], *, closed: bool = True) -> bytes:
    content = lines_of("Trial", answers, _NOW, name)
    return content + closing_line("Trial", closing_of(name, answers), _NOW) if closed else content


def test_the_newest_whole_snapshot_counts(tmp_path: Path) -> None:
    first, second = _answers()
    path = tmp_path / "Trial_2026-11-26.json"
    path.write_bytes(_snapshot("a", [first, second]) + _snapshot("b", [second]) + _snapshot("c", [first], closed=False))
    assert [row.id for row in read_rows(path)] == [2]
    assert isinstance(read_from(path, 0).entries[2], Closing)


def test_the_newest_snapshot_of_all_days(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "mindtrails")
    pool.create()
    first, second = _answers()
    assert newest_snapshot(pool, "Trial") is None
    for day, answers in ((25, [first, second]), (26, [second])):
        pool.raw_file("Trial", dt.date(2026, 11, day)).write_bytes(_snapshot("a", answers))
    pool.raw_file("Trial", dt.date(2026, 11, 27)).write_bytes(_snapshot("a", [first], closed=False))
    found = newest_snapshot(pool, "Trial")
    assert found and found[0] == dt.date(2026, 11, 26) and [row.id for row in found[1]] == [2]


@pytest.mark.parametrize(
    "content",
    [
        b'[{"id": 1, "a": "x"}, {"id": 2}]',
        b'\xef\xbb\xbf[\n {"id": 1, "a": "x"},\n {"id": 2}\n]\n',
        b'{"DD_Mon May  2": {"id": 1, "a": "x"},\n"DD_Tue": {"id": 2}}',
    ],
)
def test_a_file_of_an_earlier_program(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "DD_2016-05-02.json"
    path.write_bytes(content)
    assert [row.id for row in read_rows(path)] == [1, 2]
    newline = b"" if content.endswith(b"\n") else b"\n"
    path.write_bytes(content + newline + lines_of("DD", _answers(), _NOW))
    assert [row.id for row in read_rows(path)] == [1, 2, 1, 2], "the same ids, other contents"


@pytest.mark.parametrize("content", [b"[1, 2]", b"{", b'{"a": 1}', b"hello"])
def test_a_file_that_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "DD_2016-05-02.json"
    path.write_bytes(content + b"\n" + content + b"\n")
    with pytest.raises(ArchiveDamaged, match="move it away"):
        read_from(path, 0)


def test_names_of_files_tell_scale_and_day(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "mindtrails")
    pool.create()
    for name in ("DD_2026-11-26", "DD_FU_2026-11-26", "DD_2026-11-25_2026-11-26", "DD_2026-13-01", "DD", "benchMark"):
        (pool.raw / f"{name}.json").touch()
    assert pool.raw_scales() == ["DD", "DD_2026-11-25", "DD_FU"]
    assert pool.raw_days("DD") == [dt.date(2026, 11, 26)] == pool.raw_days("DD_FU")
