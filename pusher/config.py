"""synchronise.conf ⇄ frozen settings: the one place that reads the file, and that rewrites `lastupdate` in it."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pusher.config_alerts import ALERTS_KEYS, AlertsSettings, alerts_faults, alerts_of
from pusher.config_export import EXPORT_KEYS, EXPORT_URL, ExportSettings, export_faults, export_of, is_scale_name
from pusher.config_files import FILES_KEYS, FilesSettings, files_faults, location_of
from pusher.config_import import IMPORT_KEYS, IMPORT_PROCESSOR, IMPORT_STORAGE, ImportSettings, import_of
from pusher.config_keys import (
    KEYS,
    Fault,
    Key,
    Missing,
    Place,
    Secret,
    guess,
    marker,
    way_faults,
)
from pusher.config_logging import LOGGING_KEYS, LoggingSettings, logging_of
from pusher.errors import ConfigError, UsageError
from pusher.inifile import Line, find_entry, read_text, replace_file, scan, with_value

__all__ = [
    "AlertsSettings", "ExportSettings", "FilesSettings", "General", "ImportSettings", "Key", "Location",
    "LoggingSettings", "Secret", "Settings", "TableSettings", "find_config", "load", "load_alerts", "read_lastupdate",
    "with_scales", "write_lastupdate",
]  # fmt: skip

# --- the settings ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class General:
    site: str
    localurl: Secret  # an SQLAlchemy URL, which may hold a password
    pushlimit: int
    synctime_minutes: float
    state: Path


@dataclass(frozen=True, kw_only=True)
class Location:
    """Central is at `resturl` or at `dbstring`, as the SSH host `url` sees it if there is one. With kind = files,
    `files` says where files go, and `resturl` or `url` how to get there; with kind = export or import, `export` or
    `imports` says it all.

    `lastupdate` is the text as it stands in the file, None if it is missing, empty or the word None.
    """

    name: str
    on: bool
    kind: str
    resturl: str | None = None
    token: Secret | None = None
    cafile: Path | None = None
    url: str | None = None
    sshuser: str | None = None
    sshfolder: Path
    sshkey: str | None = None
    sshport: int | None = None
    sshpassword: Secret | None = None
    dbstring: Secret | None = None  # an SQLAlchemy URL, which may hold a password
    reconcile: Literal["off", "daily", "deep"] = "off"
    lastupdate: str | None = None
    files: FilesSettings | None = None
    export: ExportSettings | None = None
    imports: ImportSettings | None = None

    @property
    def private_key(self) -> Path | None:
        """The file of `sshkey`, which may also name the public key beside it."""
        return self.sshfolder / self.sshkey.removesuffix(".pub") if self.sshkey else None


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """What the operator says of one table; None where reflection decides. `key = origin` reads ("origin",)."""

    name: str
    role: Literal["entity", "stream", "ignore"] | None = None
    cursor: str | None = None
    key: tuple[str, ...] | None = None
    settle_seconds: float | None = None
    lookback_seconds: float | None = None
    direction: Literal["up", "both"] | None = None
    agree: tuple[str, ...] | None = None
    deletes: Literal["report", "propagate"] | None = None
    max_delete_fraction: float | None = None
    capture: Literal["none", "triggers"] | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    path: Path
    general: General
    locations: tuple[Location, ...]
    tables: dict[str, TableSettings]
    alerts: AlertsSettings | None = None
    logging: LoggingSettings | None = None

    def location(self, name: str) -> Location:
        for location in self.locations:
            if location.name == name:
                return location
        raise UsageError(f'{self.path} has no location "{name}"{guess(name, [each.name for each in self.locations])}')


# --- reading --------------------------------------------------------------------------------------------------------

SYSTEM_CONFIG = Path("/etc/pusher/synchronise.conf")

KEYS_BY_SECTION = {
    **KEYS,
    **{"files": FILES_KEYS, "export": EXPORT_KEYS, "import": IMPORT_KEYS},
    **{"alerts": ALERTS_KEYS, "logging": LOGGING_KEYS},
}
_RESERVED = ("general", "locations", "alerts", "logging")
_FLAGS = dict.fromkeys(("1", "yes", "on", "true"), True) | dict.fromkeys(("0", "no", "off", "false"), False)


@dataclass(frozen=True, kw_only=True)
class _Section:
    name: str
    number: int = 0
    entries: dict[str, Line] = field(default_factory=dict)


def _is_table(section: str) -> bool:
    return section.startswith("table ")


class _Reader:
    """One reading of the file, which goes on after a fault so that the operator mends all of them in one go."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        text, state = read_text(path)
        exposed = bool(state.st_mode & (stat.S_IRGRP | stat.S_IROTH))
        self._place = Place(path=path, environ=environ, exposed=exposed)
        self._faults: list[tuple[int, str]] = []
        self._sections: dict[str, _Section] = {}
        for line in scan(text):
            self._take(line)

    def settings(self) -> Settings:
        general, alerts = self._general(), self._alerts()
        locations = self._locations()
        self._refuse_shared_storage(locations)
        logging = self._logging([pool for each in locations if each.get("on") for pool in _pools(each)])
        tables = [self._table(section) for name, section in self._sections.items() if _is_table(name)]
        self._refuse_unknown_sections()
        self._raise_faults()
        return Settings(
            path=Path(os.path.abspath(self._place.path)),
            general=General(**general),
            locations=tuple(Location(**values) for values in locations),
            tables={values["name"]: TableSettings(**values) for values in tables},
            alerts=alerts,
            logging=logging,
        )

    def alerts(self) -> Settings:
        """[general] and [alerts]; what else there is does not matter."""
        general, alerts = self._general(), self._alerts()
        if "alerts" not in self._sections:
            self._fault(0, None, "no section [alerts]; add it, with mail_to or webhook")
        self._raise_faults()
        path = Path(os.path.abspath(self._place.path))
        return Settings(path=path, general=General(**general), locations=(), tables={}, alerts=alerts)

    def _raise_faults(self) -> None:
        if self._faults:
            raise ConfigError([text for _, text in sorted(self._faults, key=lambda fault: fault[0])])

    def _general(self) -> dict[str, Any]:
        return self._values("general", self._sections.get("general", _Section(name="general")))

    def _alerts(self) -> AlertsSettings | None:
        section = self._sections.get("alerts")
        if section is None:
            return None
        values = self._values("alerts", section)
        for key, text in alerts_faults(section.entries, values):
            self._fault(section.entries[key].number if key else section.number, section.name, text)
        return alerts_of(values)

    def _logging(self, pools: list[Path]) -> LoggingSettings | None:
        section = self._sections.get("logging")
        return logging_of(self._values("logging", section) if section else None, pools)

    def _fault(self, number: int, section: str | None, text: str) -> None:
        place = f"{self._place.path}:{number}: " if number else f"{self._place.path}: "
        self._faults.append((number, place + (f"[{section}] " if section else "") + text))

    def _take(self, line: Line) -> None:
        if line.kind == "junk":  # not shown: it may be the rest of a secret
            text = 'is no [section], "key = value" or comment; a value stands on one line'
            self._fault(line.number, line.section, text)
        elif line.kind == "header" and line.section:
            first = self._sections.setdefault(line.section, _Section(name=line.section, number=line.number))
            if first.number != line.number:
                self._fault(line.number, line.section, f"duplicate section; join it to the one in line {first.number}")
        elif line.kind == "entry" and line.section is None:
            self._fault(line.number, None, "a key above the first section; write [general] before it")
        elif line.kind == "entry" and line.section:  # not below a header that could not be read: that is one fault
            entries = self._sections[line.section].entries
            first_line = entries.setdefault(line.key if line.section == "locations" else line.key.lower(), line)
            if first_line is not line:
                text = f'duplicate key "{line.key}"; remove it here or in line {first_line.number}'
                self._fault(line.number, line.section, text)

    def _values(self, kind: str, section: _Section, *, complete: bool = True) -> dict[str, Any]:
        values: dict[str, Any] = {}
        entries = dict(section.entries)
        for key in KEYS_BY_SECTION[kind]:
            line = entries.pop(key.name, None)
            text = line.value if line else key.default() if callable(key.default) else key.default
            if text is None:
                continue
            try:
                values[key.field or key.name] = key.parse(text, self._place)
            except Fault as fault:
                if complete or not isinstance(fault, Missing):
                    self._fault(line.number if line else section.number, section.name, f"{key.name}: {fault}")
        for name, line in entries.items():
            hint = guess(name, [key.name for key in KEYS_BY_SECTION[kind]])
            shown = f' "{line.key}"' if "did you mean" in hint else ""  # else it may be the rest of a wrapped secret
            self._fault(line.number, section.name, f"unknown key{shown}{hint}")
        return values

    def _locations(self) -> list[dict[str, Any]]:
        listed = self._sections.get("locations")
        if not listed:
            self._fault(0, None, 'no section [locations]; add it, with a line like "central = 1" for each location')
            return []
        return [self._location(name, line) for name, line in listed.entries.items()]

    def _location(self, name: str, line: Line) -> dict[str, Any]:
        on = _FLAGS.get(line.value.lower())
        if on is None:  # the value is not shown: a secret may have lost its section
            self._fault(line.number, "locations", f"{name}: must be 1 or 0, yes or no, on or off, true or false")
        if name in _RESERVED or _is_table(name):
            self._fault(line.number, "locations", f"{name}: a location cannot have this name; choose another")
            return {}
        section = self._sections.get(name)
        if section is None:
            free = [each for each in self._sections if each not in _RESERVED and not _is_table(each)]
            self._fault(line.number, "locations", f"{name}: no section [{name}]; add it{guess(name, free)}")
            return {}
        kind = section.entries.get("kind")
        of_kind = {"files": self._files, "export": self._export, "import": self._import}
        if kind and kind.value in of_kind:
            return {"name": name, "on": on, **of_kind[kind.value](section, complete=on is not False)}
        values = self._values("location", section, complete=on is not False)
        for key, text in way_faults(section.entries, values.get("dbstring")):
            self._fault(section.entries[key].number if key else section.number, name, text)
        return {"name": name, "on": on, **values}

    def _files(self, section: _Section, *, complete: bool) -> dict[str, Any]:
        values = self._values("files", section, complete=complete)
        for key, text in files_faults(section.entries, values):
            self._fault(section.entries[key].number if key else section.number, section.name, text)
        return location_of(values) if {"source", "to"} <= values.keys() else {}

    def _export(self, section: _Section, *, complete: bool) -> dict[str, Any]:
        values = self._values("export", section, complete=complete)
        if not is_scale_name(section.name) or section.name == "logs":  # it has a folder of its name in the data pool
            self._fault(section.number, section.name, "no folder of the data pool can have this name; choose another")
        if "url" not in section.entries:
            self._fault(section.number, section.name, f"url is missing; add url = {EXPORT_URL}")
        for key, text in export_faults(section.entries):
            self._fault(section.entries[key].number, section.name, text)
        return export_of(values)

    def _import(self, section: _Section, *, complete: bool) -> dict[str, Any]:
        values = self._values("import", section, complete=complete)
        for key, sample in (("storage", IMPORT_STORAGE), ("processor", IMPORT_PROCESSOR)):
            if key not in section.entries:
                self._fault(section.number, section.name, f"{key} is missing; add {key} = {sample}")
        return import_of(values)

    def _table(self, section: _Section) -> dict[str, Any]:
        return {"name": section.name.removeprefix("table "), **self._values("table NAME", section)}

    def _refuse_shared_storage(self, locations: Sequence[Mapping[str, Any]]) -> None:
        """A file dropped there would be for either."""
        seen: dict[Path, str] = {}
        for each in locations:
            if each.get("imports"):
                path = Path(os.path.realpath(each["imports"].storage))
                other = seen.setdefault(path, each["name"])
                if other != each["name"]:
                    line = self._sections[each["name"]].entries["storage"]
                    self._fault(line.number, each["name"], f"storage is that of [{other}], too; give each its own")

    def _refuse_unknown_sections(self) -> None:
        listed = self._sections.get("locations", _Section(name="locations")).entries
        known = [*_RESERVED, *listed, "table NAME"]
        for name, section in self._sections.items():
            if name not in (*_RESERVED, *listed) and not _is_table(name):
                text = f'unknown section; add "{name} = 1" to [locations], or remove it{guess(name, known)}'
                self._fault(section.number, name, text)


