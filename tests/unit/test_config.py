"""synchronise.conf: what it may hold, what is said of its faults, and that a new marker changes nothing else."""

from __future__ import annotations

import configparser
import errno
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher import config
from pusher.config import (
    Secret,
    Settings,
    documented_keys,
    example,
    find_config,
    load,
    read_lastupdate,
    write_lastupdate,
)
from pusher.errors import ConfigError, UsageError

EXAMPLE = Path(__file__).parents[2] / "synchronise.conf.example"

MINIMAL = """\
[locations]
central = 1
[central]
resturl = https://central.example.org/rest
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "synchronise.conf"


def put(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


def faults(path: Path, text: str, environ: dict[str, str] | None = None, mode: int = 0o600) -> list[str]:
    """The faults of `text`, without the folder of the file."""
    with pytest.raises(ConfigError) as caught:
        load(put(path, text, mode), environ or {})
    return [fault.replace(f"{path.parent}{os.sep}", "") for fault in caught.value.faults]


def with_general(line: str) -> str:
    return f"[general]\n{line}\n{MINIMAL}"


def with_central(line: str) -> str:
    return f"{MINIMAL}{line}\n"


@contextmanager
def nobody(path: Path) -> Iterator[None]:
    """Nobody may read `path`, not even the root that tests often run as."""
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


# --- settings -------------------------------------------------------------------------------------------------------


def test_defaults(path: Path) -> None:
    settings = load(put(path, MINIMAL), {})
    assert settings.path == path
    assert settings.general.site == socket.gethostname()
    assert settings.general.localurl == Secret(f"sqlite:///{path.parent}/site.db")
    assert settings.general.pushlimit == 20000
    assert settings.general.synctime_minutes == 10
    assert settings.general.state == path.parent / "state"
    assert settings.tables == {}
    (central,) = settings.locations
    assert settings.location("central") is central
    assert (central.name, central.on, central.kind) == ("central", True, "push")
    assert central.resturl == "https://central.example.org/rest/"
    assert (central.token, central.cafile, central.lastupdate) == (None, None, None)
    assert (central.url, central.dbstring, central.private_key) == (None, None, None)


def test_everything_said(path: Path) -> None:
    (path.parent / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    text = """\
