"""Plain values on the wire: what JSON has no word for, and what a damaged or foreign message must not get through."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from pusher.errors import ProtocolError
from pusher.wire.tables import Kind
from pusher.wire.values import from_wire, to_wire

_DAMAGED = b"a\xff".decode("utf-8", "surrogateescape")
_EVERY_SORT: list[Any] = [
    None,
    True,
    False,
    0,
    -(2**63),
    2**64,
    0.1,
    5e-324,
    1.7976931348623157e308,
    math.inf,
    -math.inf,
    math.nan,
    "",
    "NaN",
    "Infinity",
    "é\0\n\u2028\U0001f600",
    _DAMAGED,
    b"",
    bytes(range(256)),
]


def over_the_wire(kind: Kind, column: list[Any]) -> list[Any]:
    return from_wire(kind, msgspec.json.decode(msgspec.json.encode(to_wire(kind, column))))


@pytest.mark.parametrize("kind", Kind)
def test_every_sort_of_value_comes_back_from_a_column_of_every_kind(kind: Kind) -> None:
    assert list(map(repr, over_the_wire(kind, _EVERY_SORT))) == list(map(repr, _EVERY_SORT))


@pytest.mark.parametrize("kind", Kind)
def test_each_value_alone_takes_the_same_way(kind: Kind) -> None:
    for value in _EVERY_SORT:
        column = [value, None, value]
        assert list(map(repr, over_the_wire(kind, column))) == list(map(repr, column))


@pytest.mark.parametrize(
    ("kind", "column"), [(Kind.INTEGER, [1, None]), (Kind.FLOAT, [0.1, None]), (Kind.TEXT, ["a", None])]
)
def test_what_is_json_already_is_not_copied(kind: Kind, column: list[Any]) -> None:
    assert to_wire(kind, column) is column
    assert from_wire(kind, column) is column


def test_bytes_of_a_column_of_bytes_are_bare_base64() -> None:
    assert to_wire(Kind.BYTES, [b"ab", None]) == ["YWI=", None]
    assert to_wire(Kind.TEXT, [b"ab", None]) == [{"bytes": "YWI="}, None]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.BYTES, "not base64"),
        (Kind.BYTES, "YWI"),
        (Kind.BYTES, "YWI=\n"),
        (Kind.BYTES, "é"),
        (Kind.TEXT, {"bytes": "!"}),
        (Kind.TEXT, {"bytes": 1}),
        (Kind.TEXT, {"raw": None}),
        (Kind.TEXT, {"float": "1.5"}),
        (Kind.TEXT, {"text": "a", "bytes": "YQ=="}),
        (Kind.TEXT, {"decimal": "1"}),
        (Kind.TEXT, {}),
        (Kind.INTEGER, [1]),
        (Kind.JSON, []),
    ],
)
def test_what_to_wire_does_not_write_is_refused(kind: Kind, value: Any) -> None:
    with pytest.raises(ProtocolError):
        from_wire(kind, [None, value])
