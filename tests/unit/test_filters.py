"""Filters, sorting, formats and Range of the REST layer, as far as no database is needed."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from pusher.rest.compression import encoding_for
from pusher.rest.filters import columns_of, conditions, sort_by
from pusher.rest.formats import FORMATS, Encoding, accepted
from pusher.rest.forms import shown
from pusher.rest.ranges import Items, asked
from pusher.rest.seek import Order
from pusher.wire.tables import Column, Kind, Reference, RowSet, Table

_TABLE = Table(
    name="T",
    columns=(
        Column(name="id", kind=Kind.INTEGER, declared="INTEGER", nullable=False),
        Column(name="name", kind=Kind.TEXT, declared="VARCHAR(20)", length=20),
        Column(name="at", kind=Kind.DATETIME, declared="DATETIME", scale=6),
        Column(name="type", kind=Kind.INTEGER, declared="INTEGER"),
        Column(name="on", kind=Kind.BOOLEAN, declared="BOOLEAN"),
        Column(name="x__gt", kind=Kind.FLOAT, declared="DOUBLE"),
        Column(name="raw", kind=Kind.BYTES, declared="BLOB"),
    ),
    primary_key=("id",),
    references=(Reference(columns=("type",), parent="Type", parent_columns=("id",)),),
)


def where(dialect: str, *parameters: tuple[str, str]) -> list[str]:
    """The conditions as text, with their values."""
    found = []
    for condition in conditions(dialect, _TABLE, parameters):
        compiled = condition.compile(compile_kwargs={"render_postcompile": True})
        found.append(f"{compiled} {list(compiled.params.values())}")
    return found


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("id", "1", '"T"."id" = :id_1 [1]'),
        ("ID", "1", '"T"."id" = :id_1 [1]'),
        ("typeId", "1", '"T"."type" = :type_1 [1]'),
        ("le_id", "1", '"T"."id" <= :id_1 [1]'),
        ("id__lte", "1", '"T"."id" <= :id_1 [1]'),
        ("x__gt", "0.5", '"T"."x__gt" = :x__gt_1 [0.5]'),
        ("x__gt__gt", "0.5", '"T"."x__gt" > :x__gt_1 [0.5]'),
        ("name", "ge_a", '"T"."name" = :name_1 [\'ge_a\']'),
        ("id", "ge_1", '"T"."id" >= :id_1 [1]'),
        ("name__null", "TRUE", '"T"."name" IS NULL []'),
        ("at", "2026-02-03", '"T"."at" = :at_1 [\'2026-02-03 00:00:00.000000\']'),
        ("at", "3 Feb 2026 04:05 +0100", '"T"."at" = :at_1 [\'2026-02-03 03:05:00.000000\']'),
        ("on__ne", "true", '"T"."on" != :param_1 [True]'),
        ("raw", "AP8=", '"T"."raw" = :raw_1 [b\'\\x00\\xff\']'),
    ],
)
def test_a_filter_is_a_condition(name: str, text: str, expected: str) -> None:
    assert where("sqlite", (name, text)) == [expected]


def test_wildcards_match_only_where_there_is_a_star() -> None:
    assert where("sqlite", ("name", "*a%_!*")) == ["\"T\".\"name\" LIKE :name_1 ESCAPE '!' ['%a!%!_!!%']"]
    assert where("mariadb", ("name", "Ab*")) == ["lower(\"T\".\"name\") LIKE :lower_1 ESCAPE '!' ['ab%']"]
    assert where("sqlite", ("name", "a*b")) == ['"T"."name" = :name_1 [\'a*b\']']


def test_what_filters_nothing() -> None:
    for name, text in (("id", "None"), ("ge_at", "None"), ("name", "*"), ("callback", "x"), ("sort(+id)", "")):
        assert where("sqlite", (name, text)) == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("nme", "x", 'did you mean "name"'),
        ("limt", "x", 'did you mean "limit"'),
        ("id", "x", "T.id cannot be 'x'"),
        ("id__in", ",".join("1" * 201), "more than 200 values"),
        ("at", "9" * 100, "T.at cannot be"),
        ("raw", "?", "T.raw cannot be"),
    ],
)
def test_what_is_refused(name: str, text: str, words: str) -> None:
    with pytest.raises(HTTPException, match=words) as caught:
        where("sqlite", (name, text))
    assert caught.value.status_code == 400


def test_the_columns_of_conditions() -> None:
    assert columns_of(conditions("sqlite", _TABLE, [("id__in", "1,2"), ("name", "a*")])) == {"id", "name"}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([("sort( id,-name)", "")], [("id", False), ("name", True)]),
        ([("sort(+id)", "x"), ("sort", "-NAME")], [("id", False), ("name", True)]),
        ([("sort", "id,-id,,")], [("id", False)]),
        ([("sort()", "")], []),
    ],
)
def test_sorting(parameters: list[tuple[str, str]], expected: list[tuple[str, bool]]) -> None:
    assert sort_by(_TABLE, parameters) == expected


def test_the_key_follows_in_the_direction_of_the_last_column() -> None:
    assert Order.of("sqlite", _TABLE, [("at", True)]).terms == (("at", True), ("id", True))
    assert Order.of("sqlite", _TABLE, []).is_walk
    assert not Order.of("sqlite", _TABLE, [("name", False)]).is_walk


@given(
    st.lists(
        st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(), min_size=2, max_size=2
    )
)
def test_a_token_gives_back_its_values(values: list[Any]) -> None:
    order = Order.of("sqlite", _TABLE, [("name", False)])
    place = order.place(order.token(values))
    assert isinstance(place, tuple)
    assert list(map(repr, place)) == list(map(repr, values))


# --- forms of an answer


def written(form: str, names: tuple[str, ...], columns: list[list[Any]]) -> bytes:
    encoding: Encoding = FORMATS[form].encoding(_TABLE, names)
    return b"".join(encoding.parts([columns]))


_cells = st.none() | st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(_cells, st.none() | st.integers()), min_size=1))
def test_csv_is_read_back_by_others(rows: list[tuple[str | None, int | None]]) -> None:
    text = written("csv", ("name", "id"), [list(column) for column in zip(*rows, strict=True)]).decode()
    found = list(csv.reader(io.StringIO(text, newline="")))
    assert found == [["name", "id"], *([name or "", "" if number is None else str(number)] for name, number in rows)]


def test_csv_tells_nothing_from_an_empty_text() -> None:
    assert written("csv", ("name", "id"), [["", None, "=1+1"], [1, 2, 3]]) == b'name,id\r\n"",1\r\n,2\r\n=1+1,3\r\n'
    assert written("csv", ("name",), [[None, "a"]]) == b'name\r\n""\r\na\r\n'
    assert written("csv", ("on", "raw"), [[1, False], [b"\0\xff", None]]) == b"on,raw\r\ntrue,AP8=\r\nfalse,\r\n"
    assert written("csv", ("x__gt", "id"), [[math.nan, 0.1], [1, 2]]) == b"x__gt,id\r\nNaN,1\r\n0.1,2\r\n"


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_json_is_what_the_writing_half_shows(form: str) -> None:
    names = tuple(column.name for column in _TABLE.columns)
    columns: list[list[Any]] = [[1], ["é\udcff"], ["2026-01-01T00:00:00"], [None], [True], [math.inf], [b"\0"]]
    text = written(form, names, columns)
    rows = msgspec.json.decode(text) if form == "json" else [msgspec.json.decode(line) for line in text.splitlines()]
    assert rows == list(shown(_TABLE, RowSet(names=names, columns=columns)))


def test_names_that_json_has_to_escape() -> None:
    odd = Table(name='T"', columns=tuple(Column(name=name, kind=Kind.INTEGER) for name in ('a"', "__table__", "b\\")))
    for names in (('a"', "b\\"), ("__table__",)):
        encoding = FORMATS["json"].encoding(odd, names)
        (row,) = msgspec.json.decode(b"".join(encoding.parts([[[1] for _ in names]])))
        assert row == {"__table__": 'T"', **dict.fromkeys(names, 1)}


def test_nothing_is_a_whole_answer_too() -> None:
    for form, expected in (("json", b"[]"), ("csv", b"id\r\n"), ("ndjson", b"")):
        assert b"".join(FORMATS[form].encoding(_TABLE, ("id",)).parts([])) == expected


def test_which_format_a_client_likes_best() -> None:
    for accept, name in (
        ("", "json"),
        ("*/*", "json"),
        ("text/*", "csv"),
        ("application/json;q=0.1, application/x-ndjson;q=0.2", "ndjson"),
        ("application/*;q=0.3, text/csv;q=0.2", "json"),
        ("TEXT/CSV; header=present", "csv"),
        ("application/jsonl", "ndjson"),
        ("text/json", "json"),
        ("application/javascript, text/csv;q=0.9", "json"),
    ):
        assert accepted(accept).name == name
    with pytest.raises(HTTPException):
        accepted("text/html")


def test_which_compression_a_client_likes_best() -> None:
    for accept, name in (("", None), ("gzip", "gzip"), ("gzip;q=0", None), ("*", "zstd"), ("x-gzip", "gzip")):
        assert encoding_for(accept) == name


def test_ranges() -> None:
    assert asked("items=0-10") == Items(0, 10)
    assert asked(" Items = 5 - 7 ") == Items(5, 7)
    for header in (None, "", "items=5", "items=5-", "items=7-5", "items=0-1,3-4", "bytes=0-1", "items=0-" + "9" * 19):
        assert asked(header) is None
    assert Items(0, 10).content_range(3) == "items 0-10/3"
