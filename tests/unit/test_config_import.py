"""The keys of a location with kind = import."""

from __future__ import annotations

from pathlib import Path

import pytest

from pusher.config import ImportSettings, load
from pusher.config_import import parse_map
from pusher.errors import UsageError
from tests.configs import faults, put

_IMPORT = """\
[locations]
registry = 1
[registry]
kind = import
storage = datacenter
processor = House
{lines}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "synchronise.conf"


def _settings(path: Path, lines: str, environ: dict[str, str] | None = None) -> ImportSettings:
    (location,) = load(put(path, _IMPORT.format(lines=lines)), environ or {}).locations
    assert location.kind == "import" and location.imports
    return location.imports


def test_what_is_not_said_has_a_default(path: Path) -> None:
    assert _settings(path, "") == ImportSettings(storage=path.parent / "datacenter", processor="House")


def test_all_may_be_said(path: Path) -> None:
    keys = ("target = env:T", "mode = upsert", "map = Street:address, a:b:Deployment.name", "null = NULL")
    lines = "\n".join((*keys, "settle = 1 minute", "watch = yes"))
    found = _settings(path, lines, {"T": "mysql+pymysql://u:geheim@h/db"})
    assert found.target and found.target.reveal() == "mysql+pymysql://u:geheim@h/db" and "geheim" not in repr(found)
    assert (found.mode, found.null, found.settle_seconds, found.watch) == ("upsert", "NULL", 60, True)
    assert found.map == (("Street", "address"), ("a:b", "Deployment.name"))


def test_the_target_is_a_file_beside_the_configuration(path: Path) -> None:
    found = _settings(path, "target = sqlite:///registry.db")
    assert found.target and found.target.reveal() == f"sqlite:///{path.parent / 'registry.db'}"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("mode = delete", 'mode: "delete" is no mode; there are create, update, remove and upsert'),
        ("map = Street", 'map: "Street" is no pair; write HEADER:FIELD'),
        ("map = :address", 'map: ":address" is no pair'),
        ("map = a:b, a:c", 'map: "a" is mapped twice; keep one'),
        ("null =", "null: is empty"),
        ("settle = soon", '"soon" is not a length of time'),
        ("target = registry.db", "not an SQLAlchemy URL"),
        ("colour = blue", "unknown key"),
    ],
)
def test_faults(path: Path, lines: str, said: str) -> None:
    (fault,) = faults(path, _IMPORT.format(lines=lines), {})
    assert said in fault and fault.startswith("synchronise.conf:7: [registry] ")


@pytest.mark.parametrize(("key", "sample"), [("storage", "storage = datacenter"), ("processor", "processor = House")])
def test_a_location_must_say_where_and_what(path: Path, key: str, sample: str) -> None:
    text = "".join(line for line in _IMPORT.format(lines="").splitlines(True) if not line.startswith(key))
    (fault,) = faults(path, text, {})
    assert f"{key} is missing; add {sample}" in fault


def test_a_storage_belongs_to_one_location(path: Path) -> None:
    other = _IMPORT.format(lines="").replace("[locations]\nregistry = 1", "").replace("registry", "other")
    text = _IMPORT.format(lines="").replace("registry = 1", "registry = 1\nother = 0") + other
    (fault,) = faults(
        path, text.replace("datacenter\nprocessor = House\n\n\n", "./datacenter/\nprocessor = House\n"), {}
    )
    assert "storage is that of [registry], too; give each its own" in fault


def test_without_logging_the_log_files_are_in_the_storage(path: Path) -> None:
    found = load(put(path, _IMPORT.format(lines="")), {}).logging
    assert found and found.folder == path.parent / "datacenter/logs"


def test_a_map_may_be_given_on_the_command_line() -> None:
    assert parse_map("Street:address") == (("Street", "address"),)
    with pytest.raises(UsageError, match=r"--map: .* is no pair"):
        parse_map("Street")
