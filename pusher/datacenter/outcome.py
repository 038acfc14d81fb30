"""How a file is to be processed, and what came of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pusher.datacenter.processing import Action, Done, Mode, Result

_EXAMPLES = 20
_MOST_REASONS = 100
_OTHERS = "other reasons"
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\d+(?= (?:characters|bytes|rows)\b)")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How a file is to be processed. `map`: the header of the file and the field that it gives, pair by pair."""

    processor: str
    mode: Mode
    map: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What became of rows. `lines`: that are not blank. `reasons`: why rows were refused, without what is particular to
    each, and how many for each; `examples`: the first that were refused, each by its line of the file, and why."""

    lines: int = 0
    created: int = 0
    updated: int = 0
    removed: int = 0
    refused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    examples: tuple[tuple[int, str], ...] = ()

    @property
    def done(self) -> int:
        return self.created + self.updated + self.removed

    def with_results(self, numbers: Sequence[int], results: Sequence[Result]) -> Tally:
        """The same and these rows; `numbers`: their lines of the file."""
        actions = Counter(result.action for result in results if isinstance(result, Done))
        refused = [(n, each.reason) for n, each in zip(numbers, results, strict=True) if not isinstance(each, Done)]
        reasons = dict(self.reasons)
        for _, reason in refused:
            general = _PARTICULAR.sub("…", reason)
            known = general if general in reasons or len(reasons) < _MOST_REASONS else _OTHERS
            reasons[known] = reasons.get(known, 0) + 1
        return Tally(
            lines=self.lines + len(results),
            created=self.created + actions[Action.CREATED],
            updated=self.updated + actions[Action.UPDATED],
            removed=self.removed + actions[Action.REMOVED],
            refused=self.refused + len(refused),
            reasons=reasons,
            examples=(*self.examples, *refused)[:_EXAMPLES],
        )


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What would happen. `first`: rows of the file as they stand in it, by `columns`. `mapping`: the field that each
    column gives, None if nobody takes it. `faults`: why the file cannot be run as it is mapped; then nothing was
    tried. `tally`: None if it was not asked for."""

    name: str
    choice: Choice
    rows: int
    columns: tuple[str, ...]
    first: Sequence[Sequence[str]]
    mapping: Mapping[str, str | None]
    faults: Sequence[str]
    tally: Tally | None = None


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What a run did. `pending`: the name of the file with the rows that were refused, None if there are none."""

    name: str
    mode: Mode
    tally: Tally
    seconds: float
    pending: str | None
