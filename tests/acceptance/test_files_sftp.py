"""Files over a real sshd: hundreds at once, some still growing, a large one on a line that breaks; all arrive, once.

FILES_LARGE_BYTES=1073741824 makes the large one as large as one likes.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pusher.files.checking import State, check
from pusher.job import Outcome
from tests.counting import CountingProxy
from tests.files_site import LONG_AGO_NS, Instrument, put
from tests.servers import SshServer, new_ssh_key
from tests.stage import pusher

LARGE_BYTES = int(os.environ.get("FILES_LARGE_BYTES", 48 << 20))
_OVERHEAD = 1.06  # of SSH, and of what was under way when the line broke
_FOLDERS = ("", "run 1", "run 1/Zelle ä", "run 2", "run 2/deep/er/日本")


@dataclass
class Far:
    """An instrument that sends to an sshd through a line that counts."""

    site: Instrument
    sshd: SshServer
    line: CountingProxy


@contextmanager
def far(folder: Path, *options: str, access: str = "sshkey = id_ed25519", user: str = "") -> Iterator[Far]:
    with SshServer(*options, "Subsystem sftp internal-sftp") as sshd, CountingProxy(sshd.port) as line:
        with (sshd.clients / "known_hosts").open("a") as known:
            known.write(f"[127.0.0.1]:{line.port} {sshd.host_key()}\n")
        there = folder / "site" / "there"
        extra = f"sshfolder = {sshd.clients}\n{access}"
        site = Instrument(folder / "site", to=f"sftp://{user}127.0.0.1:{line.port}{there}", extra=extra)
        site.now = LONG_AGO_NS / 1e9 + 10**6
        yield Far(site, sshd, line)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Far]:
    with far(tmp_path) as found:
        yield found


def test_all_arrive_identical_and_each_once(there: Far) -> None:
    site = there.site
    for number in range(500):
        folder = _FOLDERS[number % len(_FOLDERS)]
        name = "same name.res" if number < len(_FOLDERS) else f"cell {number}.res"
        site.write(f"{folder}/{name}" if folder else name, os.urandom(1000 + number))
    large = _write_large(site.raw / "large.bin")
    growing = [site.write(f"run 2/growing {number}.res", os.urandom(400_000)) for number in range(3)]
    there.line.cut_at = [LARGE_BYTES // 3, LARGE_BYTES * 3 // 4]
    with _growing(growing):
        outcomes = [site.run()]
    assert outcomes[0].exit_code == 3, "the line was cut"
    for path in growing:
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    while outcomes[-1].error:
        assert len(outcomes) < 5, outcomes[-1].error
        outcomes.append(site.run())
    assert there.line.cut_at == []
    assert site.arrived() == site.written() and len(site.arrived()) == 504
    whole = sum(path.stat().st_size for path in site.raw.rglob("*") if path.is_file())
    repeated = sum(path.stat().st_size for path in growing)  # may have been under way when they grew
    assert there.line.sent < whole * _OVERHEAD + repeated + (8 << 20), "something went more than once"
    assert _copied(outcomes) == 504
    assert (site.there / "large.bin").stat().st_mtime_ns == large.stat().st_mtime_ns


def _write_large(path: Path) -> Path:
    with path.open("wb") as file:
        for _ in range(LARGE_BYTES >> 20):
            file.write(os.urandom(1 << 20))
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return path


@contextmanager
def _growing(paths: list[Path]) -> Iterator[None]:
    stop = threading.Event()

    def grow() -> None:
        while not stop.is_set():
            for path in paths:
                with path.open("ab") as file:
                    file.write(b"more\n")
                os.utime(path, ns=(LONG_AGO_NS, time.time_ns()))
                os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS - 10**12 + path.stat().st_size))
            stop.wait(0.01)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _copied(outcomes: list[Outcome]) -> int:
    return sum(outcome.files.copied + outcome.files.same for outcome in outcomes if outcome.files)


def test_check_over_ssh_names_what_is_wrong_and_the_run_mends_it(there: Far) -> None:
    site = there.site
    for name in ("sound", "rotten", "gone", "replaced"):
        site.write(f"{name}.res", name.encode() * 10)
    site.run()
    put(site.there / "rotten.res", b"x" * 60)
    (site.there / "gone.res").unlink()
    put(site.there / "replaced.res", b"a stranger's", LONG_AGO_NS + 10**10)
    with site.job() as job:
        found = check(job, deep=True)
    assert {each.file: each.state for each in found.files} == {
        "rotten.res": State.DAMAGED,
        "gone.res": State.MISSING,
        "replaced.res": State.DIFFERENT,
    }
    outcome = site.run()
    assert outcome.files and outcome.files.copied == 2
    assert (site.there / "replaced.res").read_bytes() == b"a stranger's"
    site.write("replaced.res", b"and it changed here")
    outcome = site.run()
    assert outcome.files and (outcome.files.held, outcome.exit_code) == (1, 1)
    assert "not overwritten" in site.held()[0].reason


# --- who is let in ---


@pytest.fixture
def account() -> Iterator[tuple[str, str]]:
    """A user of this machine, for as long as the test takes, with a password."""
    name, password = f"pusher-{secrets.token_hex(4)}", secrets.token_hex(8)
    digest = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
    ).stdout.strip()
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*root, "useradd", "-M", "-d", "/", "-s", "/bin/sh", "-p", digest, name], check=True)
    yield name, password
    subprocess.run([*root, "userdel", "-f", name], check=True)


def test_a_password_lets_in(tmp_path: Path, account: tuple[str, str]) -> None:
    """The seed's example from a PC to a server, by the installed command."""
    name, password = account
    access = "sshpassword = env:OELEO_PASSWORD"
    with far(tmp_path, "PasswordAuthentication yes", "UsePAM no", access=access, user=f"{name}@") as there:
        _open_to_all(there.site.there)
        there.site.write("a.res")
        config = str(there.site.config)
        done = pusher("--config", config, "run", "--once", env={**os.environ, "OELEO_PASSWORD": password})
        assert done.returncode == 0, done.stderr
        assert there.site.arrived() == there.site.written()
        wrong = pusher("--config", config, "run", "--once", env={**os.environ, "OELEO_PASSWORD": "wrong"})
        assert wrong.returncode == 2 and "does not let user" in wrong.stderr
        assert password not in done.stdout + done.stderr


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o777)
    for above in folder.parents:
        if above.stat().st_uid == os.geteuid() and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o711)


