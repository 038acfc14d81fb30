"""One batch: rows of one table, column by column, from one cursor to the next, and its form on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, chain
from operator import sub
from typing import Any, TypeVar

import msgspec
import zstandard

from pusher.errors import ProtocolError
from pusher.wire.fingerprint import Fingerprint
from pusher.wire.forms import learn
from pusher.wire.tables import Kind, RowSet
from pusher.wire.values import from_wire, to_wire

CONTENT_TYPE = "application/vnd.pusher.batch+json"
CONTENT_ENCODING = "zstd"
MAX_ROWS = 1_000_000
MAX_COMPRESSED_BYTES = 64 << 20
MAX_BYTES = 256 << 20
_LEVEL = 3
_LARGE = 2**62
_FEW = 16  # numbers that repeat themselves so much that zstd sees it

Message = TypeVar("Message", bound=msgspec.Struct)

# A position in a stream: the cursor column's value, then the primary key's, as the site's database gave them.
# An operator's date is a position without a key: it includes every row of that moment.
Cursor = tuple[Any, ...]


class Packed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rows as they travel: names, kinds, and one array per column in `to_wire`'s form.

    Of the columns named in `counted`, which hold whole numbers alone, what each is more than the one before it: a
    column that counts is a few bytes then.
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    columns: list[list[Any]]
    counted: tuple[str, ...] = ()


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """`table`, `names` and `key` are central's names, and parent ids are central's ids.

    `sequence` counts the batches of (site, epoch, table) from 1 without a gap.
    `origin`: the rows' local primary keys, if that is their identity; else None.
    `fingerprint`: of the rows in central's canonical form. `cursor`: the column whose order the rows are in, if
    central's are in the same; then `before` is what the site has sent of the first row's block already, or None if it
    does not know, or if the rows come again.
    """

    protocol: int
    site: str
    epoch: str
    table: str
    sequence: int
    key: tuple[str, ...]
    origin: list[tuple[Any, ...]] | None
    first: Cursor
    last: Cursor
    fingerprint: Fingerprint
    cursor: str | None = None
    before: Fingerprint | None = None
    rows: Packed


learn(Batch)


def pack_cursor(values: Iterable[Any]) -> Cursor:
    """A cursor as it is kept and sent: a key may hold bytes, which JSON has no word for."""
    return tuple(to_wire(Kind.TEXT, list(values)))


def unpack_cursor(cursor: Cursor) -> tuple[Any, ...]:
    return tuple(from_wire(Kind.TEXT, list(cursor)))


def pack(kinds: tuple[Kind, ...], rows: RowSet) -> Packed:
    columns, counted = [], []
    for name, kind, column in zip(rows.names, kinds, rows.columns, strict=True):
        steps = _steps(column) if kind is Kind.INTEGER else None
        columns.append(to_wire(kind, column) if steps is None else steps)
        if steps is not None:
            counted.append(name)
    return Packed(names=rows.names, kinds=kinds, columns=columns, counted=tuple(counted))


def _steps(column: list[Any]) -> list[int] | None:
    """What each number is more than the one before it, if these repeat themselves more than the numbers do."""
    different = len(set(column))
    if different < _FEW or different * _FEW < len(column) or set(map(type, column)) != {int}:
        return None
    if not -_LARGE < min(column) <= max(column) < _LARGE:
        return None  # JSON has no word for a step of more than 64 bits
    steps = list(map(sub, column, chain((0,), column)))
    return steps if len(set(steps)) * 2 < different else None


def unpack(packed: Packed) -> RowSet:
    """Raises ProtocolError if the columns are not of one length, or hold what no column can."""
    if len({len(packed.names), len(packed.kinds), len(packed.columns)}) != 1:
        raise ProtocolError("names, kinds and columns are not of one length")
    if len(set(packed.names)) != len(packed.names):
        raise ProtocolError("a column is named twice")
    if len({len(column) for column in packed.columns}) > 1:
        raise ProtocolError("the columns hold different numbers of rows")
    if packed.columns and len(packed.columns[0]) > MAX_ROWS:
        raise ProtocolError(f"more than {MAX_ROWS} rows in one message")
    if not set(packed.counted) <= set(packed.names):
        raise ProtocolError("a column is counted that is not there")
    columns = [
        _added_up(column) if name in packed.counted else from_wire(kind, column)
        for name, kind, column in zip(packed.names, packed.kinds, packed.columns, strict=True)
    ]
    return RowSet(names=packed.names, columns=columns)


def _added_up(steps: list[Any]) -> list[Any]:
    if not set(map(type, steps)) <= {int}:
        raise ProtocolError("a column is counted that does not hold whole numbers alone")
    return list(accumulate(steps))


def encode(message: msgspec.Struct) -> bytes:
    """A message as it goes over the line: JSON, zstd around it, with zstd's own checksum."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(msgspec.json.encode(message))


def decode(raw: bytes, form: type[Message]) -> Message:
    """The message in `raw`. Raises ProtocolError if it is not whole, not of this form, or too large."""
    try:
        return msgspec.json.decode(decompress(raw), type=form)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"not a {form.__name__.lower()}: {error}") from error


def decompress(raw: bytes) -> bytes:
    """Capped, because a frame of 16 kB can claim 512 MB. Raises ProtocolError."""
    if len(raw) > MAX_COMPRESSED_BYTES:
        raise ProtocolError(f"more than {MAX_COMPRESSED_BYTES} bytes in one message")
    try:
        size = zstandard.get_frame_parameters(raw).content_size
        if size > MAX_BYTES:  # also if the frame does not say, which reads as 2^64 - 1
            raise ProtocolError(f"a message of more than {MAX_BYTES} bytes, or one that does not tell its size")
        return zstandard.ZstdDecompressor().decompress(raw, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ProtocolError(f"the message is damaged: {error}") from error
