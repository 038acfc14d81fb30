"""Reconciliation: compares both sides table by table, and has the next cycle repair what differs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise

import msgspec

from pusher.config import Settings
from pusher.errors import PusherError
from pusher.held import Fault, HeldList, Kind, Quarantine, Selection
from pusher.job import Outcome, Progress
from pusher.ledger import Ledger
from pusher.push.identity import IdentityMap
from pusher.push.parts import Part, is_keyed
from pusher.push.position import position_of
from pusher.push.pusher import PushJob
from pusher.push.questions import Question
from pusher.push.removal import Removal
from pusher.push.source import Source
from pusher.push.verdict import EQUAL, TableVerdict
from pusher.push.verify import Period, Proof, Verifier
from pusher.schema.guess import Role
from pusher.schema.plan import TablePlan
from pusher.transport.central import Central
from pusher.verdicts import Verdicts
from pusher.wire import PROTOCOL
from pusher.wire.blocks import Start
from pusher.wire.fingerprint import Fingerprint
from pusher.wire.messages import Proven, TableResult, Verified

_ATTEMPTS = 3
_AT_ONCE = 10_000  # blocks that central is told of in one message
_ALWAYS: Period = (None, None)


class Deleted(msgspec.Struct, kw_only=True):
    """`rows`: deleted at central. `notes`: what was not, and why."""

    rows: int = 0
    notes: list[str] = msgspec.field(default_factory=list)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to compare, and how; see `pusher verify`. `pushed`: a cycle has just ended, so none has to go before."""

    tables: Collection[str] = ()
    period: Period = _ALWAYS
    deep: bool = False
    repair: bool = False
    force: bool = False
    pushed: bool = False


class Reconciled(msgspec.Struct, kw_only=True):
    """`tables`: what was found at last. `repaired`: rows that differed at first and were sent again; `deleted`: rows
    deleted at central. `notes`: what was not deleted, and why."""

    tables: list[TableVerdict] = msgspec.field(default_factory=list)
    repaired: int = 0
    deleted: int = 0
    notes: list[str] = msgspec.field(default_factory=list)


