"""What the target's database itself knows of imports: how far each run is, and what came of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from models.importing import imports, metadata
from pusher.datacenter.names import SUFFIXES, stem_of
from pusher.datacenter.outcome import Choice, Tally
from pusher.errors import PusherError
from pusher.schema.engine import first_line, writing


@dataclass(frozen=True, kw_only=True)
class State:
    """What came of a run so far. `sizes`: the bytes of each file of results that are of rows that are done.
    `pending_digest`: of the file of refused rows, once the run has ended."""

    choice: Choice
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0.0
    sizes: dict[str, int] = field(default_factory=dict)
    pending: str | None = None
    pending_digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """`run`: 32 letters that no other run has. `position`: rows of the file that are done. `began`, `ended`: naive, in
    UTC; not ended until all rows are done."""

    run: str
    location: str
    name: str
    digest: str
    began: dt.datetime
    ended: dt.datetime | None = None
    position: int = 0
    state: State


_RECENT = 100  # runs of files of one name
_COLUMNS = [column for column in imports.c if column is not imports.c.id]


class Register:
    """The runs of one location. Its table is made when it is first written to."""

    def __init__(self, engine: Engine, location: str) -> None:
        self._engine = engine
        self._location = location

    def prepare(self) -> None:
        """Raises PusherError if the table is not there and cannot be made."""
        try:
            if not sa.inspect(self._engine).has_table(imports.name):
                metadata.create_all(writing(self._engine))
        except sa.exc.DBAPIError as error:
            reason = first_line(error.orig or error)
            raise PusherError(
                f"cannot make the table {imports.name} in the target: {reason}; let its user create tables"
            ) from error

    def note(self, connection: Connection, run: Run) -> None:
        """Within the transaction that changed the rows."""
        values = _row(run)
        mine = imports.c.run == run.run
        if not connection.execute(sa.update(imports).where(mine).values(values)).rowcount:
            known = connection.scalar(sa.select(imports.c.id).where(mine))  # MariaDB counts rows that change
            if known is None:
                connection.execute(sa.insert(imports).values(values))

    def find(self, run: str) -> Run | None:
        return self._one(imports.c.run == run)

    def newest_of(self, name: str) -> Run | None:
        """The newest run of a file of this name."""
        return self._one(imports.c.name == name, imports.c.location == self._location)

    def finished(self, digest: str) -> Run | None:
        """The newest run that has ended, of a file with this content."""
        return self._one(imports.c.digest == digest, imports.c.location == self._location, imports.c.ended.is_not(None))

    def of_pending(self, name: str) -> Run | None:
        """The newest run that left its refused rows in the file of this name."""
        stem, _, _ = stem_of(name)
        names = (name, *(stem + suffix for suffix in SUFFIXES))
        mine = (imports.c.location == self._location, imports.c.name.in_(names))
        return next((run for run in self._many(mine, _RECENT) if run.state.pending == name), None)

    def newest(self, limit: int) -> list[Run]:
        return self._many((imports.c.location == self._location,), limit)

    def _one(self, *conditions: sa.ColumnElement[bool]) -> Run | None:
        return next(iter(self._many(conditions, 1)), None)

    def _many(self, conditions: Sequence[sa.ColumnElement[bool]], limit: int) -> list[Run]:
        if not sa.inspect(self._engine).has_table(imports.name):
            return []
        query = sa.select(*_COLUMNS).where(*conditions).order_by(imports.c.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [_run(dict(row._mapping)) for row in connection.execute(query)]


def _row(run: Run) -> dict[str, Any]:
    values: dict[str, Any] = {column.name: getattr(run, column.name) for column in _COLUMNS}
    return values | {"state": msgspec.json.encode(run.state).decode()}


def _run(row: dict[str, Any]) -> Run:
    return Run(**{**row, "state": msgspec.json.decode(row["state"], type=State)})
