"""Canonical forms: equal exactly for values that mean the same to the column, and fingerprints made of them."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import pytest

from pusher.wire.fingerprint import EMPTY, Fingerprint, canonical, canonical_one_by_one, fingerprint, row_hashes
from pusher.wire.tables import Column, Kind, RowSet


def column(kind: Kind, **how: Any) -> Column:
    return Column(name="c", kind=kind, **how)


_INTEGER, _FLOAT, _SINGLE, _TEXT = (column(k) for k in (Kind.INTEGER, Kind.FLOAT, Kind.SINGLE, Kind.TEXT))
_MOMENT, _SECONDS = column(Kind.DATETIME), column(Kind.DATETIME, scale=0)
_INSTANT, _DATE, _TIME = column(Kind.INSTANT), column(Kind.DATE), column(Kind.TIME, scale=6)
_JSON, _UUID, _BOOLEAN = column(Kind.JSON), column(Kind.UUID), column(Kind.BOOLEAN)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (_INTEGER, [1, True, 1.0, "1", "1.00"]),
        (_INTEGER, [0, False, -0.0, "0", "-0"]),
        (_INTEGER, [2**63, float(2**63), str(2**63)]),
        (_FLOAT, [0.0, -0.0, 0, "0", "-0.000"]),
        (_FLOAT, [0.1, "0.1", "0.10000000000000000000001"]),
        (_FLOAT, [math.nan, -math.nan, "NaN"]),
        (_FLOAT, [math.inf, "Infinity"]),
        (_SINGLE, [0.1, 0.10000000149011612]),
        (_SINGLE, [1e39, math.inf]),
        (column(Kind.DECIMAL), [0.1, "0.1", "0.1000", "1E-1"]),
        (column(Kind.DECIMAL), [100, 100.0, "100", "1e2"]),
        (column(Kind.DECIMAL, scale=2), ["1.005", "1.01", 1.01, "1.0149"]),
        (column(Kind.DECIMAL, scale=2), ["-1.005", "-1.01"]),
        (column(Kind.DECIMAL), ["NaN", math.nan]),
        (_BOOLEAN, [True, 1, "true", "t", "1"]),
        (_TEXT, ["a", b"a"]),
        (_TEXT, ["true", True]),
        (column(Kind.TEXT, padded=True), ["a", "a  "]),
        (column(Kind.BYTES), [b"a", "a"]),
        (column(Kind.BYTES, padded=True), [b"a", b"a\0\0"]),
        (_MOMENT, ["2013-05-01", "2013-05-01 00:00", "2013-05-01T00:00:00.000", "2013-05-01T00:00:00Z"]),
        (_MOMENT, ["2013-05-01T12:00:00.5", "2013-05-01 12:00:00.500000+00:00"]),
        (_SECONDS, ["2013-05-01T12:00:00.999999", "2013-05-01T12:00:00"]),
        (_INSTANT, ["2013-05-01T12:00:00+02:00", "2013-05-01T10:00:00Z", "2013-05-01 10:00:00"]),
        (_INSTANT, ["2013-01-01T00:30:00.25+05:30", "2012-12-31T19:00:00.25+00:00"]),
        (_DATE, ["2013-05-01", "2013-05-01T00:00:00", "2013-05-01T00:00:00.000+00:00"]),
        (_TIME, ["12:00", "12:00:00", "12:00:00.000000", "12:00:00.0000001"]),
        (_JSON, ['{"a": 1, "b": [1.50]}', '{"b":[15e-1],"a":1.0}', b'{"a":1,"b":[1.5]}']),
        (_JSON, ["0", "-0.0", "0e5", 0]),
        (_JSON, ['"\\u00e9"', '"é"']),
        (_UUID, ["A0EEBC99-9C0B-4EF8-8B6D-6BB9BD380A11", "a0eebc999c0b4ef88b6d6bb9bd380a11"]),
    ],
)
def test_what_means_the_same_has_one_form(column: Column, values: list[Any]) -> None:
    assert len(set(canonical(column, values))) == 1
    assert len({form for value in values for form in canonical(column, [value])}) == 1


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (_INTEGER, [0, 1, None, 1.5, "x", "1x", b"1", "", "01", "+1", " 1", "1_0", "\u0661", math.nan, math.inf]),
        (_INTEGER, [2**63 - 1, 2**63, 2**64, 10**30, 10**30 + 1]),
        (_FLOAT, [0.1, math.nextafter(0.1, 1), 5e-324, 0.0, math.inf, -math.inf, math.nan, None, "x", "1e999"]),
        (column(Kind.DECIMAL), ["0.1", "0.1000000000000000000000000000000001", "1" + "0" * 300, "NaN", "Infinity"]),
        (column(Kind.DECIMAL), ["9" * 500, "9" * 499 + "8", "9" * 500 + ".1"]),
        (column(Kind.DECIMAL, scale=2), ["1.00", "1.01", "1e99999", "1e999999", "sNaN", "x", None]),
        (_BOOLEAN, [True, False, 2, "maybe", None]),
        (_TEXT, ["", "a", "a ", "A", "ä", "a\0", None, "b\udcff"]),
        (_MOMENT, ["2013-05-01T12:00:00", "2013-05-01T12:00:00.000001", "2013-05-01T12:00:00.0000001",
                   "2013-05-01T12:00:00 BC", "12013-05-01T12:00:00", "2013-05-01T12:00:00+02:00", "infinity",
                   "-infinity", "hello world", "helloTworld", "0000-00-00", 1367409600, None]),
        (_INSTANT, ["9999-12-31T23:00:00-02:00", "9999-12-31T23:00:00", "0001-01-01T00:00:00+02:00"]),
        (_DATE, ["2013-05-01", "2013-05-01T12:00:00", "2013-05-01 BC", "2013-05-01T00:00:00+02:00", "0000-00-00"]),
        (_TIME, ["12:00:00", "-12:00:00", "12:00:00+02", "24:00:00", "00:00:00", "838:59:59.999999"]),
        (_JSON, ["1", '"1"', "1.0000000000000000000001", "null", "true", "[]", "{}", '{"a":null}', "1e400", "1e401",
                 "{", "", None, '"\\ud800"', '"\\ud801"', math.nan]),
        (_UUID, ["a0eebc99-9c0b-4ef8-8b6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-8b6d-6bb9bd380a12", "{}", "none", b"a"]),
    ],
)  # fmt: skip
def test_what_differs_has_another_form(column: Column, values: list[Any]) -> None:
    forms = canonical_one_by_one(column, values)
    for (one, form), (other, other_form) in combinations(zip(values, forms, strict=True), 2):
        assert form != other_form, (one, other)


@pytest.mark.parametrize(
    "column", [_INTEGER, _FLOAT, _MOMENT, _SECONDS, _INSTANT, column(Kind.DATETIME, scale=6)], ids=repr
)
@pytest.mark.parametrize(
    "values",
    [
        [],
        [1, -1, 2**63 - 1],
        [1, 2**63],
        [0.5, -0.0, 5e-324],
        [0.5, math.nan],
        ["2013-05-01T12:00:00", "0000-00-00T00:00:00"],
        ["2013-05-01T12:00:00+00:00", "2013-05-01T12:00:01+00:00"],
        ["2013-05-01T12:00:00", "2013-05-01T12:00:00+00:00"],
        ["2013-05-01T12:00:00", "2013-05-01T12:00:00+02:00"],
        ["2013-05-01T12:00:00\n2013-05-01T12:00:00", ""],
        ["2013-05-01T12:00:00", "2013-05-01T12:00:00\n"],
        ["abcd-ef-ghTij:kl:mn", "2013-05-01T12:00:00"],
        ["\u0661\u0661\u0661\u0661-05-01T12:00:00"],
        [None, "2013-05-01T12:00:00"],
    ],
    ids=repr,
)
def test_a_whole_column_has_the_forms_of_its_values(column: Column, values: list[Any]) -> None:
    assert canonical(column, values) == canonical_one_by_one(column, values)


def test_every_form_tells_its_own_end() -> None:
    """So that no two rows of several columns run together into the same bytes."""
    columns = (column(Kind.TEXT), column(Kind.TEXT))
    rows = RowSet(names=("a", "b"), columns=[["ab", "a", "", None], ["c", "bc", "abc", "abc"]])
    assert len(set(row_hashes(columns, rows))) == 4


def test_a_fingerprint_is_of_a_set_and_sums_up() -> None:
    columns = (_INTEGER, _TEXT)
    rows = RowSet(names=("a", "b"), columns=[[1, 2, 3], ["x", None, "z"]])
    whole = fingerprint(columns, rows)
    assert whole.count == 3
    assert fingerprint(columns, rows.take([2, 0, 1])) == whole
    parts = fingerprint(columns, rows.take([0])), fingerprint(columns, rows.take([1, 2]))
    assert parts[0] + parts[1] == parts[1] + parts[0] == whole
    assert whole + EMPTY == whole
    assert fingerprint(columns, rows.take([0, 0])) != fingerprint(columns, rows.take([]))  # unlike an exclusive or
    assert fingerprint(columns, rows.take([])) == EMPTY
    assert Fingerprint(1, "f" * 32) + Fingerprint(1, f"{1:032x}") == Fingerprint(2, "0" * 32)


def test_the_form_is_pinned() -> None:
    """Block ledgers outlive a version: whoever changes the form must raise `VERSION`."""
    columns = (_INTEGER, _FLOAT, column(Kind.DECIMAL, scale=2), _TEXT, column(Kind.BYTES), _MOMENT, _INSTANT, _JSON)
    rows = RowSet(
        names=tuple("abcdefgh"),
        columns=[
            [1, None],
            [0.1, 5e-324],
            ["1.005", None],
            ["é", ""],
            [b"\0", None],
            ["2013-05-01T12:00:00.5", "0000-00-00T00:00:00"],
            ["2013-05-01T12:00:00+00:00", None],
            ['{"b": 1, "a": 1.0}', "null"],
        ],
    )
    assert fingerprint(columns, rows) == Fingerprint(2, "4b63d7dcb17e333f80a7d4c7d84f87a8")
