"""Runs Python commands in processes of their own that have loaded pusher already: that takes longer than most of what
they do. How they start otherwise, tests/docs and all that is started in the background show."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

_LOADED = ("cli.main", "cli.site", "cli.importing", "daemon", "push.pusher", "views", "checks", "datacenter.desk")
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__, "pymysql", *(f"pusher.{name}" for name in _LOADED)])


def run(
    command: Path, arguments: Sequence[object], cwd: Path | None = None, *, timeout: float, strict: bool = False
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with nothing on standard input. `strict`: warnings are errors. Raises TimeoutExpired."""
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        words = [str(command), *map(str, arguments)]
        given = (words, str(cwd or Path.cwd()), dict(os.environ), (os.devnull, out.name, err.name), strict)
        process = _PROCESSES.Process(target=_run, args=given)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        said = [Path(file.name).read_text(encoding="utf-8") for file in (out, err)]
        return subprocess.CompletedProcess(words, process.exitcode, *said)


def _run(words: list[str], cwd: str, environ: dict[str, str], streams: Sequence[str], strict: bool) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    for handle, path in enumerate(streams):
        os.dup2(os.open(path, os.O_WRONLY if handle else os.O_RDONLY), handle)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(handle, "w" if handle else "r") for handle in range(3))
    if strict:
        warnings.simplefilter("error")
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")
