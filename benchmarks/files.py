"""The files job beside `rsync -a`, over the same sshd: many small files, and a large one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.ends import say
from benchmarks.results import Measurement, Series, against
from tests.files_site import Instrument
from tests.servers import SshServer

SMALL_FILES, SMALL_BYTES, LARGE_BYTES = 10_000, 10_000, 1 << 30
_PUSHER = Path(sys.executable).with_name("pusher")


def files(folder: Path, rounds: int) -> list[Measurement]:
    """Empty if rsync is not installed."""
    if shutil.which("rsync") is None:
        say("rsync is not installed, so files are not measured")
        return []
    with SshServer("Subsystem sftp internal-sftp") as sshd:
        return [
            _measure(folder / "small", sshd, rounds, f"{SMALL_FILES:,} files of {SMALL_BYTES:,} bytes", _write_small),
            _measure(folder / "large", sshd, rounds, f"a file of {LARGE_BYTES:,} bytes", _write_large),
        ]


def _measure(folder: Path, sshd: SshServer, rounds: int, title: str, write: Callable[[Path], None]) -> Measurement:
    there = folder / "there"
    extra = f"sshfolder = {sshd.clients}\nsshkey = id_ed25519"
    site = Instrument(folder, to=f"sftp://127.0.0.1:{sshd.port}{there}", extra=extra)
    write(site.raw)
    ssh = f"ssh -p {sshd.port} -i {sshd.clients}/id_ed25519 -o UserKnownHostsFile={sshd.clients}/known_hosts"
    ours, theirs = [], []
    for number in range(rounds):
        say(f"files, {title}, round {number + 1}")
        theirs.append(_timed(there, ["rsync", "-a", "-e", ssh, f"{site.raw}/", f"127.0.0.1:{there}"]))
        shutil.rmtree(folder / "state", ignore_errors=True)
        ours.append(_timed(there, [str(_PUSHER), "--config", str(site.config), "run", "--once"]))
        assert sum(path.stat().st_size for path in there.rglob("*") if path.is_file()) == _size(site.raw)
    reference = Series(name="rsync -a", values=tuple(theirs))
    return Measurement(
        title=f"files, {title}",
        series=(Series(name="pusher run --once", values=tuple(ours), against=(against(reference),)), reference),
        notes=("every file is hashed at both ends, and on the disk there before it gets its name; rsync does neither",),
    )


def _timed(there: Path, command: list[str]) -> float:
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir()
    subprocess.run(["sync"], check=True)
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _write_small(raw: Path) -> None:
    for number in range(SMALL_FILES):
        path = raw / f"{number // 500:02}" / f"{number}.res"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(SMALL_BYTES))
    _age(raw)


def _write_large(raw: Path) -> None:
    with (raw / "large.bin").open("wb") as file:
        for _ in range(LARGE_BYTES >> 20):
            file.write(os.urandom(1 << 20))
    _age(raw)


def _age(raw: Path) -> None:
    for path in raw.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
