"""In which columns both sides were last alike, of entities that go both ways.

Where central has got another column since, or another precision, each row of the site would look changed, and what it
lacks there would go up over what others have filled in.
"""

from __future__ import annotations

import msgspec

from pusher.entity_notes import EntityNotes
from pusher.ledger import Ledger
from pusher.push.agreed import BEHIND, Agreed
from pusher.push.mapping import KnownKeys
from pusher.push.source import Source
from pusher.schema.plan import TablePlan
from pusher.wire.fingerprint import row_hashes
from pusher.wire.tables import Column, RowSet

_Form = tuple[tuple[str, Column], ...]  # each column that travels, by the site's name, as central has it


class Forms:
    def __init__(self, location: str, source: Source, ledger: Ledger, known: KnownKeys, agreed: Agreed) -> None:
        self._source = source
        self._notes = EntityNotes(ledger, location)
        self._known = known
        self._agreed = agreed

    def renew(self, table: TablePlan) -> None:
        """Rows that are as they were in the columns of then, and NULL in the new ones, are agreed on as they are, and
        central's come down.

        Call it before anything of the table is sent. Where a column no longer travels nobody can tell: they go up.
        """
        now: _Form = tuple(zip(table.sent, table.central_columns(table.sent), strict=True))
        text = self._notes.form(table.name)
        before = msgspec.json.decode(text, type=_Form) if text else now
        if before != now and {name for name, _ in before} <= set(table.sent):
            self._compare(table, before)
        if text is None or before != now:
            self._notes.note_form(table.name, msgspec.json.encode(now).decode())

    def _compare(self, table: TablePlan, before: _Form) -> None:
        hashes = self._agreed.hashes(table)
        for rows in self._source.entities(table):
            mapped = self._known.translate(table, rows).rows
            then = _hashes(before, mapped)
            after = _hashes(tuple(zip(table.sent, table.central_columns(table.sent), strict=True)), mapped)
            keys = rows.tuples(table.identity)
            new = [rows.column(name) for name in table.sent if name not in dict(before)]
            filled = {i for column in new for i, value in enumerate(column) if value is not None}
            same = [i for i, key in enumerate(keys) if hashes.get(key) == then[i] and i not in filled]
            self._agreed.note(table, [(keys[i], after[i], BEHIND) for i in same])


def _hashes(form: _Form, rows: RowSet) -> list[str]:
    sent = RowSet(names=tuple(column.name for _, column in form), columns=[rows.column(name) for name, _ in form])
    return [digest.hex() for digest in row_hashes([column for _, column in form], sent)]
