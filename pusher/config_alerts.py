"""The keys of [alerts], and the settings that they make."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pusher.config_keys import KEYS, Fault, Key, Place, Secret, parse_resturl, parse_seconds

_OF_PUSH = {key.name: key for key in KEYS["location"]}
_LOCAL = ("localhost", "127.0.0.1", "::1")
_PORTS = {"yes": 587, "tls": 465, "no": 25}
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s/@:\[\]]+)(?::([0-9]{1,5}))?")
_RECIPIENTS = 20
_SHORTEST_SECONDS = 60
_LONGEST_SECONDS = 366 * 86400

Window = tuple[dt.time, dt.time]


@dataclass(frozen=True, kw_only=True)
class AlertsSettings:
    """Whom to tell what is wrong, and when. `smtp`: host and port. `quiet`: from when until when messages wait, in
    local time; it may go over midnight. None where something is off."""

    mail_to: tuple[str, ...] = ()
    mail_from: str = ""
    smtp: tuple[str, int] | None = None
    starttls: Literal["yes", "no", "tls"] = "yes"
    smtp_user: str | None = None
    smtp_password: Secret | None = None
    webhook: Secret | None = None  # an address that often is a secret by itself
    cafile: Path | None = None
    min_interval_seconds: float = 3600.0
    after_seconds: float = 0.0
    digest: dt.time | None = None
    quiet: Window | None = None
    silent_after_seconds: float | None = None
    unverified_after_seconds: float | None = None

    @property
    def ways(self) -> tuple[str, ...]:
        return (("mail",) if self.mail_to else ()) + (("webhook",) if self.webhook else ())


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise Fault(f'"{text}" is not a mail address; write it like lab@example.org')
    return text


def _addresses(text: str, _: Place) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(_address(each.strip()) for each in text.split(",") if each.strip()))
    if not found:
        raise Fault("has no value; write one or more mail addresses with commas between them, or remove the line")
    if len(found) > _RECIPIENTS:
        raise Fault(f"names more than {_RECIPIENTS} addresses; write to a mailing list")
    return found


def _server(text: str, _: Place) -> tuple[str, int]:
    form = _HOST_PORT.fullmatch(text)
    port = int(form[2] or 0) if form else 0
    if not form or port > 65535 or (form[2] and not port):
        raise Fault("is not a host and a port; write it like mail.example.org:587")
    return form[1].strip("[]"), port


def _starttls(text: str, _: Place) -> str:
    if text not in _PORTS:
        raise Fault(f'"{text}" is not yes, no or tls')
    return text


def _user(text: str, place: Place) -> str:
    secret: Any = _OF_PUSH["sshpassword"].parse(text, Place(path=place.path, environ=place.environ, exposed=False))
    if not re.fullmatch(r"[!-~]+", secret.reveal()):
        raise Fault("holds blanks or letters outside ASCII; copy it again")
    return str(secret.reveal())


def _password(text: str, place: Place) -> Secret:
    secret: Any = _OF_PUSH["sshpassword"].parse(text, place)
    if not secret.reveal().isascii():
        raise Fault("holds letters outside ASCII, which a login by SMTP does not allow; choose another password")
    return Secret(secret.reveal())


def _webhook(text: str, place: Place) -> Secret:
    secret: Any = _OF_PUSH["sshpassword"].parse(text, place)
    try:
        parse_resturl(secret.reveal().partition("?")[0], place)
    except Fault:
        raise Fault("is not an https address; write it like https://hooks.example.org/pusher") from None
    parts = urlsplit(secret.reveal())
    if not re.fullmatch(r"[!-~]+", secret.reveal()) or "#" in secret.reveal():
        raise Fault("holds blanks, a # or letters outside ASCII; copy it again")
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise Fault("alerts would travel in plain text; write https://")
    return Secret(secret.reveal())


def _interval(text: str, place: Place) -> float:
    seconds = _seconds(text, place)
    if seconds < _SHORTEST_SECONDS:
        raise Fault(f'"{text}" is too often; write 1 minute or more, such as 1 hour')
    return seconds


def _seconds(text: str, place: Place) -> float:
    seconds = parse_seconds(text, place)
    if seconds > _LONGEST_SECONDS:
        raise Fault(f'"{text}" is too long; write a year or less')
    return seconds


def _limit(text: str, place: Place) -> float | None:
    return None if text.lower() == "off" else _interval(text, place)


def _moment(text: str) -> dt.time:
    if not re.fullmatch(r"([01]?[0-9]|2[0-3]):[0-5][0-9]", text):
        raise Fault(f'"{text}" is not a time of day; write 07:30, or off')
    return dt.time(int(text.partition(":")[0]), int(text.partition(":")[2]))


def _time_of_day(text: str, _: Place) -> dt.time | None:
    return None if text.lower() == "off" else _moment(text)


def _window(text: str, _: Place) -> Window | None:
    if text.lower() == "off":
        return None
    begin, dash, end = (part.strip() for part in text.partition("-"))
    if not dash or _moment(begin) == _moment(end):
        raise Fault(f'"{text}" is not a part of the day; write 22:00-06:00, or off')
    return _moment(begin), _moment(end)


ALERTS_KEYS = (
    Key("mail_to", "whom to write to, with commas between", _addresses, "lab@example.org"),
    Key("mail_from", "from which address", lambda text, _: _address(text), "pusher@example.org"),
    Key("smtp", "mail server", _server, "mail.example.org:587"),
    Key("starttls", "yes | no | tls (from the first byte)", _starttls, "yes", "yes"),
    Key("smtp_user", "account there; none: no login", _user, "env:SMTP_USER"),
    Key("smtp_password", "secret: its password", _password, "env:SMTP_PASSWORD"),
    Key("webhook", "secret: address that takes JSON", _webhook, "env:ALERT_WEBHOOK"),
    _OF_PUSH["cafile"],
    Key(
        "min_interval",
        "one message a cause in so long",
        _interval,
        "1 hour",
        "1 hour",
        field="min_interval_seconds",
    ),
    Key("after", "tell of a side that is away for so long", _seconds, "15 minutes", "0", field="after_seconds"),
    Key("digest", "time of the daily summary, or off", _time_of_day, "07:30", "off"),
    Key("quiet", "messages wait until its end, or off", _window, "22:00-06:00", "off"),
    Key(
        "silent_after",
        "tell if no run succeeds for so long, or off",
        _limit,
        "1 day",
        "off",
        field="silent_after_seconds",
    ),
    Key(
        "unverified_after",
        "tell if not verified for so long, or off",
        _limit,
        "8 days",
        "off",
        field="unverified_after_seconds",
    ),
)


def alerts_faults(given: Collection[str], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the keys taken together: the key, or "" if one is missing, and the words."""
    if "mail_to" not in given and "webhook" not in given:
        yield "", "nobody is told; add mail_to = lab@example.org, or webhook, or remove the section"
    if "mail_to" in given:
        for key, sample in (("mail_from", "pusher@example.org"), ("smtp", "mail.example.org:587")):
            if key not in given:
                yield "", f"{key} is missing, and mail_to needs it; add {key} = {sample}"
    for key in ("mail_from", "smtp", "starttls", "smtp_user", "smtp_password"):
        if key in given and "mail_to" not in given:
            yield key, f"{key} is for mail, and there is none; add mail_to, or remove it"
    if ("smtp_user" in given) != ("smtp_password" in given):
        key = "smtp_user" if "smtp_user" in given else "smtp_password"
        yield key, "smtp_user and smtp_password go together; add the other, or remove it"
    server = values.get("smtp")
    if values.get("starttls") == "no" and "smtp_password" in given and server and server[0] not in _LOCAL:
        yield "starttls", "starttls = no: the password would travel in plain text; write yes or tls"


def alerts_of(values: Mapping[str, Any]) -> AlertsSettings | None:
    """From what the section gives; None if something that it needs is at fault."""
    if "starttls" not in values or ("mail_to" in values and not {"mail_from", "smtp"} <= values.keys()):
        return None
    host, port = values.get("smtp") or ("", 0)
    own = {name: value for name, value in values.items() if name != "smtp"}
    return AlertsSettings(**own, smtp=(host, port or _PORTS[values["starttls"]]) if host else None)
