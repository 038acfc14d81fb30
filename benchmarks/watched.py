"""Programs that are run and watched: how long they take, how much memory and processor time they use."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_SAMPLE_SECONDS = 0.02
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

Command = Sequence[str | Path]


@dataclass(frozen=True, kw_only=True)
class Done:
    """`peaks`: the largest resident memory of each program, in MB. `output`: what the last of them printed."""

    seconds: float
    peaks: tuple[float, ...]
    output: bytes


def piped(*commands: Command, env: Mapping[str, str] | None = None) -> Done:
    """Runs the commands as a pipe. Raises CalledProcessError if one of them fails."""
    began = time.perf_counter()
    processes: list[subprocess.Popen[bytes]] = []
    for command in commands:
        stdin = processes[-1].stdout if processes else subprocess.DEVNULL
        processes.append(subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, env=env))
        if len(processes) > 1 and processes[-2].stdout:
            processes[-2].stdout.close()  # so that it ends when its reader does
    with Peaks([process.pid for process in processes]) as peaks:
        output = processes[-1].communicate()[0]
        for process in processes:
            process.wait()
    seconds = time.perf_counter() - began
    _check(processes)
    return Done(seconds=seconds, peaks=peaks.found, output=output)


def side_by_side(*commands: Command) -> Done:
    """Runs the commands at the same time, until the last ends. Raises CalledProcessError if one of them fails."""
    began = time.perf_counter()
    processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for command in commands]
    with Peaks([process.pid for process in processes]) as peaks:
        for process in processes:
            process.wait()
    seconds = time.perf_counter() - began
    _check(processes)
    return Done(seconds=seconds, peaks=peaks.found, output=b"")


def _check(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)


class Peaks:
    """The largest resident memory of processes until they end.

    What the kernel reports at the end of a child (ru_maxrss) will not do: it begins with the memory of the parent.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._found = dict.fromkeys(pids, 0.0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @property
    def found(self) -> tuple[float, ...]:
        return tuple(self._found.values())

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            for pid in self._pids:
                self._found[pid] = max(self._found[pid], peak_mb(pid))


def peak_mb(pid: int) -> float:
    """The largest resident memory of a process so far (VmHWM); 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def cpu_seconds(pid: int) -> float:
    """Of a process that still runs, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(each for child in children for each in family(int(child)))]
