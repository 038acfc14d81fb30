"""[alerts]: what the section says, and what is wrong with it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pusher.config import AlertsSettings, Secret, load, load_alerts
from pusher.errors import ConfigError
from tests.configs import MINIMAL, put

_ENVIRON = {"SECRET": "swordfish", "HOOK": "https://hooks.example.org/s3cret?x=1", "ODD": "schlüssel"}
_MAIL = "mail_to = lab@example.org\nmail_from = pusher@example.org\nsmtp = mail.example.org\n"


def alerts(folder: Path, lines: str) -> AlertsSettings:
    path = put(folder / "synchronise.conf", f"{MINIMAL}[alerts]\n{lines}\n")
    found = load(path, _ENVIRON).alerts
    assert found and found == load_alerts(path, _ENVIRON).alerts
    return found


def test_without_the_section_nobody_is_told(tmp_path: Path) -> None:
    assert load(put(tmp_path / "synchronise.conf", MINIMAL), {}).alerts is None


def test_the_defaults(tmp_path: Path) -> None:
    assert alerts(tmp_path, _MAIL) == AlertsSettings(
        mail_to=("lab@example.org",), mail_from="pusher@example.org", smtp=("mail.example.org", 587)
    )


def test_every_key(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    found = alerts(
        tmp_path,
        "mail_to = a@example.org, b@example.org,a@example.org\nmail_from = p@example.org\nsmtp = [::1]:2525\n"
        "starttls = tls\nsmtp_user = pusher\nsmtp_password = env:SECRET\nwebhook = env:HOOK\ncafile = ca.pem\n"
        "min_interval = 30 minutes\nafter = 15 minutes\ndigest = 7:30\nquiet = 22:00 - 06:30\nsilent_after = 1 day\n"
        "unverified_after = 8 days",
    )
    assert found == AlertsSettings(
        mail_to=("a@example.org", "b@example.org"),
        mail_from="p@example.org",
        smtp=("::1", 2525),
        starttls="tls",
        smtp_user="pusher",
        smtp_password=Secret("swordfish"),
        webhook=Secret("https://hooks.example.org/s3cret?x=1"),
        cafile=tmp_path / "ca.pem",
        min_interval_seconds=1800.0,
        after_seconds=900.0,
        digest=dt.time(7, 30),
        quiet=(dt.time(22), dt.time(6, 30)),
        silent_after_seconds=86400.0,
        unverified_after_seconds=8 * 86400.0,
    )
    assert found.ways == ("mail", "webhook")
    assert "swordfish" not in repr(found) and "s3cret" not in repr(found)


@pytest.mark.parametrize(("starttls", "port"), [("yes", 587), ("tls", 465), ("no", 25)])
def test_the_usual_port_of_each_way_to_speak_tls(tmp_path: Path, starttls: str, port: int) -> None:
    assert alerts(tmp_path, f"{_MAIL}starttls = {starttls}").smtp == ("mail.example.org", port)


def test_a_webhook_alone_will_do(tmp_path: Path) -> None:
    found = alerts(tmp_path, "webhook = http://127.0.0.1:9/x\ndigest = off\nquiet = OFF\nsilent_after = off")
    assert (found.ways, found.smtp, found.digest, found.quiet) == (("webhook",), None, None, None)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("after = 1 hour", "nobody is told; add mail_to = lab@example.org, or webhook, or remove the section"),
        ("mail_to = a@b.org\nmail_from = a@b.org", "smtp is missing, and mail_to needs it; add smtp = mail"),
        ("mail_to = a@b.org\nsmtp = b.org", "mail_from is missing, and mail_to needs it; add mail_from = pusher@"),
        (f"{_MAIL}webhook =", "webhook: has no value; write env:NAME"),
        (f"{_MAIL}webhook = ftp://b.org/x", "webhook: is not an https address; write it like https://"),
        (f"{_MAIL}webhook = https://u:swordfish@b.org/x", "webhook: is not an https address"),
        (f"{_MAIL}webhook = http://b.org/x", "webhook: alerts would travel in plain text; write https://"),
        (f"{_MAIL}webhook = https://b.org/x?a#b", "webhook: holds blanks, a # or letters outside ASCII"),
        ("webhook = env:HOOK\nsmtp = b.org", "smtp is for mail, and there is none; add mail_to, or remove it"),
        (f"{_MAIL}smtp_user = x", "smtp_user and smtp_password go together; add the other"),
        (f"{_MAIL}smtp_password = env:SECRET", "smtp_user and smtp_password go together"),
        (f"{_MAIL}smtp_user = x y\nsmtp_password = env:SECRET", "smtp_user: holds blanks"),
        (f"{_MAIL}smtp_user = x\nsmtp_password = env:ODD", "smtp_password: holds letters outside ASCII"),
        (f"{_MAIL}smtp_user = x\nsmtp_password = env:NONE", "environment variable NONE is not set"),
        (f"{_MAIL}starttls = no\nsmtp_user = x\nsmtp_password = env:SECRET", "would travel in plain text; write yes"),
        (f"{_MAIL}starttls = on", 'starttls: "on" is not yes, no or tls'),
        (_MAIL.replace("mail.example.org", "mail:0"), "smtp: is not a host and a port; write it like"),
        (_MAIL.replace("mail.example.org", "mail:65536"), "smtp: is not a host and a port"),
        (_MAIL.replace("mail.example.org", "smtp://mail"), "smtp: is not a host and a port"),
        (_MAIL.replace("lab@example.org", "lab"), 'mail_to: "lab" is not a mail address'),
        (_MAIL.replace("lab@example.org", ","), "mail_to: has no value"),
        (_MAIL.replace("lab@example.org", ", ".join(f"a{n}@b.org" for n in range(21))), "more than 20 addresses"),
        (_MAIL.replace("pusher@example.org", "Pusher <p@b.org>"), "is not a mail address; write it like lab@"),
        (f"{_MAIL}min_interval = 5 seconds", '"5 seconds" is too often; write 1 minute or more'),
        (f"{_MAIL}after = soon", "is not a length of time"),
        (f"{_MAIL}after = 400 days", '"400 days" is too long; write a year or less'),
        (f"{_MAIL}digest = 24:00", '"24:00" is not a time of day; write 07:30, or off'),
        (f"{_MAIL}quiet = 22:00", '"22:00" is not a part of the day; write 22:00-06:00, or off'),
        (f"{_MAIL}quiet = 22:00-22:00", "is not a part of the day"),
        (f"{_MAIL}silent_after = 0", "is too often"),
        (f"{_MAIL}silent = 1 day", "unknown key"),
    ],
)
def test_each_fault_has_one_line(tmp_path: Path, lines: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        alerts(tmp_path, lines)
    (fault,) = caught.value.faults
    assert said in fault and "[alerts]" in fault and "swordfish" not in fault and "schl" not in fault


def test_a_location_cannot_be_called_alerts(tmp_path: Path) -> None:
    path = put(tmp_path / "synchronise.conf", "[locations]\nalerts = 1\n")
    with pytest.raises(ConfigError, match="a location cannot have this name"):
        load(path, {})


def test_alerts_alone_are_read_whatever_else_there_is(tmp_path: Path) -> None:
    path = put(tmp_path / "central.ini", f"[general]\nstate = /var/lib/central\n[alerts]\n{_MAIL}[lab]\nodd = 1\n")
    settings = load_alerts(path, _ENVIRON)
    assert settings.general.state == Path("/var/lib/central") and settings.alerts and settings.locations == ()
    put(path, "[alert]\n")
    with pytest.raises(ConfigError, match=r"no section \[alerts\]; add it"):
        load_alerts(path, _ENVIRON)