class Reconciliation:
    """Compares one location's central with the site's database."""

    def __init__(self, settings: Settings, job: PushJob, source: Source, central: Central, ledger: Ledger) -> None:
        self._settings = settings
        self._site = settings.general.site
        self._location = job.location
        self._job = job
        self._source = source
        self._central = central
        self._ledger = ledger

    def run(self, wanted: Wanted, progress: Progress) -> Reconciled:
        """Compares; if it is wanted, mends what differs and compares again. Raises what ends a cycle early."""
        if wanted.repair and not wanted.pushed:
            self._push(progress)
        found = Reconciled(tables=self.verify(wanted.tables, progress, wanted.period, deep=wanted.deep))
        if not wanted.repair or all(each.verdict == EQUAL for each in found.tables):
            return found
        lacking = _lacking(found.tables)
        if lacking:
            self.send_again(found.tables)
            self._push(progress)
        deleted = self.delete(found.tables, force=wanted.force)
        found.deleted, found.notes = deleted.rows, deleted.notes
        if lacking or deleted.rows:
            found.tables = self.verify(wanted.tables, progress, wanted.period, deep=wanted.deep)
            found.repaired = lacking - _lacking(found.tables)
        return found

    def _push(self, progress: Progress) -> None:
        outcome = self._job.run(progress)
        if outcome.error:
            raise PusherError(outcome.error)

    def verify(
        self, tables: Collection[str], progress: Progress, period: Period = _ALWAYS, *, deep: bool
    ) -> list[TableVerdict]:
        """Compares what was sent of these tables, or of all, with what central has, and tells central the verdicts.

        `deep`: every row, not only what both sides noted of it. Changes no row. Raises what `PushJob.meet` raises.
        """
        meeting = self._job.meet()
        outcome = Outcome(location=self._location, kind="push")
        identities = IdentityMap(outcome, self._site, meeting.plan, self._source, self._central, self._ledger)
        verifier = Verifier(
            site=self._site,
            location=self._location,
            source=self._source,
            central=self._central,
            ledger=self._ledger,
            identities=identities,
            page_rows=self._settings.general.pushlimit,
            progress=progress,
        )
        compared = [
            table
            for table in meeting.plan.tables
            if table.role is not Role.IGNORE and (not tables or table.name in tables)
        ]
        verdicts = {table.name: self._compare(verifier, table, period, deep) for table in compared}
        self._count_held(compared, verdicts, identities)
        if period == _ALWAYS:
            self._tell(verifier, [(table, verdicts[table.name]) for table in compared if not table.stopped])
            noted = {name: (each.deep, each.verdict) for name, each in verdicts.items()}
            Verdicts(self._ledger, self._location).note(noted, whole=not tables)
        return list(verdicts.values())

    def _count_held(
        self, compared: Iterable[TablePlan], verdicts: Mapping[str, TableVerdict], identities: IdentityMap
    ) -> None:
        """Adds the entities that central never took: it gave them no id by which they could be compared."""
        quarantine = Quarantine(self._ledger, self._location)
        for table in compared:
            verdict, held = verdicts[table.name], quarantine.rows(table.name)
            verdict.held = len(held)
            if table.role is Role.ENTITY and not table.stopped:
                known = identities.agreed.hashes(table)
                never = [row.local_key for row in held if row.key not in known]
                verdict.missing += never
                verdict.here += len(never)

    def send_again(self, verdicts: Iterable[TableVerdict]) -> None:
        """Has the next cycle send what central lacks or has otherwise: until it has, these rows are held.

        Not what is in conflict with another row: that stays so until somebody settles it.
        """
        quarantine = Quarantine(self._ledger, self._location)
        conflicts = {(row.table, row.local_key) for row in quarantine.rows() if row.kind is Kind.CONFLICT}
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        for verdict in verdicts:
            reasons = {"central lacks it": verdict.missing, "central has it otherwise": verdict.different}
            faults = [
                Fault(local_key=key, reason=f"{reason}, as verify found", kind=Kind.LACKING)
                for reason, keys in reasons.items()
                for key in keys
                if (verdict.table, key) not in conflicts
            ]
            quarantine.hold(verdict.table, faults, now)
        HeldList(self._ledger).ask_retry(Selection(locations=(self._location,), kind=Kind.LACKING))

    def delete(self, verdicts: Iterable[TableVerdict], *, force: bool = False) -> Deleted:
        """Has central delete what only it has, of tables whose deletions are to be propagated; children first.

        `force`: also if that is more of a table than its `max_delete_fraction`.
        """
        wanted = {verdict.table: verdict for verdict in verdicts if verdict.only_central}
        plan = self._job.meet().plan
        removal = Removal(self._site, self._location, self._central, self._ledger)
        deleted = Deleted()
        for table in reversed(plan.working):
            verdict = wanted.get(table.name)
            if verdict is None or not table.propagates_deletes:
                continue
            count = len(verdict.only_central)
            if not force and count > table.max_delete_fraction * verdict.there:
                deleted.notes.append(
                    f"{table.name}: {count:,} of {verdict.there:,} rows at central would be deleted, more than "
                    f"max_delete_fraction = {table.max_delete_fraction * 100:g} %; --force deletes them all the same"
                )
                continue
            found = removal.remove(table, verdict.only_central, table.key if is_keyed(table) else ())
            deleted.rows += found.removed
            if found.kept:
                deleted.notes.append(f"{table.name}: {found.kept:,} rows stay at central, since another site has them")
            reasons = sorted(set(found.refused.values()))
            deleted.notes += [f"{table.name}: a row is not deleted at central: {reason}" for reason in reasons]
        return deleted

    def _compare(self, verifier: Verifier, table: TablePlan, period: Period, deep: bool) -> TableVerdict:
        """Again if the daemon pushed meanwhile: what was read here then does not belong to what was read there."""
        if table.stopped:
            return TableVerdict(table=table.name, role=table.role.value, stopped=table.stopped)
        for attempt in range(1, _ATTEMPTS + 1):
            before = self._ledger.checkpoints(self._location).get(table.name)
            position = position_of(self._source, table, before) if table.role is Role.STREAM else None
            verdict = verifier.verify(table, position, period, deep=deep)
            moved = self._ledger.checkpoints(self._location).get(table.name) != before
            if moved:
                verifier.proven.pop(table.name, None)
            if verdict.verdict == EQUAL or not moved or attempt == _ATTEMPTS:
                break
        return verdict

    def _tell(self, verifier: Verifier, compared: list[tuple[TablePlan, TableVerdict]]) -> None:
        """Both sides note what was read and is the same, and central what was found."""
        tables: dict[str, TableResult] = {}
        for table, verdict in compared:
            proofs = verifier.proven.get(table.name, [])
            for part, prints in proofs:
                self._ledger.note_blocks(self._location, table.name, part.low, part.high, prints)
                if part == Part(low=None, high=None):
                    self._ledger.note_block_form(self._location, table.name, verifier.forms[table.name], anew=True)
            question = Question(self._site, table)
            proven = [question.proven(part, prints) for proof in proofs for part, prints in _slices(*proof)]
            result = _result(verdict, question.cursor if proven else None)
            *others, last = _few(proven)
            for few in others:
                self._send({table.central_name: msgspec.structs.replace(result, proven=few)})
            tables[table.central_name] = msgspec.structs.replace(result, proven=last)
        self._send(tables)

    def _send(self, tables: dict[str, TableResult]) -> None:
        self._central.verified(Verified(protocol=PROTOCOL, site=self._site, tables=tables))


def _lacking(verdicts: Iterable[TableVerdict]) -> int:
    return sum(len(each.missing) + len(each.different) for each in verdicts)


def _result(verdict: TableVerdict, cursor: str | None) -> TableResult:
    return TableResult(
        deep=verdict.deep,
        verdict=verdict.verdict,
        rows_here=verdict.here,
        rows_there=verdict.there,
        missing=len(verdict.missing),
        different=len(verdict.different),
        only_central=len(verdict.only_central),
        cursor=cursor,
    )


def _slices(part: Part, prints: Mapping[Start, Fingerprint]) -> Iterator[Proof]:
    """A proof in pieces that are not too long for a message."""
    starts = list(prints)
    cuts = [part.low, *starts[_AT_ONCE::_AT_ONCE], part.high]
    for at, (low, high) in enumerate(pairwise(cuts)):
        yield Part(low=low, high=high), {start: prints[start] for start in starts[at * _AT_ONCE : (at + 1) * _AT_ONCE]}


def _few(proven: Iterable[Proven]) -> Iterator[list[Proven]]:
    """As many as go into one message; one message at least."""
    few: list[Proven] = []
    size = 0
    for each in proven:
        if few and size + len(each.starts) > _AT_ONCE:
            yield few
            few, size = [], 0
        few.append(each)
        size += len(each.starts) + 1
    yield few
