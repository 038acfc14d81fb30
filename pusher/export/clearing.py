"""Has the web server delete what is proven archived, and says what is still there that should be gone."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence

from pusher.errors import WriteFailed
from pusher.export.archive import Archive
from pusher.export.deleting import Deleter, Deletes, Deletion
from pusher.export.intake import Taken
from pusher.export.register import Content, Register
from pusher.held import Fault, Kind, Quarantine
from pusher.job import BreakDown, Outcome, Progress, TableOutcome
from pusher.log import event

log = logging.getLogger(__name__)

_FORBIDDEN, _FAILED = '["forbidden"]', '["delete"]'  # in place of a row's key, for what is held of a whole scale


class Clearing:
    """`clock`: aware."""

    def __init__(
        self,
        server: Deletes,
        archive: Archive,
        register: Register,
        quarantine: Quarantine,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._server = server
        self._archive = archive
        self._register = register
        self._quarantine = quarantine
        self._clock = clock

    def is_forbidden(self, scale: str) -> bool:
        """Whether the server has refused to delete, and nobody wants it tried again."""
        held = self._quarantine.rows(scale)
        return any(row.local_key == _FORBIDDEN and not row.retry for row in held)

    def clear(self, scale: str, taken: Taken, entry: TableOutcome, outcome: Outcome, progress: Progress) -> None:
        """Raises ArchiveDamaged where a raw file is not what it was: then nothing of it is deleted."""
        if self.is_forbidden(scale):
            return
        due = self._proven(scale, taken)
        label = f"{scale}, deleting"
        progress.expect(label, len(due))
        contents: dict[int, list[Content]] = {}
        for content in {*taken.there, *taken.known}:
            contents.setdefault(content[0], []).append(content)

        def note_gone(ids: Sequence[int]) -> None:
            self._register.note_gone(scale, (each for id_ in ids for each in contents[id_]), self._now())

        deleter = Deleter(self._server, scale, note_gone)
        done = deleter.delete(due, lambda rows: progress.advance(label, rows))
        entry.removed = done.gone
        self._report(scale, taken, done, outcome)

    def _proven(self, scale: str, taken: Taken) -> list[int]:
        """The ids of rows all of whose contents are archived; those of earlier runs are read once more."""
        earlier = [(content, taken.known[content]) for content in taken.there if content in taken.known]
        proven = self._archive.proven(scale, earlier)
        unproven = {content[0] for content, _ in earlier if content not in proven}
        if unproven:
            raise WriteFailed(
                f"{scale}: {len(unproven):,} rows are not in the raw files any more that they were archived in; "
                "put the files back from a backup"
            )
        return sorted({id_ for id_, _ in taken.there})

    def _report(self, scale: str, taken: Taken, done: Deletion, outcome: Outcome) -> None:
        if done.forbidden:
            self._hold(scale, _FORBIDDEN, "the server forbids deleting in this scale (HTTP 403); it counts as static")
            return
        self._quarantine.release(scale, [_FORBIDDEN])
        back = sum(1 for content in taken.there if content in taken.known and taken.known[content].gone)
        left = len(done.failed) + done.untried
        texts = []
        if back:
            texts.append(f"{back:,} rows were deleted before, and were still on the server")
        if left:
            number, reason = next(iter(done.failed.items()))
            texts.append(f"{left:,} rows could not be deleted and are still there, such as {number}: {reason}")
            self._hold(scale, _FAILED, texts[-1])
        else:
            self._quarantine.release(scale, [_FAILED])
        if texts:
            outcome.break_downs.append(BreakDown(what="delete", text=f"{scale}: {'; '.join(texts)}", table=scale))

    def _hold(self, scale: str, key: str, reason: str) -> None:
        log.warning(event("delete_failed", scale=scale, reason=reason))
        self._quarantine.hold(scale, [Fault(local_key=key, reason=reason, kind=Kind.DELETE)], self._now())

    def _now(self) -> str:
        return self._clock().isoformat(timespec="seconds")
