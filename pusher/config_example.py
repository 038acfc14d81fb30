"""The commented file that `pusher init` writes, made from the keys themselves."""

from __future__ import annotations

from collections.abc import Collection

from pusher.config import KEYS_BY_SECTION, SYSTEM_CONFIG
from pusher.config_alerts import ALERTS_KEYS
from pusher.config_files import FILES_KEYS, GRAPH_KEYS
from pusher.config_keys import KEYS, REST_KEYS, SSH_KEYS, Fault, Key, Place
from pusher.config_logging import LOGGING_KEYS
from pusher.errors import UsageError

_FILES_OFF = (
    *("sshfolder", "sshpassword", "exclude", "startswith", "contains", "not_before", "not_after"),
    *("rename", "watch", "reconcile"),
)
_EXPORT_OFF = ("cafile", "overlap", "timeout", "key", "sealed")
_IMPORT_OFF = ("target", "map", "null", "settle", "watch")
_ARCHIVE = ("kind", "from", "to", *GRAPH_KEYS)
_SHAREPOINT = "sharepoint://example.sharepoint.com/sites/lab/Files/raw"
_EXAMPLE = """\
; What this site sends, and where to. `pusher check` tells whether it works.
;
; What follows ; or # after a blank is a comment. Write a secret as env:NAME (an environment variable) or as
; file:PATH (relative to this file). Written out here, it is taken only if nobody else may read: chmod 600 FILE.
; A line that begins with ; is switched off: remove the ; to use it.

[general]
{general}

[locations]                                     ; each has a section of its name below; 1 = on, 0 = off
central = 1
lab = 0
instrument = 0
archive = 0
mindtrails = 0
registry = 0

[central]
{central}

; The same through an SSH host, right into central's database; `resturl` can go through one, too.
[lab]
{lab}

; Files that an instrument writes.
[instrument]
{instrument}

; The same to SharePoint; central's resturl or a folder do as well.
[archive]
{archive}

; Questionnaires off a public web server, archived here.
[mindtrails]
{export}

; Clerks' CSV files, row by row into a database.
[registry]
{imports}

; Who is told what is wrong, and when.
;[alerts]
{alerts}

; Log files, by level, anew each day.
;[logging]
{logging}

; A section like this for each table that `pusher plan` shows wrong, and only for those.
;[table Reading]
{table}
"""


def documented_keys() -> dict[str, tuple[Key, ...]]:
    """Every key by the kind of its section; those of [locations] are the operator's own words."""
    return dict(KEYS_BY_SECTION)


def example(site: str | None = None) -> str:
    """The commented file that `pusher init` writes; without `site` the host name is the site's name."""
    site_key = KEYS["general"][0]
    try:
        site_key.parse(site or site_key.sample, Place(path=SYSTEM_CONFIG, environ={}, exposed=True))
    except Fault as fault:
        raise UsageError(f"site: {fault}") from None
    return _EXAMPLE.format(
        general=_sample("general", off=() if site else ("site",), site=site or site_key.sample),
        central=_sample("location", off=("cafile", "reconcile"), leave_out=("url", *SSH_KEYS, "dbstring")),
        lab=_sample(
            "location", off=("sshfolder", "sshport", "sshpassword", "reconcile"), leave_out=("kind", *REST_KEYS)
        ),
        instrument=_sample("files", off=_FILES_OFF, leave_out=(*GRAPH_KEYS, "token", "cafile")),
        archive=_sample(
            "files", off=(), leave_out=[key.name for key in FILES_KEYS if key.name not in _ARCHIVE], to=_SHAREPOINT
        ),
        export=_sample("export", off=_EXPORT_OFF),
        imports=_sample("import", off=_IMPORT_OFF),
        alerts=_sample("alerts", off=[key.name for key in ALERTS_KEYS]),
        logging=_sample("logging", off=[key.name for key in LOGGING_KEYS]),
        table=_sample("table NAME", off=[key.name for key in KEYS["table NAME"]]),
    )


def _sample(kind: str, off: Collection[str], leave_out: Collection[str] = (), **values: str) -> str:
    lines = []
    for key in (key for key in KEYS_BY_SECTION[kind] if key.name not in leave_out):
        text = f"{';' if key.name in off else ''}{key.name} = {values.get(key.name, key.sample)}"
        lines.append(f"{text:<47} ; {key.about}")
    return "\n".join(lines)
