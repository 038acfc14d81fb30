"""Makes a configuration from the environment variables of oeleo, the tool that a site may have used before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from pusher.errors import UsageError

_HEAD = """\
; Made from the variables of oeleo. `pusher check` tells whether it works.

[general]
state = state

[locations]
{name} = 1

[{name}]
kind = files
{keys}
"""
_UNUSED = ("DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME", "LOG_DIR")


def read_env_file(path: Path) -> dict[str, str]:
    """The lines NAME=VALUE of a file; blanks, quotes around a value and comments are left out. Raises UsageError."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    pairs = (line.removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}


def section_from_environment(environ: Mapping[str, str], name: str) -> tuple[str, list[str]]:
    """The text of a configuration, and what the operator should know of it. A password never stands in it.

    Raises UsageError if the folders are missing.
    """
    given = {key.removeprefix("OELEO_"): value for key, value in environ.items() if key.startswith("OELEO_") and value}
    missing = [f"OELEO_{key}" for key in ("BASE_DIR_FROM", "BASE_DIR_TO") if key not in given]
    if missing:
        raise UsageError(f"{' and '.join(missing)} not set; set what oeleo runs with, or give --env-file")
    keys = {"from": given["BASE_DIR_FROM"], "to": _target(given)}
    if extension := given.get("FILTER_EXTENSION"):
        keys["include"] = f"*.{extension.lstrip('*').lstrip('.')}"
    keys |= _access(given)
    text = _HEAD.format(name=name, keys="\n".join(f"{key} = {value}" for key, value in keys.items()))
    return text, _notes(given)


def _target(given: Mapping[str, str]) -> str:
    folder = given["BASE_DIR_TO"]
    if host := given.get("EXTERNAL_HOST"):
        user = f"{quote(given['USERNAME'])}@" if "USERNAME" in given else ""
        path = folder if folder.startswith("/") else f"/~/{folder}"
        return f"sftp://{user}{host}{quote(path)}"
    if url := given.get("SHAREPOINT_URL"):
        host = urlsplit(url).hostname or url
        library = quote(given.get("SHAREPOINT_DOC_LIBRARY", "Documents"))
        site = quote(given.get("SHAREPOINT_SITENAME", ""))
        return f"sharepoint://{host}/sites/{site}/{library}/{quote(folder.strip('/'))}".rstrip("/")
    return folder


def _access(given: Mapping[str, str]) -> dict[str, str]:
    if "EXTERNAL_HOST" in given:
        key = given.get("KEY_FILENAME")
        access = {"sshfolder": str(Path(key).parent), "sshkey": Path(key).name} if key else {}
        return access | ({"sshpassword": "env:OELEO_PASSWORD"} if "PASSWORD" in given else {})
    if "SHAREPOINT_URL" in given:
        return {"tenant": "TENANT", "client_id": "CLIENT", "client_secret": "env:GRAPH_SECRET"}
    return {}


def _notes(given: Mapping[str, str]) -> list[str]:
    notes = [f"OELEO_{key} is not used: pusher keeps its ledger and logs in `state`" for key in _UNUSED if key in given]
    if "SHAREPOINT_URL" in given:
        notes.append("SharePoint lets applications in, not passwords: fill in tenant, client_id and client_secret")
    elif "PASSWORD" in given:
        notes.append("the password is read from the variable OELEO_PASSWORD at each run")
    return notes
