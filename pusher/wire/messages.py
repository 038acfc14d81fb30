"""The messages of the agent protocol, `/sync/v1/`: what a site asks, what central answers."""

from __future__ import annotations

from typing import Any

import msgspec

from pusher.wire.batch import Cursor, Packed
from pusher.wire.fingerprint import Fingerprint
from pusher.wire.forms import learn
from pusher.wire.tables import Table

MAX_ENTITIES = 1000  # rows in one Resolve
MAX_REMOVED = 5000  # keys in one Remove
Edge = str | int | float | None  # a value of a cursor in its plain form, or no end
MAX_STRETCHES = 1000  # segments in one Compare, ranges in one Look
HASH_DIGITS = 16  # of a row's hash, where few rows are compared


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The first request of a cycle. `clock`: the site's, ISO 8601 in UTC. `schema_hash`: of central's schema as
    the site last saw it, so that central need not send it again."""

    protocol: int
    site: str
    epoch: str
    agent_version: str
    hostname: str
    clock: str
    schema_hash: str | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    epoch: str
    sequence: int
    cursor: Cursor | None


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """`instance` names this central database: another one knows none of the ids handed out before.
    `tables` is None if the site has them already. `resolved`: how many Resolve messages of the site were answered;
    fewer than the site counts if central was restored from a backup. `emptied`: the tables that hold no row at all,
    though rows of this site arrived there."""

    protocol: int
    version: str
    instance: str
    clock: str
    dialect: str
    schema_hash: str
    tables: tuple[Table, ...] | None
    checkpoints: dict[str, Checkpoint]
    resolved: int = 0
    emptied: tuple[str, ...] = ()


class Resolve(msgspec.Struct, frozen=True, kw_only=True):
    """Entities of one table, whose parents are resolved: find or make each, tell its id.

    `key`: central's columns that make a row the same row; rows in which one of them is null, and all rows
    if `key` is empty, are known by `local_keys`, the site's own primary keys, instead.
    `agree`: columns that must be equal where the row is there already. `insist`: overwrite also what was changed at
    central since the site said the same before.
    `versions`: of a table that goes both ways, central's version of each row that both sides last had alike: 0 if they
    never had, -1 if the row has just come down and is only to be mapped. None: a site writes its own rows only.
    """

    protocol: int
    site: str
    table: str
    key: tuple[str, ...]
    agree: tuple[str, ...]
    local_keys: list[tuple[Any, ...]]
    rows: Packed
    insist: bool = False
    versions: list[int] | None = None


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Row `index` of the request is not what central has, or had. `kind`: `agree` (the row is not mapped), `owned`
    (mapped, but another site's word stands), and of a table that goes both ways `changed` (both sides changed it: it is
    written when it comes again with the version answered, so that the site has noted before what it undoes), or `met`
    (they never were alike, and central's stands). Both rows by column name, as far as they differ. `owner`: whose row
    central's is, as far as it is known."""

    index: int
    kind: str
    owner: str | None
    here: dict[str, Any]
    central: dict[str, Any]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Row `index` of the request is not stored, and why. `owner`: the site whose row has its key already."""

    index: int
    reason: str
    owner: str | None = None


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """`keys[i]`: central's primary key of row i, or None if it is refused or in conflict. `resolved`: see Welcome.
    `versions[i]`: of what central now has of row i, if versions were sent; 0 without a key."""

    keys: list[tuple[Any, ...] | None]
    created: int
    updated: int
    conflicts: list[Conflict]
    refused: list[Refusal]
    resolved: int = 0
    versions: list[int] | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a batch; central keeps it, and gives the same one to a repeat. `waited_seconds`: of this
    answer, how long the batch lay there until its turn came."""

    sequence: int
    rows: int
    stored: int
    refused: list[Refusal]
    waited_seconds: float = 0.0


class EntityQuery(msgspec.Struct, frozen=True, kw_only=True):
    """All rows of an entity that comes down to the sites as well. `digest`: of the last answer, or None. `key`: tells
    rows apart where central's table has no primary key."""

    protocol: int
    site: str
    table: str
    names: tuple[str, ...]
    digest: str | None
    key: tuple[str, ...] = ()


