"""Log files: what goes into which, what midnight does, and that they hinder nothing."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pusher.config import LoggingSettings
from pusher.log import configure, event, to_files
from pusher.logfiles import LEVELS, LogFiles
from tests.configs import put
from tests.log_files import names, package_logger, said

_ALL = list(LEVELS)
_MIDNIGHT = dt.datetime(2026, 11, 26)  # local


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    with package_logger() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, logger: logging.Logger) -> Path:
    """That of the log files, which are on."""
    to_files(LoggingSettings(folder=tmp_path / "logs"))
    return tmp_path / "logs"


@pytest.fixture
def zone() -> Iterator[Callable[[str], None]]:
    """Sets the time zone."""
    before = os.environ.get("TZ")

    def put_zone(name: str | None) -> None:
        os.environ.pop("TZ", None)
        os.environ.update({"TZ": name} if name else {})
        time.tzset()

    yield put_zone
    put_zone(before)


@contextlib.contextmanager
def _files(folder: Path, keep: int = 366) -> Iterator[LogFiles]:
    """As another process has them."""
    handler = LogFiles(folder, keep)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    with contextlib.closing(handler):
        yield handler


def _record(message: str, moment: dt.datetime, level: int = logging.INFO) -> logging.LogRecord:
    """A line of some moment; a naive one is local."""
    record = logging.LogRecord("pusher", level, "", 0, message, None, None)
    record.created = moment.timestamp()
    record.msecs = 0.0
    return record


# --- "Logging behaviors" --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "files"),
    [
        (logging.DEBUG, _ALL[:1]),
        (logging.INFO, _ALL[:2]),
        (logging.WARNING, _ALL[:3]),
        (logging.ERROR, _ALL[:3]),
        (logging.CRITICAL, _ALL),
    ],
)
def test_a_there_are_five_levels_from_low_to_high(folder: Path, level: int, files: list[str]) -> None:
    logging.getLogger("pusher.job").log(level, "happened")
    assert names(folder) == sorted(files)
    line = (folder / files[-1]).read_text()
    assert line[4:5] == "-" and line.endswith(f" {logging.getLevelName(level)} happened\n")


def _log_all() -> None:
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(logging.getLogger("pusher.push"), level)(level)


def test_b_all_is_in_debug_log(folder: Path) -> None:
    _log_all()
    assert said(folder / "DEBUG.log") == ["debug", "info", "warning", "error", "critical"]


def test_c_info_and_beyond_is_in_daily_log(folder: Path) -> None:
    _log_all()
    assert said(folder / "Daily.log") == ["info", "warning", "error", "critical"]


def test_d_warning_and_beyond_is_in_error_log(folder: Path) -> None:
    _log_all()
    assert said(folder / "error.log") == ["warning", "error", "critical"]


def test_e_critical_is_in_break_down_log(folder: Path) -> None:
    """And mailed: tests/integration/test_alerts.py has the mails that break-downs become."""
    _log_all()
    assert said(folder / "break_down.log") == ["critical"]


def test_f_all_files_rotate_at_midnight_with_the_local_date(tmp_path: Path) -> None:
    with _files(tmp_path) as handler:
        handler.handle(_record("last", _MIDNIGHT - dt.timedelta(seconds=1), logging.CRITICAL))
        assert names(tmp_path) == sorted(_ALL)
        handler.handle(_record("first", _MIDNIGHT, logging.DEBUG))
    rotated = [f"{name}.2026-11-25" for name in _ALL]
    assert names(tmp_path) == sorted([*rotated, "DEBUG.log"])
    assert [said(tmp_path / name) for name in rotated] == [["last"]] * 4
    assert said(tmp_path / "DEBUG.log") == ["first"]


def test_f_the_files_of_366_days_stay(tmp_path: Path) -> None:
    for day in range(1, 372):
        for name in ("DEBUG.log", "error.log"):
            (tmp_path / f"{name}.{_MIDNIGHT.date() - dt.timedelta(days=day + 1)}").touch()
    (tmp_path / "DEBUG.log.gz").touch()  # not ours
    with _files(tmp_path) as handler:
        handler.handle(_record("last", _MIDNIGHT - dt.timedelta(seconds=1)))
        handler.handle(_record("first", _MIDNIGHT))
    for name, newest in (("DEBUG.log", "2026-11-25"), ("error.log", "2026-11-24")):
        rotated = sorted(path.name for path in tmp_path.glob(f"{name}.2*"))
        assert len(rotated) == 366 and rotated[-1] == f"{name}.{newest}"
    assert (tmp_path / "DEBUG.log.gz").exists()


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("Pacific/Auckland", "10:59", "11:00"), ("America/Los_Angeles", "07:59", "08:00"), ("UTC", "23:59", "00:00")],
)
def test_f_the_day_is_that_of_the_place(
    tmp_path: Path, zone: Callable[[str], None], name: str, first: str, last: str
) -> None:
    zone(name)
    with _files(tmp_path) as handler:
        for clock in (first, last):
            day = 26 if clock == "00:00" else 25
            moment = dt.datetime.fromisoformat(f"2026-11-{day}T{clock}Z")
            handler.handle(_record(clock, moment))
    (rotated,) = tmp_path.glob("DEBUG.log.*")
    assert said(rotated) == [first] and said(tmp_path / "DEBUG.log") == [last]
    assert rotated.name.removeprefix("DEBUG.log.") == rotated.read_text()[:10]


# --- the folder -----------------------------------------------------------------------------------------------------


def test_the_folder_is_created(tmp_path: Path, logger: logging.Logger) -> None:
    """Whoever must make it by hand forgets it."""
    folder = tmp_path / "deep" / "logs"
    to_files(LoggingSettings(folder=folder))
    assert not folder.exists()
    logger.critical("happened")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_files_that_were_deleted_are_made_anew(folder: Path, logger: logging.Logger) -> None:
    logger.info("before")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    logger.info("after")
    assert said(folder / "DEBUG.log") == ["after"]


def test_a_folder_that_cannot_be_written_is_said_once_and_hinders_nothing(
    tmp_path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "logs", "in the way")
    to_files(LoggingSettings(folder=tmp_path / "logs"))
    for _ in range(3):
        logger.info("happened")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        f"pusher: cannot write the log {tmp_path / 'logs'}: File exists; pusher goes on; free some room, or correct "
        "[logging]"
    )
    assert len(lines) == len(set(lines)) == 3, "the folder and two files, once each"


def test_a_file_that_cannot_be_written_hinders_no_other(
    tmp_path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "DEBUG.log").mkdir()
    put(tmp_path / "Daily.log", "2026-11-25 23:59:59,000 INFO last\n")
    to_files(LoggingSettings(folder=tmp_path))
    for _ in range(3):
        logger.info("happened")
    assert said(tmp_path / "Daily.log") == ["happened"] * 3
    assert said(tmp_path / "Daily.log.2026-11-25") == ["last"]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"cannot write the log {tmp_path / 'DEBUG.log'}: Is a directory" in line


def test_a_line_that_cannot_be_formed_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = _record("%d rows", _MIDNIGHT)
    wrong.args = ("no number",)
    with _files(tmp_path) as handler:
        handler.handle(wrong)
        handler.handle(_record("next", _MIDNIGHT))
    assert "TypeError" in capsys.readouterr().err and said(tmp_path / "DEBUG.log") == ["next"]


def test_what_was_cut_by_a_full_disk_spoils_no_line_behind_it(tmp_path: Path) -> None:
    """A limit on the size of a file cuts a write just as the end of a disk does."""
    script = (
        "import logging, resource, signal, sys\n"
        "from pathlib import Path\n"
        "from pusher.logfiles import LogFiles\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "logger = logging.getLogger('pusher')\n"
        "logger.addHandler(LogFiles(Path(sys.argv[1]), 366))\n"
        "logger.warning('a' * 90)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))\n"
        "logger.warning('b' * 90)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))\n"
        "logger.warning('c' * 90)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "No space left" in done.stderr
    assert (tmp_path / "error.log").read_text().split("\n") == ["a" * 90, "b" * 9, "c" * 90, ""]


# --- several processes ----------------------------------------------------------------------------------------------

_WRITER = """\
import datetime as dt, logging, sys
from pathlib import Path
from pusher.logfiles import LogFiles

