"""QuickXorHash, the one hash that SharePoint computes of its files."""

from __future__ import annotations

from base64 import b64encode

_BITS = 160
_ROW_BYTES = 160  # byte i is turned by 11 × i bits: after so many bytes it is where it began
_TURN_BITS = 11
_ALL = (1 << _BITS) - 1


def quick_xor(content: bytes) -> str:
    """In base64. It tells what a line or a disk does to a file, not what a forger does, and it does not notice if
    stretches of 160 bytes change places: for what arrives in one piece."""
    ring = 0
    for place, byte in enumerate(_folded(content)):
        turned = byte << (place * _TURN_BITS % _BITS)
        ring ^= turned & _ALL ^ turned >> _BITS
    ring ^= len(content) << (_BITS - 64)
    return b64encode(ring.to_bytes(_BITS // 8, "little")).decode()


def _folded(content: bytes) -> bytes:
    """All rows, one on the other. Numbers of any length make it a few steps instead of one for each byte."""
    rows = max(1, -(-len(content) // _ROW_BYTES))
    value = int.from_bytes(content, "little")
    while rows > 1:
        rows = (rows + 1) // 2
        bits = rows * _ROW_BYTES * 8
        value = (value & ((1 << bits) - 1)) ^ (value >> bits)
    return value.to_bytes(_ROW_BYTES, "little")
