"""Has central delete rows that the site has deleted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pusher.ledger import Ledger
from pusher.push.parts import is_keyed
from pusher.push.questions import Question
from pusher.schema.plan import TablePlan
from pusher.transport.central import Central
from pusher.wire import PROTOCOL
from pusher.wire.messages import MAX_REMOVED, Remove


class Removed(msgspec.Struct, kw_only=True):
    """`removed`: rows that are no more; `kept`: rows that stay since they are another site's, too. `refused`: the keys
    of those that central's database does not let go, and why."""

    removed: int = 0
    kept: int = 0
    refused: dict[str, str] = msgspec.field(default_factory=dict)


class Removal:
    """Deletes rows of one location's central. Repeating it does no harm."""

    def __init__(self, site: str, location: str, central: Central, ledger: Ledger) -> None:
        self._site = site
        self._location = location
        self._central = central
        self._ledger = ledger

    def remove(
        self, table: TablePlan, keys: Sequence[str], by: Sequence[str] = (), forgotten: Sequence[str] = ()
    ) -> Removed:
        """`keys`: JSON arrays, central's values of the columns `by`, or the site's own keys if `by` is (). `forgotten`:
        own keys that the site has no more, whatever became of the rows.

        Raises what `Central` raises.
        """
        found = Removed()
        cursor = Question(self._site, table).cursor
        for at in range(0, max(len(keys), len(forgotten)), MAX_REMOVED):
            some, lost = keys[at : at + MAX_REMOVED], forgotten[at : at + MAX_REMOVED]
            answer = self._central.remove(
                Remove(
                    protocol=PROTOCOL,
                    site=self._site,
                    table=table.central_name,
                    mapped=not is_keyed(table),
                    key=table.to_central(by),
                    keys=list(some),
                    forgotten=list(lost),
                    cursor=cursor if cursor in table.to_central(table.sent) else None,
                )
            )
            found.removed += answer.removed
            found.kept += answer.kept
            refused = {some[each.index]: each.reason for each in answer.refused}
            found.refused |= refused
            gone = lost if by else [key for key in some if key not in refused]
            self._ledger.forget_identities_of(self._location, table.name, gone)
        return found
