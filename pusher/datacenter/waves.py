"""Cuts rows into parts that may each be written at once, so that what comes of them is as if it were row by row."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

Marks = Sequence[Hashable | None]


def waves(keys: Marks, reads: Marks | None = None) -> list[list[int]]:
    """The rows' places. `keys`: what each row writes; `reads`: what it looks for; None: nothing that others write.

    Rows may come in another order, but no two that have to do with each other: each finds what the rows before it
    wrote, and nothing that rows behind it write.
    """
    found: list[list[int]] = []
    written: dict[Hashable, int] = {}
    read: dict[Hashable, int] = {}
    for place, key in enumerate(keys):
        sought = reads[place] if reads else None
        wave = max(written.get(key, -1) + 1, read.get(key, 0)) if key is not None else 0
        if sought is not None:
            wave = max(wave, written.get(sought, -1) + 1)
            read[sought] = max(read.get(sought, 0), wave)
        if key is not None:
            written[key] = wave
        if wave == len(found):
            found.append([])
        found[wave].append(place)
    return found


def stretches(keys: Marks, reads: Marks | None = None) -> Iterator[list[int]]:
    """The same, where all rows have to stay in their order."""
    stretch: list[int] = []
    written: set[Hashable] = set()
    for place, key in enumerate(keys):
        sought = reads[place] if reads else None
        if (key is not None and key in written) or (sought is not None and sought in written):
            yield stretch
            stretch, written = [], set()
        stretch.append(place)
        if key is not None:
            written.add(key)
    if stretch:
        yield stretch
