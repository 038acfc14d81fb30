"""synchronise.conf: what is said of its faults, and where it is looked for."""

from __future__ import annotations

import configparser
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher import config
from pusher.config import (
    Secret,
    find_config,
    load,
)
from pusher.errors import ConfigError
from tests.configs import MINIMAL, faults, nobody, put, with_central, with_general


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "synchronise.conf"


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
        ("kind = dump", '"dump" is not a kind of job; there are push, files, export and import'),
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
