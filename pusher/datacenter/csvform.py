"""How a CSV file is written, and its rows; every file is read as if it came from somebody who means harm."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path

from pusher.datacenter.folder import open_strictly
from pusher.errors import FileRefused
from pusher.formulas import guarded, unguarded

ERRORS = "--ERRORS--"
LONGEST_LINE = 1 << 20
MOST_BYTES = 2 << 30
MOST_RATIO = 200  # rows of a table hardly reach 30
MOST_COLUMNS = 1000
_UNSUSPICIOUS = 64 << 20
_PART = 1 << 16
_SAMPLE = 1 << 16
_DELIMITERS = ",;\t|"
_ASCII = bytes(range(128))
_UTF_8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_MARK = "\ufeff"
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_SPOKEN = {"utf-8": "UTF-8", "cp1252": "Windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Form:
    """`columns`: as the file has them, without the one of errors, which is at `errors_at`. `width`: of the head.
    `digest`: SHA-256 of its `bytes`. `rows`: that are not blank."""

    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    width: int
    errors_at: int | None
    digest: str
    bytes: int
    rows: int
    compressed: bool


@dataclass(frozen=True, slots=True)
class Line:
    """`number`: that of the line of the file in which the row begins. `cells`: one a column."""

    number: int
    cells: list[str]


def row_text(cells: Sequence[str]) -> str:
    """A row as one line of a CSV file, which a spreadsheet opens without harm."""
    out = io.StringIO(newline="")
    # Of these the writer puts into quotes what has one of them: a lone CR would end the row as well.
    csv.writer(out, lineterminator="\r\n").writerow([cell if cell == ERRORS else guarded(cell) for cell in cells])
    return out.getvalue().removesuffix("\r\n") + "\n"


def digest_of(path: Path) -> str:
    """SHA-256 of a file. Raises FileRefused."""
    with opened_csv(path, path.name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def examine(path: Path, *, name: str | None = None) -> Form:
    """Reads all of a file, which is called `name` if not as `path` is. Raises FileRefused, naming the line at fault."""
    name = name or path.name
    with opened_csv(path, name) as file:
        size = os.fstat(file.fileno()).st_size
        compressed = file.read(2) == _GZIP
    encoding = _encoding(path, name, compressed)
    with _texts(path, name, compressed, encoding) as texts:
        sample = "".join(islice(texts, 100))[:_SAMPLE]
    delimiter = _delimiter(sample)
    with _texts(path, name, compressed, encoding) as texts:
        width, errors_at, columns, rows = _examined(name, texts, delimiter)
    with opened_csv(path, name) as file:  # last, since most of what is no CSV file is known by its first lines
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if file.tell() != size:
            raise FileRefused(f"{name} changed while it was read; try again when it is complete")
    return Form(
        encoding=encoding,
        delimiter=delimiter,
        columns=columns,
        width=width,
        errors_at=errors_at,
        digest=digest,
        bytes=size,
        rows=rows,
        compressed=compressed,
    )


def lines(path: Path, form: Form, skip: int = 0) -> Iterator[Line]:
    """The rows that are not blank, without the first `skip`. Raises FileRefused."""
    places = [place for place in range(len(form.columns) + (form.errors_at is not None)) if place != form.errors_at]
    with _texts(path, path.name, form.compressed, form.encoding) as texts:
        rows = _rows(path.name, texts, form.delimiter)
        next(rows, None)
        for number, row in islice(_given(rows, form.errors_at), skip, None):
            if len(row) < form.width:
                row += [""] * (form.width - len(row))
            yield Line(number, [unguarded(row[place]) for place in places])


def _examined(name: str, texts: Iterator[str], delimiter: str) -> tuple[int, int | None, tuple[str, ...], int]:
    """How wide the head is, where in it the reasons are, the other columns, and how many rows there are."""
    rows = _rows(name, texts, delimiter)
    number, head = next(rows, (1, []))
    while head and not head[-1].strip():
        head.pop()
    errors_at, columns = _head(name, number, [unguarded(cell.strip()) for cell in head])
    count = 0
    for number, row in _given(rows, errors_at):
        count += 1
        if len(row) > len(head) and any(cell.strip() for cell in row[len(head) :]):
            raise FileRefused(
                f"{name}, line {number}: {len(row)} cells, and the head has {len(head)}; quote cells that hold a "
                f"{delimiter!r}, or take out what is too much"
            )
    return len(head), errors_at, columns, count


def _given(rows: Iterator[tuple[int, list[str]]], errors_at: int | None) -> Iterator[tuple[int, list[str]]]:
    """Without rows of which nothing is left but the reason."""
    if errors_at is None:
        return rows
    return (each for each in rows if any(map(str.strip, each[1][:errors_at] + each[1][errors_at + 1 :])))


def _head(name: str, number: int, head: list[str]) -> tuple[int | None, tuple[str, ...]]:
    if not any(head):
        raise FileRefused(f"{name} is empty; its first line must name the columns")
    if len(head) > MOST_COLUMNS:
        raise FileRefused(f"{name}, line {number}: {len(head)} columns; at most {MOST_COLUMNS:,} are read")
    for cell in head:
        if not cell:
            raise FileRefused(f"{name}, line {number}: column {head.index(cell) + 1} has no name; give it one")
        if head.count(cell) > 1:
            raise FileRefused(f"{name}, line {number}: two columns are called {cell}; rename one")
    errors_at = head.index(ERRORS) if ERRORS in head else None
    columns = tuple(cell for cell in head if cell != ERRORS)
    if not columns:
        raise FileRefused(f"{name}, line {number}: there is no column beside {ERRORS}; add those of the rows")
    return errors_at, columns


def _rows(name: str, texts: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the number of the line in which it begins."""
    csv.field_size_limit(2 * LONGEST_LINE)
    feed = _Feed(name, texts)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    begins = 1
    try:
        for row in reader:
            feed.letters = 0
            if any(row) and any(map(str.strip, row)):
                yield begins, row
            begins = feed.begins = reader.line_num + 1
    except csv.Error as error:
        raise FileRefused(f"{name}, line {begins}: {_said(error)}") from error