folder, name = sys.argv[1:]
handler = LogFiles(Path(folder), 366)
handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
sys.stdin.readline()  # so that all begin together
start = dt.datetime(2026, 11, 25, 23, 59, 59)
for number in range(3000):
    record = logging.LogRecord("pusher", logging.ERROR, "", 0, f"{name} {number} {'x' * 200}", None, None)
    record.created = (start + dt.timedelta(hours=number / 60)).timestamp()
    handler.handle(record)
"""


def test_two_processes_that_meet_midnight_lose_no_line(tmp_path: Path) -> None:
    """Each writes its lines of three days as fast as it can; one is ahead of the other at times."""
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*command, name], stdin=subprocess.PIPE) for name in ("a", "b")]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    for writer in writers:
        assert writer.stdin
        writer.stdin.close()
    for file in ("DEBUG.log", "error.log"):
        paths = sorted(tmp_path.glob(f"{file}*"))
        lines = [line for path in paths for line in said(path)]
        assert sorted(lines) == sorted(f"{name} {number} {'x' * 200}" for name in "ab" for number in range(3000))
        days = {path.name.removeprefix(f"{file}.")[:10] for path in paths[1:]}
        assert "2026-11-25" in days and days <= {"2026-11-25", "2026-11-26", "2026-11-27"}


def test_files_are_put_away_by_one_process_at_a_time(tmp_path: Path) -> None:
    put(tmp_path / "DEBUG.log", "2026-11-25 12:00:00,000 INFO old\n")
    with _files(tmp_path) as handler, (tmp_path / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writing = threading.Thread(target=handler.handle, args=(_record("new", _MIDNIGHT),))
        writing.start()
        writing.join(0.1)
        assert writing.is_alive() and names(tmp_path) == ["DEBUG.log"]
        fcntl.flock(other, fcntl.LOCK_UN)
        writing.join()
    assert said(tmp_path / "DEBUG.log.2026-11-25") == ["old"] and said(tmp_path / "DEBUG.log") == ["new"]


def test_another_process_that_rotated_is_noticed(tmp_path: Path) -> None:
    """And a line that was late is with those of its day."""
    before, after = _MIDNIGHT - dt.timedelta(seconds=1), _MIDNIGHT + dt.timedelta(seconds=1)
    with _files(tmp_path) as ours, _files(tmp_path) as theirs:
        ours.handle(_record("ours", before))
        theirs.handle(_record("theirs", after))
        ours.handle(_record("ours, late", before))
        ours.handle(_record("ours, next", after))
        theirs.handle(_record("theirs, next", after))
    assert said(tmp_path / "DEBUG.log.2026-11-25") == ["ours", "ours, late"]
    assert said(tmp_path / "DEBUG.log") == ["theirs", "ours, next", "theirs, next"]


def test_a_process_that_begins_later_puts_away_what_is_old(tmp_path: Path) -> None:
    with _files(tmp_path) as handler:
        handler.handle(_record("old", _MIDNIGHT - dt.timedelta(days=3)))
    with _files(tmp_path) as handler:
        handler.handle(_record("new", _MIDNIGHT))
    with _files(tmp_path) as handler:
        handler.handle(_record("newer", _MIDNIGHT + dt.timedelta(hours=1)))
    assert said(tmp_path / "DEBUG.log.2026-11-23") == ["old"]
    assert said(tmp_path / "DEBUG.log") == ["new", "newer"]
    assert len(names(tmp_path)) == 4


def test_a_clock_that_is_set_back_loses_nothing(tmp_path: Path) -> None:
    for days in (0, 1, 0):
        with _files(tmp_path) as handler:
            handler.handle(_record(str(days), _MIDNIGHT + dt.timedelta(days=days)))
    assert said(tmp_path / "DEBUG.log.2026-11-26") == ["0"]
    assert said(tmp_path / "DEBUG.log") == ["1", "0"]


def test_a_second_file_of_a_day_takes_the_place_of_none(tmp_path: Path) -> None:
    for _ in range(3):
        put(tmp_path / "DEBUG.log", "2026-11-25 12:00:00,000 INFO old\n")
        with _files(tmp_path) as handler:
            handler.handle(_record("new", _MIDNIGHT))
    rotated = [f"DEBUG.log.2026-11-25{number}" for number in ("", ".2", ".3")]
    assert [said(tmp_path / name) for name in rotated] == [["old"]] * 3


def test_a_file_of_something_else_is_of_the_day_when_it_was_changed(tmp_path: Path) -> None:
    put(tmp_path / "DEBUG.log", "something else\n")
    moment = (_MIDNIGHT - dt.timedelta(days=2)).timestamp()
    os.utime(tmp_path / "DEBUG.log", (moment, moment))
    with _files(tmp_path) as handler:
        handler.handle(_record("new", _MIDNIGHT))
    assert (tmp_path / "DEBUG.log.2026-11-24").read_text() == "something else\n"


# --- the lines ------------------------------------------------------------------------------------------------------


def test_a_line_is_an_event_and_holds_any_letter(folder: Path, logger: logging.Logger) -> None:
    logger.info(event("active_file_created", file="DASS21_2026-11-26.csv", reason="zwei\nZeilen \udcff"))
    (line,) = (folder / "Daily.log").read_text().splitlines()
    assert line.endswith(r" INFO active_file_created file=DASS21_2026-11-26.csv reason='zwei\nZeilen \udcff'")


def test_standard_error_has_what_it_had_before(
    folder: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.info("for the files alone")
    configure(verbose=False)
    logger.debug("step")
    logger.info("cycle_ended")
    assert [line.split(" ", 3)[3] for line in capsys.readouterr().err.splitlines()] == ["cycle_ended"]
    assert said(folder / "DEBUG.log") == ["for the files alone", "step", "cycle_ended"]


def test_to_configure_again_has_no_line_come_twice(folder: Path, logger: logging.Logger, tmp_path: Path) -> None:
    to_files(LoggingSettings(folder=tmp_path / "others"))
    to_files(None)
    logger.info("once")
    assert not folder.exists() and said(tmp_path / "others" / "DEBUG.log") == ["once"]