[general]
site = house-37.A_b
localurl = mysql+pymysql://pusher:p%40ss;w#rd@127.0.0.1/ch  ; the house's
PushLimit = 1000000
synctime: 0.5
state = /var/lib/pusher
[locations]
central = Yes  #Push to the server specified in the central section
lab = off
[central]
kind = push
resturl = http://10.0.0.1:6543/rest/   ; in the cellar
token = to;ken#1 # from Anna
cafile = ca.pem
LastUpdate = 2026-01-31 23:59
[lab]
url = lab.example.org
sshuser = dang
sshfolder = keys
sshkey = work_key.pub   ; as seed 003 has it
sshport = 2222
sshpassword = pass;word
dbstring = mysql+pymysql://pusher:hunter2@127.0.0.1:3307/ch
[table Reading]
role = stream
cursor = time
key = time, nodeId ,type,locationId
direction = up
[table  deployment ]
role = entity
key = origin
direction = both
agree = name,description
"""
    settings = load(put(path, text), {})
    assert settings.general.site == "house-37.A_b"
    assert settings.general.localurl.reveal() == "mysql+pymysql://pusher:p%40ss;w#rd@127.0.0.1/ch"
    assert settings.general.pushlimit == 1_000_000
    assert settings.general.synctime_minutes == 0.5
    assert settings.general.state == Path("/var/lib/pusher")
    central, lab = settings.locations
    assert central.on and not lab.on
    assert central.resturl == "http://10.0.0.1:6543/rest/"
    assert central.token == Secret("to;ken#1")
    assert central.cafile == path.parent / "ca.pem"
    assert central.lastupdate == "2026-01-31 23:59"
    assert (lab.url, lab.sshuser, lab.sshport, lab.resturl) == ("lab.example.org", "dang", 2222, None)
    assert (lab.sshfolder, lab.private_key) == (path.parent / "keys", path.parent / "keys" / "work_key")
    assert lab.sshpassword == Secret("pass;word")
    assert lab.dbstring == Secret("mysql+pymysql://pusher:hunter2@127.0.0.1:3307/ch")
    reading, deployment = settings.tables["Reading"], settings.tables["deployment"]
    assert (reading.role, reading.cursor, reading.direction, reading.agree) == ("stream", "time", "up", None)
    assert reading.key == ("time", "nodeId", "type", "locationId")
    assert (deployment.role, deployment.key, deployment.direction) == ("entity", ("origin",), "both")
    assert deployment.agree == ("name", "description")


def test_settings_are_frozen_and_mask_their_secrets(path: Path) -> None:
    text = with_general("localurl = mysql+pymysql://pusher:hunter2@db/ch") + "token = swordfish\n"
    settings = load(put(path, text), {})
    for shown in (repr(settings), str(settings), f"{settings.general.localurl}", f"{settings.locations[0].token!s}"):
        assert "hunter2" not in shown and "swordfish" not in shown
    for part, name in ((settings, "path"), (settings.general, "site"), (settings.locations[0], "on")):
        with pytest.raises(FrozenInstanceError):
            setattr(part, name, None)


def test_unknown_location_is_wrong_use(path: Path) -> None:
    settings = load(put(path, MINIMAL), {})
    with pytest.raises(UsageError, match='no location "centrall"; did you mean "central"'):
        settings.location("centrall")


@pytest.mark.parametrize(
    ("word", "on"),
    [("1", True), ("yes", True), ("ON", True), ("true", True), ("0", False), ("No", False), ("off", False)],
)
def test_flags(path: Path, word: str, on: bool) -> None:
    assert load(put(path, MINIMAL.replace("central = 1", f"central = {word}")), {}).location("central").on is on


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("sqlite:///data/site.db", "sqlite:///{folder}/data/site.db"),
        ("sqlite:////var/site.db", "sqlite:////var/site.db"),
        ("sqlite+pysqlite:///site.db?timeout=5", "sqlite+pysqlite:///{folder}/site.db?timeout=5"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql+psycopg://u@h/db", "postgresql+psycopg://u@h/db"),
        ("env:DB", "mysql+pymysql://u:100%25@h/db"),
        ("file:db.url", "sqlite:///{folder}/from-file.db"),
    ],
)
def test_localurl(path: Path, url: str, read: str) -> None:
    (path.parent / "db.url").write_text("sqlite:///from-file.db\n")
    settings = load(put(path, with_general(f"localurl = {url}")), {"DB": "mysql+pymysql://u:100%25@h/db"})
    assert settings.general.localurl.reveal() == read.format(folder=path.parent)


def test_paths_are_relative_to_the_named_file_from_any_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, MINIMAL)
    monkeypatch.chdir(path.parent.parent)
    settings = load(Path(path.parent.name) / path.name, {})
    assert settings.path == path
    assert settings.general.state == path.parent / "state"


@pytest.mark.parametrize(
    "token", ["env:TOKEN", "env: TOKEN", "file:secret/token", "swordfish", "file:{folder}/secret/token"]
)
def test_token_is_found(path: Path, token: str) -> None:
    (path.parent / "secret").mkdir()
    (path.parent / "secret" / "token").write_text("\n  swordfish\r\n")
    text = with_central(f"token = {token.format(folder=path.parent)}")
    assert load(put(path, text), {"TOKEN": " swordfish\n"}).locations[0].token == Secret("swordfish")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_literal_secret_in_an_exposed_file_is_refused(path: Path, mode: int) -> None:
    (fault,) = faults(path, with_central("token = swordfish"), mode=mode)
    assert fault.startswith(
        "synchronise.conf:5: [central] token: a secret in a file that others may read; run chmod 600 "
    )
    assert "swordfish" not in fault
    (fault,) = faults(path, with_general("localurl = mysql+pymysql://u:swordfish@h/db"), mode=mode)
    assert fault.startswith("synchronise.conf:2: [general] localurl: a secret") and "swordfish" not in fault
    way = "url = lab\nsshpassword = swordfish\ndbstring = mysql://u:swordfish@h/db\n"
    both = faults(path, f"[locations]\nlab = 1\n[lab]\n{way}", mode=mode)
    assert [fault.partition(" a secret")[0] for fault in both] == [
        "synchronise.conf:5: [lab] sshpassword:",
        "synchronise.conf:6: [lab] dbstring:",
    ]
    switched_off = with_central("token = swordfish").replace("central = 1", "central = 0")
    assert len(faults(path, switched_off, mode=mode)) == 1


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o620])
def test_literal_secret_in_a_file_of_ones_own_is_taken(path: Path, mode: int) -> None:
    assert load(put(path, with_central("token = x"), mode), {}).locations[0].token == Secret("x")


def test_an_exposed_file_without_a_literal_secret_is_taken(path: Path) -> None:
    for url in ("mysql+pymysql://u@h/db", "env:DB"):
        text = with_general(f"localurl = {url}") + "token = env:T\n"
        settings = load(put(path, text, 0o644), {"T": "x", "DB": "mysql+pymysql://u:p@h/db"})
        assert settings.locations[0].token == Secret("x")


def test_what_is_switched_off_need_not_be_complete(path: Path) -> None:
    for secret in ("env:MISSING", "file:missing"):
        text = with_central(f"token = {secret}\ncafile = missing.pem").replace("central = 1", "central = 0")
        assert load(put(path, text), {}).locations[0].token is None
        way = f"url = lab\nsshpassword = {secret}\ndbstring = {secret}\n"
        location = load(put(path, f"[locations]\nlab = 0\n[lab]\n{way}"), {}).locations[0]
        assert (location.sshpassword, location.dbstring) == (None, None)
        assert len(faults(path, f"[locations]\nlab = 1\n[lab]\n{way}")) == 2
    text = with_central("token = file:missing").replace("central = 1", "central = 0")
    assert load(put(path, text.replace("file:missing", "env:T")), {"T": "x"}).locations[0].token == Secret("x")


MARKERS = [
    "2026-01-31",
    "2026-01-31 23:59",
    "2026-01-31T23:59:59",
    "2026-01-31 23:59:59.1",
    "2026-01-31T00:00:00.123456",
]


@pytest.mark.parametrize("text", MARKERS)
def test_lastupdate_is_kept_as_it_stands(path: Path, text: str) -> None:
    assert load(put(path, with_central(f"lastupdate = {text} ; so far")), {}).locations[0].lastupdate == text
    assert read_lastupdate(path, "central") == text


@pytest.mark.parametrize(
    "line", ["lastupdate = None", "lastupdate = none ; all", "lastupdate =", "lastupdate = ; x", ""]
)
def test_no_lastupdate(path: Path, line: str) -> None:
    assert load(put(path, with_central(line)), {}).locations[0].lastupdate is None
    assert read_lastupdate(path, "central") is None


@pytest.mark.parametrize(
    "text",
    [
        "yesterday", "2026-02-30", "2026-1-31", "31.01.2026", "2026-01-31 24:00", "2026-01-31 12",
        "2026-01-31T12:00:00Z", "2026-01-31 12:00:00.1234567", "2026-01-31 12:00.5", "2026-01-31.5", "20260131",
        "\N{FULLWIDTH DIGIT TWO}026-01-31", "2026-01-31 12:00:00.\N{FULLWIDTH DIGIT TWO}", "0000-01-01",
        "2026-01-31  12:00", "2026-01-31 12:00:00+00:00",
    ],
)  # fmt: skip
def test_lastupdate_of_another_form_is_refused(path: Path, text: str) -> None:
    (fault,) = faults(path, with_central(f"lastupdate = {text}"))
    assert fault == (
        f'synchronise.conf:5: [central] lastupdate: "{text}" is not a date; '
        "write 2026-01-31, 2026-01-31 23:59:59 or None"
    )
    with pytest.raises(ValueError, match="lastupdate"):
        write_lastupdate(path, "central", text)


# --- faults ---------------------------------------------------------------------------------------------------------


def test_all_faults_at_once_in_the_order_of_the_file(path: Path) -> None:
    text = """\
