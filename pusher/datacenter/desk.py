"""All that can be done with the files of one location to import from: what commands and pages are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pusher.datacenter.processing import Mode

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How a file is to be processed. `map`: the header of the file and the field that it gives, pair by pair."""

    processor: str
    mode: Mode
    map: Pairs = ()


@dataclass(kw_only=True)
class Tally:
    """What became of rows. `lines`: that are not blank. `reasons`: why rows were refused, and how many for each;
    `examples`: the first lines of the file that were refused, and why."""

    lines: int = 0
    created: int = 0
    updated: int = 0
    removed: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What would happen. `first`: rows of the file as they stand in it, by `columns`. `mapping`: the field that each
    column gives, None if nobody takes it. `faults`: why the file cannot be run as it is mapped; then nothing was
    tried."""

    name: str
    choice: Choice
    columns: tuple[str, ...]
    first: Sequence[Sequence[str]]
    mapping: Mapping[str, str | None]
    faults: Sequence[str]
    tally: Tally


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What a run did. `pending`: the name of the file with the rows that were refused, None if there are none."""

    name: str
    mode: Mode
    tally: Tally
    seconds: float
    pending: str | None
