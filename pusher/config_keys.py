"""The keys of synchronise.conf: one line each, with the function that turns its text into a setting."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from pusher.errors import ConfigError

# --- the values -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Secret:
    """A text that no log, traceback or repr may show; `reveal()` is the only way to it."""

    _text: str

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(****)"


class Fault(Exception):
    """What is wrong with a value and how to mend it, in words that never repeat a secret."""


class Missing(Fault):
    """The value points to what is not there: no fault in a location that is off, which need not be complete."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a value stands. `exposed`: others may read the file."""

    path: Path
    environ: Mapping[str, str]
    exposed: bool

    def refuse_exposed_secret(self) -> None:
        if self.exposed:
            command = f"chmod 600 {shlex.quote(str(self.path))}"
            raise Fault(f"a secret in a file that others may read; run {command} or write env:NAME or file:PATH")


Parse = Callable[[str, Place], object]


def guess(name: str, known: Iterable[str]) -> str:
    folded = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), folded, 1)
    return f'; did you mean "{folded[close[0]]}"?' if close else f"; possible: {', '.join(folded.values()) or 'none'}"


def _form(pattern: str, wanted: str, convert: Callable[[str], object] = str, *, shown: bool = True) -> Parse:
    """`shown`: False for a value that somebody may mistake for one with a password in it."""

    def parse(text: str, _: Place) -> object:
        if not re.fullmatch(pattern, text):
            raise Fault(f'"{text}" is not {wanted}' if shown else f"is not {wanted}")
        return convert(text)

    return parse


def parse_path(text: str, place: Place) -> Path:
    if not text:
        raise Fault("has no value; write a path, or remove the line")
    return Path(os.path.abspath(place.path)).parent / os.path.expanduser(text)


def _readable(text: str, place: Place) -> Path:
    path = parse_path(text, place)
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise Missing(f"cannot read the file {path}; correct the path or its permissions")
    return path