def _pools(location: Mapping[str, Any]) -> Iterator[Path]:
    """The folder of this machine in which a location keeps what it moves, if it has one."""
    if location.get("export"):
        yield location["export"].pool
    if location.get("imports"):
        yield location["imports"].storage


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check the whole file; ConfigError carries every fault with its line, section and remedy."""
    return _Reader(path, environ).settings()


def load_alerts(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """[general] and [alerts] alone, of a site's file or of one for `pusher serve --alerts`. Raises ConfigError."""
    return _Reader(path, environ).alerts()


def with_scales(settings: Settings, scales: Sequence[str]) -> Settings:
    """For one run: every location to export from is asked for these scales, if any are given."""
    if not scales:
        return settings
    locations = (
        replace(each, export=replace(each.export, scales=tuple(scales))) if each.export else each
        for each in settings.locations
    )
    return replace(settings, locations=tuple(locations))


def find_config(option: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """What --config says, else $PUSHER_CONFIG, else the first that exists of the two usual places."""
    named = option or environ.get("PUSHER_CONFIG")
    if named:
        return Path(named)  # whether it exists is for `load` to say, in the same words for all
    usual = (Path("synchronise.conf"), SYSTEM_CONFIG)
    for path in usual:
        if os.path.lexists(path):
            return path
    tried = " and ".join(str(path) for path in usual)
    raise ConfigError([f"no --config, no $PUSHER_CONFIG, and neither {tried} exists; write one with: pusher init"])


# --- the marker -----------------------------------------------------------------------------------------------------

_writing = threading.Lock()  # locations are pushed side by side, and each writes its own marker


def read_lastupdate(path: Path, location: str) -> str | None:
    """The text as it stands in the file now, unchecked; None if it is missing, empty or the word None."""
    try:
        line = find_entry(list(scan(read_text(path)[0])), location, "lastupdate")
    except KeyError:
        raise _section_is_gone(path, location) from None
    return None if line is None or line.value.lower() in ("", "none") else line.value


def write_lastupdate(path: Path, location: str, text: str | None) -> None:
    """Replace the value of `lastupdate` and not another byte; None is written as the word None.

    Raises ConfigError if the section is gone or the file cannot be written, ValueError if `text` is no date.
    """
    try:
        value = marker(text or "") or "None"
    except Fault as fault:
        raise ValueError(f"lastupdate: {fault}") from None
    try:
        with _writing:
            for _ in range(10):
                old, seen = read_text(path)
                new = with_value(old, location, "lastupdate", value)
                if new == old or replace_file(path, new.encode(), seen):
                    return
    except KeyError:
        raise _section_is_gone(path, location) from None
    except OSError as error:
        raise ConfigError([f"cannot write {path}: {error.strerror}"]) from error
    raise ConfigError([f"cannot write {path}: it changes all the time; who else writes it?"])


def _section_is_gone(path: Path, location: str) -> ConfigError:
    return ConfigError([f"{path}: no section [{location}], so no place for its lastupdate; put the section back"])
