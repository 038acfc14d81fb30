"""SharePoint's own hash is computed as SharePoint does."""

from __future__ import annotations

import os

import pytest

from pusher.files.quickxor import quick_xor
from tests.sharepoint_library import slow_quick_xor


@pytest.mark.parametrize(
    ("content", "known"),
    [
        (b"", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        (b"\x4a", "SgAAAAAAAAAAAAAAAQAAAAAAAAA="),
        (b"hello world", "aCgDG9jwBhDc4Q1yawMZAAAAAAA="),
    ],
)
def test_known_values(content: bytes, known: str) -> None:
    assert quick_xor(content) == known


@pytest.mark.parametrize("size", [1, 159, 160, 161, 319, 320, 321, 480, 5000, 70_001])
def test_it_is_the_same_as_byte_by_byte(size: int) -> None:
    content = os.urandom(size)
    assert quick_xor(content) == slow_quick_xor(content)
    assert quick_xor(content[:-1] + bytes([content[-1] ^ 1])) != quick_xor(content)
    assert quick_xor(content + b"\0") != quick_xor(content)
