"""All that can be done with the files of one location to import from: what commands and pages are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO

from sqlalchemy.engine import Engine

from pusher.config import ImportSettings, Location, Settings
from pusher.datacenter.csvform import digest_of, examine, lines
from pusher.datacenter.exporting import export_table
from pusher.datacenter.importing import Importer, imported_of, mapping_of, rehearse
from pusher.datacenter.intake import add
from pusher.datacenter.names import stem_of
from pusher.datacenter.outcome import Choice, Imported, Preview
from pusher.datacenter.processing import Field, Mode, Processor
from pusher.datacenter.register import Register, Run
from pusher.datacenter.storage import DataCenter, DataCenterFile
from pusher.datacenter.table import open_processor
from pusher.datacenter.template import template
from pusher.errors import ConfigError, FileRefused
from pusher.job import NoProgress, Progress
from pusher.schema.engine import opened, reaching, writing
from pusher.schema.guess import is_ignored
from pusher.schema.reflect import reflect
from pusher.wire.tables import Schema

_WHAT = "the target"
_FIRST_ROWS = 10
_NOBODY_WATCHES = NoProgress()


class Desk:
    """`center`: the storage. What needs the target opens it, and raises Unreachable if it is not there."""

    def __init__(self, settings: Settings, location: Location) -> None:
        """Raises ConfigError if the location is of another kind, WriteFailed or FileRefused if its storage cannot be
        used."""
        if location.imports is None:
            raise ConfigError([f"[{location.name}] is no location to import from; its kind is {location.kind}"])
        self.location = location.name
        self.settings: ImportSettings = location.imports
        self.center = DataCenter(location.imports.storage)
        self._target = (location.imports.target or settings.general.localurl).reveal()
        self._keys = {each.name: each.key for each in settings.tables.values() if each.key and each.key != ("origin",)}

    def choice(self) -> Choice:
        """What the configuration says."""
        mine = self.settings
        return Choice(processor=mine.processor, mode=Mode(mine.mode), map=mine.map)

    def choice_for(self, name: str) -> Choice:
        """What a file is processed by if nobody says otherwise: one with refused rows as the file that they are of."""
        _, mode, pending = stem_of(name)
        if not pending or mode is None:
            return self.choice()
        with self._opened() as engine:
            whole = self._register(engine).of_pending(name)
        chosen = whole.state.choice if whole else self.choice()
        return Choice(processor=chosen.processor, mode=mode, map=chosen.map)

    def processors(self) -> list[str]:
        """The tables of the target, and the processor that is configured."""
        with self._opened() as engine:
            names = [table.name for table in reflect(engine, _WHAT).tables if not is_ignored(table.name)]
        return sorted({*names, self.settings.processor}, key=str.casefold)

    def fields(self, processor: str, mode: Mode) -> Sequence[Field]:
        """Raises UsageError if there is no such processor."""
        with self._opened() as engine:
            return self._processor(reflect(engine, _WHAT), processor).fields(mode)

    def template(self, processor: str, mode: Mode) -> str:
        """The head of a CSV file for it. Raises UsageError if there is no such processor."""
        with self._opened() as engine:
            return template(self._processor(reflect(engine, _WHAT), processor), mode)

    def add(self, source: Path, name: str | None = None, *, again: bool = False) -> DataCenterFile:
        """Copies a file into the storage. `again`: also one that was imported before. Raises FileRefused."""
        with self.center.adding():
            return add(self.center, source, name=name, known=_never if again else self.when_imported)

    def when_imported(self, digest: str) -> str | None:
        """When a file with this content was imported, in words; None if it was not."""
        with self._opened() as engine:
            run = self._register(engine).finished(digest)
        return f"{run.ended:%Y-%m-%d %H:%M:%S} UTC, as {run.name}" if run else None

    def refuse_imported(self, digest: str, name: str) -> None:
        """Raises FileRefused if a file with this content was imported."""
        when = self.when_imported(digest)
        if when:
            raise FileRefused(f"{name} was imported already, {when}; remove it, or: pusher import run {name} --again")

    def left_by(self, file: DataCenterFile) -> Imported | None:
        """What the run did that left a file of refused rows as it still is; None if that was changed since."""
        with self._opened() as engine:
            run = self._register(engine).of_pending(file.name)
        return imported_of(run) if run and run.state.pending_digest == digest_of(file.path) else None

    def preview(
        self,
        name: str,
        choice: Choice | None = None,
        progress: Progress = _NOBODY_WATCHES,
        *,
        dry_run: bool = True,
    ) -> Preview:
        """What would happen, found out by doing it in a transaction that is rolled back; without `dry_run` the first
        rows and the mapping alone. Raises FileRefused or UsageError."""
        chosen = choice or self.choice_for(name)
        path = self.center.file(name).path
        form = examine(path)
        with self._opened() as engine:
            processor = self._processor(reflect(engine, _WHAT), chosen.processor)
            mapping = mapping_of(processor, form, chosen)
            tally = None
            if dry_run and not mapping.faults:
                progress.expect(name, form.rows)
                with reaching(_WHAT), writing(engine).connect() as connection, connection.begin() as transaction:
                    tally = rehearse(
                        connection,
                        processor,
                        mapping,
                        chosen.mode,
                        lines(path, form),
                        lambda rows: progress.advance(name, rows),
                    )
                    transaction.rollback()
        return Preview(
            name=name,
            choice=chosen,
            rows=form.rows,
            columns=form.columns,
            first=[line.cells for line in islice(lines(path, form), _FIRST_ROWS)],
            mapping=mapping.by_column(form.columns),
            faults=mapping.faults,
            tally=tally,
        )

    def run(
        self,
        name: str,
        choice: Choice | None = None,
        progress: Progress = _NOBODY_WATCHES,
        *,
        again: bool = False,
    ) -> Imported:
        """Imports one file. What a run before left undone is completed first. `again`: also if it was imported before.
        Raises AlreadyRunning, FileRefused, UsageError, or PusherError where the target refuses to be changed."""
        with self.working() as importer:
            done = importer.finish(progress)
            if done and done.name == name:
                return done
            path = self.center.file(name).path
            if not again and not stem_of(name)[2]:
                self.refuse_imported(digest_of(path), name)
            return importer.run(name, choice or self.choice_for(name), progress)

    def export(self, table: str, out: TextIO) -> int:
        """Writes a table of the target so that it imports back unchanged; returns the rows. Raises UsageError if there
        is no such table."""
        with self._opened() as engine:
            schema = reflect(engine, _WHAT)
            with reaching(_WHAT), engine.connect() as connection:
                return export_table(connection, schema, table, out, null=self.settings.null, keys=self._keys)

    def files(self) -> dict[str, list[DataCenterFile]]:
        """Those that wait, those that are half done, those that are done."""
        center = self.center
        return {
            "pending": center.pending_files(),
            "unfinished": center.unfinished_files(),
            "finished": center.finished_files(),
        }

    def newest_run(self, name: str) -> Run | None:
        """Of a file of this name."""
        with self._opened() as engine:
            return self._register(engine).newest_of(name)

    def runs(self, limit: int = 20) -> list[Run]:
        """The newest runs first."""
        with self._opened() as engine:
            return self._register(engine).newest(limit)

    @contextmanager
    def working(self) -> Iterator[Importer]:
        """Holds the storage. Raises AlreadyRunning, or Unreachable if the target is not there."""
        with self.center.locked(), self._opened() as engine:
            schema = reflect(engine, _WHAT)
            yield Importer(
                self.center,
                engine,
                self._register(engine),
                self.location,
                lambda name: self._processor(schema, name),
            )

    # ---

    @contextmanager
    def _opened(self) -> Iterator[Engine]:
        with opened(self._target) as engine:
            yield engine

    def _register(self, engine: Engine) -> Register:
        return Register(engine, self.location)

    def _processor(self, schema: Schema, name: str) -> Processor:
        return open_processor(schema, name, null=self.settings.null, keys=self._keys)


def _never(_: str) -> str | None:
    return None
