"""What a site notes of whole entities that go both ways: what central last had, and in what columns they were alike."""

from __future__ import annotations

from pusher.ledger import Ledger

_WRITE_DIGEST = """
insert into entity (location, table_name, digest) values (?, ?, ?)
on conflict (location, table_name) do update set digest = excluded.digest
"""
_WRITE_FORM = "insert or replace into entity (location, table_name, digest, form) values (?, ?, '', ?)"


class EntityNotes:
    def __init__(self, ledger: Ledger, location: str) -> None:
        self._ledger = ledger
        self._location = location

    def digest(self, table: str) -> str | None:
        """Of what central last had; empty if it has to be asked."""
        return self._read("digest", table)

    def note_digest(self, table: str, digest: str) -> None:
        with self._ledger.change() as db:
            db.execute(_WRITE_DIGEST, (self._location, table, digest))

    def form(self, table: str) -> str | None:
        return self._read("form", table)

    def note_form(self, table: str, form: str) -> None:
        """What central had in other columns no longer counts."""
        with self._ledger.change() as db:
            db.execute(_WRITE_FORM, (self._location, table, form))

    def _read(self, column: str, table: str) -> str | None:
        query = f"select {column} from entity where location = ? and table_name = ?"
        rows = self._ledger.read(query, self._location, table)
        return rows[0][0] if rows else None
