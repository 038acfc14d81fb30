"""The keys of [logging], and the settings that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pusher.config_keys import Fault, Key, Place, parse_path

_DAYS = "366"


@dataclass(frozen=True, kw_only=True)
class LoggingSettings:
    """`folder`: of the log files. `keep`: how many days of each are kept."""

    folder: Path
    keep: int = int(_DAYS)


def _keep(text: str, _: Place) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise Fault(f'"{text}" is not a number of days; write 366, at most 9999')
    return int(text)


LOGGING_KEYS = (
    Key("path", "folder of the log files", parse_path, "logs", "logs", field="folder"),
    Key("keep", "days of each that are kept", _keep, _DAYS, _DAYS),
)


def logging_of(values: Mapping[str, Any] | None, pools: Sequence[Path]) -> LoggingSettings | None:
    """Without the section, in the folder that the data pools of exports share, if there are any; else none."""
    if values is None:
        return LoggingSettings(folder=pools[0] / "logs") if pools else None
    return LoggingSettings(**values) if "folder" in values else None