stray = 1
; fine
[general]
pushlimt = 5
site = house 37
pushlimit = 0
synctime = soon
site = twice
[locations]
central = 1
lab = perhaps
archive = 0
[centrl]
resturl = https://x/
[central]
token = env:NO_SUCH
no delimiter here
[lab]
resturl = ftp://lab/
lastupdate = never
[general]
state =
[table Reading]
rolle = stream
role = streams
"""
    assert faults(path, text) == [
        "synchronise.conf:1: a key above the first section; write [general] before it",
        'synchronise.conf:4: [general] unknown key "pushlimt"; did you mean "pushlimit"?',
        'synchronise.conf:5: [general] site: "house 37" is not a site name; use 1 to 100 letters, digits and . _ -',
        'synchronise.conf:6: [general] pushlimit: "0" is not a whole number from 1 to 1000000',
        'synchronise.conf:7: [general] synctime: "soon" is not a number of minutes above 0, such as 10 or 0.5',
        'synchronise.conf:8: [general] duplicate key "site"; remove it here or in line 5',
        "synchronise.conf:11: [locations] lab: must be 1 or 0, yes or no, on or off, true or false",
        "synchronise.conf:12: [locations] archive: no section [archive]; add it; possible: centrl, central, lab",
        'synchronise.conf:13: [centrl] unknown section; add "centrl = 1" to [locations], or remove it; did you mean'
        + ' "central"?',
        "synchronise.conf:15: [central] there is no way to central; add resturl = https://central.example.org/rest/,"
        + " or dbstring",
        "synchronise.conf:16: [central] token: the environment variable NO_SUCH is not set; put the secret there",
        'synchronise.conf:17: [central] is no [section], "key = value" or comment; a value stands on one line',
        "synchronise.conf:19: [lab] resturl: not an http or https address; write it like https://central.example.org/rest/",
        'synchronise.conf:20: [lab] lastupdate: "never" is not a date; write 2026-01-31, 2026-01-31 23:59:59 or None',
        "synchronise.conf:21: [general] duplicate section; join it to the one in line 3",
        "synchronise.conf:22: [general] state: has no value; write a path, or remove the line",
        'synchronise.conf:24: [table Reading] unknown key "rolle"; did you mean "role"?',
        'synchronise.conf:25: [table Reading] role: "streams" is not entity, stream or ignore',
    ]


def test_error_names_every_fault_and_ends_with_code_2(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(put(path, with_general("pushlimit = x\nsynctime = y")), {})
    assert str(caught.value).count("\n") == 1
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("site = " + "x" * 101, "is not a site name"),
        ("site = häuschen", "is not a site name"),
        ("site =", "is not a site name"),
        ("pushlimit = 1000001", "is not a whole number"),
        ("pushlimit = 20_000", "is not a whole number"),
        ("pushlimit = 2e4", "is not a whole number"),
        ("pushlimit = -5", "is not a whole number"),
        ("synctime = 0", "is not a number of minutes"),
        ("synctime = 0.0", "is not a number of minutes"),
        ("synctime = -1", "is not a number of minutes"),
        ("synctime = nan", "is not a number of minutes"),
        ("synctime = inf", "is not a number of minutes"),
        ("localurl = site.db", "not an SQLAlchemy URL"),
        ("localurl = mysql://u:swordfish@host:port/db", "not an SQLAlchemy URL"),
        ("localurl =", "not an SQLAlchemy URL"),
        ("localurl = env:NO_DB", "the environment variable NO_DB is not set"),
        ("localurl = file:no.url", "no.url: No such file or directory"),
        ("colour = blue", "possible: site, localurl, pushlimit, synctime, state"),
    ],
)
def test_faults_of_general(path: Path, line: str, said: str) -> None:
    (fault,) = faults(path, with_general(line))
    assert fault.startswith("synchronise.conf:2: [general] ") and said in fault
    assert "swordfish" not in fault


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("kind = files", "kind = files is not available in this version; use kind = push"),
        ("kind = export\nfolder = x\nresturl2 = y", "kind = export is not available"),
        ("kind = psh", '"psh" is not a kind of job'),
        ("token =", "token: is empty"),
        ("token = two words", "holds blanks"),
        ("token = schlüssel", "outside ASCII"),
        ("token = env:EMPTY", "the environment variable EMPTY is not set"),
        ("token = env:", "the environment variable  is not set"),
        ("token = file:", "has no value"),
        ("token = file:empty", "empty is empty"),
        ("token = file:missing", "missing: No such file or directory"),
        ("token = file:.", "Is a directory"),
        ("token = file:latin1", "latin1: not UTF-8 text"),
        ("token = file:lines", "holds blanks"),
        ("cafile = missing.pem", "cannot read the file missing.pem"),
        ("cafile = .", "cannot read the file"),
        ("lookback = 1 hour", "unknown key; possible: kind, resturl, token, cafile, url, sshuser, sshfolder"),
        ("dbstring = sqlite:///central.db", "dbstring and resturl are two ways to central; keep one of them"),
        ("dbstrin = sqlite:///central.db", 'unknown key "dbstrin"; did you mean "dbstring"?'),
        ("sshuser = dang", "sshuser is for an SSH host, and there is none; add url, or remove it"),
        ("sshfolder = keys", "sshfolder is for an SSH host"),
        ("url = dang@lab", "url: is not an SSH host; write its name alone"),
        ("url = ssh://lab", "is not an SSH host"),
        ("url =", "is not an SSH host"),
        ("url = lab\nsshport = 0", '"0" is not a port; write a number from 1 to 65535'),
        ("url = lab\nsshport = 65536", "is not a port"),
        ("url = lab\nsshport = ssh", "is not a port"),
        ("url = lab\nsshuser = a b", "is not the name of a user"),
        ("url = lab\nsshkey =", "is not the name of a file in sshfolder"),
        ("url = lab\nsshfolder =", "sshfolder: has no value"),
        ("url = lab\nsshpassword =", "sshpassword: has no value"),
        ("url = lab\nsshpassword = env:EMPTY", "the environment variable EMPTY is not set"),
    ],
)
def test_faults_of_a_location(path: Path, line: str, said: str) -> None:
    (path.parent / "empty").write_text(" \n")
    (path.parent / "latin1").write_bytes("schlüssel".encode("latin-1"))
    (path.parent / "lines").write_text("one\ntwo\n")
    (fault,) = faults(path, with_central(line), {"EMPTY": ""})
    assert re.match(r"synchronise\.conf:[56]: \[central\] ", fault) and said in fault


@pytest.mark.parametrize(
    ("dbstring", "said"),
    [
        ("central", "not an SQLAlchemy URL"),
        ("mysql://u:swordfish@host:port/db", "not an SQLAlchemy URL"),
        ("env:NO_DB", "the environment variable NO_DB is not set"),
        ("sqlite:///central.db", "through an SSH host goes MariaDB, MySQL or PostgreSQL on a port"),
        ("mysql+pymysql://u:swordfish@/db?unix_socket=/run/mysqld.sock", "through an SSH host goes"),
        ("postgresql+psycopg://u:swordfish@/db?host=/run/postgresql", "through an SSH host goes"),
    ],
)
def test_dbstring_that_cannot_be_reached_through_an_ssh_host(path: Path, dbstring: str, said: str) -> None:
    text = f"[locations]\nlab = 1\n[lab]\nurl = lab\ndbstring = {dbstring}\n"
    (fault,) = faults(path, text)
    assert fault.startswith("synchronise.conf:5: [lab] dbstring: ") and said in fault and "swordfish" not in fault


@pytest.mark.parametrize("url", ["lab", "lab-1.example.org", "10.0.0.1", "fe80::1%eth0", "::1"])
@pytest.mark.parametrize(
    "way", ["resturl = http://c/rest/", "dbstring = mysql://c/db", "dbstring = postgresql+psycopg://u:p@[::1]:5433/db"]
)
def test_ways_through_an_ssh_host(path: Path, url: str, way: str) -> None:
    (lab,) = load(put(path, f"[locations]\nlab = 1\n[lab]\nurl = {url}\n{way}\n"), {}).locations
    assert lab.url == url
    assert lab.sshfolder == Path.home() / ".ssh"
    assert (lab.sshuser, lab.private_key, lab.sshport, lab.sshpassword) == (None, None, None, None)


def test_dbstring_without_an_ssh_host(path: Path) -> None:
    (lab,) = load(put(path, "[locations]\nlab = 1\n[lab]\ndbstring = sqlite:///c.db\n"), {}).locations
    assert lab.dbstring == Secret(f"sqlite:///{path.parent / 'c.db'}")


@pytest.mark.parametrize(
    "url",
    [
        "central.example.org/rest", "ftp://host/", "https://", "https:///rest", "http://host:port/", "http://host:99999/",
        "http://host/rest?x=1", "http://host/#top", "http://ho st/", "http://[::1/", "", "file:url",
    ],
)  # fmt: skip
def test_resturl_that_is_none(path: Path, url: str) -> None:
    (fault,) = faults(path, MINIMAL.replace("https://central.example.org/rest", url))
    assert fault.startswith("synchronise.conf:4: [central] resturl: not an http or https address")


def test_resturl_with_a_password_points_to_token(path: Path) -> None:
    (fault,) = faults(path, MINIMAL.replace("https://", "https://dang:swordfish@"))
    assert "give the secret as token" in fault and "swordfish" not in fault


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[table R]\nrole = big", '"big" is not entity, stream or ignore'),
        ("[table R]\ndirection = down", '"down" is not up or both'),
        ("[table R]\ncursor = a, b", "is not the name of one column"),
        ("[table R]\ncursor =", "is not the name of one column"),
        ("[table R]\nkey = a,,b", "is not a list of columns"),
        ("[table R]\nkey = a, ", "is not a list of columns"),
        ("[table R]\nagree =", "is not a list of columns"),
        ("[table]\nrole = stream", "unknown section"),
        ("[Table R]\nrole = stream", 'did you mean "table NAME"'),
        ("[DEFAULT]\nrole = stream", "unknown section"),
        ("[generall]", 'did you mean "general"'),
        ("[ ]\nrole = stream", "is no [section]"),
        ("[table R\nrole = stream", "is no [section]"),
        ("[table R] role = stream\nkey = a", "is no [section]"),
        ("= 5", 'is no [section], "key = value" or comment'),
    ],
)
def test_faults_of_sections(path: Path, text: str, said: str) -> None:
    (fault,) = faults(path, f"{MINIMAL}{text}\n")
    assert re.match(r"synchronise\.conf:[56]: ", fault) and said in fault


def test_faults_of_locations(path: Path) -> None:
    (fault,) = faults(path, "[general]\nsite = a\n")
    assert fault.startswith("synchronise.conf: no section [locations]")
    text = "[locations]\ngeneral = 1\ntable R = 0\nCentral = 1\n[general]\n[table R]\n[central]\nresturl = http://c/\n"
    assert [fault.partition(": ")[2] for fault in faults(path, text)] == [
        "[locations] general: a location cannot have this name; choose another",
        "[locations] table R: a location cannot have this name; choose another",
        '[locations] Central: no section [Central]; add it; did you mean "central"?',
        '[central] unknown section; add "central = 1" to [locations], or remove it; did you mean "Central"?',
    ]


def test_duplicates_are_found_whatever_their_case(path: Path) -> None:
    (fault,) = faults(path, with_central("LastUpdate = None\nlastupdate = None"))
    assert fault == 'synchronise.conf:6: [central] duplicate key "lastupdate"; remove it here or in line 5'
    (fault,) = faults(path, f"{MINIMAL}[table R]\n[table  R]\n")
    assert fault == "synchronise.conf:6: [table R] duplicate section; join it to the one in line 5"
    assert set(load(put(path, f"{MINIMAL}[table R]\n[table r]\n"), {}).tables) == {"R", "r"}


@pytest.mark.parametrize(
    "text",
    [
        with_central("tokn = swordfish"),
        with_central("token = env:\n  swordfish"),
        with_central("swordfish"),
        with_central("token = env:\nswordfish=="),
        MINIMAL.replace("central = 1", "central = 1\ntoken = swordfish"),
        "token = swordfish\n" + MINIMAL,
        with_general("localurl = my sql://u:swordfish@h"),
        with_general("localurl = swordfish"),
        with_central("token = sword fish swordfish"),
        MINIMAL.replace("https://", "swordfish"),
        MINIMAL + "[lab]\ntoken = swordfish\n",
        with_central("url = mysql://u:swordfish@lab/ch"),
        with_central("url = lab\nsshuser = dang:swordfish"),
        with_central("url = lab\nsshpasswort = swordfish"),
        with_central("dbstring = mysql://u:swordfish@lab/ch"),
    ],
)
def test_no_fault_repeats_a_secret(path: Path, text: str) -> None:
    assert not [fault for fault in faults(path, text) if "swordfish" in fault]


def test_bytes_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.faults == (f"{path}: no such file; write one with: pusher init {path}",)
    path.write_bytes(MINIMAL.encode() + "# Grüße\n".encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.faults == (f"{path}:5: not UTF-8 text; save the file as UTF-8",)
    with pytest.raises(ConfigError) as caught:
        load(path.parent, {})
    assert caught.value.faults == (f"cannot read {path.parent}: Is a directory",)
    put(path, MINIMAL)
    with nobody(path), pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.faults == (f"cannot read {path}: Permission denied",)


def test_bom_crlf_indentation_and_percent_are_accepted(path: Path) -> None:
    text = "\ufeff" + with_central("\ttoken = a%(b)s%\n  ; note\n   lastupdate = 2026-01-31").replace("\n", "\r\n")
    (central,) = load(put(path, text), {}).locations
    assert (central.token, central.lastupdate) == (Secret("a%(b)s%"), "2026-01-31")
    assert load(put(path, text.rstrip("\r\n")), {}).locations == (central,)


@given(
    value=st.text(st.sampled_from("ab =:~%[]\"'\\\t$é"), min_size=1),
    gap=st.sampled_from(["=", " = ", " : ", "=\t"]),
    sign=st.sampled_from(";#"),
)
def test_values_read_as_configparser_reads_them(value: str, gap: str, sign: str) -> None:
    # One sign of comments at a time: where both are mixed, configparser overlooks the first ("x# # ;").
    text = f"{MINIMAL}[table R]\ncursor{gap}x{value.replace('~', sign)}\n"
    oracle = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";", "#"))
    oracle.read_string(text)
    with tempfile.TemporaryDirectory() as folder:
        settings = load(put(Path(folder) / "c", text), {})
    assert settings.tables["R"].cursor == oracle["table R"]["cursor"]


# --- finding the file -----------------------------------------------------------------------------------------------


def test_find_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    system = tmp_path / "etc.conf"
    monkeypatch.setattr(config, "SYSTEM_CONFIG", system)
    with pytest.raises(ConfigError) as caught:
        find_config(None, {"PUSHER_CONFIG": ""})
    for tried in ("--config", "$PUSHER_CONFIG", "synchronise.conf", str(system), "pusher init"):
        assert tried in str(caught.value)
    system.touch()
    assert find_config(None, {}) == system
    Path("synchronise.conf").touch()
    assert find_config(None, {}) == Path("synchronise.conf")
    assert find_config(None, {"PUSHER_CONFIG": "/else/where"}) == Path("/else/where")
    assert find_config("given", {"PUSHER_CONFIG": "/else/where"}) == Path("given")


# --- the marker -----------------------------------------------------------------------------------------------------

CAREFUL = """\
; the house
[locations]
central = 1  #Push
lab=0
[lab]
resturl = http://lab/
lastupdate = 2020-01-01  ; the lab's
[central] ; main
\tresturl: http://central/
  LastUpdate  =\tNone   ; delete it, or None   # twice
\ttoken = env:T"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_only_the_value_changes(path: Path, newline: str, bom: str) -> None:
    text = bom + CAREFUL.replace("\n", newline)
    put(path, text)
    write_lastupdate(path, "central", "2026-01-31 23:59:59")
    assert path.read_bytes() == text.replace("None   ; d", "2026-01-31 23:59:59   ; d").encode()
    assert read_lastupdate(path, "central") == "2026-01-31 23:59:59"
    assert read_lastupdate(path, "lab") == "2020-01-01"
    write_lastupdate(path, "central", None)
    assert path.read_bytes() == text.encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[c]\nlastupdate =\n", "[c]\nlastupdate = 2026-01-31\n"),
        ("[c]\nlastupdate = ; all\n", "[c]\nlastupdate = 2026-01-31 ; all\n"),
        ("[c]", "[c]\nlastupdate = 2026-01-31"),
        ("[c]\n", "[c]\nlastupdate = 2026-01-31\n"),
        ("[c]\r\n  a = 1\r\n\r\n[d]\r\n", "[c]\r\n  a = 1\r\n  lastupdate = 2026-01-31\r\n\r\n[d]\r\n"),
        (
            "[c]\na = 1\n; lastupdate = None\n\n; of d\n[d]\n",
            "[c]\na = 1\n; lastupdate = None\nlastupdate = 2026-01-31\n\n; of d\n[d]\n",
        ),
        ("[c]\na = 1\n; of d\n[d]\n", "[c]\na = 1\nlastupdate = 2026-01-31\n; of d\n[d]\n"),
        ("[c]\na = 1\n\n\n# end", "[c]\na = 1\nlastupdate = 2026-01-31\n\n\n# end"),
        ("[c]\na = 1\n# end", "[c]\na = 1\n# end\nlastupdate = 2026-01-31"),
        ("[d]\nlastupdate = None\n[c]\n[e]\n", "[d]\nlastupdate = None\n[c]\nlastupdate = 2026-01-31\n[e]\n"),
    ],
)  # fmt: skip
def test_a_missing_value_or_key_is_added(path: Path, before: str, after: str) -> None:
    put(path, before)
    write_lastupdate(path, "c", "2026-01-31")
    assert path.read_bytes() == after.encode()


