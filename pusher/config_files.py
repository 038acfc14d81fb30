"""The keys of a location with kind = files, and the settings that they make."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pusher.config_keys import (
    KEYS,
    RECONCILE,
    Fault,
    Key,
    Missing,
    Place,
    Secret,
    marker,
    parse_flag,
    parse_path,
    parse_resturl,
    parse_seconds,
)
from pusher.paths.choice import Choice
from pusher.paths.renaming import Renaming, parse_renaming

_TO = "sftp://pusher@store.example.org/srv/data"
_BY_SSH = ("sshfolder", "sshkey", "sshpassword")
_BY_REST = ("token", "cafile")
GRAPH_KEYS = ("tenant", "client_id", "client_secret")


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where files go. `path`: a folder there; of SharePoint library/folder. `host`: of SharePoint with the site."""

    kind: Literal["folder", "sftp", "rest", "sharepoint"]
    text: str
    path: str = ""
    host: str | None = None
    user: str | None = None
    port: int | None = None


@dataclass(frozen=True, kw_only=True)
class FilesSettings:
    """`source`: the folder that an instrument writes to. `renaming`: None keeps each file's path."""

    source: Path
    to: Target
    choice: Choice
    renaming: Renaming | None
    settle_seconds: float
    on_change: Literal["copy", "keep-both", "never"]
    watch: bool
    tenant: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = None


def _target(text: str, place: Place) -> Target:
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if not scheme:
        return Target(kind="folder", text=text, path=str(parse_path(text, place)))
    if scheme in ("http", "https"):
        return Target(kind="rest", text=parse_resturl(text, place))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Fault(f"not an address; write it like {_TO}") from None
    if parts.password is not None:
        raise Fault("holds a password; remove it and give it as sshpassword")
    if scheme == "sftp" and parts.hostname and parts.path.strip("/"):
        path = unquote(parts.path)
        path = path[1:] if path.startswith("/~/") else path
        return Target(
            kind="sftp",
            text=text,
            path=path,
            host=parts.hostname,
            user=parts.username and unquote(parts.username),
            port=port,
        )
    if scheme == "sharepoint" and parts.hostname and parts.path.strip("/"):
        return Target(kind="sharepoint", text=text, host=parts.hostname, path=unquote(parts.path).strip("/"))
    raise Fault(f"not a folder, nor an sftp, https or sharepoint address with a folder; write it like {_TO}")


def _words(text: str, _: Place) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise Fault("has no value; write one or more with commas between them, or remove the line")
    return words


def _moment(text: str, _: Place) -> dt.datetime:
    found = marker(text)
    if found is None:
        raise Fault(f'"{text}" is not a date; write 2026-01-31 or 2026-01-31 23:59:59')
    return dt.datetime.fromisoformat(found)


def _renaming(text: str, _: Place) -> Renaming:
    try:
        return parse_renaming(text)
    except ValueError as error:
        raise Fault(str(error)) from None


def _one_of(*words: str) -> Any:
    def parse(text: str, _: Place) -> str:
        if text not in words:
            raise Fault(f'"{text}" is not {", ".join(words[:-1])} or {words[-1]}')
        return text

    return parse


def _text(text: str, _: Place) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise Fault("is empty, or holds blanks; copy it again")
    return text


def _watch(text: str, place: Place) -> bool:
    wanted = parse_flag(text, place)
    if wanted and find_spec("watchfiles") is None:
        raise Missing("needs the package watchfiles, which is not installed; install pusher[watch], or write no")
    return wanted


_OF_PUSH = {key.name: key for key in KEYS["location"]}

FILES_KEYS = (
    Key("kind", "here: files", _one_of("files"), "files", "files"),
    Key("from", "folder that the instrument writes to", parse_path, "/data/raw", field="source"),
    Key("to", "sftp://, a folder, central's resturl, or sharepoint://", _target, _TO),
    *(_OF_PUSH[name] for name in (*_BY_SSH, *_BY_REST)),
    Key("tenant", "of SharePoint: the directory's id", _text, "contoso.onmicrosoft.com"),
    Key("client_id", "of SharePoint: the application's id", _text, "00000000-0000-0000-0000-000000000000"),
    Key("client_secret", "of SharePoint: the application's secret", _OF_PUSH["sshpassword"].parse, "env:GRAPH_SECRET"),
    Key("include", "names or paths to take, of any of these forms", _words, "*.res, *.csv", "*"),
    Key("exclude", "and of these not to", _words, "*.tmp"),
    Key("startswith", "take only names that begin so", _words, "cell_"),
    Key("contains", "take only names with this in them", _words, "_run"),
    Key("not_before", "take only files changed since", _moment, "2026-01-01"),
    Key("not_after", "take only files changed until", _moment, "2026-12-31"),
    Key("subdirs", "yes, or no: the folder itself alone", parse_flag, "yes", "yes"),
    Key(
        "settle",
        "leave a file alone until unchanged so long",
        parse_seconds,
        "30 seconds",
        "30 seconds",
        "settle_seconds",
    ),
    Key("on_change", "copy | keep-both | never", _one_of("copy", "keep-both", "never"), "copy", "copy"),
    Key("rename", "new name; default: the path as it is", _renaming, "{stem}_{mtime:%Y%m%d}{suffix}", field="renaming"),
    Key("watch", "yes: react to each new file at once", _watch, "yes", "no"),
    Key("reconcile", "off | daily | deep: compare each night", RECONCILE, "daily", "daily"),
)


def location_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Location`, from what its section gives."""
    choice: dict[str, Any] = {
        name: values[name] for name in ("include", "exclude", "startswith", "contains") if name in values
    }
    own: dict[str, Any] = {
        name: values.get(name)
        for name in (*GRAPH_KEYS, "settle_seconds", "on_change", "watch", "renaming", "source", "to")
    }
    moments: dict[str, Any] = {name: values.get(name) for name in ("not_before", "not_after")}
    to: Target = values["to"]
    by_ssh: dict[str, Any] = {"url": to.host, "sshuser": to.user, "sshport": to.port} if to.kind == "sftp" else {}
    common = ("kind", "reconcile", *_BY_SSH, *_BY_REST)
    return {
        **{name: values[name] for name in common if name in values},
        **by_ssh,
        "resturl": to.text if to.kind == "rest" else None,
        "files": FilesSettings(choice=Choice(**choice, **moments, subdirs=values.get("subdirs", True)), **own),
    }


def files_faults(given: Mapping[str, object], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the keys taken together: the key, or "" if one is missing, and the words."""
    for key, sample in (("from", "/data/raw"), ("to", _TO)):
        if key not in given:
            yield "", f"{key} is missing; add {key} = {sample}"
    to = values.get("to")
    if not isinstance(to, Target):
        return
    wanted = {"sftp": _BY_SSH, "rest": _BY_REST, "sharepoint": GRAPH_KEYS}.get(to.kind, ())
    for key in (*_BY_SSH, *_BY_REST, *GRAPH_KEYS):
        if key in given and key not in wanted:
            yield key, f"{key} has no meaning with to = {to.text}; remove it"
    if to.kind == "sharepoint":
        for key in GRAPH_KEYS:
            if key not in given:
                yield "", f"{key} is missing, with which SharePoint lets us in; see docs/sharepoint.md"
    source = values.get("source")
    if to.kind == "folder" and source and _overlap(source, Path(to.path)):
        yield "to", "to and from lie one in the other; choose folders apart"


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents
