"""synchronise.conf: what it may hold, and the example that explains it."""

from __future__ import annotations

import re
import socket
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from pusher.config import (
    Secret,
    Settings,
    load,
    read_lastupdate,
    write_lastupdate,
)
from pusher.config_example import documented_keys, example
from pusher.errors import UsageError
from tests.configs import EXAMPLE, MARKERS, MINIMAL, faults, put, with_central, with_general


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "synchronise.conf"


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


# --- the example ----------------------------------------------------------------------------------------------------


def load_example(path: Path, text: str) -> Settings:
    environ = {"PUSHER_TOKEN": "swordfish", "SMTP_USER": "alerts", "SMTP_PASSWORD": "swordfish"}
    return load(put(path, text, 0o644), {**environ, "ALERT_WEBHOOK": "https://hooks.example.org/pusher"})


def test_the_example_is_what_init_writes() -> None:
    assert EXAMPLE.read_text("utf-8") == example()


def test_the_example_loads(path: Path) -> None:
    settings = load_example(path, example())
    assert settings.general.site == socket.gethostname()
    assert [(location.name, location.on) for location in settings.locations] == [
        ("central", True),
        ("lab", False),
        ("instrument", False),
        ("archive", False),
        ("mindtrails", False),
        ("registry", False),
    ]
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
