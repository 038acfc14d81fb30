"""What needs somebody at once is a critical line in the log, for every kind of job; and which commands write there."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pusher.config import LoggingSettings, load
from pusher.errors import PusherError
from pusher.job import NoProgress, Outcome
from pusher.ledger import Ledger
from pusher.log import to_files
from pusher.logfiles import LEVELS
from pusher.runs import run_location
from tests.configs import put
from tests.export_stub import ExportStub, Instead, Scale, answers
from tests.fault.export_site import LOCATION, pool_of, write_config
from tests.log_files import names, package_logger, said
from tests.servers import free_port
from tests.stage import PUSHER

_BAD_REQUEST = Instead(status=400, body=b"{}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """That of the log files, which are on."""
    with package_logger():
        to_files(LoggingSettings(folder=tmp_path / "logs"))
        yield tmp_path / "logs"


def _run(config: Path, location: str = LOCATION) -> Outcome:
    """What a daemon does, and `pusher run --once`. The ledger has what was found."""
    settings = load(config)
    outcome = run_location(settings, settings.location(location), NoProgress())
    with Ledger(settings.general.state) as ledger:
        last = ledger.last_run(location)
    assert last and [each["what"] for each in last.outcome["break_downs"]] == [e.what for e in outcome.break_downs]
    return outcome


def _site(folder: Path, kind: str) -> Path:
    """A location whose other side does not answer."""
    (folder / "from").mkdir()
    ways = {
        "push": f"resturl = http://127.0.0.1:{free_port()}/rest/\ntoken = t",
        "files": f"kind = files\nfrom = {folder / 'from'}\nto = http://127.0.0.1:{free_port()}/rest/\ntoken = t",
        "export": f"kind = export\nurl = http://127.0.0.1:{free_port()}/api/",
    }
    return put(folder / "synchronise.conf", f"[locations]\n{LOCATION} = 1\n[{LOCATION}]\n{ways[kind]}\n")


@pytest.mark.parametrize("kind", ["push", "files", "export"])
def test_a_request_that_fails_is_a_break_down_of_every_kind_of_job(tmp_path: Path, folder: Path, kind: str) -> None:
    (tmp_path / "site.db").touch()
    outcome = _run(_site(tmp_path, kind))
    assert [each.what for each in outcome.break_downs] == ["request"] and outcome.exit_code == 3
    (line,) = said(folder / "break_down.log")
    assert line.startswith(f"break_down location={LOCATION} what=request reason=")
    assert "Connection refused" in line


def test_b_deleting_that_fails_is_a_break_down(tmp_path: Path, folder: Path) -> None:
    with ExportStub({"DD": Scale(rows=answers("DD", 3))}) as stub:
        stub.trouble = lambda method, path: _BAD_REQUEST if method == "DELETE" else None
        outcome = _run(write_config(tmp_path, stub.url))
    assert [(each.what, each.table) for each in outcome.break_downs] == [("delete", "DD")]
    (line,) = said(folder / "break_down.log")
    assert line.startswith(
        f"break_down location={LOCATION} what=delete table=DD reason='DD: 3 rows could not be deleted"
    )


def test_c_writing_that_fails_is_a_break_down(tmp_path: Path, folder: Path) -> None:
    with ExportStub({"DD": Scale(rows=answers("DD", 3))}) as stub:
        config = write_config(tmp_path, stub.url)
        _run(config)
        (path,) = pool_of(tmp_path).active.iterdir()
        path.unlink()
        path.mkdir()  # where a file is to be
        outcome = _run(config)
    assert [(each.what, each.table) for each in outcome.break_downs] == [("write", "DD")]
    (line,) = said(folder / "break_down.log")
    assert line.startswith(f"break_down location={LOCATION} what=write table=DD reason='cannot write {path}: Is a")


def test_c_a_ledger_that_cannot_be_written_is_a_break_down(tmp_path: Path, folder: Path) -> None:
    def spoil(method: str, path: str) -> None:
        with closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as ledger:
            ledger.execute("drop table if exists run")

    with ExportStub({"DD": Scale(rows=answers("DD", 3))}) as stub:
        stub.trouble = spoil
        config = write_config(tmp_path, stub.url)
        with pytest.raises(PusherError, match="the ledger"):
            _run(config)
    (line,) = said(folder / "break_down.log")
    assert line.startswith(f"break_down location={LOCATION} what=write reason='the ledger ")


def test_where_all_goes_well_there_is_no_break_down_log(tmp_path: Path, folder: Path) -> None:
    """Nor does a file hold an answer, or the password."""
    with ExportStub({"DD": Scale(rows=answers("DD", 30))}) as stub:
        outcome = _run(write_config(tmp_path, stub.url))
    assert outcome.exit_code == 0
    assert names(folder) == ["DEBUG.log", "Daily.log", "error.log"]
    text = (folder / "DEBUG.log").read_text()
    assert "cycle_ended" in text and "geheim" not in text and "often" not in text


# --- the commands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [False, True])
def test_a_command_writes_them_and_says_what_it_said_before(tmp_path: Path, verbose: bool) -> None:
    config = _site(tmp_path, "push")
    (tmp_path / "site.db").touch()
    with config.open("a") as file:
        file.write("[logging]\n")
    options = ["--verbose"] if verbose else []
    done = subprocess.run(
        [PUSHER, "--config", config, *options, "run", "--once"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3 and "Connection refused" in done.stderr
    assert ("CRITICAL break_down" in done.stderr) == verbose
    assert names(tmp_path / "logs") == sorted(LEVELS)
    assert len(said(tmp_path / "logs" / "break_down.log")) == 1


def test_a_command_that_only_shows_something_writes_none(tmp_path: Path) -> None:
    config = _site(tmp_path, "push")
    (tmp_path / "site.db").touch()
    with config.open("a") as file:
        file.write("[logging]\n")
    subprocess.run([PUSHER, "--config", config, "status"], capture_output=True, timeout=60, check=True)
    assert not (tmp_path / "logs").exists()
