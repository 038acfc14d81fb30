"""The files job by the installed command: the examples of the seed, from folder to folder, and the daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.files_site import LONG_AGO_NS, Instrument, put
from tests.stage import PUSHER, pusher, wait_until


@pytest.fixture
def site(tmp_path: Path) -> Instrument:
    return Instrument(tmp_path)


def call(site: Instrument, *arguments: str, code: int = 0) -> str:
    done = pusher("--config", str(site.config), *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_from_folder_to_folder(site: Instrument) -> None:
    site.write("a.res")
    site.write("b/c.csv", b"x" * 300_000)
    assert "can be written to" in call(site, "check")
    shown = call(site, "run", "--once", "--dry-run")
    assert "copy" in shown and "b/c.csv" in shown and site.arrived() == {}
    assert "2 files copied, 0 unchanged; 300,004 bytes" in call(site, "run", "--once")
    assert site.arrived() == site.written()
    assert "0 files copied, 2 unchanged" in call(site, "run", "--once")
    (outcome,) = json.loads(call(site, "run", "--once", "--json"))
    assert outcome["files"]["unchanged"] == 2 and outcome["kind"] == "files"
    assert "2 files" in call(site, "status")


def test_list_check_lock_unlock_adopt(site: Instrument) -> None:
    site.write("a.res")
    site.write("old/b.res")
    put(site.there / "a.res", b"1;2\n", LONG_AGO_NS - 10**12)
    put(site.there / "other.res", b"0")
    shown = call(site, "files", "check", "instrument", code=1)
    assert "1 same, not in the list, 1 to be copied, 1 only there" in " ".join(shown.split())
    assert "it is safe to start" in shown
    assert "taken into the list" not in shown
    assert "1 taken into the list" in call(site, "files", "check", "instrument", "--update", code=1)
    assert "1 would be locked" in call(site, "files", "lock", "instrument", "old/*", "--dry-run")
    assert "old/b.res\n1 locked" in call(site, "files", "lock", "instrument", "old/*")
    assert "0 files copied, 1 unchanged, 1 locked" in call(site, "run", "--once")
    assert "1 unlocked" in call(site, "files", "unlock", "instrument", "b.res")
    assert "1 files copied" in call(site, "run", "--once")
    listed = json.loads(call(site, "files", "list", "instrument", "--json"))
    assert [(entry["path"], entry["code"]) for entry in listed] == [("a.res", 1), ("old/b.res", 1)]
    (site.folder / "state" / "ledger.db").unlink()
    adopted = json.loads(call(site, "files", "adopt", "instrument", "--json"))
    assert (adopted["updated"], adopted["counts"]) == (2, {"same, not in the list": 2, "only there": 1})
    assert "0 files copied, 2 unchanged" in call(site, "run", "--once")


def test_held_files_are_shown_and_tried_again(site: Instrument) -> None:
    site.write("a.res", b"mine!")
    put(site.there / "a.res", b"other", LONG_AGO_NS - 10**12)
    assert "1 held" in call(site, "run", "--once", code=1)
    shown = call(site, "held", "list", code=1)
    assert "a.res" in shown and "another file has the name" in shown
    assert "pusher files lock" in call(site, "held", "show", "1")
    (site.there / "a.res").unlink()
    call(site, "held", "retry", "1")
    assert site.arrived() == site.written()
    assert "a.res" not in call(site, "held", "list")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("files", "list", "nowhere"), 'no location "nowhere"'),
        (("files", "lock", "instrument", "none*"), "no file of instrument is called none*"),
        (("verify", "instrument"), 'location "instrument" is of kind files; this is for push'),
        (("plan", "instrument"), "is of kind files"),
    ],
)
def test_wrong_use_has_one_clear_line(site: Instrument, arguments: tuple[str, ...], said: str) -> None:
    assert said in call(site, *arguments, code=2)


def test_the_scheduler_with_interval_and_maximum(site: Instrument) -> None:
    """The seed's SimpleScheduler(worker, run_interval_time=4, max_run_intervals=4), a little faster."""
    site.config.write_text(site.config.read_text().replace("state = state", "state = state\nsynctime = 0.01"))
    site.write("a.res")
    began = time.monotonic()
    shown = call(site, "run", "--max-runs", "4", "--json")
    assert time.monotonic() - began > 3 * 0.5
    runs = [outcome for outcomes in _documents(shown) for outcome in outcomes]
    assert [run["files"]["copied"] for run in runs] == [1, 0, 0, 0]


def _documents(text: str) -> list[list[dict[str, dict[str, int]]]]:
    decoder, found, place = json.JSONDecoder(), [], text.index("[\n")
    while place < len(text):
        document, place = decoder.raw_decode(text, place)
        found.append(document)
        place = next((at for at in range(place, len(text)) if text.startswith("[\n", at)), len(text))
    return found


def test_the_daemon_reacts_to_a_new_file_at_once(site: Instrument) -> None:
    site.configure("watch = yes")
    site.config.write_text(site.config.read_text().replace("settle = 30 seconds", "settle = 0"))
    site.write("a.res")
    with subprocess.Popen([PUSHER, "--config", site.config, "run"], stderr=subprocess.DEVNULL) as daemon:
        try:
            wait_until(lambda: (site.there / "a.res").exists())
            (site.raw / "new").mkdir()

            def reacts() -> bool:  # the next cycle is in ten minutes
                (site.raw / "new" / f"{time.monotonic_ns()}.res").write_bytes(b"now")
                return bool(list(site.there.glob("new/*.res")))

            wait_until(reacts)
        finally:
            daemon.send_signal(signal.SIGTERM)
    assert daemon.returncode == 0


def test_the_variables_of_oeleo_become_a_configuration(tmp_path: Path) -> None:
    there, raw = tmp_path / "pub", tmp_path / "local"
    there.mkdir()
    put(raw / "a.csv", b"1")
    put(raw / "b.txt", b"2")
    variables = tmp_path / ".env"
    variables.write_text(
        f'OELEO_BASE_DIR_FROM="{raw}"\n# a comment\nOELEO_BASE_DIR_TO={there}\nOELEO_FILTER_EXTENSION=.csv\n'
        "OELEO_DB_NAME=local2pub.db\n"
    )
    config = tmp_path / "synchronise.conf"
    done = pusher("files", "init", str(config), "--from-env", "--env-file", str(variables))
    assert done.returncode == 0, done.stderr
    assert "OELEO_DB_NAME is not used" in done.stdout
    assert pusher("--config", str(config), "run", "--once").returncode == 0
    assert os.listdir(there) == ["a.csv"]
    again = pusher("files", "init", str(config), "--from-env", "--env-file", str(variables))
    assert again.returncode == 2 and "exists already" in again.stderr
    assert "OELEO_BASE_DIR_FROM" in pusher("files", "init", str(tmp_path / "x"), "--from-env").stderr


def test_it_works_from_python(site: Instrument) -> None:
    script = (
        "from pusher.files import check, open_job\n"
        f"with open_job({str(site.config)!r}, 'instrument') as job:\n"
        "    print(check(job, update=True).advice)\n"
        "    print(job.run().files.copied)\n"
    )
    site.write("a.res")
    done = subprocess.run([PUSHER.with_name("python"), "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["a run would copy 1 file; it is safe to start", "1"]
