"""What turns the rows of a CSV file into rows of a database: a processor, made of a table or written by hand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import sqlalchemy as sa

from pusher.central.refusals import Fault, fault_of, reason_of


class Mode(StrEnum):
    """What a file does to rows. CREATE needs a row not to exist, UPDATE and REMOVE need it to, UPSERT does not care."""

    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"
    UPSERT = "upsert"


class Action(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True)
class Field:
    """What a CSV file can give of a row. `about`: in words, such as "text, at most 30 characters". `locates`: it is
    part of what finds the row. `required`: without it no row can be processed, unless a field is given that `gives` it
    as well. `others`: what else it may be called. `spare`: understood, but not in a template."""

    name: str
    about: str = ""
    required: bool = False
    locates: bool = False
    others: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    spare: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """`removed`: what the row held that is gone, by column, as the cells of a CSV file."""

    action: Action
    removed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """`reason`: one line that says what is wrong, with which field, and how to mend it."""

    reason: str


Result = Done | Refused


class Processor(Protocol):
    """One sort of rows, and how they get into the target.

    `name`: of the table, or of the processor as the configuration has it.
    """

    name: str

    def fields(self, mode: Mode) -> Sequence[Field]:
        """All that a file may give in this mode, in the order of a template."""
        ...

    def apply(
        self, connection: sa.Connection, mode: Mode, names: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> list[Result]:
        """What becomes of each row, within the transaction that `connection` is in: a row that is refused leaves no
        trace, and holds up no other. `names`: the fields whose texts each row has. Raises for what is no row's fault,
        such as a database that is gone; then the caller rolls back."""
        ...


class RowRefused(Exception):
    """Raised by a `RowProcessor`: the row comes back with these words."""


class RowProcessor(ABC):
    """The base of processors written by hand: each row under a savepoint of its own.

    A subclass has `name`, `fields` and `apply_row`; setup.cfg or pyproject.toml names it as an entry point of the group
    `pusher.processors`.
    """

    name = ""

    @abstractmethod
    def fields(self, mode: Mode) -> Sequence[Field]:
        """All that a file may give in this mode, in the order of a template."""

    @abstractmethod
    def apply_row(self, connection: sa.Connection, mode: Mode, row: Mapping[str, str]) -> Done:
        """One row: the text of each field, empty where the cell is. Raises RowRefused or ValueError, or what the
        database raises for a row that it does not take: then the row comes back with that. Anything else ends the
        run."""

    def apply(
        self, connection: sa.Connection, mode: Mode, names: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> list[Result]:
        return [self._attempt(connection, mode, dict(zip(names, row, strict=True))) for row in rows]

    def _attempt(self, connection: sa.Connection, mode: Mode, row: Mapping[str, str]) -> Result:
        savepoint = connection.begin_nested()
        try:
            done = self.apply_row(connection, mode, row)
            savepoint.commit()
            return done
        except (RowRefused, ValueError) as refusal:
            savepoint.rollback()
            return Refused(str(refusal))
        except Exception as error:
            if not isinstance(error, sa.exc.DBAPIError) or fault_of(error) is not Fault.ROW:
                raise
            savepoint.rollback()
            return Refused(reason_of(error))
