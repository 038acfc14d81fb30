"""Compares both sides file by file, so that an operator sees what is where, and whether starting is a good idea."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pusher.filelist import Arrival, AtFault, Code, Entry
from pusher.files.decide import is_ours
from pusher.files.destination import Found
from pusher.files.job import FilesJob, shown
from pusher.files.reading import Reader, StillChanging
from pusher.files.sending import arrival
from pusher.paths.choice import LocalFile


class State(StrEnum):
    """How a file stands. SAME: on both sides, equal; ADOPTABLE: the same, and the list does not know it;
    CHANGED: here, since it arrived; WAITING: not there yet; MISSING: no longer there; DAMAGED: there, with our time and
    not our content; DIFFERENT: another file is there under its name; ONLY_THERE; LOCKED: never to be copied."""

    SAME = "same"
    ADOPTABLE = "same, not in the list"
    CHANGED = "changed here"
    WAITING = "to be copied"
    MISSING = "missing there"
    DAMAGED = "damaged there"
    DIFFERENT = "different there"
    LOCKED = "locked"
    ONLY_THERE = "only there"


@dataclass(frozen=True, kw_only=True)
class FileState:
    """`file`: the path here, or there for one that is only there."""

    file: str
    name: str
    state: State


@dataclass(kw_only=True)
class Checked:
    """`files`: all that are not the same. `advice`: what an operator should know before a run. `updated`: how many
    entries of the list were set."""

    location: str
    deep: bool
    counts: dict[str, int]
    files: list[FileState]
    advice: str
    updated: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        fine = (State.SAME, State.ADOPTABLE, State.LOCKED, State.ONLY_THERE)
        return int(bool(self.notes) or any(state not in fine for state in map(State, self.counts)))


def check(job: FilesJob, *, deep: bool = False, update: bool = False, dry_run: bool = False) -> Checked:
    """Compares everything that suits. `deep`: by content, also what had arrived. What it finds damaged or missing is
    noted, for the next run to mend; `update` also takes into the list what is there and the same. `dry_run`: nothing
    is noted. Raises what source and destination raise."""
    comparison = _Comparison(job, deep=deep)
    states = list(comparison.states())
    if not dry_run:
        job.filelist.note_faults(comparison.faults)
    adopted = comparison.adoptable if update and not dry_run else []
    job.note_there(adopted)
    counts = {state.value: count for state in State if (count := sum(each.state is state for each in states))}
    return Checked(
        location=job.location,
        deep=deep,
        counts=counts,
        files=[each for each in states if each.state not in (State.SAME, State.LOCKED)],
        advice=_advice(counts),
        updated=len(adopted),
        notes=comparison.unread,
    )


class _Comparison:
    def __init__(self, job: FilesJob, *, deep: bool) -> None:
        self._job = job
        self._deep = deep
        self._root = job.here.settings.source
        self._entries = job.filelist.entries()
        self.unread: list[str] = []
        self.faults: dict[str, AtFault | None] = {}
        self.adoptable: list[Arrival] = []

    def states(self) -> Iterator[FileState]:
        there = {found.name: found for found in self._job.destination.listing()}
        known = self._job.filelist.earlier_destinations()
        doubtful: list[tuple[LocalFile, Entry | None, Found]] = []
        for file in self._job.here.scan(self.unread):
            entry = self._entries.get(file.path)
            name = entry.destination if entry and entry.arrived and entry.destination else self._job.here.name(file)
            known.add(name)
            found = there.get(name)
            state = self._at_first_sight(file, entry, found)
            if state is None and found is not None:
                doubtful.append((file, entry, found))
            else:
                yield self._stated(file, name, state or State.WAITING)
        yield from self._by_content(doubtful)
        known |= {entry.destination for entry in self._entries.values() if entry.destination}
        for name in sorted(there.keys() - known):
            yield FileState(file=shown(name), name=shown(name), state=State.ONLY_THERE)

    def _at_first_sight(self, file: LocalFile, entry: Entry | None, found: Found | None) -> State | None:
        """None: only the content can tell."""
        arrived = entry is not None and entry.arrived is not None
        if entry and entry.code is Code.NEVER:
            return State.LOCKED
        if found is None:
            return State.MISSING if arrived else State.WAITING
        ours = entry is not None and is_ours(entry, found)
        if entry and arrived and ours and found.size != entry.size:
            return State.DAMAGED
        changed = entry is None or (entry.size, entry.modified_ns) != (file.size, file.mtime_ns)
        if arrived and ours and not self._deep:
            return State.CHANGED if changed else State.SAME
        if found.size != file.size:
            return State.CHANGED if ours else State.DIFFERENT
        return None

    def _by_content(self, doubtful: Sequence[tuple[LocalFile, Entry | None, Found]]) -> Iterator[FileState]:
        digests = self._job.destination.digests([found.name for _, _, found in doubtful])
        for (file, entry, found), (_, digest) in zip(doubtful, digests, strict=True):
            yield self._stated(file, found.name, self._of_content(file, entry, found, digest))

    def _of_content(self, file: LocalFile, entry: Entry | None, found: Found, digest: str | None) -> State:
        ours = entry is not None and is_ours(entry, found)
        if entry and entry.arrived and ours:
            if digest != entry.sha256:
                return State.MISSING if digest is None else State.DAMAGED
            changed = (entry.size, entry.modified_ns) != (file.size, file.mtime_ns)
            return State.CHANGED if changed else State.SAME
        try:
            sha256 = Reader(self._root, file).digest()
        except StillChanging:
            return State.WAITING
        if digest == sha256:
            self.adoptable.append(arrival(file, found.name, sha256, found.modified))
            return State.ADOPTABLE
        return State.CHANGED if ours else State.DIFFERENT

    def _stated(self, file: LocalFile, name: str, state: State) -> FileState:
        entry = self._entries.get(file.path)
        if entry and entry.arrived:
            fault = {State.MISSING: AtFault.MISSING, State.DAMAGED: AtFault.DAMAGED}.get(state)
            if fault != entry.fault and (fault or (state is State.SAME and self._deep)):
                self.faults[file.path] = fault
        return FileState(file=shown(file.path), name=shown(name), state=state)


def _advice(counts: dict[str, int]) -> str:
    if different := counts.get(State.DIFFERENT):
        return (
            f"a run would refuse {different} {_files(different)}, in whose place there are others: see to them first; "
            "nothing there is overwritten"
        )
    due = sum(counts.get(state, 0) for state in (State.WAITING, State.CHANGED, State.MISSING, State.DAMAGED))
    if due:
        return f"a run would copy {due} {_files(due)}; it is safe to start"
    return "there is nothing to copy"


def _files(number: int) -> str:
    return "file" if number == 1 else "files"
