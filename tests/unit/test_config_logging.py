"""[logging]: where log files are with it and without it, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pusher.config import LoggingSettings, load
from tests.configs import faults, put

_EXPORT = "[lab]\nkind = export\nurl = https://mindtrails.example.org/api/\npath = pool\n"
_PUSH = "[central]\nresturl = https://central.example.org/rest/\n"


@pytest.mark.parametrize(
    ("text", "folder", "keep"),
    [
        (f"[locations]\ncentral = 1\n{_PUSH}", None, None),
        (f"[locations]\ncentral = 1\n{_PUSH}[logging]\n", "logs", 366),
        (f"[locations]\ncentral = 1\n{_PUSH}[logging]\npath = /var/log/pusher\nkeep = 30\n", "/var/log/pusher", 30),
        (f"[locations]\ncentral = 1\nlab = 1\n{_PUSH}{_EXPORT}", "pool/logs", 366),
        (f"[locations]\ncentral = 1\nlab = 0\n{_PUSH}{_EXPORT}", None, None),
        (f"[locations]\nlab = 1\n{_EXPORT}[logging]\npath = logs\n", "logs", 366),
    ],
)
def test_where_the_files_are(tmp_path: Path, text: str, folder: str | None, keep: int | None) -> None:
    found = load(put(tmp_path / "synchronise.conf", text), {}).logging
    assert found == (LoggingSettings(folder=tmp_path / folder, keep=keep) if folder and keep else None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("path =", "synchronise.conf:4: [logging] path: has no value; write a path, or remove the line"),
        ("keep = 0", 'synchronise.conf:4: [logging] keep: "0" is not a number of days; write 366, at most 9999'),
        ("keep = for ever", "is not a number of days"),
        ("level = debug", "synchronise.conf:4: [logging] unknown key; possible: path, keep"),
    ],
)
def test_each_fault_has_one_line(tmp_path: Path, line: str, said: str) -> None:
    (fault,) = faults(tmp_path / "synchronise.conf", f"[locations]\n\n[logging]\n{line}\n")
    assert said in fault


def test_a_location_cannot_be_called_logging(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path / "synchronise.conf", "[locations]\nlogging = 1\n")
    assert "a location cannot have this name" in fault
