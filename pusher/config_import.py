"""The keys of a location with kind = import, and the settings that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pusher.config_keys import KEYS, Fault, Key, Place, Secret, parse_flag, parse_path, parse_seconds
from pusher.errors import UsageError

MODES = ("create", "update", "remove", "upsert")
IMPORT_STORAGE, IMPORT_PROCESSOR = "datacenter", "House"
_OF_GENERAL = {key.name: key for key in KEYS["general"]}
_MAP = "Street:address, Deployment:Deployment.name"
_LONGEST_NULL = 100
NULL = "XXX"  # unless the configuration says otherwise

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """`target`: an SQLAlchemy URL, None for the site's own database. `mode`: one of MODES. `map`: the header of a CSV
    file and the field that it gives, pair by pair. `null`: the cell that stands for NULL."""

    storage: Path
    target: Secret | None = None
    processor: str
    mode: str = MODES[0]
    map: Pairs = ()
    null: str = NULL
    settle_seconds: float = 5.0
    watch: bool = False


def _processor(text: str, _: Place) -> str:
    if not text:
        raise Fault(f"has no value; write the name of a table, such as {IMPORT_PROCESSOR}, or of a processor")
    return text


def _mode(text: str, _: Place) -> str:
    if text not in MODES:
        raise Fault(f'"{text}" is no mode; there are create, update, remove and upsert')
    return text


def _map(text: str, _: Place) -> Pairs:
    pairs = []
    for part in text.split(","):
        header, colon, field = (each.strip() for each in part.rpartition(":"))
        if not (header and colon and field):
            raise Fault(f'"{part.strip()}" is no pair; write HEADER:FIELD, such as {_MAP}')
        pairs.append((header, field))
    for header, _field in pairs:
        if sum(header == each for each, _ in pairs) > 1:
            raise Fault(f'"{header}" is mapped twice; keep one')
    return tuple(pairs)


def _null(text: str, _: Place) -> str:
    if not text.strip("\\") or len(text) > _LONGEST_NULL:
        raise Fault(f"is empty, nothing but \\, or longer than {_LONGEST_NULL} letters; write something like {NULL}")
    return text


def parse_map(text: str) -> Pairs:
    """As it stands in the configuration, given on the command line. Raises UsageError."""
    try:
        return _map(text, Place(path=Path("command line"), environ={}, exposed=False))
    except Fault as fault:
        raise UsageError(f"--map: {fault}") from None


IMPORT_KEYS = (
    Key("kind", "here: import", lambda text, _: text, "import", "import"),
    Key("storage", "data center: CSV files are dropped here", parse_path, IMPORT_STORAGE),
    Key("target", "database to change; default: localurl", _OF_GENERAL["localurl"].parse, "sqlite:///site.db"),
    Key("processor", "a table of the target, or a Python entry point", _processor, IMPORT_PROCESSOR),
    Key("mode", "create | update | remove | upsert", _mode, MODES[0], MODES[0]),
    Key("map", "CSV header:column; a parent by its natural key", _map, _MAP),
    Key("null", "the cell that stands for NULL; empty: left alone", _null, NULL, NULL),
    Key(
        "settle",
        "how long a file must have been still",
        parse_seconds,
        "5 seconds",
        "5 seconds",
        field="settle_seconds",
    ),
    Key("watch", "yes: the daemon takes a file as soon as it is there", parse_flag, "no", "no"),
)


def import_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Location`, from what its section gives."""
    if not {"storage", "processor"} <= values.keys():
        return {}
    own = {name: value for name, value in values.items() if name != "kind"}
    return {"kind": "import", "sshfolder": Path(), "imports": ImportSettings(**own)}
