"""`pusher service`: the files that have a host start pusher, as a host would read them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from pusher.config import load
from pusher.errors import UsageError
from pusher.service import cron_line, unit, writable_folders, write
from tests.stage import PUSHER, pusher

_CONFIG = """\
[general]
site = north
localurl = {localurl}
synctime = {synctime}
state = {state}

[locations]
central = 1

[central]
resturl = http://127.0.0.1:1/rest/
"""


def write_config(
    folder: Path, localurl: str = "sqlite:///site.db", synctime: str = "10", state: str = "/var/lib/pusher"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "synchronise.conf"
    path.write_text(_CONFIG.format(localurl=localurl, synctime=synctime, state=state))
    return path


def values(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


def test_the_unit_names_this_command_and_this_configuration(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    shown = pusher("--config", os.path.relpath(path), "service", "show", "--user", "collector")
    assert shown.returncode == 0 and not shown.stderr
    assert values(shown.stdout, "ExecStart") == [f"{PUSHER} --config {path} run"]
    assert values(shown.stdout, "User") == ["collector"]
    assert values(shown.stdout, "Type") == ["notify"]
    assert values(shown.stdout, "ReadWritePaths") == ["-/var/lib/pusher", f"-{tmp_path}"]


@pytest.mark.parametrize("name", ["plain", "two words", "100%n", "$HOME;x", "l'état #1"])
def test_systemd_understands_the_unit(tmp_path: Path, name: str) -> None:
    path = write_config(tmp_path / name, f"sqlite:///{tmp_path}/the data/site.db", state="my state")
    # A command that exists, so that systemd has nothing to say of that.
    text = unit(load(path), Path("/bin/true"), "root")
    written = tmp_path / "pusher.service"
    written.write_text(text)
    (start,) = values(text, "ExecStart")
    plain = f"{path}".replace("%", "%%").replace("$", "$$")
    assert start in (f"/bin/true --config {plain} run", f'/bin/true --config "{plain}" run')
    assert {folder.strip('"').replace("%%", "%") for folder in values(text, "ReadWritePaths")} == {
        f"-{path.parent}/my state",
        f"-{path.parent}",
        f"-{tmp_path}/the data",
    }
    verify = shutil.which("systemd-analyze")
    if verify:  # without it, the text above is all that can be looked at
        done = subprocess.run([verify, "verify", written], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and not done.stderr, done.stderr


def test_what_the_daemon_writes_may_be_behind_links(tmp_path: Path) -> None:
    real = write_config(tmp_path / "real")
    (tmp_path / "site.db").touch()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "synchronise.conf").symlink_to(real)
    (tmp_path / "linked" / "site.db").symlink_to(tmp_path / "site.db")
    folders = writable_folders(load(tmp_path / "linked" / "synchronise.conf"))
    assert folders == [Path("/var/lib/pusher"), tmp_path / "real", tmp_path]


def test_a_database_server_needs_no_folder(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mysql+pymysql://pusher@127.0.0.1/ch", state="state")
    assert writable_folders(load(path)) == [tmp_path / "state", tmp_path]
    files = "[pc]\nkind = files\nfrom = /data/raw\nto = /mnt/store\n"
    path.write_text(path.read_text().replace("central = 1", "central = 1\npc = 1") + files)
    assert writable_folders(load(path)) == [tmp_path / "state", tmp_path, Path("/mnt/store")]
    path.write_text(
        "[locations]\nweb = 1\n[web]\nkind = export\nurl = https://m.example.org/\npath = /mnt/pool\n"
        "[logging]\npath = /var/log/pusher\n"
    )
    assert writable_folders(load(path)) == [tmp_path / "state", tmp_path, Path("/mnt/pool"), Path("/var/log/pusher")]


@pytest.mark.parametrize(
    ("synctime", "times"),
    [
        ("0.5", "*/1 * * * *"),
        ("9.5", "*/10 * * * *"),
        ("59", "*/59 * * * *"),
        ("59.5", "0 */1 * * *"),
        ("90", "0 */2 * * *"),
        ("1380", "0 */23 * * *"),
        ("1381", "0 0 * * *"),
        ("20000", "0 0 * * *"),
    ],
)
def test_the_times_of_cron(tmp_path: Path, synctime: str, times: str) -> None:
    line = cron_line(load(write_config(tmp_path, synctime=synctime)), Path("/bin/pusher"), "pusher").splitlines()[-1]
    assert line.startswith(f"{times} pusher timeout ")


def test_what_cron_runs_is_what_is_meant(tmp_path: Path) -> None:
    path = write_config(tmp_path / "100% l'état")
    line = cron_line(load(path), Path("/usr/bin/echo"), "pusher").splitlines()[-1]
    assert "%" not in line.replace(r"\%", "")
    command = line.split(" pusher ", 1)[1].replace(r"\%", "%").replace("logger -t pusher", "cat")  # as cron does
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == f"--config {path} run --once\n" and not done.stderr


@pytest.mark.parametrize("folder", ['a"b', "a\\b", "a\nb"])
def test_a_path_that_cannot_be_written_down_is_refused(tmp_path: Path, folder: str) -> None:
    settings = load(write_config(tmp_path / folder))
    for make in (unit, cron_line):
        with pytest.raises(UsageError, match="rename it"):
            make(settings, PUSHER, "pusher")


@pytest.mark.parametrize("user", ["", "-x", "two words", "a\nExecStart=/bin/sh", "x" * 32])
def test_an_account_has_a_sound_name(tmp_path: Path, user: str) -> None:
    settings = load(write_config(tmp_path))
    for make in (unit, cron_line):
        with pytest.raises(UsageError, match="not the name of an account"):
            make(settings, PUSHER, user)


def test_install_writes_it_once_and_never_over_what_somebody_changed(tmp_path: Path) -> None:
    path, file = write_config(tmp_path), tmp_path / "pusher.service"
    install = ("--config", path, "service", "install", "--output", file)
    done = pusher(*install)
    assert done.returncode == 0 and done.stdout.startswith(f"wrote {file}; next:\n")
    for step in ("systemctl daemon-reload", "systemctl enable --now pusher"):
        assert f"  {step}\n" in done.stdout
    text = file.read_text()
    assert text == unit(load(path), PUSHER, "pusher")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert not write(file, text)
    file.write_text(text + "Nice=5\n")
    refused = pusher(*install)
    assert refused.returncode == 2 and "--force" in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert file.read_text().endswith("Nice=5\n")
    assert write(file, text, force=True)
    assert file.read_text() == text
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pusher.service", "synchronise.conf"]


def test_install_for_cron(tmp_path: Path) -> None:
    path, file = write_config(tmp_path), tmp_path / "pusher"
    file.write_text("# something else\n")
    done = pusher("--config", path, "service", "install", "--cron", "--output", file, "--force")
    assert done.returncode == 0 and "systemctl" not in done.stdout
    assert file.read_text() == cron_line(load(path), PUSHER, "pusher")


def test_a_masked_unit_is_something_else(tmp_path: Path) -> None:
    file = tmp_path / "pusher.service"
    file.symlink_to("/dev/null")
    with pytest.raises(UsageError, match="--force"):
        write(file, "text")
    assert write(file, "text", force=True) and file.read_text() == "text" and not file.is_symlink()


def test_where_it_must_not_write_it_says_so(tmp_path: Path) -> None:
    done = pusher("--config", write_config(tmp_path), "service", "install", "--output", "/proc/pusher.service")
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("pusher: cannot write /proc/pusher.service: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_configuration_gets_no_unit(tmp_path: Path) -> None:
    path = write_config(tmp_path, synctime="soon")
    assert pusher("--config", path, "service", "show").returncode == 2
