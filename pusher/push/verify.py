"""Compares the site's rows with central's: fingerprints of many first, then of fewer, at last the rows that differ."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import msgspec

from pusher.job import Progress
from pusher.ledger import Ledger
from pusher.push.identity import IdentityMap
from pusher.push.mapping import key_text
from pusher.push.noted import Notes, joined
from pusher.push.parts import Part, chunks, halves, is_keyed, pushed, pushed_within, within
from pusher.push.position import Position
from pusher.push.prepare import Prepared, prepared
from pusher.push.questions import Question
from pusher.push.source import Source
from pusher.push.verdict import TableVerdict
from pusher.schema.paging import Page
from pusher.schema.plan import TablePlan
from pusher.transport.central import Central, Traffic
from pusher.wire import buckets
from pusher.wire.batch import unpack_cursor
from pusher.wire.blocks import Start, Tally
from pusher.wire.fingerprint import Fingerprint, canonical, summed, summed_by_place
from pusher.wire.messages import HASH_DIGITS, Looked
from pusher.wire.tables import RowSet

_WAYS = 16
_GROUPS = 256  # parts of a stream that are compared first
_GROUPS_AT_ONCE = 32
_LEAF_ROWS = 64
_LEAVES_AT_ONCE = 100
_ONE_BUCKET_ROWS = 1000

Proof = tuple[Part, dict[Start, Fingerprint]]  # a part of a stream, and its blocks
Period = tuple[str | None, str | None]  # from when and until when, ISO 8601; None: from the beginning, to the end


class Verifier:
    """Reads both sides and changes nothing. Raises what `Central` and `Source` raise.

    `proven`: what was read of each stream and is the same, though what was noted of it was not. `forms`: in what form
    the rows of each stream are hashed.
    """

    def __init__(
        self,
        *,
        site: str,
        location: str,
        source: Source,
        central: Central,
        ledger: Ledger,
        identities: IdentityMap,
        page_rows: int,
        progress: Progress,
    ) -> None:
        self._site = site
        self._source = source
        self._central = central
        self._notes = Notes(location, source, central, ledger)
        self._identities = identities
        self._page_rows = page_rows
        self._progress = progress
        self.forms: dict[str, str] = {}
        self.proven: dict[str, list[Proof]] = {}

    def verify(self, table: TablePlan, position: Position | None, period: Period, *, deep: bool) -> TableVerdict:
        """`position`: of a stream, whose rows are compared up to there, and within `period` if its cursor is a time.

        `deep`: read all rows, even where the notes of both sides are the same. Within a period they are always read,
        and where there are no notes.
        """
        began, before = time.monotonic(), _traffic(self._central)
        verdict = TableVerdict(
            table=table.name,
            role=table.role.value,
            lossy=tuple(note.removeprefix("lossy: ") for note in table.notes if note.startswith("lossy: ")),
            drift=(
                *(f"{name} is only at the site" for name in table.only_here),
                *(f"{name} is only at central" for name in table.only_central),
            ),
        )
        if position and position.central_cursor:
            bounds = [self._source.from_moment(table, each) if each else None for each in period]
            low, high = (bound[0] if bound else None for bound in bounds)
            self._by_cursor(verdict, table, position, Part(low=low, high=high), deep=deep)
        else:
            self._by_buckets(verdict, table, position)
        verdict.seconds = time.monotonic() - began
        verdict.bytes_on_wire = _traffic(self._central) - before
        return verdict

    # --- along the cursor

    def _by_cursor(
        self, verdict: TableVerdict, table: TablePlan, position: Position, whole: Part, *, deep: bool
    ) -> None:
        question = Question(self._site, table)
        self.forms[table.name] = position.form
        suspects: list[Part] = []
        if whole == Part(low=None, high=None):
            suspects = self._notes.suspects(verdict, question, position)
        else:
            deep = True
        verdict.deep = deep or suspects == [whole]
        verdict.here = self._rows(table, position, whole)
        rows = verdict.here if deep else sum(self._rows(table, position, suspect) for suspect in suspects)
        wholes = [whole] if deep else suspects
        prints, groups = self._compared_as_read(verdict, table, position, wholes, rows // _GROUPS + 1)
        verdict.there = verdict.here + sum(part.there - part.here for part in groups)
        differing = self._compared(verdict, table, [(part, within(prints, part)) for part in groups])
        if wholes == [Part(low=None, high=None)]:
            suspects = joined([*suspects, *self._notes.outdated(table.name, prints)])
        self.proven[table.name] = list(_proven(suspects, prints, differing))
        blocks, leaves = differing, []
        while blocks:
            split = []
            for part in blocks:
                cuts = self._cut(table, position, part) if max(part.here, part.there) > _LEAF_ROWS else {}
                if len(cuts) > 1:
                    split.append((part, cuts))
                else:
                    leaves.append(part)
            blocks = self._compared(verdict, table, split)
        for few in chunks(leaves, _LEAVES_AT_ONCE):
            self._look_along(verdict, table, position, few)

    def _compared_as_read(
        self, verdict: TableVerdict, table: TablePlan, position: Position, wholes: Sequence[Part], size: int
    ) -> tuple[dict[Start, Fingerprint], list[Part]]:
        """The fingerprints of all blocks of these parts, and the groups of neighbouring blocks that differ.

        Central compares the groups read so far while the next ones are read.
        """
        prints: dict[Start, Fingerprint] = {}
        waiting: list[tuple[Part, dict[Start, Fingerprint]]] = []
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="compare") as line:
            answers = []
            for part, groups in self._groups(table, position, wholes, size, prints):
                waiting.append((part, groups))
                if sum(len(each) or 1 for _, each in waiting) >= _GROUPS_AT_ONCE:
                    answers.append(line.submit(self._compared, verdict, table, waiting))
                    waiting = []
            answers.append(line.submit(self._compared, verdict, table, waiting))
            return prints, [part for answer in answers for part in answer.result()]

    def _groups(
        self,
        table: TablePlan,
        position: Position,
        wholes: Sequence[Part],
        size: int,
        prints: dict[Start, Fingerprint],
    ) -> Iterator[tuple[Part, dict[Start, Fingerprint]]]:
        """Neighbouring blocks in groups of `size` rows, some groups at a time; each block goes into `prints`, too."""
        for whole in wholes:
            groups: dict[Start, Fingerprint] = {}
            low, current = whole.low, None
            for start, each in self._blocks(table, position, whole):
                prints[start] = each
                if groups and groups[current].count < size:
                    groups[current] += each
                    continue
                if len(groups) == _GROUPS_AT_ONCE:
                    yield Part(low=low, high=start), groups
                    groups, low = {}, start
                groups[start] = each
                current = start
            yield Part(low=low, high=whole.high), groups

    def _rows(self, table: TablePlan, position: Position, part: Part) -> int:
        return sum(self._source.count(table, low, high) for low, high in pushed_within(position, part))

    def _blocks(self, table: TablePlan, position: Position, part: Part) -> Iterator[tuple[Start, Fingerprint]]:
        for low, high in pushed_within(position, part):
            tally = Tally()
            last: tuple[Start, Fingerprint] | None = None
            for page in self._source.pages(table, low, high, self._page_rows):
                for block in tally.add(page.values, self._prepared(table, page.rows).hashes).items():
                    if last and last[0] != block[0]:
                        yield last
                    last = block
                self._progress.advance(table.name, len(page.rows))
            if last:
                yield last

    def _compared(
        self, verdict: TableVerdict, table: TablePlan, parts: Sequence[tuple[Part, dict[Start, Fingerprint]]]
    ) -> list[Part]:
        """Of each part, cut where its prints begin, the smaller ones that differ."""
        if not parts:
            return []
        verdict.parts += sum(len(prints) for _, prints in parts)
        question = Question(self._site, table)
        segments = [question.segment(part, prints) for part, prints in parts]
        answer = self._central.compare(question.compare(segments))
        found = []
        for (part, prints), differing in zip(parts, answer.differing, strict=True):
            places = [part.low, *list(prints)[1:], part.high]
            sizes = [each.count for each in prints.values()] or [0]
            for at, there in differing:
                found.append(Part(low=places[at], high=places[at + 1], here=sizes[at], there=there))
        return found

    def _cut(self, table: TablePlan, position: Position, part: Part) -> dict[Start, Fingerprint]:
        """The fingerprints of a part's rows, cut into 16 where the cursor changes."""
        found: dict[Start, Fingerprint] = {}
        values: list[Any] = []
        hashes: list[bytes] = []
        for page in self._pages(table, position, part):
            values += page.values
            hashes += self._prepared(table, page.rows).hashes
        size = -(-len(values) // _WAYS) or 1
        begin = 0
        for at in range(size, len(values) + size, size):
            end = at
            while end < len(values) and values[end] == values[end - 1]:
                end += 1
            if begin < min(end, len(values)):
                found[values[begin]] = summed(hashes[begin:end])
                begin = end
        return found

    def _look_along(self, verdict: TableVerdict, table: TablePlan, position: Position, parts: Sequence[Part]) -> None:
        pages = [page.rows for part in parts for page in self._pages(table, position, part)]
        answer = self._central.look(Question(self._site, table).look(parts))
        if answer.more and len(parts) > 1:
            for half in halves(parts):
                self._look_along(verdict, table, position, half)
            return
        self._match(verdict, table, pages, answer)

    def _pages(self, table: TablePlan, position: Position, part: Part) -> Iterator[Page]:
        for low, high in pushed_within(position, part):
            yield from self._source.pages(table, low, high, self._page_rows)

    # --- by the hash of the key

    def _by_buckets(self, verdict: TableVerdict, table: TablePlan, position: Position | None) -> None:
        size = self._size(table, position)
        of = 1 if size <= _ONE_BUCKET_ROWS else buckets.MOST

        def placed() -> Iterator[tuple[int, bytes]]:
            for rows in self._all_rows(table, position):
                ready = self._prepared(table, rows)
                verdict.here += len(rows)
                yield from zip(self._buckets(table, ready, of), filter(None, ready.hashes), strict=True)

        prints = summed_by_place(placed(), of)
        verdict.parts += of
        answer = self._central.compare(Question(self._site, table).compare(buckets=prints))
        (differing,) = answer.differing
        verdict.there = sum(each.count for each in prints)
        verdict.there += sum(there - prints[at].count for at, there in differing)
        held_back = verdict.here - sum(each.count for each in prints)
        if not (differing or held_back):
            return
        if held_back:
            verdict.missing += [
                fault.local_key
                for rows in self._all_rows(table, position)
                for fault in self._prepared(table, rows).faults
            ]
        if differing:
            self._look_into(verdict, table, position, [at for at, _ in differing], of)

    def _look_into(
        self, verdict: TableVerdict, table: TablePlan, position: Position | None, wanted: Sequence[int], of: int
    ) -> None:
        answer = self._central.look(Question(self._site, table).look(buckets=wanted, of=of))
        if answer.more and len(wanted) > 1:
            for half in halves(wanted):
                self._look_into(verdict, table, position, half, of)
            return
        pages = (self._in_buckets(table, rows, set(wanted), of) for rows in self._all_rows(table, position))
        self._match(verdict, table, pages, answer)

    def _size(self, table: TablePlan, position: Position | None) -> int:
        if position:
            return self._source.count(table, None, position.cursor) if position.cursor else 0
        return sum(len(rows) for rows in islice(self._source.entities(table), 2))

    def _all_rows(self, table: TablePlan, position: Position | None) -> Iterator[RowSet]:
        """The rows that were sent, or should have been."""
        if position:
            for low, high in pushed(position):
                for page in self._source.pages(table, low, high, self._page_rows):
                    yield page.rows
            return
        for rows in self._source.entities(table):
            known = self._identities.is_known(table, rows)
            yield rows.take([i for i in range(len(rows)) if known[i]])

    def _buckets(self, table: TablePlan, ready: Prepared, of: int) -> list[int]:
        if not is_keyed(table):
            return buckets.buckets_of_texts(map(key_text, ready.local.tuples(table.identity)), of)
        names = table.to_central(table.key)
        keys = RowSet(names=names, columns=[ready.sent.column(name) for name in names])
        return buckets.buckets_of_keys(table.central_columns(table.key), keys, of)

    def _in_buckets(self, table: TablePlan, rows: RowSet, wanted: set[int], of: int) -> RowSet:
        ready = self._prepared(table, rows)
        places = iter(self._buckets(table, ready, of))
        return rows.take([i for i, digest in enumerate(ready.hashes) if digest and next(places) in wanted])

    # --- row by row

    def _match(
        self,
        verdict: TableVerdict,
        table: TablePlan,
        pages: Iterable[RowSet],
        answer: Looked,
    ) -> None:
        """Rows of the site against those of central in the same parts.

        If central did not list all of its own, those that it did not list are not known to be missing.
        """
        verdict.incomplete |= answer.more
        rows_there = zip(answer.keys, answer.hashes, answer.mine, strict=True)
        there = dict(zip(self._identified(table, answer.keys), rows_there, strict=True))
        for rows in pages:
            ready = self._prepared(table, rows)
            verdict.missing += [fault.local_key for fault in ready.faults]
            digests = [each.hex()[:HASH_DIGITS] for each in ready.hashes if each]
            own = [key_text(key) for key in ready.local.tuples(table.identity)]
            for key, identified, digest in zip(own, self._own_keys(table, ready, own), digests, strict=True):
                match = there.pop(identified, None)
                if match is None and not answer.more:
                    verdict.missing.append(key)
                elif match and match[1] != digest:
                    verdict.different.append(key)
        verdict.only_central += [key for key, _, is_mine in there.values() if is_mine]

    def _own_keys(self, table: TablePlan, ready: Prepared, texts: list[str]) -> list[Any]:
        if not is_keyed(table):
            return texts
        names = table.to_central(table.key)
        return self._canonical(table, RowSet(names=names, columns=[ready.sent.column(name) for name in names]))

    def _identified(self, table: TablePlan, keys: Sequence[str]) -> list[Any]:
        """The keys that central sent, in the form in which they are compared."""
        if not is_keyed(table):
            return list(keys)
        tuples = [unpack_cursor(tuple(msgspec.json.decode(key))) for key in keys]
        return self._canonical(table, RowSet.of(table.to_central(table.key), tuples))

    def _canonical(self, table: TablePlan, keys: RowSet) -> list[Any]:
        columns = table.central_columns(table.key)
        encoded = [canonical(column, values) for column, values in zip(columns, keys.columns, strict=True)]
        return list(zip(*encoded, strict=True))

    def _prepared(self, table: TablePlan, rows: RowSet) -> Prepared:
        return prepared(table, rows, self._identities.translate_known(table, rows))


def _traffic(central: Central) -> int:
    return central.bytes_sent + central.bytes_received if isinstance(central, Traffic) else 0


def _proven(suspects: Sequence[Part], prints: dict[Start, Fingerprint], differing: Sequence[Part]) -> Iterator[Proof]:
    """What is left of the suspects without the parts that differ."""
    for suspect in suspects:
        low = suspect.low
        for part in differing:
            if not _overlap(suspect, part):
                continue
            if part.low is not None and part.low != low:
                yield _proof(Part(low=low, high=part.low), prints)
            low = part.high
            if low is None:
                break
        else:
            if low is None or low != suspect.high:
                yield _proof(Part(low=low, high=suspect.high), prints)


def _proof(part: Part, prints: dict[Start, Fingerprint]) -> Proof:
    return part, within(prints, part)


def _overlap(one: Part, other: Part) -> bool:
    begins = one.high is None or other.low is None or other.low < one.high
    return begins and (other.high is None or one.low is None or one.low < other.high)