NEWLINE = st.sampled_from(["\n", "\r\n"])
BLANK = st.text(st.sampled_from(" \t"), max_size=3)
WORDS = st.text(st.sampled_from("ab ;#=:[]%é\u2028\x0b\x85"), max_size=12)
NOTE = st.builds(
    "{}{}{}{}".format, BLANK, st.sampled_from(["", ";", "#", "; lastupdate = None", "#[central]"]), BLANK, NEWLINE
)
OTHER = st.builds(
    "{}{}{}={}x{}{}".format, BLANK, st.sampled_from(["a", "lastupdates", "last"]), BLANK, BLANK, WORDS, NEWLINE
)
REMARK = st.one_of(
    st.just(""), st.builds(" {}{}{}".format, BLANK, st.sampled_from(";#"), WORDS.map(lambda w: w.strip()))
)
BODY = st.lists(st.one_of(NOTE, OTHER), max_size=4).map("".join)
MARKER = st.sampled_from([*MARKERS, "None"])


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str, str]:
    """A file as (what stands before the value, the value, what stands behind it), in [central]."""
    top = draw(st.sampled_from(["", "\ufeff"])) + draw(st.lists(NOTE, max_size=3).map("".join))
    other = st.builds(
        "[{}]{}{}lastupdate = 2020-02-20 ; x\n{}".format, st.sampled_from(["lab", "table R"]), NEWLINE, BODY, BODY
    )
    header = f"{draw(BLANK)}[central]{draw(REMARK)}{draw(NEWLINE)}"
    key = draw(BLANK) + draw(st.sampled_from(["lastupdate", "LastUpdate"])) + draw(BLANK) + draw(st.sampled_from("=:"))
    before = top + draw(st.one_of(st.just(""), other)) + header + draw(BODY) + key + draw(BLANK)
    behind = draw(BLANK) + draw(REMARK)
    if draw(st.booleans()):
        behind += draw(NEWLINE) + draw(BODY) + draw(st.one_of(st.just(""), other))
    return before, draw(MARKER), behind