class _Feed:
    """Lines for the reader. The `letters` of a row that has begun, in line `begins`, are bounded: a quote may open and
    never close."""

    def __init__(self, name: str, texts: Iterator[str]) -> None:
        self._name = name
        self._texts = texts
        self.letters = 0
        self.begins = 1

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.letters += len(text)
            if self.letters > LONGEST_LINE:
                raise FileRefused(
                    f"{self._name}, line {self.begins}: the row that begins here is longer than {LONGEST_LINE:,} "
                    f'letters; look for a quote " that is not closed'
                )
            yield text


def _said(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return 'a quote " that begins here is not closed; close it'
    if "expected after" in text:
        return 'there is more behind a closing quote "; double the quotes within a cell'
    return f"{text}; mend it"


def _delimiter(sample: str) -> str:
    """The one that the head has most of, outside quotes."""
    head, inside, counts = "", False, dict.fromkeys(_DELIMITERS, 0)
    for letter in sample:
        if letter == '"':
            inside = not inside
        elif letter in "\r\n" and not inside and head.strip():
            break
        elif letter in counts and not inside:
            counts[letter] += 1
        head += letter
    return max(counts, key=lambda each: counts[each])


# --- bytes and texts


@contextmanager
def opened_csv(path: Path, name: str) -> Iterator[BufferedReader]:
    """Raises FileRefused, also for what happens while it is open."""
    try:
        handle = open_strictly(path)
    except OSError as error:
        raise FileRefused(f"cannot read {name}: {error.strerror}; put the file itself there") from error
    except ValueError as error:  # a path that no system has
        raise FileRefused(f"cannot read {name!r}: {error}; correct its name") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileRefused(f"cannot read {name}: it is no file; put the file itself there")
    with open(handle, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise FileRefused(f"cannot read {name}: {error}; copy it there once more") from error


@contextmanager
def _unpacked(path: Path, name: str, compressed: bool) -> Iterator[Iterator[bytes]]:
    with opened_csv(path, name) as file:
        yield _parts(name, gzip.GzipFile(fileobj=file) if compressed else file, file)


def _parts(name: str, file: BufferedReader | gzip.GzipFile, packed: BufferedReader) -> Iterator[bytes]:
    total = 0
    try:
        while part := file.read(_PART):
            total += len(part)
            if total > MOST_BYTES:
                raise FileRefused(f"{name} has more than {MOST_BYTES >> 30} GB unpacked; cut it into several")
            if total > _UNSUSPICIOUS and total > MOST_RATIO * packed.tell():
                raise FileRefused(f"{name} is over {MOST_RATIO} times as large unpacked; unpack it and look at it")
            yield part
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise FileRefused(f"{name} is damaged: {error}; pack it anew") from error


def _encoding(path: Path, name: str, compressed: bool) -> str:
    """As its first bytes say, else UTF-8, unless hardly any letter beyond ASCII is such."""
    with _unpacked(path, name, compressed) as parts:
        first = next(parts, b"")
    for mark, encoding in _MARKS:
        if first.startswith(mark):
            return encoding
    if len(first) > 1 and not (first[0] and first[1]) and first[0] != first[1]:
        return "utf-16-be" if not first[0] else "utf-16-le"
    letters = high = line = 0
    with _unpacked(path, name, compressed) as parts:
        for part in parts:
            last = part.rfind(b"\n")
            line = line + len(part) if last < 0 else len(part) - last
            if b"\0" in part or line > 4 * LONGEST_LINE:  # is found out once it is read line by line
                break
            if not part.isascii():
                high += len(part.translate(None, _ASCII))
                letters += sum(map(len, _UTF_8.findall(part)))
    # A letter may be cut in two where a part ends.
    return "utf-8" if 2 * letters >= high else "cp1252"


@contextmanager
def _texts(path: Path, name: str, compressed: bool, encoding: str) -> Iterator[Iterator[str]]:
    with _unpacked(path, name, compressed) as parts:
        yield _split(name, parts, encoding)


def _split(name: str, parts: Iterator[bytes], encoding: str) -> Iterator[str]:
    """Lines with their ends."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number, rest = 1, ""
    for part in chain(parts, (b"",)):
        try:
            text = rest + decoder.decode(part, final=not part)
        except UnicodeDecodeError as error:
            number += part[: error.start].count(b"\n")
            raise FileRefused(f"{name}, line {number}: is not {_SPOKEN[encoding]}; save the file as UTF-8") from error
        if "\0" in text:
            number += text[: text.index("\0")].count("\n")
            raise FileRefused(f"{name}, line {number}: holds the character NUL; save it as CSV text")
        found = io.StringIO(text.removeprefix(_MARK) if number == 1 else text, newline="").readlines()
        # The last one may go on in the next part, and a \r at its end be half of \r\n.
        rest = found.pop() if part and found and not found[-1].endswith("\n") else ""
        if max(map(len, (*found, rest)), default=0) > LONGEST_LINE:
            number += next(place for place, line in enumerate((*found, rest)) if len(line) > LONGEST_LINE)
            raise FileRefused(f"{name}, line {number}: longer than {LONGEST_LINE:,} letters; cut it into several")
        yield from found
        number += len(found)
