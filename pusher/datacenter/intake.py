"""Takes a file into a storage, once it was looked at."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pusher import disk
from pusher.datacenter.csvform import MOST_BYTES, digest_of, examine, opened_csv
from pusher.datacenter.names import SUFFIXES, check_name, pending_name, stem_of
from pusher.datacenter.processing import Mode
from pusher.datacenter.storage import PART, DataCenter, DataCenterFile
from pusher.errors import FileRefused

MOST_PENDING = 20
_PART = 1 << 20

Known = Callable[[str], str | None]


def add(center: DataCenter, source: Path, *, name: str | None, known: Known) -> DataCenterFile:
    """Copies `source` into the root as `name`. `known`: of a file's digest, when it was imported, None if it was not.

    Raises FileRefused, telling what is wrong and where, or WriteFailed.
    """
    name = source.name if name is None else name
    check_name(name)
    stem, mode, again = stem_of(name)
    if again and mode is not None:
        _refuse_strange(center, stem, name)
    else:
        refuse_unfinished(center, name)
    waiting = [file.name for file in center.pending_files()]
    if name in waiting and not again:
        raise FileRefused(f"{name} is in {center.storage} already; import it first, or choose another name")
    if len(waiting) >= MOST_PENDING and name not in waiting:
        raise FileRefused(f"{len(waiting)} files wait in {center.storage}, and {MOST_PENDING} may; import them first")
    source = _found(source)
    form = examine(source, name=name)
    when = None if again else known(form.digest)
    if when:
        raise FileRefused(f"{name} was imported already, {when}; add it with --again if that is meant")
    handle, copy = tempfile.mkstemp(prefix=PART, dir=center.storage)
    try:
        with open(handle, "wb") as out:
            _copy(source, out, Path(copy))
        if digest_of(Path(copy)) != form.digest:
            raise FileRefused(f"{name} changed while it was copied; try again when it is complete")
        with disk.writing(center.storage / name):
            os.replace(copy, center.storage / name)
            disk.sync_folder(center.storage)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(copy)
    return DataCenterFile(center.storage / name)


def refuse_unfinished(center: DataCenter, name: str) -> None:
    """Raises FileRefused if rows of a file of this name still wait to be mended: they would be lost."""
    stem, _, _ = stem_of(name)
    for mode in Mode:
        if os.path.lexists(center.storage / pending_name(stem, mode)):
            raise FileRefused(
                f"rows of {name} wait in {pending_name(stem, mode)}; mend or remove these first, or choose another name"
            )
    for suffix in SUFFIXES:
        if os.path.lexists(center.unfinished / f"{stem}{suffix}"):
            raise FileRefused(f"{stem}{suffix} is in unfinished, too; move that away first, or choose another name")


def _refuse_strange(center: DataCenter, stem: str, name: str) -> None:
    if not any(os.path.lexists(center.unfinished / f"{stem}{suffix}") for suffix in SUFFIXES):
        raise FileRefused(f"{name} holds refused rows of no file that is known; call it {stem}.csv")


def _found(source: Path) -> Path:
    """The same file; that folders on the way to it are links does no harm."""
    try:
        return source.parent.resolve() / source.name
    except (OSError, ValueError, RuntimeError) as error:
        raise FileRefused(f"cannot read {str(source)!r}: {error}; correct its name") from error


def _copy(source: Path, out: BinaryIO, copy: Path) -> None:
    with opened_csv(source, source.name) as file, disk.writing(copy):
        while part := file.read(_PART):
            if out.tell() + len(part) > MOST_BYTES:
                raise FileRefused(f"{source.name} has more than {MOST_BYTES >> 30} GB; cut it into several")
            out.write(part)
        out.flush()
        os.fsync(out.fileno())