@given(file=files(), value=MARKER)
def test_any_file_keeps_every_other_byte(file: tuple[str, str, str], value: str) -> None:
    before, old, behind = file
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "synchronise.conf", before + old + behind, 0o640)
        assert read_lastupdate(path, "central") == (None if old == "None" else old)
        write_lastupdate(path, "central", value)
        assert path.read_bytes() == (before + value + behind).encode()
        assert os.listdir(folder) == ["synchronise.conf"]


@given(file=files(), value=MARKER)
def test_any_file_without_the_key_gets_one_line(file: tuple[str, str, str], value: str) -> None:
    before, _, behind = file
    text = before[: before.rindex("\n") + 1] + behind.partition("\n")[2]
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "synchronise.conf", text)
        write_lastupdate(path, "central", value)
        old, new = text.encode().split(b"\n"), path.read_bytes().split(b"\n")
        assert read_lastupdate(path, "central") == (None if value == "None" else value)
    added = [i for i in range(len(new)) if new[:i] + new[i + 1 :] == old]
    assert any(new[i].strip() == f"lastupdate = {value}".encode() for i in added)


def test_mode_owner_and_link_are_kept(path: Path) -> None:
    real = path.parent / "elsewhere" / "real.conf"
    real.parent.mkdir()
    put(real, MINIMAL, 0o640)
    if os.geteuid() == 0:
        os.chown(real, 1234, 2345)
    before = real.stat()
    path.symlink_to(Path("elsewhere") / "real.conf")
    write_lastupdate(path, "central", "2026-01-31")
    after = real.stat()
    assert path.is_symlink() and not real.is_symlink()
    assert read_lastupdate(real, "central") == "2026-01-31"
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert os.listdir(real.parent) == ["real.conf"]


