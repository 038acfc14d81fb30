"""The keys of a location with kind = export, and the settings that they make."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pusher.config_keys import KEYS, Fault, Key, Place, Secret, parse_flag, parse_path, parse_resturl, parse_seconds
from pusher.errors import UsageError

EXPORT_URL = "https://mindtrails.example.org/api/"
SELECTIONS = ("deleteable", "static", "all")
_OF_PUSH = {key.name: key for key in KEYS["location"]}
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LONGEST_SECONDS = 3600
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """`url` ends with a slash. `scales`: one of SELECTIONS, or names. `pool`: the data pool's folder. `sealed`:
    patterns of the fields to decrypt, with the private key `key`, a PEM or a key of `pusher key new`."""

    url: str
    user: str | None = None
    password: Secret | None = None
    scales: tuple[str, ...] = ("deleteable",)
    delete: bool = False
    pool: Path
    overlap_seconds: float = 86400.0
    timeout_seconds: float = 60.0
    key: Secret | None = None
    sealed: tuple[str, ...] = ("*RSA",)

    def is_sealed(self, field: str) -> bool:
        return any(fnmatchcase(field, pattern) for pattern in self.sealed)


def is_scale_name(name: str) -> bool:
    """Whether a scale can have this name: it becomes part of the names of files, and of addresses."""
    return bool(_PLAIN.fullmatch(name))


def _url(text: str, place: Place) -> str:
    url = parse_resturl(text, place)
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise Fault("answers and the password would travel in plain text; write https://")
    return url


def _user(text: str, place: Place) -> str:
    secret: Any = _OF_PUSH["sshpassword"].parse(text, Place(path=place.path, environ=place.environ, exposed=False))
    if ":" in secret.reveal():
        raise Fault("holds a colon, which HTTP Basic does not allow in a user name")
    return str(secret.reveal())


def _scales(text: str, _: Place) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise Fault("has no value; write deleteable, static, all, or names with commas between them")
    for name in names:
        if not is_scale_name(name):
            raise Fault(f'"{name}" is no name of a scale; use letters, digits and . _ -')
    if len(names) > 1 and (words := [name for name in names if name in SELECTIONS]):
        raise Fault(f"{words[0]} stands alone; remove the rest, or name all scales")
    return names


def _timeout(text: str, place: Place) -> float:
    seconds = parse_seconds(text, place)
    if not isinstance(seconds, float) or not 0 < seconds <= _LONGEST_SECONDS:
        raise Fault(f'"{text}" is no time to wait for an answer; write 1 minute, at most 1 hour')
    return seconds


def parse_scales(text: str) -> tuple[str, ...]:
    """As they stand in the configuration, given on the command line. Raises UsageError."""
    try:
        return _scales(text, Place(path=Path("command line"), environ={}, exposed=False))
    except Fault as fault:
        raise UsageError(f"SCALE: {fault}") from None


def _patterns(text: str, _: Place) -> tuple[str, ...]:
    patterns = tuple(pattern.strip() for pattern in text.split(",") if pattern.strip())
    if not patterns:
        raise Fault("has no value; write names or patterns of fields such as *RSA, or remove the line")
    return patterns


EXPORT_KEYS = (
    Key("kind", "here: export", lambda text, _: text, "export", "export"),
    Key("url", "address of the questionnaires' web server", _url, EXPORT_URL),
    Key("user", "account there with the ADMIN role", _user, "env:MT_USER"),
    Key("password", "secret: its password", _OF_PUSH["sshpassword"].parse, "env:MT_PASSWORD"),
    _OF_PUSH["cafile"],
    Key("scales", "deleteable | static | all | names", _scales, "deleteable", "deleteable"),
    Key("delete", "yes: delete there what is proven archived", parse_flag, "no", "no"),
    Key("path", "data pool; one folder a location inside", parse_path, "data", "data", field="pool"),
    Key(
        "overlap",
        "ask so far back for rows that came late",
        parse_seconds,
        "1 day",
        "1 day",
        field="overlap_seconds",
    ),
    Key("timeout", "wait so long for an answer", _timeout, "1 minute", "1 minute", field="timeout_seconds"),
    Key("key", "secret: private key; see `pusher key new`", _OF_PUSH["sshpassword"].parse, "file:keys/private.pem"),
    Key("sealed", "fields to decrypt", _patterns, "*RSA", "*RSA"),
)


def export_faults(given: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the keys taken together: the key, and the words."""
    if "password" in given and "user" not in given:
        yield "password", "password is that of an account, and there is none; add user"


def export_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Location`, from what its section gives."""
    if "url" not in values or "pool" not in values:
        return {}
    own = {name: value for name, value in values.items() if name not in ("kind", "cafile")}
    return {"kind": "export", "sshfolder": Path(), "cafile": values.get("cafile"), "export": ExportSettings(**own)}
