"""Imports one file: chunk by chunk, each one transaction, and from where a run was broken off."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from pusher.central.refusals import Fault, fault_of
from pusher.central.sites import utc_now
from pusher.datacenter.csvform import Form, Line, examine, lines
from pusher.datacenter.intake import refuse_unfinished
from pusher.datacenter.mapping import Mapping, propose
from pusher.datacenter.names import pending_name, stem_of
from pusher.datacenter.outcome import Choice, Imported, Tally
from pusher.datacenter.processing import Done, Mode, Processor, Refused, Result
from pusher.datacenter.register import Register, Run, State
from pusher.datacenter.storage import DataCenter
from pusher.datacenter.work import Order, Work
from pusher.errors import FileRefused, PusherError, UsageError, WriteFailed
from pusher.job import Progress
from pusher.log import event
from pusher.schema.engine import first_line, reaching, writing

log = logging.getLogger(__name__)

CHUNK_ROWS = 1000
_ATTEMPTS = 5  # of a chunk that meets another writer
_WHAT = "the target"


class _Busy(Exception):
    """Another writer was in the way."""


ProcessorOf = Callable[[str], Processor]


class Importer:
    """Works on the storage of one location; whoever calls it holds the storage's lock."""

    def __init__(
        self, center: DataCenter, engine: Engine, register: Register, location: str, processor_of: ProcessorOf
    ) -> None:
        self._center = center
        self._engine = engine
        self._register = register
        self._location = location
        self._processor_of = processor_of

    def run(self, name: str, choice: Choice, progress: Progress) -> Imported:
        """Raises FileRefused if the file cannot be imported as it is, Unreachable if the target is gone."""
        if not stem_of(name)[2]:
            refuse_unfinished(self._center, name)
        form = examine(self._center.file(name).path)
        refuse_faults(mapping_of(self._processor_of(choice.processor), form, choice), name)
        run = Run(
            run=uuid.uuid4().hex,
            location=self._location,
            name=name,
            digest=form.digest,
            began=utc_now(),
            state=State(choice=choice),
        )
        with reaching(_WHAT):
            self._register.prepare()
        with Work.begin(self._center, Order(run=run.run, name=name, form=form)) as work:
            with reaching(_WHAT), writing(self._engine).begin() as connection:
                self._register.note(connection, run)
            return self._go_on(work, run, progress)

    def finish(self, progress: Progress) -> Imported | None:
        """Completes what a run before left undone, None if there is nothing."""
        self._center.resume()
        with Work.found(self._center) as work:
            if work is None:
                return None
            with reaching(_WHAT):
                run = self._register.find(work.order.run)
            if run is None or run.name != work.order.name:
                # It had only begun, or the target was restored, or somebody has put an order there: no row is done.
                work.give_back()
                return None
            return self._go_on(work, run, progress)

    def _go_on(self, work: Work, run: Run, progress: Progress) -> Imported:
        """How the file is processed, the target says, where nobody can write who may drop files. What cannot be
        completed is no refusal of the file: it is in the work folder, and no other may take its place there."""
        try:
            run = replace(run, digest=work.examined().digest)
            work.belong_to(run.state.choice)
            if run.ended is None or run.position < work.order.form.rows:  # somebody has written more rows since
                work.cut_back(run.state.sizes)
                run = _Rows(self._engine, self._register, self._processor_of, work, run).take_all(progress)
                self._tell(run)  # before its files go: should that fail, the next run has no rows to tell of
            work.distribute(ok=not run.state.tally.refused)
        except (FileRefused, UsageError) as error:
            raise WriteFailed(f"{run.name} is not completed, and no other file is taken before: {error}") from error
        return imported_of(run)

    def _tell(self, run: Run) -> None:
        """One line of the log a run."""
        tally, seconds = run.state.tally, run.state.seconds
        log.info(
            event(
                "import_ended",
                location=self._location,
                path=self._center.storage / run.name,
                mode=run.state.choice.mode,
                lines=tally.lines,
                ok=tally.done,
                failed=tally.refused,
                seconds=round(seconds, 3),
                seconds_per_row=f"{seconds / max(tally.lines, 1):.6f}",
            )
        )