def test_an_equal_value_is_not_written(path: Path) -> None:
    put(path, with_central("lastupdate = 2026-01-31"))
    before = path.stat()
    write_lastupdate(path, "central", "2026-01-31")
    assert path.stat().st_ino == before.st_ino
    write_lastupdate(path, "central", "2026-02-01")
    assert path.stat().st_ino != before.st_ino


def test_a_section_or_file_that_is_gone(path: Path) -> None:
    put(path, MINIMAL)
    for section in ("lab", "Central", ""):
        with pytest.raises(ConfigError, match=rf"no section \[{section}\]"):
            write_lastupdate(path, section, "2026-01-31")
        with pytest.raises(ConfigError, match=rf"no section \[{section}\]"):
            read_lastupdate(path, section)
    assert path.read_text() == MINIMAL
    path.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        write_lastupdate(path, "central", None)


@pytest.mark.parametrize("text", ["2026-01-31 ; x", "2026-01-31\n[evil]", " 2026-01-31"])
def test_a_text_that_would_spoil_the_file_is_not_written(path: Path, text: str) -> None:
    put(path, MINIMAL)
    with pytest.raises(ValueError, match="lastupdate"):
        write_lastupdate(path, "central", text)
    assert path.read_text() == MINIMAL


def test_an_edit_during_the_write_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator saves while our temporary file goes to the disk: the moment is met by standing in for fsync."""
    put(path, MINIMAL)
    fsync = os.fsync
    edits = iter([MINIMAL + "; first edit\n", MINIMAL + "token = env:T\n"])

    def save_meanwhile(handle: int) -> None:
        if edited := next(edits, ""):
            path.write_text(edited)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", save_meanwhile)
    write_lastupdate(path, "central", "2026-01-31")
    assert path.read_text() == MINIMAL + "token = env:T\nlastupdate = 2026-01-31\n"
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, MINIMAL)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"cannot write .*: No space left on device"):
        write_lastupdate(path, "central", "2026-01-31")
    assert path.read_text() == MINIMAL
    assert os.listdir(path.parent) == [path.name]


def test_locations_write_side_by_side(path: Path) -> None:
    names = ["a", "b", "c", "d"]
    put(path, "".join(f"[{name}]\nlastupdate = None ; {name}\n" for name in names))

    def push(name: str) -> None:
        for day in range(1, 29):
            write_lastupdate(path, name, f"2026-01-{day:02}")

    threads = [threading.Thread(target=push, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "".join(f"[{name}]\nlastupdate = 2026-01-28 ; {name}\n" for name in names)


WRITER = """
import sys
from pathlib import Path
from pusher.config import write_lastupdate
print("ready", flush=True)
while True:
    for day in range(1, 29):
        write_lastupdate(Path(sys.argv[1]), "central", f"2026-01-{day:02}")
"""


def test_a_kill_leaves_a_whole_file(path: Path) -> None:
    padding = "; " + "x" * 100_000  # so that a write in place would be seen half done
    put(path, with_central(f"lastupdate = 2026-01-01\n{padding}\n; end"))
    (path.parent / f".{path.name}.left-over").write_text("half a fi")
    whole = re.compile(re.escape(path.read_text()).replace("2026\\-01\\-01", r"2026-01-\d\d"))
    for values in (1, 5, 20):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=EXAMPLE.parent)
        assert writer.stdout and writer.stdout.readline() == b"ready\n"
        seen: set[str] = set()
        while len(seen) < values:
            seen.add(path.read_text())
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert all(whole.fullmatch(text) for text in seen | {path.read_text()})
    write_lastupdate(path, "central", "2027-01-01")
    assert load(path, {}).locations[0].lastupdate == "2027-01-01"


# --- the example ----------------------------------------------------------------------------------------------------


def load_example(path: Path, text: str) -> Settings:
    return load(put(path, text, 0o644), {"PUSHER_TOKEN": "swordfish"})


def test_the_example_is_what_init_writes() -> None:
    assert EXAMPLE.read_text("utf-8") == example()


def test_the_example_loads(path: Path) -> None:
    settings = load_example(path, example())
    assert settings.general.site == socket.gethostname()
    assert [(location.name, location.on) for location in settings.locations] == [("central", True), ("lab", False)]
    assert settings.locations[0].token == Secret("swordfish")
    assert load_example(path, example("house-37")).general.site == "house-37"


def test_the_example_loads_with_everything_switched_on(path: Path) -> None:
    (path.parent / "central-ca.pem").touch()
    settings = load_example(path, re.sub(r"^;(?=\S)", "", example(), flags=re.MULTILINE))
    assert settings.general.site == "house-37"
    assert settings.locations[0].cafile == path.parent / "central-ca.pem"
    assert settings.tables["Reading"].key == ("time", "nodeId", "type", "locationId")


def test_the_example_explains_every_key_in_short_lines() -> None:
    for keys in documented_keys().values():
        for key in keys:
            assert re.search(rf"^;?{key.name} = .* ; {re.escape(key.about)}$", example(), re.MULTILINE)
    assert max(len(line) for line in example().splitlines()) <= 120


def test_a_default_is_what_the_example_shows(path: Path) -> None:
    bare = load(put(path, MINIMAL), {}).general
    assert load_example(path, example()).general == bare


def test_the_example_refuses_a_site_that_would_not_load() -> None:
    with pytest.raises(UsageError, match="site name"):
        example("house 37")