def _columns(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def parse_resturl(text: str, _: Place) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or re.search(r"[\s?#]", text):
        raise Fault("not an http or https address; write it like https://central.example.org/rest/")
    if "@" in parts.netloc:
        raise Fault("holds a user name or password; remove it and give the secret as token")
    return text.rstrip("/") + "/"


def _referenced(text: str, place: Place) -> str | None:
    """The secret that `env:NAME` or `file:PATH` points to; None if `text` is the secret itself."""
    scheme, _, target = text.partition(":")
    target = target.strip()
    if scheme not in ("env", "file"):
        return None
    try:
        value = place.environ.get(target, "") if scheme == "env" else parse_path(target, place).read_text("utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Missing(f"cannot read the file {parse_path(target, place)}: {reason}; put the secret there") from None
    if not value.strip():
        what = f"environment variable {target} is not set" if scheme == "env" else f"file {target} is empty"
        raise Missing(f"the {what}; put the secret there")
    return value.strip()


def secret_argument(text: str) -> str:
    """A secret given on the command line, where env:NAME and file:PATH (relative to here) mean what they always do.

    Raises ConfigError.
    """
    try:
        return _referenced(text, Place(path=Path("command line"), environ=os.environ, exposed=False)) or text
    except Fault as fault:
        raise ConfigError([str(fault)]) from None


def _secret(text: str, place: Place) -> Secret:
    value = _referenced(text, place)
    if value is None:
        place.refuse_exposed_secret()
    if not (value or text):
        raise Fault("has no value; write env:NAME or file:PATH, or remove the line")
    return Secret(value or text)


def _token(text: str, place: Place) -> Secret:
    value = _referenced(text, place)
    if value is None:
        place.refuse_exposed_secret()
        value = text
    if not re.fullmatch(r"[!-~]+", value):  # it travels in an HTTP header
        raise Fault("is empty, or holds blanks or letters outside ASCII; copy it again as central printed it")
    return Secret(value)


def _database(text: str, place: Place) -> Secret:
    from sqlalchemy.engine import make_url  # most commands have no need of it
    from sqlalchemy.exc import ArgumentError

    value = _referenced(text, place)
    try:
        url = make_url(value or text)
    except (ArgumentError, ValueError):  # `from None`: the original words may repeat the password
        raise Fault("not an SQLAlchemy URL; write it like sqlite:///site.db or mysql+pymysql://user@host/db") from None
    if value is None and (url.password is not None or any("passw" in option for option in url.query)):
        place.refuse_exposed_secret()
    name = url.database or ":memory:"
    if url.get_backend_name() == "sqlite" and name != ":memory:" and not name.startswith("file:"):
        return Secret(url.set(database=str(parse_path(name, place))).render_as_string(hide_password=False))
    return Secret(value or text)


def parse_seconds(text: str, _: Place) -> float:
    form = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([a-z]*)", text.lower())
    unit = form and next((seconds for words, seconds in _UNITS.items() if form[2] in words.split()), None)
    if not form or (unit is None and float(form[1])):
        raise Fault(f'"{text}" is not a length of time; write 5 seconds, 30 minutes, 1 hour, 2 days, 1 week or 0')
    return float(form[1]) * (unit or 0)


def parse_flag(text: str, _: Place) -> bool:
    if text.lower() not in ("yes", "no", "1", "0"):
        raise Fault(f'"{text}" is not yes or no')
    return text.lower() in ("yes", "1")


def _fraction(text: str, _: Place) -> float:
    form = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*(%?)", text)
    value = float(form[1]) / (100 if form[2] else 1) if form else 2.0
    if value > 1:
        raise Fault(f'"{text}" is not a part of the whole; write 10 %, 0.1, or 100 % for no limit')
    return value


def _port(text: str, _: Place) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 65535:
        raise Fault(f'"{text}" is not a port; write a number from 1 to 65535')
    return int(text)


def marker(text: str) -> str | None:
    """`lastupdate` as an operator may write it: a date, a date and time, or None; else a Fault."""
    if text.lower() in ("", "none"):
        return None
    form = re.fullmatch(r"(\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?)((?<=:\d\d:\d\d)\.\d{1,6})?", text, re.ASCII)
    try:
        datetime.fromisoformat(form[1] if form else "")  # is there such a day and time?
    except ValueError:
        raise Fault(f'"{text}" is not a date; write 2026-01-31, 2026-01-31 23:59:59 or None') from None
    return text


def _marker(text: str, _: Place) -> str | None:
    return marker(text)


# --- the keys -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """`sample`, `default`: texts as they would stand in the file; `field`: the setting's name if not the key's."""

    name: str
    about: str
    parse: Parse
    sample: str
    default: str | Callable[[], str] | None = None
    field: str = ""


_UNITS = {
    "s sec second seconds": 1,
    "min minute minutes": 60,
    "h hour hours": 3600,
    "d day days": 86400,
    "w week weeks": 604800,
}
SITE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_SITE = _form(SITE_NAME.pattern, "a site name; use 1 to 100 letters, digits and . _ -")
_ROWS = _form(r"[1-9][0-9]{0,5}|1000000", "a whole number from 1 to 1000000", int)
_MINUTES = _form(r"(?=.*[1-9])[0-9]{1,6}(\.[0-9]{1,6})?", "a number of minutes above 0, such as 10 or 0.5", float)
_HOST = _form(r"[^\s/@\[\]]+", "an SSH host; write its name alone, the rest as sshuser and sshport", shown=False)
_USER = _form(r"[^\s@:]+", "the name of a user", shown=False)
_FILE = _form(r".*[^/]", "the name of a file in sshfolder")
_KIND = _form("push", "a kind of job; there are push, files, export and import")
_ROLE = _form("entity|stream|ignore", "entity, stream or ignore")
_DIRECTION = _form("up|both", "up or both")
_DELETES = _form("report|propagate", "report or propagate")
RECONCILE = _form("off|daily|deep", "off, daily or deep")
_CAPTURE = _form("none|triggers", "none or triggers")
_COLUMN = _form(r"[^,]+", "the name of one column")
_COLUMNS = _form(r"\s*[^\s,][^,]*(,\s*[^\s,][^,]*)*", "a list of columns with commas between them", _columns)
_SQLITE, _REST, _PRIMARY = "sqlite:///site.db", "https://central.example.org/rest/", "time, nodeId, type, locationId"
_MARIADB = "mysql+pymysql://pusher@127.0.0.1/ch"

# The databases that can be reached through an SSH host, and where they listen if the URL does not say.
SERVER_PORTS = {"mysql": 3306, "mariadb": 3306, "postgresql": 5432}

REST_KEYS = ("resturl", "token", "cafile")
SSH_KEYS = ("sshuser", "sshfolder", "sshkey", "sshport", "sshpassword")

# For a new key: one line here, and its field in the dataclass of its section.
KEYS: dict[str, tuple[Key, ...]] = {
    "general": (
        Key("site", "name of this site at central; default: the host name", _SITE, "house-37", socket.gethostname),
        Key("localurl", "database of this site, as an SQLAlchemy URL", _database, _SQLITE, _SQLITE),
        Key("pushlimit", "rows in one batch", _ROWS, "20000", "20000"),
        Key("synctime", "minutes between cycles", _MINUTES, "10", "10", field="synctime_minutes"),
        Key("state", "folder of ledger and lock; relative to this file", parse_path, "state", "state"),
    ),
    "location": (
        Key("kind", "what to do there; push is the default", _KIND, "push", "push"),
        Key("resturl", "address of central's REST interface", parse_resturl, _REST),
        Key("token", "secret from central's `pusher token new`", _token, "env:PUSHER_TOKEN"),
        Key("cafile", "certificates to trust instead of the system's", _readable, "central-ca.pem"),
        Key("url", "SSH host to go through, or its alias in sshfolder's config", _HOST, "lab.example.org"),
        Key("sshuser", "user there; default: as `ssh` has it", _USER, "dang"),
        Key("sshfolder", "folder of known_hosts, config and keys", parse_path, "~/.ssh", "~/.ssh"),
        Key("sshkey", "key file in sshfolder; default: as `ssh` has it", _FILE, "id_ed25519"),
        Key("sshport", "port there; default: as `ssh` has it", _port, "22"),
        Key("sshpassword", "secret: passphrase of the key, or password there", _secret, "env:SSH_PASSWORD"),
        Key("dbstring", "central's database, instead of resturl", _database, _MARIADB),
        Key("reconcile", "off | daily | deep: compare each night and repair", RECONCILE, "daily", "off"),
        Key("lastupdate", "delete it, or None, to send everything again", _marker, "None"),
    ),
    "table NAME": (
        Key("role", "entity | stream | ignore", _ROLE, "stream"),
        Key("cursor", "column that grows with every new row", _COLUMN, "time"),
        Key("key", "columns that tell rows apart on both sides; or origin", _COLUMNS, _PRIMARY),
        Key(
            "settle",
            "how long a new row is left alone, lest an older one follow",
            parse_seconds,
            "5 seconds",
            field="settle_seconds",
        ),
        Key(
            "lookback",
            "how far back each cycle looks for late and changed rows",
            parse_seconds,
            "1 hour",
            field="lookback_seconds",
        ),
        Key("direction", "up, or both: rows of central come down too", _DIRECTION, "up"),
        Key("agree", "columns that must be equal on both sides", _COLUMNS, "type"),
        Key("deletes", "report, or propagate: `verify --repair` deletes at central, too", _DELETES, "propagate"),
        Key("max_delete_fraction", "of central's rows, at once, without --force", _fraction, "10 %"),
        Key("capture", "none | triggers: `pusher capture` notes each change", _CAPTURE, "triggers"),
    ),
}


def way_faults(given: Collection[str], dbstring: Secret | None) -> Iterator[tuple[str, str]]:
    """What is wrong with the keys of a location taken together: the key, or "" if one is missing, and the words."""
    if "resturl" in given and "dbstring" in given:
        yield "dbstring", "dbstring and resturl are two ways to central; keep one of them"
    if "resturl" not in given and "dbstring" not in given:
        yield "", f"there is no way to central; add resturl = {_REST}, or dbstring"
    if "url" not in given:
        for key in SSH_KEYS:
            if key in given:
                yield key, f"{key} is for an SSH host, and there is none; add url, or remove it"
    elif dbstring:
        from sqlalchemy.engine import make_url

        url = make_url(dbstring.reveal())
        if url.get_backend_name() not in SERVER_PORTS or {"unix_socket", "host"} & url.query.keys():
            yield "dbstring", "dbstring: through an SSH host goes MariaDB, MySQL or PostgreSQL on a port, nothing else"
