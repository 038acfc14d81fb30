"""What both sides last had alike of each row of an entity, as far as this site knows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pusher.ledger import Ledger
from pusher.push.faults import goes_both_ways
from pusher.push.mapping import Key, key_text, wire_rows
from pusher.schema.plan import TablePlan
from pusher.wire.batch import unpack_cursor
from pusher.wire.fingerprint import row_hashes
from pusher.wire.messages import Resolved
from pusher.wire.tables import RowSet

BEHIND = -2  # in place of a version: whatever central has comes down


class Agreed:
    """The hash of each row, and of tables that go both ways central's version, by the site's key; the ledger has both.

    An empty hash: central was told of the row, but not all, or it did not take it. Version 0: they never were alike.
    """

    def __init__(self, ledger: Ledger, location: str) -> None:
        self._ledger = ledger
        self._location = location
        self._hashes: dict[str, dict[Key, str]] = {}
        self._versions: dict[str, dict[Key, int]] = {}
        self._behind: set[str] = set()

    def load(self, table: str) -> list[tuple[Key, Key]]:
        """Returns the site's key of each row with central's values for it."""
        hashes = self._hashes[table] = {}
        pairs = []
        for local_text, (central_text, row_hash) in self._ledger.identities(self._location, table).items():
            local, central = _key(local_text), _key(central_text)
            pairs.append((local, central))
            hashes[local] = row_hash
        versions = self._ledger.versions(self._location, table)
        self._versions[table] = {_key(text): version for text, version in versions.items()}
        return pairs

    def hashes(self, table: TablePlan) -> dict[Key, str]:
        return self._hashes[table.name]

    def version(self, table: TablePlan, key: Key) -> int:
        return self._versions[table.name].get(key, 0)

    def is_same(self, table: TablePlan, key: Key, row_hash: str) -> bool:
        """Whether nothing of the row has to be said; what both sides never had alike must be compared once."""
        known = self._hashes[table.name].get(key) == row_hash
        return known and (not goes_both_ways(table) or self.version(table, key) != 0)

    def lags(self, table: TablePlan) -> bool:
        """Whether rows of central have to come down that may not have changed there."""
        return table.name in self._behind

    def doubt(self, table: TablePlan, keys: Sequence[Key]) -> None:
        """These rows are sent again, whatever was said of them."""
        self._hashes[table.name].update(dict.fromkeys(keys, ""))

    def to_send(self, table: TablePlan, keys: Sequence[Key], *, came: bool) -> list[int] | None:
        """Their versions, for a Resolve; `came`: the rows have just come down."""
        if not goes_both_ways(table):
            return None
        return [-1 if came else self.version(table, key) for key in keys]

    def note_answer(
        self,
        table: TablePlan,
        noted: Sequence[tuple[int, Key, Key, str]],
        answer: Resolved,
        came: Sequence[int] | None,
    ) -> None:
        """`noted`: place in the answer, the site's key, central's values for it, hash.

        A refused row stays as it was agreed on; one that was met differs until central's has come down.
        """
        met = {conflict.index for conflict in answer.conflicts if conflict.kind == "met"}
        refused = {refusal.index for refusal in answer.refused}
        now = came or answer.versions or [0] * len(answer.keys)
        versions, hashes = self._versions[table.name], self._hashes[table.name]
        for i, key, _, row_hash in noted:
            hashes[key] = row_hash
            if goes_both_ways(table) and i not in refused:
                versions[key] = 0 if i in met else now[i]
        if met:
            self._behind.add(table.name)
        rows = [(key_text(key), key_text(central), row_hash) for _, key, central, row_hash in noted]
        kept = {key_text(key): versions.get(key, 0) for _, key, _, _ in noted} if goes_both_ways(table) else {}
        self._ledger.note_identities(self._location, table.name, rows, answer.resolved, kept)

    def note(self, table: TablePlan, agreed: Sequence[tuple[Key, str, int]]) -> None:
        """Rows of the site that are as central has them now: key, hash, version."""
        rows = [(key_text(key), row_hash, version) for key, row_hash, version in agreed]
        self._ledger.note_agreed(self._location, table.name, rows)
        self._hashes[table.name].update({key: row_hash for key, row_hash, _ in agreed})
        self._versions[table.name].update({key: version for key, _, version in agreed})


def sent_hashes(table: TablePlan, mapped: RowSet) -> list[str]:
    """Of what central is told of each row; so a row whose parent got another id has changed."""
    return [digest.hex() for digest in row_hashes(table.central_columns(table.sent), wire_rows(table, mapped))]


def _key(text: str) -> Key:
    return unpack_cursor(msgspec.json.decode(text))
