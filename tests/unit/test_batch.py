"""Messages as they go over the line: whole or refused, and never larger than they may be."""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pusher.errors import ProtocolError
from pusher.wire import PROTOCOL, batch
from pusher.wire.batch import Batch, Packed, decode, decompress, encode, pack, pack_cursor, unpack, unpack_cursor
from pusher.wire.fingerprint import EMPTY, Fingerprint
from pusher.wire.messages import Hello
from pusher.wire.tables import Kind, RowSet

_ROWS = RowSet(names=("id", "raw", "value"), columns=[[1, 2], [b"\0\xff", None], [0.1, float("inf")]])
_KINDS = (Kind.INTEGER, Kind.BYTES, Kind.FLOAT)


def a_batch() -> Batch:
    return Batch(
        protocol=PROTOCOL,
        site="north",
        epoch="e",
        table="Reading",
        sequence=1,
        key=("id",),
        origin=None,
        first=pack_cursor(("2026-01-01 00:00:00", 1)),
        last=pack_cursor(("2026-01-01 00:00:01", b"\xff")),
        fingerprint=Fingerprint(2, "0" * 32),
        rows=pack(_KINDS, _ROWS),
    )


def packed(**changes: Any) -> Packed:
    return msgspec.structs.replace(pack(_KINDS, _ROWS), **changes)


def framed(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(raw)


def test_a_batch_comes_back() -> None:
    back = decode(encode(a_batch()), Batch)
    assert back == a_batch()
    assert unpack(back.rows) == _ROWS


@pytest.mark.parametrize("values", [("2026-01-01", 7), (b"\0\xff", 1), (None, "a"), (1.5, b""), ()])
def test_a_cursor_comes_back_also_with_bytes_in_its_key(values: tuple[Any, ...]) -> None:
    travelled = msgspec.json.decode(msgspec.json.encode(pack_cursor(values)), type=tuple[Any, ...])
    assert unpack_cursor(travelled) == values


def test_every_truncation_is_a_protocol_error() -> None:
    raw = encode(a_batch())
    for length in range(len(raw)):
        with pytest.raises(ProtocolError):
            decode(raw[:length], Batch)


def test_every_flipped_byte_is_noticed() -> None:
    raw = encode(a_batch())
    for place in range(len(raw)):
        broken = bytearray(raw)
        broken[place] ^= 0xFF
        try:
            back = decode(bytes(broken), Batch)
        except ProtocolError:
            continue
        assert back == a_batch(), f"byte {place}"  # a bit of the frame's head that says nothing


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage",
        b"{}",
        bytes(100),
        framed(b""),
        framed(b"{}"),
        framed(b"[" * 100_000),
        framed(b'{"protocol": 1'),
        framed(b"\xff\xfe"),
        framed(b'{"protocol": "\xff"}'),
        framed(msgspec.json.encode(a_batch()).replace(b'"sequence":1', b'"sequence":"one"')),
        framed(msgspec.json.encode(a_batch()).replace(b'"integer"', b'"complex"')),
        encode(a_batch()) + b"more",
        encode(a_batch()) + encode(a_batch()),
    ],
)
def test_garbage_is_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(raw, Batch)


def test_a_message_of_another_form_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="not a hello"):
        decode(encode(a_batch()), Hello)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = framed(bytes(batch.MAX_BYTES + 1))
    assert len(bomb) < 100_000
    with pytest.raises(ProtocolError, match="more than"):
        decompress(bomb)


def test_a_frame_that_hides_its_size_or_lies_about_it_is_refused() -> None:
    hiding = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(ProtocolError, match="does not tell its size"):
        decompress(hiding)
    honest = zstandard.ZstdCompressor().compress(bytes(70_000))
    lying = honest.replace(struct.pack("<I", 70_000), struct.pack("<I", 80_000), 1)
    assert lying != honest
    with pytest.raises(ProtocolError):
        decompress(lying)


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_COMPRESSED_BYTES", 10)
    with pytest.raises(ProtocolError, match="more than 10 bytes"):
        decode(encode(a_batch()), Batch)
    monkeypatch.setattr(batch, "MAX_ROWS", 1)
    with pytest.raises(ProtocolError, match="more than 1 rows"):
        unpack(packed())


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": [[1, 2], [None], [0.1, 0.2]]},
        {"columns": [[1, 2], [None, None]]},
        {"kinds": (Kind.INTEGER, Kind.BYTES)},
        {"names": ("id", "raw")},
        {"names": ("id", "id", "value")},
        {"columns": [[1, 2], ["no base64", None], [0.1, 0.2]]},
        {"columns": [[1, 2], [None, None], [0.1, [0.2]]]},
        {"counted": ("it",)},
        {"counted": ("value",)},
        {"columns": [[1, None], [None, None], [0.1, 0.2]], "counted": ("id",)},
        {"columns": [[1, True], [None, None], [0.1, 0.2]], "counted": ("id",)},
    ],
)
def test_columns_that_do_not_fit_together_are_a_protocol_error(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        unpack(packed(**changes))


_STEPS = st.lists(st.one_of(st.sampled_from((-7, 0, 1, 1000)), st.integers(-(2**63), 2**64 - 1)), max_size=80)
_ODD = st.one_of(st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none(), st.just("7"))


@given(_STEPS, st.lists(_ODD, max_size=2))
def test_numbers_come_back_however_they_count(steps: list[int], odd: list[Any]) -> None:
    column = [each for each in accumulate(steps) if -(2**63) <= each < 2**64] + odd
    rows = RowSet(names=("id",), columns=[column])
    message = decode(encode(msgspec.structs.replace(a_batch(), rows=pack((Kind.INTEGER,), rows))), Batch)
    assert repr(unpack(message.rows)) == repr(rows)  # True is no 1


def test_a_column_that_counts_takes_next_to_no_bytes() -> None:
    columns = [
        list(range(10**9, 10**9 + 20_000)),
        [202_000 * (n // 2) for n in range(20_000)],
        [n % 10 for n in range(20_000)],
    ]
    rows = pack((Kind.INTEGER,) * 3, RowSet(names=("id", "time", "node"), columns=columns))
    assert rows.counted == ("id", "time")
    assert len(encode(msgspec.structs.replace(a_batch(), rows=rows))) < 600


def test_no_rows_are_rows_as_well() -> None:
    nothing = RowSet(names=("id",), columns=[[]])
    assert unpack(pack((Kind.INTEGER,), nothing)) == nothing
    assert EMPTY.count == 0
