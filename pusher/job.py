"""What daemon, status and alerts know of a job: how it is run and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(kw_only=True)
class TableOutcome:
    """One table in one run.

    `late`: rows among those sent that came behind the checkpoint, or changed there, with their neighbours. `held`:
    rows in quarantine at its end; `gone`: rows held before that the site no longer has; `removed`: rows deleted at
    central, since the site has deleted them. `created_here`, `updated_here`: rows that came down from central.
    `pending`: rows that still wait at the site, None if not counted.
    """

    table: str
    role: str
    sent: int = 0
    late: int = 0
    stored: int = 0
    created: int = 0
    updated: int = 0
    created_here: int = 0
    updated_here: int = 0
    held: int = 0
    gone: int = 0
    removed: int = 0
    pending: int | None = None
    upto: str | None = None
    stopped: str | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class FileCounts:
    """One run of a files job. `copied`: files that arrived, of `bytes` together; `same`: that were there already.
    `unchanged`: that had arrived before; `waiting`: too young, still being written, or held and not yet tried again;
    `locked`: never to be copied; `kept`: changed, and not copied again since on_change = never. `held`: refused, with
    a reason; `gone`: held before, and no longer at the source."""

    copied: int = 0
    bytes: int = 0
    same: int = 0
    unchanged: int = 0
    waiting: int = 0
    locked: int = 0
    kept: int = 0
    held: int = 0
    gone: int = 0


@dataclass(kw_only=True)
class BreakDown:
    """What needs somebody at once: a side that cannot be asked, data that stays where it must not be, or a write that
    failed. `table`: where it befell one table or scale alone."""

    what: Literal["request", "delete", "write"]
    text: str
    table: str | None = None


@dataclass(kw_only=True)
class Outcome:
    """One run of one location. `error`: what ended it early, with `exit_code` the command line's verdict.

    `retry_after_seconds`: how long central wants to be left alone, if it said so. `break_downs`: what befell it that
    needs somebody at once. `notices`: what an operator is to know, by mail too, once, and need do nothing about."""

    location: str
    kind: str
    tables: list[TableOutcome] = field(default_factory=list)
    files: FileCounts | None = None
    seconds: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0
    clock_skew_seconds: float | None = None
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    exit_code: int = 0
    retry_after_seconds: float | None = None
    break_downs: list[BreakDown] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return sum(table.sent for table in self.tables) + (self.files.copied if self.files else 0)

    @property
    def held(self) -> int:
        return sum(table.held for table in self.tables) + (self.files.held if self.files else 0)

    def table(self, name: str, role: str) -> TableOutcome:
        """The entry of table `name`, made when first asked for."""
        for entry in self.tables:
            if entry.table == name:
                return entry
        self.tables.append(TableOutcome(table=name, role=role))
        return self.tables[-1]


class Progress(Protocol):
    """Is told how a run goes on, as it goes."""

    def expect(self, table: str, rows: int) -> None: ...

    def advance(self, table: str, rows: int) -> None: ...


class NoProgress:
    """For runs that nobody watches."""

    def expect(self, table: str, rows: int) -> None:
        pass

    def advance(self, table: str, rows: int) -> None:
        pass


class Job(Protocol):
    """One location's work. `run` does one cycle; what it could not do is in the outcome, not raised."""

    location: str

    def run(self, progress: Progress) -> Outcome: ...
