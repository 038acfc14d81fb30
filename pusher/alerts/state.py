"""What alerts remember from one look to the next, and the messages that come of it: plain values, kept as JSON."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Literal

What = Literal[
    "unreachable", "failed", "request", "delete", "write", "stopped", "held", "silent", "unverified", "unheard"
]


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What is wrong, as it was last seen. `scope`: the location, or at central the site. `count`: of what can grow."""

    scope: str
    what: What
    text: str
    table: str = ""
    count: int = 0

    @property
    def key(self) -> str:
        return "/".join(part for part in (self.scope, self.table, self.what) if part)

    @property
    def where(self) -> str:
        return f"{self.scope}, {self.table}" if self.table else self.scope

    @property
    def is_root(self) -> bool:
        """Whether all of its scope fails, so that little else of it is worth a word."""
        return self.what in ("unreachable", "failed", "unheard") or (self.what == "request" and not self.table)

    @property
    def stands_alone(self) -> bool:
        """Whether it is worth a word even while all of its scope fails."""
        return self.is_root or (self.what in ("delete", "write") and not self.table)

    @property
    def may_wait(self) -> bool:
        """Whether it often mends itself: `after` is for such."""
        return self.what in ("unreachable", "request")


@dataclass(frozen=True, kw_only=True)
class Known:
    """A cause from its beginning until nobody needs to know of it any more.

    `told`: that it began was told, and that it is over was not. `told_at`, `told_count`: when its beginning was last
    told, this time or before, and how many there were. `untold`: how often since then it came and went without a
    message, from `untold_since`, so many seconds in all. `withdrawn`: it is over since nobody watches it any more.
    """

    cause: Cause
    since: dt.datetime
    over: dt.datetime | None = None
    withdrawn: bool = False
    told: bool = False
    told_at: dt.datetime | None = None
    told_count: int = 0
    untold: int = 0
    untold_since: dt.datetime | None = None
    untold_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What somebody is to know once. `told`: it was, at `at`, and is kept a while longer, lest it be told twice."""

    scope: str
    text: str
    at: dt.datetime
    told: bool = False


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What came of the runs of a location since the last digest, and what is held now. `last_good`: when a run last
    ended without an error; `first`: since when the location is watched."""

    first: dt.datetime
    last_good: dt.datetime | None = None
    kind: str = "push"
    runs: int = 0
    failed: int = 0
    sent: int = 0
    held: int = 0


@dataclass(frozen=True, kw_only=True)
class Item:
    """One cause, or notice, in a message. `times`: how often it came and went without a message of its own."""

    kind: Literal["begin", "end", "brief", "notice"]
    scope: str
    text: str
    since: dt.datetime
    what: str = ""
    table: str = ""
    cause: str = ""
    over: dt.datetime | None = None
    seconds: float | None = None
    times: int = 0
    withdrawn: bool = False

    @property
    def where(self) -> str:
        return f"{self.scope}, {self.table}" if self.table else self.scope


@dataclass(frozen=True, kw_only=True)
class Total:
    """A location's line in a digest. `verified`: when all of it was last compared, ISO 8601 in UTC."""

    scope: str
    tally: Tally
    verified: str | None = None


@dataclass(frozen=True, kw_only=True)
class Message:
    """`everywhere`: all that is watched fails."""

    kind: Literal["begin", "end", "notice", "quiet", "digest", "test"]
    made: dt.datetime
    items: tuple[Item, ...] = ()
    totals: tuple[Total, ...] = ()
    everywhere: bool = False


@dataclass(frozen=True, kw_only=True)
class State:
    """`ended`: for the next digest, whose day was last `digest_day`. `quiet_since`: when the quiet hours were first
    noticed that are on, or have just ended."""

    known: dict[str, Known] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    ended: tuple[Item, ...] = ()
    tallies: dict[str, Tally] = field(default_factory=dict)
    digest_day: dt.date | None = None
    quiet_since: dt.datetime | None = None
