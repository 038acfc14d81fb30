"""A location with kind = files: what its section says, and what is wrong with it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pusher.config import Location, load
from pusher.config_files import Target
from pusher.errors import ConfigError

_CONFIG = "[general]\nsite = pc\n[locations]\npc = 1\n[pc]\nkind = files\n"
_FROM = "from = /data/raw\n"


def location(folder: Path, lines: str) -> Location:
    path = folder / "synchronise.conf"
    path.write_text(_CONFIG + lines)
    path.chmod(0o600)
    return load(path, {"SECRET": "swordfish"}).location("pc")


@pytest.mark.parametrize(
    ("to", "target"),
    [
        ("/mnt/store", Target(kind="folder", text="/mnt/store", path="/mnt/store")),
        (
            "sftp://dang@lab:2222/srv/my%20data",
            Target(
                kind="sftp",
                text="sftp://dang@lab:2222/srv/my%20data",
                path="/srv/my data",
                host="lab",
                user="dang",
                port=2222,
            ),
        ),
        ("sftp://lab/~/raw", Target(kind="sftp", text="sftp://lab/~/raw", path="~/raw", host="lab")),
        ("https://c.example/rest", Target(kind="rest", text="https://c.example/rest/")),
    ],
)
def test_where_files_go(tmp_path: Path, to: str, target: Target) -> None:
    found = location(tmp_path, f"{_FROM}to = {to}\n")
    assert found.files and found.files.to == target
    assert (found.url, found.sshuser, found.sshport) == (target.host, target.user, target.port)
    assert found.resturl == (target.text if target.kind == "rest" else None)


def test_what_is_not_said(tmp_path: Path) -> None:
    found = location(tmp_path, f"{_FROM}to = there\n")
    files = found.files
    assert files and files.to.path == str(tmp_path / "there")
    assert (files.settle_seconds, files.on_change, files.watch, files.renaming) == (30, "copy", False, None)
    assert files.choice.include == ("*",) and files.choice.subdirs and found.reconcile == "daily"


def test_dates_and_lists(tmp_path: Path) -> None:
    lines = "include = *.res, *.csv\nnot_before = 2026-01-31\nsubdirs = no\n"
    files = location(tmp_path, f"{_FROM}to = there\n{lines}").files
    assert files and files.choice.include == ("*.res", "*.csv") and not files.choice.subdirs
    assert files.choice.not_before == dt.datetime(2026, 1, 31)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("to = there", "from is missing; add from = /data/raw"),
        ("from = raw", "to is missing; add to = sftp://"),
        ("from = raw\nto = raw/sub", "to and from lie one in the other"),
        ("from = raw\nto = ftp://lab/x", "not a folder, nor an sftp, https or sharepoint address"),
        ("from = raw\nto = sftp://lab", "not a folder, nor an sftp"),
        ("from = raw\nto = sftp://dang:swordfish@lab/x", "holds a password; remove it and give it as sshpassword"),
        ("from = raw\nto = sftp://lab:x/y", "not an address; write it like"),
        ("from = raw\nto = there\nsshkey = id", "sshkey has no meaning with to = there; remove it"),
        ("from = raw\nto = sftp://lab/x\ntoken = env:SECRET", "token has no meaning"),
        ("from = raw\nto = there\nsubdirs = maybe", '"maybe" is not yes or no'),
        ("from = raw\nto = there\non_change = keep", '"keep" is not copy, keep-both or never'),
        ("from = raw\nto = there\nsettle = soon", "is not a length of time"),
        ("from = raw\nto = there\nnot_after = None", "is not a date"),
        ("from = raw\nto = there\ninclude =", "has no value; write one or more"),
        ("from = raw\nto = there\nrename = {stm}.res", "there is no {stm}; did you mean {stem}?"),
        ("from = raw\nto = there\npushlimit = 5", "unknown key"),
    ],
)
def test_each_fault_has_one_line(tmp_path: Path, lines: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        location(tmp_path, lines + "\n")
    (fault,) = caught.value.faults
    assert said in fault and "swordfish" not in fault
    assert "synchronise.conf:" in fault


def test_sharepoint_wants_three_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        location(tmp_path, f"{_FROM}to = sharepoint://h.sharepoint.com/sites/lab/Files\ntenant = t\n")
    assert [fault.partition("[pc] ")[2].split()[0] for fault in caught.value.faults] == ["client_id", "client_secret"]
