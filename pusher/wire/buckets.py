"""Buckets: the rows of a table by the first byte of their keys' hashes, where nothing else puts them in an order."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from pusher.wire.fingerprint import row_hashes
from pusher.wire.tables import Column, RowSet

MOST = 256


def buckets_of_texts(keys: Iterable[str], of: int) -> list[int]:
    """The bucket of each row, one of so many, by the text of the key that the site knows it by."""
    return [blake2b(key.encode(), digest_size=1).digest()[0] % of for key in keys]


def buckets_of_keys(columns: Iterable[Column], keys: RowSet, of: int) -> list[int]:
    """The same by the columns of a natural key, as central has them."""
    return [digest[0] % of for digest in row_hashes(columns, keys)]