def test_a_key_lets_in_and_another_does_not(there: Far) -> None:
    config = str(there.site.config)
    there.site.write("a.res")
    assert pusher("--config", config, "run", "--once").returncode == 0
    new_ssh_key(there.sshd.clients / "other")
    there.site.config.write_text(there.site.config.read_text().replace("id_ed25519", "other"))
    done = pusher("--config", config, "run", "--once")
    assert done.returncode == 2 and "does not let user" in done.stderr


def test_a_changed_host_key_stops_everything(there: Far) -> None:
    there.site.write("a.res")
    known = there.sshd.clients / "known_hosts"
    other = new_ssh_key(there.sshd.clients / "another").with_suffix(".pub").read_text().split()[1]
    known.write_text(f"[127.0.0.1]:{there.line.port} ssh-ed25519 {other}\n")
    done = pusher("--config", str(there.site.config), "run", "--once")
    assert done.returncode == 2 and "has changed" in done.stderr
    assert there.site.arrived() == {}
    known.write_text("")
    assert "is not known" in pusher("--config", str(there.site.config), "run", "--once").stderr
    checked = pusher("--config", str(there.site.config), "check", "--accept-host-key")
    assert checked.returncode == 0 and "can be written to" in checked.stdout
    assert pusher("--config", str(there.site.config), "run", "--once").returncode == 0


def test_a_folder_that_is_missing_there(there: Far) -> None:
    there.site.there.rmdir()
    done = pusher("--config", str(there.site.config), "run", "--once")
    assert done.returncode == 3 and "has no folder" in done.stderr