class EntityRows(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` is None if nothing changed since the answer whose digest was sent. `versions`: of each row; None where
    central keeps none, because nothing tells the rows apart."""

    digest: str
    keys: list[tuple[Any, ...]]
    rows: Packed | None
    versions: list[int] | None = None


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a stream in parts, each with the fingerprint of the site's rows there.

    The parts are cut at `edges`, values of the cursor in their plain form; each begins with its edge. `low` and
    `high` are the ends, None where the stream ends.
    """

    low: Edge
    edges: list[Edge]
    high: Edge
    prints: list[Fingerprint]


class Compare(msgspec.Struct, frozen=True, kw_only=True):
    """Does central have the same rows of this site? All names are central's, and parents' ids central's ids.

    `mapped`: they are known by ids that central gave, as entities are. `key`: as in Batch, () for the origin key.
    `names`: the columns that are compared. `cursor`: the column that the segments are cut by. Without one, `buckets`
    are the fingerprints of all rows by the first byte of their keys' hashes (`wire.buckets`), one bucket or 256.
    `noted`: the segments, cut where blocks begin, are compared with what central noted when the rows arrived, and no
    row is read.
    """

    protocol: int
    site: str
    table: str
    mapped: bool
    key: tuple[str, ...]
    names: tuple[str, ...]
    cursor: str | None
    segments: list[Segment]
    buckets: list[Fingerprint]
    noted: bool = False


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of each segment, or the buckets (then as the one segment), that differ: (place, rows at central)."""

    differing: list[list[tuple[int, int]]]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows has central in these stretches of the cursor (low, high), or in these of `of` buckets?"""

    protocol: int
    site: str
    table: str
    mapped: bool
    key: tuple[str, ...]
    names: tuple[str, ...]
    cursor: str | None
    ranges: list[tuple[Edge, Edge]]
    buckets: list[int]
    of: int


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of central's rows as JSON arrays (the site's own where the site knows them by these), the first half
    of each row's hash, and whether it is this site's. `more`: there are too many, and these are not all."""

    keys: list[str]
    hashes: list[str]
    mine: list[bool]
    more: bool


class Remove(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that the site has deleted, and central is to delete. `keys`: JSON arrays of what they have in the columns
    `key`, or, if that is (), of the site's own keys. `mapped`: as in Compare. `forgotten`: own keys that the site has
    no more, whatever became of the rows. `cursor`: as in Batch."""

    protocol: int
    site: str
    table: str
    mapped: bool
    key: tuple[str, ...]
    keys: list[str]
    forgotten: list[str] = []
    cursor: str | None = None


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """`removed`: rows that were there, and are no more. `kept`: rows that another site has, too, or that are another's:
    they stay, and this site is no longer said to have them. `refused`: keys whose rows others refer to, most likely."""

    removed: int
    kept: int
    refused: list[Refusal]


class Proven(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of a stream (see Segment) whose rows were read on both sides and are the same: its blocks, each by a
    value of the cursor in it."""

    low: Edge
    high: Edge
    starts: list[Edge]
    prints: list[Fingerprint]


class TableResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a site found when it compared one table. `deep`: every row was read. `proven`: of a stream cut by `cursor`,
    the blocks that central may note anew."""

    deep: bool
    verdict: str
    rows_here: int
    rows_there: int
    missing: int
    different: int
    only_central: int
    cursor: str | None = None
    proven: list[Proven] = []


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a comparison of both sides, table by table."""

    protocol: int
    site: str
    tables: dict[str, TableResult]


class TableReport(msgspec.Struct, frozen=True, kw_only=True):
    sent: int
    held: int
    pending: int | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a cycle, for people: who pushed, with what, and how it went. `localtime`: the site's clock. `failure`:
    when and why the cycle before this one failed, if it did."""

    protocol: int
    site: str
    hostname: str
    agent_version: str
    localtime: str
    tables: dict[str, TableReport]
    failure: str | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a message that asks nothing."""

    ok: bool = True


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error over HTTP (RFC 9457). `expected`: with 409, the sequence number that central takes next."""

    title: str
    status: int
    detail: str
    expected: int | None = None


learn(
    *(Hello, Welcome, Resolve, Resolved, Receipt, EntityQuery, EntityRows, Compare, Compared, Look, Looked),
    *(Remove, Removed, Verified, Report, Done, Problem),
)