class _Rows:
    """The rows of one run."""

    def __init__(self, engine: Engine, register: Register, processor_of: ProcessorOf, work: Work, run: Run) -> None:
        self._engine = engine
        self._register = register
        self._work = work
        self._run = run
        self._form = work.order.form
        self._processor = processor_of(run.state.choice.processor)
        self._mapping = mapping_of(self._processor, self._form, run.state.choice)

    def take_all(self, progress: Progress) -> Run:
        name, choice = self._run.name, self._run.state.choice
        progress.expect(name, self._form.rows - self._run.position)
        for chunk in chunks(lines(self._work.source, self._form, self._run.position)):
            begun = time.monotonic()
            rows = [self._mapping.pick(line.cells) for line in chunk]
            self._take(chunk, rows, choice.mode, begun)
            progress.advance(name, len(chunk))
        self._refuse_growth()
        self._end()
        return self._run

    def _take(self, chunk: Sequence[Line], rows: Sequence[Sequence[str]], mode: Mode, begun: float) -> None:
        """One transaction; again if another writer was in the way."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with reaching(_WHAT):
                    self._attempt(chunk, rows, mode, begun)
                return
            except _Busy as busy:
                if attempt == _ATTEMPTS:
                    raise PusherError(f"{_WHAT} is too busy: {busy}; the next run goes on from here") from busy

    def _attempt(self, chunk: Sequence[Line], rows: Sequence[Sequence[str]], mode: Mode, begun: float) -> None:
        try:
            with writing(self._engine).begin() as connection:
                results = self._processor.apply(connection, mode, self._mapping.names, rows)
                run = self._noted(chunk, results, begun)
                self._register.note(connection, run)
        except sa.exc.DBAPIError as error:
            self._work.cut_back(self._run.state.sizes)
            reason = first_line(error.orig or error)
            match fault_of(error):
                case Fault.CONTENTION:
                    raise _Busy(reason) from error
                case Fault.MOMENT:
                    raise
                case _:
                    raise PusherError(f"{self._processor.name} cannot be changed: {reason}; see the target") from error
        except BaseException:
            self._work.cut_back(self._run.state.sizes)
            raise
        self._run = run

    def _noted(self, chunk: Sequence[Line], results: Sequence[Result], begun: float) -> Run:
        """The run as it is once the transaction is: what came of the rows is on the disk before."""
        now = utc_now()
        both = list(zip(chunk, results, strict=True))
        finished = [line.cells for line, result in both if isinstance(result, Done)]
        self._work.add(finished, [[*line.cells, result.reason] for line, result in both if isinstance(result, Refused)])
        removed = [result.removed for result in results if isinstance(result, Done) and result.removed]
        self._work.bury(removed, now)
        state = self._run.state
        return replace(
            self._run,
            position=self._run.position + len(chunk),
            state=replace(
                state,
                tally=state.tally.with_results([line.number for line in chunk], results),
                seconds=state.seconds + time.monotonic() - begun,
                sizes=self._work.sizes(),
            ),
        )

    def _refuse_growth(self) -> None:
        """What somebody wrote to the file since it was examined must not be lost."""
        if self._work.has_grown():
            raise FileRefused(f"{self._run.name} grew while it was imported; the next run goes on with the rest")

    def _end(self) -> None:
        refused = self._run.state.tally.refused
        state = replace(
            self._run.state,
            pending=pending_of(self._run.name, self._run.state.choice.mode) if refused else None,
            pending_digest=self._work.pending_digest() if refused else None,
        )
        self._run = replace(self._run, ended=utc_now(), state=state)
        with reaching(_WHAT), writing(self._engine).begin() as connection:
            self._register.note(connection, self._run)


def chunks(rows: Iterator[Line]) -> Iterator[list[Line]]:
    while chunk := list(islice(rows, CHUNK_ROWS)):
        yield chunk


def mapping_of(processor: Processor, form: Form, choice: Choice) -> Mapping:
    return propose(form.columns, processor.fields(choice.mode), choice.map)


def refuse_faults(mapping: Mapping, name: str) -> None:
    """Raises FileRefused, naming all that is wrong with how a file is mapped."""
    if mapping.faults:
        raise FileRefused(f"{name}: {'; '.join(mapping.faults)}")


def pending_of(name: str, mode: Mode) -> str:
    return pending_name(stem_of(name)[0], mode)


def imported_of(run: Run) -> Imported:
    return Imported(
        name=run.name,
        mode=run.state.choice.mode,
        tally=run.state.tally,
        seconds=run.state.seconds,
        pending=run.state.pending,
    )


def rehearse(
    connection: Connection,
    processor: Processor,
    mapping: Mapping,
    mode: Mode,
    rows: Iterator[Line],
    progressed: Callable[[int], None],
) -> Tally:
    """What would become of rows, all within the transaction that `connection` is in. `progressed` is told of how many
    more are done."""
    tally = Tally()
    for chunk in chunks(rows):
        picked = [mapping.pick(line.cells) for line in chunk]
        results = processor.apply(connection, mode, mapping.names, picked)
        tally = tally.with_results([line.number for line in chunk], results)
        progressed(len(chunk))
    return tally
