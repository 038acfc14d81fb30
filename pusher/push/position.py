"""Where a stream stands."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from pusher.ledger import Checkpoint
from pusher.push.horizon import Horizon, horizon
from pusher.push.source import Source
from pusher.schema.plan import TablePlan
from pusher.wire.batch import Cursor
from pusher.wire.tables import Kind

_MOMENTS = (Kind.DATE, Kind.DATETIME, Kind.INSTANT)


class Position(msgspec.Struct, kw_only=True):
    """Where a stream stands, and its `horizon`, up to which it is read.

    `floor`: rows before it are left out. `moved`: of the rows before the cursor, it is not known which were sent.
    `in_blocks`: its rows are counted block by block, so that late ones are found. `drained`: nothing waited behind
    the cursor when it was last read.
    """

    table: TablePlan
    cursor: Cursor | None
    sequence: int
    floor: Cursor | None = None
    moved: bool = False
    in_blocks: bool = False
    horizon: Horizon = msgspec.field(default_factory=Horizon)
    drained: bool = False

    @property
    def form(self) -> str:
        """Tells in what form its rows are hashed: another one once central has another column, or another precision."""
        columns = self.table.central_columns(self.table.sent)
        return blake2b(msgspec.json.encode(columns), digest_size=16).hexdigest()

    @property
    def central_cursor(self) -> str | None:
        """Central's name of the cursor column, if its rows are cut into blocks as the site's are; else None."""
        if not self.in_blocks or not _cuts_central(self.table):
            return None
        return self.table.to_central([self.table.cursor])[0] if self.table.cursor else None


def position_of(source: Source, table: TablePlan, checkpoint: Checkpoint | None) -> Position:
    """Where a stream stands now, by its checkpoint if it has one."""
    known = checkpoint or Checkpoint(cursor=None, sequence=0)
    return Position(
        table=table,
        cursor=known.cursor,
        sequence=known.sequence,
        floor=known.floor,
        in_blocks=source.makes_blocks(table),
        horizon=horizon(source, table),
    )


def _cuts_central(table: TablePlan) -> bool:
    """Whether central's rows lie in the order of the site's cursor, too."""
    if table.cursor not in table.sent:
        return False
    here = table.local.column(table.cursor).kind
    (column,) = table.central_columns([table.cursor])
    if here is Kind.INTEGER or Kind.DATE in (here, column.kind):
        return column.kind is here
    return here in _MOMENTS and column.kind in _MOMENTS
